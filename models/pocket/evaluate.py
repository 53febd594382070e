"""Development evaluation: how good proposals are on tables and functions that were kept out of training.

    python -m airtune.models.pocket.evaluate [--model DIR] [--temperature T] [--trials N] [--tables K]

Tables: every seventh one, never trained on. A proposal is scored by the nearest untried row of its table (in unit
coordinates), so figures are comparable with random search's exact expected best-of-n over the same rows, with the
default first or not. This is where settings are chosen; the benchmark tasks are for reporting.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import (
    Hyperparameter,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)
from numpy.typing import NDArray

from airtune.models import LanguageModel, Observation, Problem, Request, load_model
from airtune.models.pocket.tables import Param, Table, to_unit
from airtune.models.pocket.train import split_tables

Curve = NDArray[np.float64]  # (trials,), best loss so far


def space_of(table: Table) -> ConfigurationSpace:
    """The search space of a table."""

    def one(p: Param) -> Hyperparameter[Any, Any]:
        log = p.kind in "LJ"
        if p.kind in "IJ":
            return UniformIntegerHyperparameter(
                p.role, int(p.lower), int(p.upper), log=log, default_value=int(p.default)
            )
        return UniformFloatHyperparameter(p.role, p.lower, p.upper, log=log, default_value=p.default)

    return ConfigurationSpace(space=[one(p) for p in table.params])


def expected_best(losses: NDArray[np.floating], trials: int) -> Curve:
    """Expected best of n rows drawn without replacement, n = 1..trials, exactly (order statistics)."""
    ordered, m = np.sort(losses.astype(np.float64)), len(losses)
    return np.array(
        [
            sum(ordered[k] * comb(m - k - 1, n - 1) for k in range(m - n + 1)) / comb(m, n)
            for n in range(1, trials + 1)
        ]
    )


def on_tables(
    model: LanguageModel,
    tables: Sequence[Table],
    trials: int,
    temperature: float,
    seed: int,
    default_first: bool,
) -> list[Curve]:
    """Best loss so far of the model on each table, all tables advanced together in one batch per trial."""
    spaces = [space_of(t) for t in tables]
    seen: list[list[Observation]] = [[] for _ in tables]
    used: list[list[int]] = [[] for _ in tables]
    curves = [np.empty(trials) for _ in tables]
    for trial in range(trials):
        requests = []
        for i, space in enumerate(spaces):
            grammar = model.dialect.grammar(space, [o.config for o in seen[i]])
            prompt = model.dialect.render(Problem("table", "", space, "error", tuple(seen[i])))
            requests.append(Request(prompt, grammar, (seed * 1000 + trial) * 1000 + i, temperature))
        skip = trial == 0 and default_first
        completions = [] if skip else model.generate(requests)
        for i, table in enumerate(tables):
            if skip:
                row = 0
                config = dict(spaces[i].get_default_configuration())
            else:
                config = model.dialect.parse(completions[i].text, requests[i].grammar)
                unit = np.array([to_unit(p, config[p.role]) for p in table.params])
                distance = ((table.unit - unit) ** 2).sum(1)
                distance[used[i]] = np.inf
                row = int(distance.argmin())
            used[i].append(row)
            loss = float(table.loss[row])
            seen[i].append(Observation(config, loss))
            curves[i][trial] = min(loss, curves[i][trial - 1] if trial else loss)
    return curves


def summary(
    curves: Sequence[Curve], baseline: Sequence[Curve], at: Sequence[int]
) -> dict[str, dict[str, float]]:
    """Per budget: share of tables on which the model is ahead of the baseline, and the median change in percent."""
    out = {}
    for n in at:
        a, b = (np.array([c[n - 1] for c in group]) for group in (curves, baseline))
        change = 100 * (b - a) / np.maximum(b, 1e-9)
        out[str(n)] = {
            "ahead": round(float((a < b - 1e-9).mean()) * 100, 1),
            "median": round(float(np.median(change)), 2),
        }
    return out


def main(argv: Sequence[str] | None = None) -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--temperature", type=float, nargs="+", default=[1.0])
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--tables", type=int, default=10, help="per algorithm, at most")
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args(argv)
    model = load_model(str(Path(args.model)) if Path(args.model).exists() else args.model)
    _, development = split_tables()
    at = [n for n in (1, 2, 3, 5, 10, 20, 30) if n <= args.trials]
    for temperature in args.temperature:
        for default_first in (False, True):
            every: tuple[list[Curve], list[Curve]] = ([], [])
            for name, tables in development.items():
                some = tables[: args.tables]
                runs = [
                    on_tables(model, some, args.trials, temperature, s, default_first)
                    for s in range(args.seeds)
                ]
                mine = [np.mean([run[i] for run in runs], axis=0) for i in range(len(some))]
                base = [expected_best(t.loss, args.trials) for t in some]
                if default_first:  # random search given the same first trial
                    base = [_best_after(t, args.trials) for t in some]
                every[0].extend(mine)
                every[1].extend(base)
                print(
                    json.dumps(
                        {
                            "temperature": temperature,
                            "default_first": default_first,
                            "tables": name,
                            **summary(mine, base, at),
                        }
                    ),
                    flush=True,
                )
            print(
                json.dumps(
                    {
                        "temperature": temperature,
                        "default_first": default_first,
                        "tables": "ALL",
                        **summary(*every, at),
                    }
                ),
                flush=True,
            )


def _best_after(table: Table, trials: int) -> Curve:
    """Expected best of the default and n - 1 random rows, exactly."""
    first, rest = float(table.loss[0]), np.minimum(table.loss[1:], table.loss[0])
    return np.concatenate([[first], expected_best(rest, trials - 1)])


if __name__ == "__main__":
    main()
