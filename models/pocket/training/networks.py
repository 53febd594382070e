"""Small networks trained with torch, all configurations of a table at once: stacked weights and batched products.

One hidden layer, cross-entropy, minibatches in the same random order for every configuration. What a configuration
does not name is at its usual value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from airtune.models.pocket.training.datasets import Dataset

if TYPE_CHECKING:
    from torch import Tensor

_DEFAULTS: dict[str, Any] = {
    "optimizer": "sgd", "activation": "relu", "learning_rate": 1e-2, "momentum": 0.9, "beta1": 0.9, "weight_decay": 0.0,
    "dropout": 0.0, "label_smoothing": 0.0, "warmup": 0.0, "schedule": "constant", "width": 32, "batch_size": 32,
    "epochs": 10, "init_scale": 1.0,
}  # fmt: skip


def run(data: Dataset, configs: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Validation errors, 1 - balanced accuracy, of networks trained with each configuration; deterministic.

    Args:
        data: The data set.
        configs: Configurations; hyperparameters as in `_DEFAULTS`. A schedule's networks are trained by Adam.
    """
    import torch
    from torch import nn

    def column(role: str) -> Tensor:
        return torch.tensor([float(c.get(role, _DEFAULTS[role])) for c in configs]).view(-1, 1, 1)

    def named(role: str, value: str) -> Tensor:
        return torch.tensor([c.get(role, _DEFAULTS[role]) == value for c in configs]).view(-1, 1, 1)

    generator = torch.Generator().manual_seed(0)
    x, y = torch.from_numpy(data.x_train).float(), torch.from_numpy(data.y_train)
    x = x.clamp(-10, 10)  # heavy tails
    n, d = x.shape
    classes = int(data.y_train.max()) + 1
    widths, sizes = column("width"), column("batch_size")
    m, w = len(configs), int(widths.max())

    scale = column("init_scale")
    first = torch.randn(d, w, generator=generator) / d**0.5 * scale
    second = torch.randn(w, classes, generator=generator) / w**0.5 * scale
    parameters = [
        first.clone(), torch.zeros(m, 1, w), second.expand(m, w, classes).clone(), torch.zeros(m, 1, classes),
    ]  # fmt: skip
    for tensor in parameters:
        tensor.requires_grad_(True)
    unit_mask = (
        torch.arange(w) < widths
    ).float()  # (m, 1, w): a narrow network is a wide one with units left out
    tanh = named("activation", "tanh")
    drop, smooth = column("dropout"), column("label_smoothing")[:, 0]
    adam = named("optimizer", "adam") | torch.tensor(["schedule" in c for c in configs]).view(-1, 1, 1)
    rmsprop = named("optimizer", "rmsprop")
    momentum, beta1, decay = column("momentum"), column("beta1"), column("weight_decay")
    rate, warmup = column("learning_rate"), column("warmup")
    linear, cosine = named("schedule", "linear"), named("schedule", "cosine")
    state = [(torch.zeros_like(t), torch.zeros_like(t)) for t in parameters]

    def forward(inputs: Tensor, training: bool) -> Tensor:
        before = torch.matmul(inputs, parameters[0]) + parameters[1]
        hidden = torch.where(tanh, before.tanh(), before.relu()) * unit_mask
        if training:
            kept = (torch.rand(hidden.shape[1:], generator=generator)[None] >= drop).float()
            hidden = hidden * kept / (1 - drop)
        scores: Tensor = torch.matmul(hidden, parameters[2]) + parameters[3]
        return scores

    # All see the same random rows; a configuration of small batches uses the first of them, and takes more steps.
    widest = int(sizes.max())
    total = ((n / sizes).ceil().clamp(min=1) * column("epochs")).squeeze()
    for step in range(1, int(total.max()) + 1):
        rows = torch.randint(n, (min(widest, n),), generator=generator)
        logits = forward(x[rows], training=True)
        log_p = logits.log_softmax(-1)
        log_likelihood = log_p.gather(2, y[rows].view(1, -1, 1).expand(m, -1, 1))[..., 0]
        each = -(1 - smooth) * log_likelihood - smooth * log_p.mean(-1)
        in_batch = (torch.arange(each.shape[1]) < sizes[:, 0]).float()
        loss = ((each * in_batch).sum(1) / in_batch.sum(1)).nan_to_num(0.0, 0.0, 0.0)
        gradients = torch.autograd.grad(loss.sum(), parameters)
        share = (step / total).view(-1, 1, 1)
        factor = torch.where(
            linear, 1 - share, torch.where(cosine, 0.5 * (1 + torch.cos(torch.pi * share)), 1.0)
        )
        factor = factor.clamp(min=0) * (share / warmup.clamp(min=1e-9)).clamp(max=1)
        step_size = (share <= 1).float() * rate * factor
        with torch.no_grad():
            for tensor, gradient, (mean, square) in zip(parameters, gradients, state, strict=True):
                gradient = gradient.nan_to_num(0.0, 0.0, 0.0)
                keep = torch.where(adam, beta1, momentum)
                mean.mul_(keep).add_(torch.where(adam, 1 - keep, 1.0) * gradient)
                square.mul_(0.99).addcmul_(gradient, gradient, value=0.01)
                root = (square / (1 - 0.99**step)).sqrt() + 1e-8
                update = torch.where(
                    adam, mean / (1 - beta1**step) / root, torch.where(rmsprop, gradient / root, mean)
                )
                tensor.mul_(1 - (step_size * decay).clamp(max=1)).sub_(step_size * update)
    with torch.no_grad():
        predicted = forward(torch.from_numpy(data.x_valid).float().clamp(-10, 10), training=False).argmax(-1)
    truth = nn.functional.one_hot(torch.from_numpy(data.y_valid), classes).float()
    correct = nn.functional.one_hot(predicted, classes).float() * truth
    recall = correct.sum(1) / truth.sum(0).clamp(min=1)
    present = truth.sum(0) > 0
    return np.asarray(1 - recall[:, present].mean(1).double().numpy())
