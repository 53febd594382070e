"""`validity`, `repetition`: the same model with the grammar and without, by `airtune bench validity`'s searches."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from airtune.benchmarks.analysis.statistics import Estimate
from airtune.benchmarks.measures.validity import FREE, GRAMMAR, Search, measure_validity
from airtune.benchmarks.measures.verdicts import KINDS, USEFUL
from airtune.benchmarks.paper.compared import mean
from airtune.benchmarks.paper.protocol import Protocol
from airtune.benchmarks.paper.results import Line, Result, Table, of_claim
from airtune.benchmarks.paper.words import figure
from airtune.benchmarks.running.runner import make_folder
from airtune.benchmarks.running.suites import get_suite
from airtune.benchmarks.tasks.clusters import task_cluster
from airtune.models.spec import parse_spec

WITHOUT = "the same without the grammar, under the prompt that does best"
REPEATED = "repeated"
INVALID = tuple(kind for kind in KINDS if kind not in (*USEFUL, REPEATED))
SHARES = {"useful": USEFUL, "invalid": INVALID, "repeated": (REPEATED,)}  # of the claims


def measured(
    protocol: Protocol, folder: Path, on_step: Callable[[Sequence[Search]], None] | None = None
) -> tuple[dict[str, list[Search]], list[Mapping[str, Any]]]:
    """The searches of every model, played or resumed, by model; and the manifests of all models under all prompts."""
    (arm,) = protocol.part.arms
    found, manifests = {}, list[Mapping[str, Any]]()
    for model in protocol.models:
        spec = parse_spec(model)
        path = folder / arm.name / f"{re.sub(r'[^A-Za-z0-9.]+', '-', spec.label)}.jsonl"
        make_folder(path.parent)
        loaded = {prompt: spec.but(dialect=prompt).load() for prompt in arm.methods}
        manifests += [one.manifest() for one in loaded.values()]
        tasks = get_suite(arm.suite).tasks
        found[model] = measure_validity(
            loaded, tasks, budget=arm.budget, seeds=arm.seeds, path=path, on_step=on_step
        )
    return found, manifests


def evaluate(protocol: Protocol, searches: dict[str, list[Search]]) -> Result:
    """Shares of answers under the prompt that makes the most of free text, and of all answers under the grammar."""
    lines: list[Line] = []
    tables = []
    broken, best_of = 0, list[str]()
    for model, played in searches.items():
        prompts = list(dict.fromkeys(search.prompt for search in played))
        best = max(prompts, key=lambda prompt: _share(played, "useful", FREE, prompt).value)
        best_of.append(best)
        for key in SHARES:
            ours, control = _share(played, key, GRAMMAR), _share(played, key, FREE, best)
            claim, name, lead = protocol.part.claim(key), parse_spec(model).label, model == protocol.models[0]
            lines.append(
                of_claim(
                    claim,
                    ours,
                    arm=f"control: {best}",
                    method=name,
                    against=WITHOUT,
                    control=control,
                    lead=lead,
                )
            )
        broken += sum(a.kind not in USEFUL for s in played if s.mode == GRAMMAR for a in s.answers)
        tables.append(_table(model, played, prompts))
    useful, invalid, repeated = lines[:3]
    made = sum(len(s.answers) for played in searches.values() for s in played if s.mode == GRAMMAR)
    return Result(
        verdict="worse" if broken else "better",
        answer=f"With the grammar {made - broken} of {made} answers are valid and new. Without it, under the prompt "
        f"that does best ({best_of[0]}), {_control(useful)} are; {_control(invalid)} are invalid, "
        f"{_control(repeated)} were tried before.",
        lines=tuple(lines), tables=tuple(tables),
        notes=("The prompt that does best without the grammar was chosen by these figures, in favour of free text.",),
    )  # fmt: skip


def _control(line: Line) -> str:
    return "–" if line.control is None else figure(line.control)


def _share(searches: Sequence[Search], key: str, mode: str, prompt: str | None = None) -> Estimate:
    """The percentage of answers of some kinds, the mean over searches; all prompts if none is named."""
    chosen = [one for one in searches if one.mode == mode and prompt in (None, one.prompt) and one.answers]
    tasks = list(dict.fromkeys(one.task for one in chosen))
    if not tasks:
        return Estimate(math.nan, math.nan, math.nan)
    by_place: dict[tuple[str, int], list[float]] = {}
    for one in chosen:
        share = 100.0 * sum(answer.kind in SHARES[key] for answer in one.answers) / len(one.answers)
        by_place.setdefault((one.task, one.seed), []).append(share)
    seeds = 1 + max(one.seed for one in chosen)
    values = np.array([[np.mean(by_place[task, seed]) for seed in range(seeds)] for task in tasks])
    return mean(values, [task_cluster(task) for task in tasks], share=True)


def _table(model: str, searches: Sequence[Search], prompts: Sequence[str]) -> Table:
    columns = [(prompt, FREE) for prompt in prompts] + [(None, GRAMMAR)]
    rows = []
    for kind, words in KINDS.items():
        cells = []
        for prompt, mode in columns:
            answers = [
                a for s in searches if s.mode == mode and prompt in (None, s.prompt) for a in s.answers
            ]
            count = sum(answer.kind == kind for answer in answers)
            cells.append(f"{100 * count / max(1, len(answers)):.0f} % ({count})")
        rows.append((words, *cells))
    heads = ("answers", *(f"{prompt}, free text" for prompt in prompts), "grammar, all prompts")
    return Table(f"what the answers of {parse_spec(model).label} were", heads, tuple(rows))
