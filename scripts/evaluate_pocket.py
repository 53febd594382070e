"""Development evaluation of `pocket`: how good its proposals are on tables and functions kept out of training.

    python scripts/evaluate_pocket.py [--model DIR] [--temperature T] [--trials N] [--tables K]
    python scripts/evaluate_pocket.py --losses [--model DIR]    has it learnt its tables by heart?

Tables: every seventh one, never trained on; the algorithms held out whole are left to `airtune bench unseen`, which
reports. A proposal is scored by the nearest untried row of its table (in unit coordinates), so figures are comparable
with random search's exact expected best-of-n over the same rows, with the default first or not. Functions: fresh draws
from the prior. This is where settings are chosen; the benchmark tasks are for reporting.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from ConfigSpace import ConfigurationSpace
from numpy.typing import NDArray

from airtune.benchmarks.analysis.order_statistics import random_search
from airtune.models import LanguageModel, Observation, Problem, Request, load_model
from airtune.models.pocket import training
from airtune.models.pocket.training import long_tables
from airtune.models.pocket.training.curriculum import split_tables
from airtune.models.pocket.training.functions import fresh_functions
from airtune.models.pocket.training.loss import Loss, development_loss
from airtune.models.pocket.training.net import Pocket
from airtune.models.pocket.training.table_spaces import space_of, values_of
from airtune.models.pocket.training.tables import Table, squared_distances

SHIPPED = Path(training.__file__).parents[1] / "weights"

LARGEST = 16  # hyperparameters of the tables of full trainings that losses are told of

Curve: TypeAlias = NDArray[np.float64]  # (trials,), best loss so far
Pair: TypeAlias = tuple[list[Curve], list[Curve]]  # a method, its baseline


def row_of(table: Table, config: Mapping[str, Any], used: Sequence[int] = ()) -> int:
    """The table's row that is nearest to a configuration of its space, `used` ones aside."""
    distances = squared_distances(table, values_of(table, config))
    return next(int(row) for row in np.argsort(distances, kind="stable") if row not in used)


def expected_best(losses: NDArray[Any], trials: int) -> Curve:
    """Expected best of n rows drawn without replacement, n = 1..trials, exactly."""
    losses = losses.astype(np.float64)
    return random_search(losses, losses, trials)[0]


def on_tables(
    model: LanguageModel,
    tables: Sequence[Table],
    trials: int,
    temperature: float,
    seed: int,
    default_first: bool,
) -> list[Curve]:
    """Best loss so far of the model on each table, all tables advanced together in one batch per trial."""
    spaces = [space_of(t.params) for t in tables]
    seen: list[list[Observation]] = [[] for _ in tables]
    used: list[list[int]] = [[] for _ in tables]
    curves = [np.empty(trials) for _ in tables]
    for trial in range(trials):
        requests: dict[int, Request] = {}
        for i, space in enumerate(spaces):
            grammar = model.dialect.grammar(space, [o.config for o in seen[i]])
            if grammar.count() == 0:  # a few choices, all tried
                curves[i][trial] = curves[i][trial - 1]
                continue
            prompt = model.dialect.render(Problem("table", "", space, "error", tuple(seen[i])))
            requests[i] = Request(prompt, grammar, (seed * 1000 + trial) * 1000 + i, temperature)
        skip = trial == 0 and default_first
        completions = dict(
            zip(requests, [] if skip else model.generate(list(requests.values())), strict=not skip)
        )
        for i, request in requests.items():
            table = tables[i]
            if skip:
                row = 0
                config = dict(spaces[i].get_default_configuration())
            else:
                config = model.dialect.parse(completions[i].text, request.grammar)
                row = row_of(table, config, used[i])
            used[i].append(row)
            loss = float(table.loss[row])
            seen[i].append(Observation(config, loss))
            curves[i][trial] = min(loss, curves[i][trial - 1] if trial else loss)
    return curves


