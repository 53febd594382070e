"""Replays studies: derives every proposal again from the stored history and seed, and compares.

Levels, from what any machine can check to what depends on it most:

0. From the recorded answers, without a model: prompt, grammar, seeds and configuration, to the bit.
1. With the model, on the same machine with the same settings, in the same batches: the tokens and their
   log-probabilities too, to the bit.
2. The same with all requests in batches of other sizes: holds for models that are run batch-invariant.
3. On another machine: configurations equal, log-probabilities within a tolerance.

Proposers are stateless, so that every trial is checked on its own, against the history that the file has.
"""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Self

from airtune.engine.proposers import load_proposer, needs_model
from airtune.engine.proposers.first import checked_first, with_first
from airtune.engine.replay.causes import cause_of, differences
from airtune.engine.replay.compare import Agreement, Divergence, compare
from airtune.engine.replay.report import Options, Report, StudyReplay
from airtune.engine.replay.stored import (
    NotRecordedError,
    RecordedModel,
    RecordedModels,
    StoredStudy,
    read_study,
    stored_batch,
)
from airtune.engine.storage.study_file import StudyFile, StudyRecord
from airtune.engine.types import Job, Proposer, StoreError, Task
from airtune.grammars import AirtuneError
from airtune.models import LanguageModel

SIZES = (1, 3, 32)  # of the batches of level 2
Group = tuple[tuple[str, ...], tuple[str, ...]]  # studies whose proposals were made together; those to check
Found = tuple[list[StudyReplay], Agreement]
Step = list[tuple[StoredStudy, int, Job]]  # studies and trials that are derived in one batch


