"""Networks trained to the end, all configurations of a table at once: stacked weights and batched products.

Configurations of one depth, activation and kind of optimiser are a stack. Each has its own width, batch size, number of
epochs and stopping rule, and leaves the stack when it has stopped. What is random (initial weights, order of the rows,
dropout) depends on the seed, the epoch and the row alone, so a configuration in a stack is trained as it would be
alone, up to the rounding of the products.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from airtune.models.pocket.training.corpus import stepping
from airtune.models.pocket.training.corpus.problems import Problem
from airtune.models.pocket.training.corpus.stepping import USUAL, column

if TYPE_CHECKING:
    from torch import Tensor

_STACK, _NUMBERS = (
    24,
    300_000,
)  # configurations in a stack, and their parameters: what stays in a core's cache
_PLATEAU = 10  # epochs, as scikit-learn's `n_iter_no_change`
_TOLERANCE = 1e-4  # as scikit-learn's `tol`


@dataclass(frozen=True, slots=True)
class Length:
    """How long a training is.

    Attributes:
        kind: `short` (cut off, a small budget), `fixed` (all of the limit), `plateau` (until the training loss does not
            fall any more), `early` (until the validation loss does not fall any more; the best state counts),
            `tolerance` (until the solver has converged).
        limit: The most epochs, rounds, trees or iterations; what a configuration tunes itself goes before it.
    """

    kind: str
    limit: int


@dataclass(slots=True)
class Outcome:
    """What came of a table's configurations.

    Attributes:
        valid: Predictions on the validation part, one array a configuration.
        test: On the test part.
        seconds: (configurations,), processor seconds; a stack's are shared out by steps and sizes.
    """

    valid: list[NDArray[np.float64]]
    test: list[NDArray[np.float64]]
    seconds: NDArray[np.float64]


def widths_of(config: Mapping[str, Any]) -> tuple[int, ...]:
    """The hidden layers' sizes: `width1`, `width2`, ... where there are such, else `depth` layers of `width`."""
    c = {**USUAL, **config}
    return tuple(int(c.get(f"width{i}", c["width"])) for i in range(1, int(c["depth"]) + 1))


