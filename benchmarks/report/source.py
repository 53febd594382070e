"""What a report is made of: the runs of a comparison as far as they can be compared, or a study file's studies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from airtune.benchmarks.analysis.comparison import RANDOM, Run
from airtune.engine import StudyFile
from airtune.engine.storage.opening import study_file
from airtune.grammars import AirtuneError

if TYPE_CHECKING:
    from airtune.benchmarks.running.plan import Plan


@dataclass(frozen=True, slots=True)
class Source:
    """A study file to report on.

    Attributes:
        path: The file.
        plan: Of the comparison that it holds, of what is complete; None if it holds none.
        runs: Of that plan.
        tasks: Those of its suite that they are on.
        notes: What is not complete and therefore left out, a sentence each.
    """

    path: Path
    plan: Plan | None = None
    runs: tuple[Run, ...] = ()
    tasks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def load_source(path: Path) -> Source:
    """Look at a study file, or at the folder of a comparison.

    Raises:
        AirtuneError: If there is no such file, it is no study file, or nothing in it can be compared yet.
    """
    from airtune.benchmarks.running.runner import load_plan, load_runs

    file = study_file(path)
    if path.is_dir() and not file.exists():
        raise AirtuneError(
            f"folder {str(path)!r} has no {file.name}",
            value=str(path),
            allowed="a study file, or a folder written by `airtune bench SUITE --out DIR`",
            hint="name the study file itself",
        )
    with StudyFile(file, readonly=True) as opened:
        studies = opened.studies()
    if not studies:
        raise AirtuneError(
            f"study file {str(file)!r} holds no study yet",
            value=str(file),
            allowed="a file with at least one study",
            hint="run `airtune tune ... --study FILE` or `airtune bench SUITE --out DIR` first",
        )
    if not any("comparison" in study.manifest for study in studies):
        return Source(file)
    return whole_part(file, load_plan(file), load_runs(file))


def whole_part(path: Path, plan: Plan, runs: Sequence[Run]) -> Source:
    """The largest part of a comparison that is complete.

    A study is complete when it has as many trials as the plan's budget, or as the longest study on its task
    where that is shorter (its space is exhausted). Methods of which a study is missing or incomplete are left
    out; where that leaves no two, the budget is lowered to what every study has.

    Tasks that no study is on are left out: they have not been begun, or the suite has grown since.

    Args:
        path: The study file.
        plan: What was asked for.
        runs: What there is.

    Raises:
        AirtuneError: If there are not two evaluations that all methods have.
    """
    from airtune.benchmarks.running.suites import get_suite

    suite, begun = get_suite(plan.suite).tasks, {run.task for run in runs}
    tasks = tuple(task for task in suite if task in begun)
    size = {(run.method, run.task, run.seed): len(run.trials) for run in runs}
    budget = min(plan.budget, max(size.values(), default=0))
    longest = {task: max((n for (_, t, _), n in size.items() if t == task), default=0) for task in tasks}
    keys = {m: [(m, t, s) for t in tasks for s in range(plan.seeds)] for m in plan.methods}
    done = {
        m: sum(size.get(key, 0) >= min(budget, max(1, longest[key[1]])) for key in of)
        for m, of in keys.items()
    }
    total = len(tasks) * plan.seeds
    kept = [m for m in plan.methods if done[m] == total]
    left_out = [
        f"{m} is left out: {done[m]} of its {total} studies are complete"
        for m in plan.methods
        if m not in kept
    ]
    if len(kept) < 2 or RANDOM not in kept:
        kept, left_out = list(plan.methods), []
        budget = min(size.get(key, 0) for of in keys.values() for key in of)
    if budget < 2:
        missing = min((size.get(key, 0), key) for of in keys.values() for key in of)[1]
        raise AirtuneError(
            f"nothing can be compared yet: {missing[0]} has fewer than 2 trials on {missing[1]}, "
            f"seed {missing[2]}",
            value=missing,
            allowed="a comparison in which every study has at least 2 trials",
            hint="run the same `airtune bench` again: it goes on; airtune report --study-name NAME shows one study",
        )
    notes = [*left_out]
    if len(tasks) < len(suite):
        notes.append(f"{len(suite) - len(tasks)} of the {len(suite)} tasks of the suite have no study here")
    if budget < plan.budget:
        notes.append(
            f"the comparison is not finished: shown are the first {budget} of {plan.budget} evaluations"
        )
    chosen = set(kept)
    return Source(
        path,
        replace(plan, methods=tuple(kept), budget=budget),
        tuple(run for run in runs if run.method in chosen and run.seed < plan.seeds),
        tasks,
        tuple(notes),
    )
