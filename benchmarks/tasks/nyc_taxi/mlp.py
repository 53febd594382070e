"""The multilayer perceptron of `nyc_taxi/mlp`: hyperparameters of the model and its optimiser; PyTorch.

Ranges are those of HPOBench's perceptron where it has the hyperparameter (depth, width, batch size, learning rate,
weight decay), narrower where a training would take more than some seconds of one core; normalisation, dropout,
activation, optimiser, momentum and epochs are beside them. Defaults are those of scikit-learn's MLPRegressor: one layer
of 100 units, rectified linear, Adam with learning rate 0.001, penalty 0.0001, batches of 200; but 20 epochs, not 200.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer

from airtune.benchmarks.tasks.networks import one_thread_one_seed, optimizer_of, predictions, train
from airtune.benchmarks.tasks.nyc_taxi.data import taxi_data


def mlp_space() -> ConfigurationSpace:
    """The search space of `nyc_taxi/mlp`."""
    space = ConfigurationSpace(name="nyc_taxi-mlp")
    optimizer = Categorical("optimizer", ["adam", "sgd"], default="adam")
    momentum = Float("momentum", (0.0, 0.99), default=0.9)
    space.add(
        Integer("layers", (1, 4), default=1),
        Integer("width", (16, 256), log=True, default=100),
        Categorical("activation", ["relu", "tanh", "gelu"], default="relu"),
        Categorical("normalization", ["none", "batch", "layer"], default="none"),
        Float("dropout", (0.0, 0.5), default=0.0),
        optimizer,
        momentum,
        Float("learning_rate", (1e-5, 1.0), log=True, default=1e-3),
        Float("weight_decay", (1e-8, 1.0), log=True, default=1e-4),
        Integer("batch_size", (32, 256), log=True, default=200),
        Integer("epochs", (2, 40), log=True, default=20),
        EqualsCondition(momentum, optimizer, "sgd"),
    )
    return space


@dataclass(frozen=True, slots=True)
class MlpObjective:
    """Trains one configuration and scores it. Deterministic and single-threaded; picklable.

    Attributes:
        path: The data file.
    """

    path: Path

    def __call__(self, config: Mapping[str, Any]) -> dict[str, float]:
        """{"loss": on the validation part, "test_loss": on the test part}; see `data`.

        Raises:
            ValueError: Where training diverges (a failed trial, not a loss).
        """
        import torch
        from torch import nn

        data = taxi_data(self.path)
        train_x, train_y = data.train
        middle, width = train_x.mean(axis=0), train_x.std(axis=0)
        width[width == 0] = 1.0
        mean, scale = train_y.mean(), train_y.std()

        def features(x: Any) -> torch.Tensor:
            return torch.tensor((x - middle) / width, dtype=torch.float32)

        with one_thread_one_seed():
            model = _network(config, train_x.shape[1])
            y = torch.tensor((train_y - mean) / scale, dtype=torch.float32).unsqueeze(1)
            train(
                model, optimizer_of(config, model), nn.MSELoss(), features(train_x), y,
                epochs=int(config["epochs"]), rows=int(config["batch_size"]),
            )  # fmt: skip
            losses = {}
            for name, (x, target) in (("loss", data.validation), ("test_loss", data.test or data.validation)):
                predicted = predictions(model, features(x)).squeeze(1).double().numpy() * scale + mean
                losses[name] = float(np.mean((predicted - target) ** 2))
        return losses


def _network(config: Mapping[str, Any], columns: int) -> Any:
    from torch import nn

    activations = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}
    normalizations = {"none": nn.Identity, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
    layers: list[nn.Module] = []
    units = int(config["width"])
    for _ in range(int(config["layers"])):
        normalization: nn.Module = normalizations[config["normalization"]](units)
        layers += [nn.Linear(columns, units), normalization, activations[config["activation"]]()]
        layers.append(nn.Dropout(float(config["dropout"])))
        columns = units
    return nn.Sequential(*layers, nn.Linear(columns, 1))
