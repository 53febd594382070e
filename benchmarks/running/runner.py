"""Runs a comparison: every method on every task of a suite with every seed, in several processes, resumably.

All studies are in one study file. Work is cut into groups (`plan.Group`), whose studies advance in lock step
(`lockstep.LockStepRunner`), each group in one process at a time. The same command again does what is missing, trial
by trial; more methods, seeds or trials may be asked for later. What is in the file at the end depends neither on the
number of processes, nor on the order of the work, nor on what interrupted it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from airtune.benchmarks import get_task
from airtune.benchmarks.analysis.comparison import Run
from airtune.benchmarks.running.lockstep import LockStepRunner, check_comparable
from airtune.benchmarks.running.plan import (
    DEFAULT_MODEL,
    Group,
    Plan,
    check_plan,
    proposer_of,
    study_name,
    study_seed,
)
from airtune.benchmarks.running.processes import spread
from airtune.benchmarks.running.suites import get_suite
from airtune.engine.evaluation.pool import Evaluation
from airtune.engine.manifest import study_manifest
from airtune.engine.proposers import load_proposer
from airtune.engine.state import StudyState
from airtune.engine.storage.opening import study_file
from airtune.engine.storage.study_file import COMPARISON_FILE, StudyFile
from airtune.engine.types import Proposer, Task
from airtune.grammars import AirtuneError
from airtune.models import LanguageModel

DOCUMENT = "comparison"  # the study file's document that says what was asked for


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a comparison is: trials that are done, and in all, by method."""

    done: Mapping[str, int]
    total: Mapping[str, int]


def run_suite(
    plan: Plan,
    out: Path,
    *,
    jobs: int = 2,
    on_progress: Callable[[Progress], None] | None = None,
    take_over: bool = False,
) -> list[Run]:
    """Run what is missing of the comparison, and return all of it.

    Args:
        plan: What to compare.
        out: The folder of its study file; made if need be.
        jobs: Processes, 1 for none but this one.
        on_progress: Called in this process: at once, and whenever results were stored.
        take_over: Also from a process that may be alive elsewhere, which can then write no more.

    Raises:
        AirtuneError: If the plan is not valid, or the file holds something else.
    """
    check_plan(plan, jobs)
    make_folder(out)
    path = out / COMPARISON_FILE
    with StudyFile(path) as file:
        file.update_document(DOCUMENT, lambda stored: _claimed(plan, stored, out))
        finished = {record.name: record.told + record.failed for record in file.studies()}
        done = dict.fromkeys(plan.methods, 0)
        missing: list[Group] = []
        for group in plan.groups():
            counts = [min(plan.budget, finished.get(name, 0)) for name in group.studies]
            done[group.method] += sum(counts)
            if min(counts) < plan.budget:
                missing.append(group)
        unfinished = {group.method for group in missing}
        for method in plan.methods:
            if method not in unfinished:
                _check_begun(plan, file, method)  # the others: where their groups are run
        each = plan.seeds * plan.budget * len(get_suite(plan.suite).tasks)
        total = dict.fromkeys(plan.methods, each)

        def say() -> None:
            if on_progress is not None:
                on_progress(Progress(dict(done), total))

        say()
        file.acquire(*(name for group in missing for name in group.studies), take_over=take_over)
        if jobs == 1 or len(missing) < 2:
            steps: Iterable[tuple[Group, int]] = (
                (group, settled) for group in missing for settled in run_group(plan, file, group)
            )
        else:
            steps = spread(run_group, plan, missing, path, file.leases, min(jobs, len(missing)))
        for group, settled in steps:
            done[group.method] += settled
            say()
        return _runs(file, plan)


def make_folder(folder: Path) -> None:
    """Make the folder of some results, if it is not there.

    Raises:
        AirtuneError: If it cannot be made, for example because a file is there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AirtuneError(
            f"the folder {str(folder)!r} cannot be made: {error.strerror}",
            value=str(folder),
            allowed="a folder that exists or can be made",
            hint="choose another --out",
        ) from error


def run_group(plan: Plan, file: StudyFile, group: Group) -> Iterator[int]:
    """Run what is missing of one group; yield, step by step, how many more of its trials are done.

    Args:
        plan: Of the comparison.
        file: Its study file, with leases of the group's studies.
        group: One of `plan.groups()`.

    Raises:
        StoreError: If the method was begun with something else, such as another model.
    """
    _check_begun(plan, file, group.method)
    for task in group.tasks:
        Evaluation().check_sandbox(_task(task))  # before the first trial of any
    manifests = {name: manifest for name, manifest in (_described(plan, group, task) for task in group.tasks)}
    studies = [
        StudyState(name, _task(task), manifests[name]["seed"])
        for name, task in zip(manifests, group.tasks, strict=True)
    ]
    proposer = _proposer(*_asked(plan, group.method))
    runner = LockStepRunner(file, proposer, studies, manifests, plan.noise)
    before = runner.settled(plan.budget)
    while runner.step(plan.budget):
        now = runner.settled(plan.budget)
        yield now - before
        before = now


def _described(plan: Plan, group: Group, task: str) -> tuple[str, dict[str, Any]]:
    """The name of the group's study of a task, and its manifest."""
    name, seed = study_name(task, group.method, group.seed), study_seed(task, group.method, group.seed)
    # With "batch", those that a model is asked for together: a replay asks for the same ones.
    what = {"suite": plan.suite, "method": group.method, "seed": group.seed, "batch": list(group.studies)}
    manifest = {**_manifest(task, *_asked(plan, group.method)), "seed": seed, "comparison": what}
    if plan.noise is not None:
        manifest["noise"] = plan.noise
    return name, manifest


