"""Runs a comparison: every method on every task of a suite with every seed, in several processes, resumably.

Work is cut into groups: one method on up to `TASKS_PER_GROUP` tasks with all seeds. The studies of a group
advance in lock step, so that a language model gets the requests of all of them in one batch. A group's
composition depends on the suite alone, neither on the number of processes nor on what was done before: the
same comparison gives the same results. A group's file appears, whole, when it is done; running the same
comparison again does what is missing. An interrupted group finds its evaluations in the cache.

No two studies share random numbers: the task, the method and the seed all enter a study's seed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from airtune.benchmarks import get_task
from airtune.benchmarks.evaluations import Evaluations
from airtune.benchmarks.suites import get_suite
from airtune.engine.proposers import PROPOSERS, Job, make_proposer, propose_all
from airtune.engine.seeds import derive_seed
from airtune.engine.types import Proposer, Task, Trial
from airtune.grammars import AirtuneError, Grammar, space_grammar, unknown_name
from airtune.models import LanguageModel

DEFAULT_METHODS = ("lm", "random", "default+random", "default+tpe", "default+gp")
TASKS_PER_GROUP = 6
# One core each: processes are the parallelism, and the number of threads changes the last bits of sums.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared.

    Attributes:
        suite: A key of `airtune.benchmarks.suites.SUITES`.
        methods: Proposer names.
        seeds: Studies per method and task.
        budget: Evaluations per study.
        model: The language model of the methods with "lm".
        temperature: Its sampling temperature; None for its dialect's own.
    """

    suite: str
    methods: tuple[str, ...] = DEFAULT_METHODS
    seeds: int = 10
    budget: int = 30
    model: str = "pocket"
    temperature: float | None = None

    def groups(self) -> list[tuple[str, int]]:
        """All groups: (method, index of its tasks), language models first because they take longest."""
        tasks = len(get_suite(self.suite).tasks)
        methods = sorted(self.methods, key=lambda method: not method.endswith("lm"))
        return [(method, i) for method in methods for i in range(-(-tasks // TASKS_PER_GROUP))]

    def tasks(self, index: int) -> tuple[str, ...]:
        """The tasks of the groups with that index."""
        return get_suite(self.suite).tasks[index * TASKS_PER_GROUP : (index + 1) * TASKS_PER_GROUP]


@dataclass(slots=True)
class Run:
    """One study of a comparison: a method on a task with a seed.

    Attributes:
        method: Proposer name.
        task: Task name.
        seed: 0, 1, 2, ...
        trials: Told and failed trials, in order; fewer than the budget where the space was exhausted.
        origins: Where each trial's configuration came from, for example "default" or "tpe+uniform".
    """

    method: str
    task: str
    seed: int
    trials: list[Trial] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Progress:
    """A group that was just finished: how many are done, of how many, which, and its seconds."""

    done: int
    total: int
    method: str
    tasks: tuple[str, ...]
    seconds: float


def run_suite(
    plan: Plan, out: Path, *, jobs: int = 2, on_progress: Callable[[Progress], None] | None = None
) -> list[Run]:
    """Run what is missing of the comparison, and return all of it.

    Args:
        plan: What to compare.
        out: The folder of its results; made if need be. Methods may be added to a comparison later.
        jobs: Processes, 1 for none but this one.
        on_progress: Called in this process after every group.

    Raises:
        AirtuneError: If the plan is not valid, or `out` holds another comparison.
    """
    check_plan(plan, jobs)
    _claim(plan, out)
    missing = [group for group in plan.groups() if not _group_path(out, *group).exists()]
    done = len(plan.groups()) - len(missing)
    for method, index, seconds in _run_groups(plan, out, missing, jobs):
        done += 1
        if on_progress is not None:
            on_progress(Progress(done, len(plan.groups()), method, plan.tasks(index), seconds))
    return load_runs(out, plan)


def check_plan(plan: Plan, jobs: int = 1) -> None:
    """Raise an AirtuneError for what is wrong with the plan."""
    get_suite(plan.suite)
    known = [*PROPOSERS, *(f"default+{name}" for name in PROPOSERS)]
    for method in plan.methods:
        if method not in known:
            message, allowed, hint = unknown_name("proposer", method, known)
            raise AirtuneError(message, value=method, allowed=allowed, hint=hint)
    if len(set(plan.methods)) < len(plan.methods) or not plan.methods:
        raise AirtuneError("a comparison needs one or more methods, all different", value=plan.methods)
    for name, value in (("seeds", plan.seeds), ("budget", plan.budget), ("jobs", jobs)):
        if value < 1:
            raise AirtuneError(f"{name} is {value}", value=value, allowed="1 or more")


def load_plan(out: Path) -> Plan:
    """The plan of the comparison in `out`, with every method that it has results of.

    Raises:
        AirtuneError: If there is none.
    """
    try:
        stored = json.loads((out / "plan.json").read_text(encoding="utf-8"))
        return Plan(**{**stored, "methods": tuple(stored["methods"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise AirtuneError(
            f"no comparison in {str(out)!r}: {error}",
            value=str(out),
            hint="run `airtune bench SUITE --out DIR` first",
        ) from error


def load_runs(out: Path, plan: Plan) -> list[Run]:
    """All finished runs of the plan's methods."""
    runs = []
    for group in plan.groups():
        path = _group_path(out, *group)
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                stored = json.loads(line)
                runs.append(Run(**{**stored, "trials": [Trial(**trial) for trial in stored["trials"]]}))
    return runs


def study_seed(task: str, method: str, seed: int) -> int:
    """The seed of one study of a comparison."""
    return derive_seed("bench", task, method, seed)


def _claim(plan: Plan, out: Path) -> None:
    """Write the plan, or check that `out` holds the same comparison but for its methods."""
    out.mkdir(parents=True, exist_ok=True)
    methods = plan.methods
    if (out / "plan.json").exists():
        stored = load_plan(out)
        if not any(method.endswith("lm") for method in stored.methods):  # no model has had a part in it yet
            stored = replace(stored, model=plan.model, temperature=plan.temperature)
        if replace(stored, methods=plan.methods) != plan:
            raise AirtuneError(
                f"{str(out)!r} holds another comparison",
                value=asdict(plan),
                allowed=str(asdict(stored)),
                hint="choose another folder, or the same suite, seeds, budget, model and temperature",
            )
        methods = (*stored.methods, *(method for method in methods if method not in stored.methods))
    _write(out / "plan.json", json.dumps(asdict(replace(plan, methods=methods)), indent=1) + "\n")
    (out / "runs").mkdir(exist_ok=True)


def _group_path(out: Path, method: str, index: int) -> Path:
    return out / "runs" / f"{method}-{index}.jsonl"


def _write(path: Path, text: str) -> None:
    """Write a file that is either whole or not there."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _run_groups(
    plan: Plan, out: Path, groups: Sequence[tuple[str, int]], jobs: int
) -> Iterator[tuple[str, int, float]]:
    """Run the groups in processes; yield each as (method, index, seconds) when it is done."""
    if jobs == 1 or len(groups) < 2:
        for method, index in groups:
            yield method, index, run_group(plan, out, method, index)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of loaded libraries
    with _one_thread_each(), ProcessPoolExecutor(min(jobs, len(groups)), mp_context=context) as pool:
        futures = {pool.submit(run_group, plan, out, *group): group for group in groups}
        try:
            for future in as_completed(futures):
                yield *futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """What the processes started meanwhile inherit: libraries with one thread."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@lru_cache(maxsize=1)
def _model(name: str) -> LanguageModel:
    """The language model, loaded once per process."""
    from airtune.models import load_model

    return load_model(name)


def run_group(plan: Plan, out: Path, method: str, index: int) -> float:
    """Run one group, write its file, and return the seconds it took."""
    started = time.perf_counter()
    model = _model(plan.model) if method.endswith("lm") else None
    proposer = make_proposer(method, model=model, temperature=plan.temperature)
    if model is not None:
        _check_model(out / "model.json", model.manifest())
    evaluations = Evaluations(out / "evaluations.sqlite")
    tasks = [get_task(name) for name in plan.tasks(index)]
    grammars = {task.name: space_grammar(task.space) for task in tasks}
    studies = [(task, Run(method, task.name, seed)) for task in tasks for seed in range(plan.seeds)]
    try:
        open_studies = studies
        for number in range(plan.budget):
            open_studies = _step(proposer, open_studies, number, evaluations, grammars)
    finally:
        evaluations.close()
    lines = [json.dumps(_run_json(run), sort_keys=True) for _, run in studies]
    _write(_group_path(out, method, index), "\n".join(lines) + "\n")
    return time.perf_counter() - started


def _step(
    proposer: Proposer,
    studies: Sequence[tuple[Task, Run]],
    number: int,
    evaluations: Evaluations,
    grammars: dict[str, Grammar],
) -> list[tuple[Task, Run]]:
    """Advance all studies by trial `number`; those whose space is not exhausted."""
    seeds = [derive_seed(study_seed(run.task, run.method, run.seed), number) for _, run in studies]
    jobs = [Job(task, tuple(run.trials), (), seed) for (task, run), seed in zip(studies, seeds, strict=True)]
    started = time.perf_counter()
    propose_all(proposer, jobs)
    proposal_s = (time.perf_counter() - started) / max(1, len(jobs))
    remaining = []
    for (task, run), job in zip(studies, jobs, strict=True):
        if job.proposal is None:
            continue
        text = grammars[task.name].encode(job.proposal.config)
        trial = Trial(number, dict(job.proposal.config), proposal_s=proposal_s)
        run.trials.append(evaluations.tell(task, text, trial))
        run.origins.append(job.proposal.origin)
        remaining.append((task, run))
    return remaining


def _check_model(path: Path, manifest: dict[str, Any]) -> None:
    """Write the model's manifest, or check that it is the one the comparison began with."""
    text = json.dumps(manifest, indent=1, sort_keys=True, default=str) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise AirtuneError(
            f"the language model is not the one that {str(path.parent)!r} was begun with",
            value=manifest.get("name"),
            hint="choose another folder for the comparison",
        )
    _write(path, text)


def _run_json(run: Run) -> dict[str, Any]:
    return {**asdict(run), "trials": [asdict(trial) for trial in run.trials]}