def replay(
    path: str | Path,
    name: str | None = None,
    options: Options | None = None,
    *,
    jobs: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Replay one study of a file, or all of them. The file is only read.

    Args:
        path: The study file.
        name: The study; None for all.
        options: The level and the rest; None for level 1.
        jobs: Processes.
        on_progress: Called with the number of studies that are done, and of all.

    Raises:
        StoreError: If the file cannot be read, or has no such study.
        AirtuneError: If an option is not usable.
    """
    path, options = Path(path), options or Options()
    options.check()
    with StudyFile(path, readonly=True) as file:
        records = file.studies(verify=False)
        if name is not None and name not in [record.name for record in records]:
            file.get(name)  # raises, with the names that it has
    chosen = [record for record in records if name in (None, record.name)]
    groups = _groups(chosen, options)
    report = Report(path, options.level)
    found: dict[str, StudyReplay] = {}
    for studies, agreement in _each(path, groups, options, min(jobs, len(groups))):
        report.agreement.add(agreement)
        found.update({one.name: one for one in studies})
        if on_progress is not None:
            on_progress(len(found), len(chosen))
    report.studies = [found[one.name] for one in chosen]
    return report


def _groups(chosen: Sequence[StudyRecord], options: Options) -> list[Group]:
    """What to replay together: on levels that ask a model, the studies of a batch; else each alone."""
    groups: dict[tuple[str, ...], list[StudyRecord]] = {}
    for record in chosen:
        asks = options.level > 0 and record.manifest.get("model") is not None
        groups.setdefault(tuple(stored_batch(record)) if asks else (record.name,), []).append(record)
    # Studies of one model one after another, so that it is loaded once.
    ordered = sorted(groups.items(), key=lambda group: repr(group[1][-1].manifest.get("model")))
    return [(batch, tuple(one.name for one in ones)) for batch, ones in ordered]


_replayer: Replayer | None = None  # of a process of its own


def _each(path: Path, groups: Sequence[Group], options: Options, jobs: int) -> Iterable[Found]:
    if jobs <= 1:
        with Replayer(path, options) as one:
            yield from (one.replay(group) for group in groups)
        return
    spawn = multiprocessing.get_context("spawn")  # not a fork, which would copy the locks of loaded libraries
    with ProcessPoolExecutor(jobs, spawn, _start, (path, options)) as pool:
        yield from pool.map(_serve, groups)


def _start(path: Path, options: Options) -> None:
    global _replayer
    _replayer = Replayer(path, options)


def _serve(group: Group) -> Found:
    assert _replayer is not None
    return _replayer.replay(group)


class Replayer:
    """Replays the studies of a file, group by group, with one loaded model; a context manager.

    Args:
        path: The study file.
        options: How.
    """

    def __init__(self, path: Path, options: Options) -> None:
        self._options = options
        self._models = RecordedModels(
            options.level == 0, options.model, options.backend, dict(options.settings)
        )
        self._tasks: dict[str, Task] = {}
        self._file = StudyFile(path, readonly=True)
        self._records = {record.name: record for record in self._file.studies(verify=False)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def replay(self, group: Group) -> Found:
        """Replay the studies whose proposals were made together, as far as the file has them.

        Raises:
            StoreError: If the file cannot be read.
        """
        batch, chosen = group
        found = {name: StudyReplay(name) for name in chosen}
        agreement = Agreement()
        studies = [one for name in batch if (one := self._read(name, found.get(name))) is not None]
        try:
            proposer, model = _proposer(studies, self._models)
        except AirtuneError as error:
            for result in found.values():
                result.refused = result.refused or error.message
            return list(found.values()), agreement
        known = None if model is None or isinstance(model, RecordedModel) else model.manifest()
        for study in studies:
            if study.name in found:
                found[study.name].differences = differences(study.manifest, known)
                found[study.name].skipped = {
                    number: f"trial {missing}, which it was proposed from, is lost"
                    for number in study.records
                    if (missing := study.missing(number)) is not None and self._options.wants(number)
                }
        for step in _steps(studies, self._options):
            failed = _derive(step, proposer, model)
            for i, (study, number, job) in enumerate(step):
                if study.name in found:
                    self._check(study, number, job, failed.get(i), found[study.name], agreement)
        return list(found.values()), agreement

    def _read(self, name: str, found: StudyReplay | None) -> StoredStudy | None:
        """The study; None if the file does not have it, or it cannot be read, which is noted."""
        if name not in self._records:
            return None
        found = found or StudyReplay(name)
        found.altered = self._file.altered(name)
        try:
            return read_study(self._file, self._records[name], self._tasks)
        except StoreError as error:
            found.refused = error.message
            return None

    def _check(
        self,
        study: StoredStudy,
        number: int,
        job: Job,
        error: AirtuneError | None,
        found: StudyReplay,
        agreement: Agreement,
    ) -> None:
        """Compare one derived proposal with the stored one."""
        why = ""
        asked = study.model is not None and study.records[number].origin[:2] == "lm"
        if asked and number not in study.transcripts:
            why = "its transcript is lost"
        elif isinstance(error, BatchError):
            why = "the batch that it was proposed in cannot be asked again: another study's trial fails"
        if why:
            found.skipped[number] = why
            return
        found.checked += 1
        what: Divergence | None
        if isinstance(error, NotRecordedError):
            what = Divergence(number, "seed", f"{error.allowed}", f"{error.value}")
        elif error is not None:
            what = Divergence(number, "answer", study.records[number].text, error.message)
        else:
            what = compare(study, number, job.proposal, self._options.allowed_difference, agreement)
        if what is not None:
            found.diverging.add(number)
            if found.first is None or number < found.first.trial:
                cause = cause_of(
                    number, study.name, study.manifest, found.altered, found.differences, self._options.level
                )
                found.first = replace(what, cause=cause)


def _proposer(
    studies: Sequence[StoredStudy], models: RecordedModels
) -> tuple[Proposer | None, LanguageModel | None]:
    """The proposer that all of them asked, with its model."""
    if not studies:
        return None, None
    manifest, name = studies[0].manifest, str(studies[0].manifest["proposer"])
    first = checked_first(studies[0].state.task.space, manifest.get("first", ()))
    if not needs_model(name):
        return with_first(load_proposer(name), first), None
    if not isinstance(manifest.get("model"), Mapping):
        raise StoreError(
            f"study {studies[0].name!r} does not say which language model {name!r} asked",
            value=name,
            allowed="a study whose manifest has the model",
        )
    model = models.of(manifest["model"])
    return with_first(load_proposer(name, model, manifest.get("temperature")), first), model


def _steps(studies: Sequence[StoredStudy], options: Options) -> Iterator[Step]:
    """What to derive in one batch: trial i of all studies; on level 2 trials in batches of other sizes."""
    numbers = sorted({number for one in studies for number in one.records if options.wants(number)})
    steps = [
        [(one, number) for one in studies if number in one.records and one.missing(number) is None]
        for number in numbers
    ]
    if options.level == 2:
        trials = [trial for step in steps for trial in step]
        steps = []
        for size in SIZES:
            random.Random(size).shuffle(trials)
            steps += [trials[start : start + size] for start in range(0, len(trials), size)]
    for step in steps:
        yield [(one, number, one.job(number)) for one, number in step]


class BatchError(AirtuneError):
    """A proposal could not be derived in the batch that it was part of."""


def _derive(step: Step, proposer: Proposer | None, model: LanguageModel | None) -> dict[int, AirtuneError]:
    """Propose a step again; what failed, by its place in the step."""
    assert proposer is not None
    recorded = model if isinstance(model, RecordedModel) else None
    if recorded is None and _failure(proposer, [job for _, _, job in step]) is None:
        return {}
    # Which of them it is shows when each is on its own; for the others, the batch is not what it was.
    failed: dict[int, AirtuneError] = {}
    for i, (study, number, job) in enumerate(step):
        if recorded is not None:
            recorded.recall(study.transcripts.get(number, {}))
        job.proposal, job.rejected = None, []
        error = _failure(proposer, [job])
        if error is not None:
            failed[i] = error
        elif recorded is None:
            failed[i] = BatchError("the batch cannot be asked again")
    return failed


def _failure(proposer: Proposer, jobs: list[Job]) -> AirtuneError | None:
    try:
        proposer.propose(jobs)
    except AirtuneError as error:
        return error
    return None
