"""Steps of stacked networks: learning rates along a schedule, and SGD, Adam, AdamW and RMSprop as PyTorch has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

# What a configuration does not name: PyTorch's defaults.
USUAL: dict[str, Any] = {
    "optimizer": "adam", "activation": "relu", "learning_rate": 1e-3, "momentum": 0.0, "nesterov": False,
    "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0, "alpha": 0.0, "dropout": 0.0, "label_smoothing": 0.0,
    "warmup": 0.0, "schedule": "constant", "decay_rate": 0.1, "decay_every": 0.3, "clip": 0.0, "depth": 2, "width": 64,
    "batch_size": 32,
}  # fmt: skip


def column(configs: Sequence[dict[str, Any]], role: str, other: str = "") -> Tensor:
    """(k, 1) values of a hyperparameter, or of another one where a configuration lacks it; 0 where it lacks both."""
    import torch

    return torch.tensor([[float(c.get(role, c.get(other, 0.0)))] for c in configs])


def rates(configs: Sequence[dict[str, Any]], steps: Tensor, epoch: int, limit: Tensor) -> Tensor:
    """Learning rates of an epoch's steps.

    Args:
        configs: k configurations.
        steps: (k,) how many steps each has in an epoch.
        epoch: The epoch, from 0.
        limit: (k,) the epochs over which the schedule runs.

    Returns:
        (most steps, k).
    """
    import torch

    falls: dict[str, Callable[[dict[str, Any], Tensor], Tensor]] = {
        "constant": lambda c, t: torch.ones_like(t),
        "linear": lambda c, t: 1 - t,
        "cosine": lambda c, t: 0.5 * (1 + torch.cos(torch.pi * t)),
        "step": lambda c, t: c["decay_rate"] ** torch.floor(t / c["decay_every"]),
        "exponential": lambda c, t: c["decay_rate"] ** (t / 0.5),
    }
    share = (epoch + (torch.arange(int(steps.max()))[:, None] + 1) / steps) / limit
    factors = [
        falls[c["schedule"]](c, t.clamp(max=1)) * (t / max(c["warmup"], 1e-9)).clamp(max=1)
        for c, t in zip(configs, share.unbind(1), strict=True)
    ]
    return torch.stack(factors, 1) * column(configs, "learning_rate")[:, 0]


def coefficients(configs: Sequence[dict[str, Any]], batch: Tensor) -> dict[str, Tensor]:
    """(k, 1) columns of what `update` multiplies by, of k configurations with batches of (k,) rows."""
    import torch

    def named(optimizer: str) -> Tensor:
        return torch.tensor([[c["optimizer"] == optimizer] for c in configs])

    nesterov = (column(configs, "nesterov") > 0) & named("sgd")
    mu = torch.where(named("sgd"), column(configs, "momentum"), column(configs, "beta1"))
    mu = torch.where(named("rmsprop"), 0.0, mu)
    decay = column(configs, "weight_decay")
    penalty = (
        column(configs, "alpha") / batch[:, None]
    )  # as scikit-learn's: not multiplied by the rows of a batch
    return {
        "mu": mu, "new": torch.where(named("sgd"), 1.0, 1 - mu), "adaptive": ~named("sgd"),
        "of_mean": torch.where(nesterov, mu, 1.0), "of_gradient": nesterov.float(),
        "beta2": torch.where(named("rmsprop"), 0.99, column(configs, "beta2")), "rmsprop": named("rmsprop"),
        "shrink": torch.where(named("adamw"), decay, 0.0),
        "penalty": penalty + torch.where(named("adamw"), 0.0, decay), "clip": column(configs, "clip"),
    }  # fmt: skip


def update(state: list[Tensor], g: Tensor, rate: Tensor, count: Tensor, c: dict[str, Tensor]) -> None:
    """One step of each configuration, in place.

    Args:
        state: Parameters, means and squares, each (k, P).
        g: (k, P) gradients.
        rate: (k, 1) learning rates.
        count: (k, 1) the number of the step, from 1.
        c: What `coefficients` says; all adaptive, or none.
    """
    w, mean, square = state
    if (c["penalty"] > 0).any():
        g = g.addcmul(w, c["penalty"])
    if (c["clip"] > 0).any():
        share = (c["clip"] / g.norm(dim=1, keepdim=True)).clamp(max=1)
        g = g * share.where(c["clip"] > 0, share.new_ones(()))
    mean.mul_(c["mu"]).addcmul_(g, c["new"])
    if bool(c["adaptive"][0]):
        square.mul_(c["beta2"]).addcmul_(g * (1 - c["beta2"]), g)
        bias = 1 - c["beta2"] ** count
        root = bias.where(~c["rmsprop"], bias.new_ones(())).rsqrt()
        step, rate_of_step = mean / (square.sqrt() * root + 1e-8), rate / (1 - c["mu"] ** count)
    else:
        step, rate_of_step = mean * c["of_mean"] + g * c["of_gradient"], rate
    if (c["shrink"] > 0).any():
        w.mul_(1 - rate * c["shrink"])
    w.addcmul_(step, -rate_of_step)