def train(problem: Problem, configs: Sequence[Mapping[str, Any]], length: Length, seed: int) -> Outcome:
    """Train a network with each configuration.

    Args:
        problem: The data set.
        configs: Configurations; hyperparameters as in `USUAL`, `width1`, `dropout1` and so on, `epochs`, `patience`.
        length: When a training ends.
        seed: Of initial weights, order of the rows and dropout.

    Returns:
        Probabilities, or predicted numbers for regression; not finite where a training diverged.
    """
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, config in enumerate(configs):
        widths = widths_of(config)
        c = {**USUAL, **config}
        size = next(w for w in (64, 128, 256, 1 << 20) if max(widths) <= w)
        groups.setdefault((len(widths), c["activation"], c["optimizer"] == "sgd", size), []).append(i)
    rows = len(problem.y[0])
    found = Outcome([np.empty(0)] * len(configs), [np.empty(0)] * len(configs), np.zeros(len(configs)))
    for members in groups.values():
        members.sort(key=lambda i: configs[i].get("batch_size", USUAL["batch_size"]))
        inputs, widest = problem.x[0].shape[1], max(max(widths_of(configs[i])) for i in members)
        numbers = inputs * widest + (len(widths_of(configs[members[0]])) - 1) * widest**2
        room = min(_STACK, max(2, _NUMBERS // numbers))
        for start in range(0, len(members), room):
            some = members[start : start + room]
            begun = time.process_time()
            stack = _Stack(problem, [{**USUAL, **configs[i]} for i in some], length, seed)
            epochs = stack.run()
            valid, test = (stack.predict(x) for x in problem.x[1:])
            work = np.array([e * (rows + 500 * s) for e, s in zip(epochs, stack.steps.tolist(), strict=True)])
            spent = (time.process_time() - begun) * work / work.sum()
            for j, i in enumerate(some):
                found.valid[i], found.test[i], found.seconds[i] = valid[j], test[j], spent[j]
    return found


class _Stack:
    """Networks of one depth, activation and kind of optimiser, those with the most steps an epoch first."""

    def __init__(self, problem: Problem, configs: list[dict[str, Any]], length: Length, seed: int) -> None:
        import torch
        from torch.nn import functional

        self.configs, self.length, self.seed = configs, length, seed
        self.x = [torch.from_numpy(x).float().clamp(-30, 30) for x in problem.x[:2]]
        self.classes = problem.classes
        self.y = [torch.from_numpy(y) if self.classes else torch.from_numpy(y).float() for y in problem.y[:2]]
        self.activation: Callable[[Tensor], Tensor] = {
            "relu": torch.relu, "tanh": torch.tanh, "logistic": torch.sigmoid, "elu": functional.elu,
            "gelu": functional.gelu, "leaky_relu": functional.leaky_relu, "identity": lambda h: h,
        }[configs[0]["activation"]]  # fmt: skip
        n = len(self.y[0])
        self.batch = self._column("batch_size").clamp(max=n).long()[:, 0]
        self.steps = (n + self.batch - 1) // self.batch
        self.plan = [self._places(s, n) for s in range(int(self.steps.max()))]
        layers = [widths_of(c) for c in configs]
        ends = self.x[0].shape[1], max(1, self.classes)
        sizes = torch.tensor([[ends[0], *w, ends[1]] for w in layers])
        widest = sizes.max(0).values.tolist()
        self.shapes = list(pairwise(widest))
        self.units = [(torch.arange(w) < sizes[:, i, None]).float()[:, None] for i, w in enumerate(widest)]
        self.flat = torch.cat([part for i in range(len(self.shapes)) for part in self._initial(i, sizes)], 1)
        self.drop = [self._column(f"dropout{i}", "dropout")[..., None] for i in range(1, len(self.shapes))]

    def _column(self, role: str, other: str = "") -> Tensor:
        return column(self.configs, role, other)

    def _places(self, s: int, n: int) -> tuple[Tensor, Tensor]:
        """(k, rows) which places of an epoch's order step s reads, of those that have such a step; their weights."""
        import torch

        batch = self.batch[self.steps > s, None]
        place = s * batch + torch.arange(int(batch.max()))
        inside = ((torch.arange(place.shape[1]) < batch) & (place < n)).float()
        return place.clamp(max=n - 1), inside / inside.sum(1, keepdim=True)

    def _initial(self, layer: int, sizes: Tensor) -> list[Tensor]:
        """PyTorch's initial weights, uniform up to 1 / sqrt(inputs), as (m, inputs * outputs) and (m, outputs)."""
        import torch

        (rows, columns), m = self.shapes[layer], len(sizes)
        rng = np.random.default_rng([self.seed, layer])
        bias = torch.from_numpy(rng.uniform(-1, 1, size=4096)[:columns]).float()
        # A unit's weights are a stream of their own, so that how many others there are changes none of them.
        weight = np.stack(
            [np.random.default_rng([self.seed, layer, j]).uniform(-1, 1, rows) for j in range(columns)], 1
        )
        bound = 1 / sizes[:, layer, None].float().sqrt()
        here = self.units[layer].transpose(1, 2) * self.units[layer + 1]  # (m, inputs, outputs)
        full = torch.from_numpy(weight).float() * here * bound[..., None]
        return [full.reshape(m, -1), bias * self.units[layer + 1][:, 0] * bound]

    def _leaves(self, flat: Tensor) -> list[Tensor]:
        """Weights (k, inputs, outputs) and biases (k, 1, outputs) as views of flat parameters (k, P)."""
        leaves, at = [], 0
        for a, b in self.shapes:
            leaves += [
                flat[:, at : at + a * b].view(-1, a, b),
                flat[:, at + a * b : at + a * b + b].view(-1, 1, b),
            ]
            at += a * b + b
        return leaves

    def _forward(
        self, leaves: list[Tensor], h: Tensor, index: Tensor, kept: list[Tensor] | None = None
    ) -> Tensor:
        last = len(self.shapes) - 1
        for i in range(last + 1):
            h = leaves[2 * i + 1].baddbmm(h, leaves[2 * i])
            if i < last:
                h = self.activation(h)
                if self.configs[0]["activation"] == "logistic":  # not 0 where a unit is left out
                    h = h * self.units[i + 1][index]
                if kept is not None:
                    h = h * kept[i]
        return h

    def _losses(self, outputs: Tensor, y: Tensor, smoothing: Tensor | None = None) -> Tensor:
        """(k, rows) losses of outputs (k, rows, classes or 1) where y is (rows,) or (k, rows)."""
        y = y.expand(outputs.shape[:2])
        if not self.classes:
            return (outputs[..., 0] - y) ** 2
        log_p = outputs.log_softmax(-1)
        loss = -log_p.gather(2, y[..., None])[..., 0]
        return loss if smoothing is None else (1 - smoothing) * loss - smoothing * log_p.mean(-1)

    def run(self) -> list[int]:
        """Train all to their ends; how many epochs each was trained."""
        import torch

        m = len(self.configs)
        watched = self.length.kind in ("plateau", "early")
        early = self.length.kind == "early"
        short = self.length.kind == "short"
        limit = torch.tensor(
            [int(self.length.limit if short else c.get("epochs", self.length.limit)) for c in self.configs]
        )
        patience = torch.tensor(
            [int(c.get("patience", _PLATEAU)) if watched else 1 << 30 for c in self.configs]
        )
        best, wait = torch.full((m,), torch.inf), torch.zeros(m, dtype=torch.long)
        epochs, final = torch.zeros(m, dtype=torch.long), self.flat.clone()
        live, state = (
            torch.arange(m),
            [self.flat.clone(), torch.zeros_like(self.flat), torch.zeros_like(self.flat)],
        )
        kept = self.flat.clone()
        epoch = 0
        while len(live):
            loss = self._epoch(epoch, live, limit[live], state)
            epoch += 1
            if early:
                with torch.no_grad():
                    outputs = self._forward(self._leaves(state[0]), self.x[1].expand(len(live), -1, -1), live)
                    loss = self._losses(outputs, self.y[1]).mean(1)
            better = loss < best[live] - (0 if early else _TOLERANCE)
            wait[live] = torch.where(better, 0, wait[live] + 1)
            if early:
                kept[better] = state[0][better]
            best[live] = torch.minimum(best[live], loss.nan_to_num(torch.inf))
            done = (epoch >= limit[live]) | (wait[live] >= patience[live]) | ~loss.isfinite()
            if done.any():
                final[live[done]] = (kept if early else state[0])[done]
                lost = ~loss.isfinite() & ~(early & best[live].isfinite())  # else its best state is there
                final[live[lost]] = torch.nan
                epochs[live[done]] = epoch
                state, kept, live = [s[~done] for s in state], kept[~done], live[~done]
        self.flat = final
        return [int(e) for e in epochs.tolist()]

    def _epoch(self, epoch: int, live: Tensor, limit: Tensor, state: list[Tensor]) -> Tensor:
        """One epoch of those in `live`, in place on their parameters and moments; their mean training losses."""
        import torch

        n = len(self.y[0])
        generator = torch.Generator().manual_seed(self.seed * 100_003 + epoch)
        order = torch.randperm(n, generator=generator)
        dropped = any(bool((p > 0).any()) for p in self.drop)
        noise = [
            torch.from_numpy(np.random.default_rng([self.seed, epoch, i]).random((w, n), np.float32)).t()
            for i, (_, w) in enumerate(self.shapes[:-1])
        ] if dropped else []  # fmt: skip
        steps = self.steps[live]
        smoothing = self._column("label_smoothing")[live]
        configs = [self.configs[i] for i in live.tolist()]
        c = stepping.coefficients(configs, self.batch[live])
        rates = stepping.rates(configs, steps, epoch, limit)
        total = torch.zeros(len(live))
        for s in range(int(steps.max())):
            k = int((steps > s).sum())
            place, weight = (part[live[:k]] for part in self.plan[s])
            rows = order[place]
            leaves = [leaf.detach().requires_grad_() for leaf in self._leaves(state[0][:k])]
            kept = [
                (u[rows] >= p[live[:k]]).float() / (1 - p[live[:k]]) for u, p in zip(noise, self.drop, strict=True)
            ] if dropped else None  # fmt: skip
            outputs = self._forward(leaves, self.x[0][rows], live[:k], kept)
            mean = (self._losses(outputs, self.y[0][rows], smoothing[:k]) * weight).sum(1)
            total[:k] += mean.detach() / steps[:k]
            gradients = torch.autograd.grad(mean.sum(), leaves)
            with torch.no_grad():
                g = torch.cat([g.reshape(k, -1) for g in gradients], 1)
                count = (epoch * steps[:k] + s + 1).float()[:, None]
                of_these = {role: part[:k] for role, part in c.items()}
                stepping.update([t[:k] for t in state], g, rates[s, :k, None], count, of_these)
        return total

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """(m, rows, classes) probabilities or (m, rows) numbers."""
        import torch

        with torch.no_grad():
            inputs = torch.from_numpy(x).float().clamp(-30, 30).expand(len(self.flat), -1, -1)
            outputs = self._forward(self._leaves(self.flat), inputs, torch.arange(len(self.flat)))
            return np.asarray((outputs.softmax(-1) if self.classes else outputs[..., 0]).double().numpy())
