"""Trains networks for tasks: one thread, one seed, nothing left behind in the process. Loads PyTorch when called."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SEED = 1  # of every training: a configuration has one loss


@contextlib.contextmanager
def one_thread_one_seed() -> Iterator[None]:
    """What is trained within has the same bits each time; the process's threads and random state stay as they were."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            yield
    finally:
        torch.set_num_threads(threads)


def optimizer_of(config: Mapping[str, Any], model: torch.nn.Module) -> torch.optim.Optimizer:
    """The optimiser that `optimizer`, `learning_rate`, `weight_decay` and, of sgd, `momentum` describe."""
    import torch

    rate, decay = float(config["learning_rate"]), float(config["weight_decay"])
    if config["optimizer"] == "sgd":
        momentum = float(config["momentum"])
        return torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum, weight_decay=decay)
    kind = torch.optim.AdamW if config["optimizer"] == "adamw" else torch.optim.Adam
    return kind(model.parameters(), lr=rate, weight_decay=decay)


def train(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    epochs: int,
    rows: int,
    schedule: str = "constant",
    augment: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> None:
    """Train a model on shuffled batches.

    Args:
        model: What is trained.
        optimizer: Of its parameters.
        loss: (predictions, targets) -> a number.
        x: Inputs; the first axis is the rows.
        y: Targets.
        epochs: Passes over all rows.
        rows: Of a batch; a last one of a single row is left out, of which batch normalisation knows no deviation.
        schedule: "constant", or "cosine": the learning rate falls to 0 along half a period.
        augment: What is done to a batch of inputs.

    Raises:
        ValueError: If a parameter is no longer finite at the end of an epoch.
    """
    import math

    import torch

    steps = epochs * len(range(0, len(x) - 1, rows))
    falls = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 1.0 if schedule == "constant" else 0.5 * (1 + math.cos(math.pi * step / steps))
    )  # fmt: skip
    for _ in range(epochs):
        model.train()
        order = torch.randperm(len(x))
        for start in range(0, len(x) - 1, rows):
            chosen = order[start : start + rows]
            batch = x[chosen] if augment is None else augment(x[chosen])
            optimizer.zero_grad()
            loss(model(batch), y[chosen]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            falls.step()
        if not all(bool(torch.isfinite(one).all()) for one in model.parameters()):
            raise ValueError("training diverged: its numbers are no longer finite")


def predictions(model: torch.nn.Module, x: torch.Tensor, rows: int = 1000) -> torch.Tensor:
    """What the model makes of the rows of x, that many at a time."""
    import torch

    model.eval()
    with torch.no_grad():
        return torch.cat([model(part) for part in torch.split(x, rows)])