def _asked(plan: Plan, method: str) -> tuple[str, str | None, float | None]:
    """What a method's proposer is made of."""
    return method, plan.model_of(method), plan.temperature


def _check_begun(plan: Plan, file: StudyFile, method: str) -> None:
    """Refuse a method whose first study is another one than now: finished studies are compared, too."""
    first = next(group for group in plan.groups() if group.method == method)
    stored = file.find(first.studies[0])
    if stored is not None:
        name, manifest = _described(plan, first, first.tasks[0])
        check_comparable(name, str(file.path), stored.manifest, manifest)


def load_plan(path: Path) -> Plan:
    """The plan of the comparison in a study file, or in the folder that has it.

    Its methods are those that have studies; seeds and budget are the largest that were ever asked for.

    Raises:
        AirtuneError: If there is none.
    """
    path = study_file(path)
    with StudyFile(path, readonly=True) as file:
        stored = file.document(DOCUMENT)
        manifests = [record.manifest for record in file.studies() if "comparison" in record.manifest]
    if stored is None:
        raise AirtuneError(
            f"study file {str(path)!r} holds no comparison",
            value=str(path),
            allowed="a folder, or its study file, written by `airtune bench`",
            hint="run `airtune bench SUITE --out DIR` first",
        )
    first = {m["comparison"]["method"]: m for m in reversed(manifests)}
    asking = [m for method, m in first.items() if m["model"] is not None and ":" not in method]
    return Plan(
        suite=stored["suite"],
        methods=tuple(method for method in stored["methods"] if method in first),
        seeds=stored["seeds"],
        budget=stored["budget"],
        model=str(asking[0]["model"].get("model")) if asking else DEFAULT_MODEL,
        temperature=stored["temperature"],
        noise=stored.get("noise"),
    )


def load_runs(path: Path) -> list[Run]:
    """The runs of a comparison, by method, task and seed, with what they have so far.

    Args:
        path: Its study file, or the folder that has it.
    """
    with StudyFile(study_file(path), readonly=True) as file:
        return _runs(file, None)


def _runs(file: StudyFile, plan: Plan | None) -> list[Run]:
    runs = []
    order = {} if plan is None else {name: i for i, name in enumerate(plan.methods)}
    for study in file.studies():
        what = study.manifest.get("comparison")
        if what is None or (plan is not None and (what["method"] not in order or what["seed"] >= plan.seeds)):
            continue
        last = math.inf if plan is None else plan.budget  # a larger budget may have been asked for before
        records = [
            one for one in file.records(study.name) if one.trial.status != "asked" and one.trial.number < last
        ]
        trials, origins = [one.trial for one in records], [one.origin for one in records]
        dialect = str((study.manifest.get("model") or {}).get("dialect", ""))
        runs.append(Run(what["method"], study.manifest["task"], what["seed"], trials, origins, dialect))
    return sorted(runs, key=lambda run: (order.get(run.method, 0), run.method, run.task, run.seed))


def _claimed(plan: Plan, stored: Mapping[str, Any] | None, out: Path) -> dict[str, Any]:
    """What the file's document says from now on: what was asked for so far, and this.

    Raises:
        AirtuneError: If the file is of another suite.
    """
    wanted = {key: value for key, value in asdict(plan).items() if key != "model"}
    if plan.noise is None:  # as it was written before there was any
        del wanted["noise"]
    if stored is None:
        return wanted
    for what, was, now in (
        ("suite", stored["suite"], plan.suite),
        ("noise", stored.get("noise", "none"), plan.noise or "none"),
    ):
        if was != now:
            raise AirtuneError(
                f"{str(out)!r} holds another comparison: of the {what} {was!r}",
                value=now,
                allowed=f"the {what} {was!r}, with any methods, seeds and budget",
                hint="choose another folder (--out)",
            )
    asking = any(plan.model_of(method) is not None for method in plan.methods)
    return {
        "suite": plan.suite,
        "methods": list(dict.fromkeys([*stored["methods"], *plan.methods])),
        "seeds": max(stored["seeds"], plan.seeds),
        "budget": max(stored["budget"], plan.budget),
        "temperature": plan.temperature if asking else stored["temperature"],
        **({} if plan.noise is None else {"noise": plan.noise}),
    }


@lru_cache(maxsize=1)
def _model(spec: str) -> LanguageModel:
    """The language model, loaded once per process."""
    from airtune.models.spec import parse_spec

    return parse_spec(spec).load()


@lru_cache(maxsize=8)
def _proposer(method: str, model: str | None, temperature: float | None) -> Proposer:
    name = proposer_of(method)
    return load_proposer(name, None if model is None else _model(model), temperature)


@lru_cache(maxsize=256)
def _task(name: str) -> Task:
    """The task, built once per process: its space's grammar is then built once too."""
    return get_task(name)


@lru_cache(maxsize=256)
def _manifest(task: str, method: str, model: str | None, temperature: float | None) -> dict[str, Any]:
    """The manifest of a task's studies but for their seeds: it hashes the model's files."""
    made = _task(task)
    sandbox = Evaluation().sandbox_entry(made)
    return study_manifest(made, _proposer(method, model, temperature), 0, sandbox=sandbox)