def on_functions(
    model: LanguageModel, p: int, count: int, trials: int, temperature: float, seed: int
) -> Pair:
    """Best value so far of the model on fresh functions, and random search's expectation over 2,000 points."""
    functions = fresh_functions(p, count, 2**20 + seed)
    space = ConfigurationSpace({f"x{i:02d}": (0.0, 1.0) for i in range(p)})
    pool = np.random.default_rng(seed).uniform(size=(count, 2000, p)).astype(np.float32)
    values = functions(pool, np.ones(pool.shape, dtype=bool))
    seen: list[list[Observation]] = [[] for _ in range(count)]
    curves = np.full((count, trials), np.inf)
    for trial in range(trials):
        requests = [
            Request(
                model.dialect.render(Problem("function", "", space, "value", tuple(seen[i]))),
                model.dialect.grammar(space, [o.config for o in seen[i]]),
                (seed * 1000 + trial) * 1000 + i,
                temperature,
            )
            for i in range(count)
        ]
        completions = model.generate(requests)
        configs = [model.dialect.parse(c.text, r.grammar) for c, r in zip(completions, requests, strict=True)]
        points = np.array([[[c[n] for n in space] for c in configs]], dtype=np.float32).transpose(1, 0, 2)
        losses = functions(points, np.ones(points.shape, dtype=bool))[:, 0]
        for i in range(count):
            seen[i].append(Observation(configs[i], float(losses[i])))
            curves[i, trial] = min(losses[i], curves[i, trial - 1] if trial else np.inf)
    # regret against the best of the pool, as losses from 0 up
    low = np.array([v.min() for v in values])[:, None]
    base = np.array([expected_best(v, trials) for v in values])
    return list(curves - low + 1e-3), list(base - low + 1e-3)


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


def losses(folder: Path) -> dict[str, float]:
    """Nats per proposed position, in the alphabet and by the loss that the weights have learnt.

    A uniform guess has 6.91; losses with and without `spread` do not compare.

    On rows of tables of short trainings that were trained on and that were not: what the first figure is below the
    second was learnt by heart. And of full trainings, by what is held out of them.
    """
    run = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    model = Pocket(*(run[size] for size in ("width", "layers", "heads", "hidden")))
    model.load_release(folder)
    alphabet, loss_of = run.get("alphabet", 1), Loss(run.get("spread", False))
    training, _ = split_tables(added=run.get("added", False))
    watched = {name: tables for name, tables in split_tables()[1].items() if name in training}
    found = {
        name: development_loss(model, loss_of, tables, "cpu", alphabet)
        for name, tables in (("training", training), ("development", watched))
    }
    long, kept = long_tables.load()
    for name, some in {"training": long, **kept}.items():
        if some:
            found[f"long_{name}"] = development_loss(
                model, loss_of, some, "cpu", alphabet, batches=32, largest=LARGEST
            )
    return {name: round(loss, 3) for name, loss in found.items()}


def main() -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--temperature", type=float, nargs="+", default=[1.0])
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--tables", type=int, default=10, help="per algorithm, at most")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--functions-only", action="store_true")
    parser.add_argument("--losses", action="store_true", help="only what the training loss would be")
    args = parser.parse_args()
    if args.losses:
        print(json.dumps(losses(Path(args.model) if Path(args.model).exists() else SHIPPED)))
        return
    model = load_model(str(Path(args.model)) if Path(args.model).exists() else args.model)
    training, kept = split_tables()
    development = {name: tables for name, tables in kept.items() if name in training}
    at = [n for n in (1, 2, 3, 5, 10, 20, 30) if n <= args.trials]
    for temperature in args.temperature:
        for p in (2, 4):
            curves = on_functions(model, p, 4 * args.tables, args.trials, temperature, 0)
            words = {"temperature": temperature, "functions": f"{p} floats"}
            print(json.dumps({**words, **summary(*curves, at)}), flush=True)
        for default_first in () if args.functions_only else (False, True):
            setting = {"temperature": temperature, "default_first": default_first}
            every: Pair = ([], [])
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
                print(json.dumps({**setting, "tables": name, **summary(mine, base, at)}), flush=True)
            print(json.dumps({**setting, "tables": "ALL", **summary(*every, at)}), flush=True)


def _best_after(table: Table, trials: int) -> Curve:
    """Expected best of the default and n - 1 random rows, exactly."""
    first, rest = float(table.loss[0]), np.minimum(table.loss[1:], table.loss[0])
    return np.concatenate([[first], expected_best(rest, trials - 1)])


if __name__ == "__main__":
    main()
