"""The convolutional network of `cifar10/cnn`: hyperparameters of the model and its optimiser; PyTorch.

Stages of one convolution each (3 x 3, batch normalisation, rectified linear, 2 x 2 maximum pooling), each with twice as
many channels as the one before; the mean over the pixels that are left, dropout, and a layer for the classes. Defaults
are those of PyTorch's AdamW (learning rate 0.001, weight decay 0.01).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer

from airtune.benchmarks.tasks.cifar10.data import image_data
from airtune.benchmarks.tasks.networks import one_thread_one_seed, optimizer_of, predictions, train
from airtune.engine.evaluation.programs import ProgramData


def cnn_space() -> ConfigurationSpace:
    """The search space of `cifar10/cnn`."""
    space = ConfigurationSpace(name="cifar10-cnn")
    optimizer = Categorical("optimizer", ["adamw", "sgd"], default="adamw")
    momentum = Float("momentum", (0.0, 0.99), default=0.9)
    space.add(
        Integer("stages", (2, 4), default=3),
        Integer("channels", (4, 24), log=True, default=12),
        Float("dropout", (0.0, 0.5), default=0.0),
        Categorical("flip", [False, True], default=False),
        optimizer,
        momentum,
        Float("learning_rate", (1e-5, 1.0), log=True, default=1e-3),
        Float("weight_decay", (1e-6, 1.0), log=True, default=1e-2),
        Float("label_smoothing", (0.0, 0.3), default=0.0),
        Categorical("schedule", ["constant", "cosine"], default="constant"),
        Integer("batch_size", (32, 256), log=True, default=64),
        Integer("epochs", (1, 12), default=6),
        EqualsCondition(momentum, optimizer, "sgd"),
    )
    return space


@dataclass(frozen=True, slots=True)
class CnnObjective:
    """Trains one configuration and scores it. Deterministic and single-threaded; picklable.

    Attributes:
        path: The data file.
    """

    path: Path

    def __call__(self, config: Mapping[str, Any]) -> dict[str, float]:
        """{"loss": on the validation part, "test_loss": on the test part}: shares of wrong classes.

        Raises:
            ValueError: Where training diverges (a failed trial, not a loss).
        """
        return train_and_score(image_data(self.path), config)


def train_and_score(data: ProgramData, config: Mapping[str, Any]) -> dict[str, float]:
    """See `CnnObjective`."""
    import torch
    from torch import nn

    x, y = torch.tensor(data.train[0]), torch.tensor(data.train[1])
    mean, scale = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True)

    def flipped(images: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, images.flip(3), images)

    with one_thread_one_seed():
        model = _network(config, x.shape[1], int(y.max()) + 1)
        train(
            model, optimizer_of(config, model), nn.CrossEntropyLoss(label_smoothing=float(config["label_smoothing"])),
            (x - mean) / scale, y, epochs=int(config["epochs"]), rows=int(config["batch_size"]),
            schedule=config["schedule"], augment=flipped if config["flip"] else None,
        )  # fmt: skip
        losses = {}
        for name, (images, classes) in (
            ("loss", data.validation),
            ("test_loss", data.test or data.validation),
        ):
            found = predictions(model, (torch.tensor(images) - mean) / scale, 256).argmax(1).numpy()
            losses[name] = float(np.mean(found != classes))
    return losses


def _network(config: Mapping[str, Any], before: int, classes: int) -> Any:
    from torch import nn

    layers: list[nn.Module] = []
    channels = int(config["channels"])
    for _ in range(int(config["stages"])):
        layers += [
            nn.Conv2d(before, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        before, channels = channels, 2 * channels
    end = [
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(float(config["dropout"])),
        nn.Linear(before, classes),
    ]
    return nn.Sequential(*layers, *end)
