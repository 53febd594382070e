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
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from airtune.engine.replay.derive import Found, Group, Replayer
from airtune.engine.replay.report import Options, Report
from airtune.engine.storage.study_file import StudyFile, StudyRecord


def replay(
    path: str | Path,
    name: str | None = None,
    options: Options | None = None,
    *,
    jobs: int = 1,
    batch_of: Callable[[StudyRecord], Sequence[str]] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Replay one study of a file, or all of them. The file is only read.

    Args:
        path: The study file.
        name: The study; None for all.
        options: The level and the rest; None for level 1.
        jobs: Processes.
        batch_of: The names of the studies that a study's model was asked for together; by default what its
            manifest says.
        on_progress: Called with the number of studies that are done, and of all.

    Raises:
        StoreError: If the file cannot be read, or has no such study.
        AirtuneError: If an option is not usable.
    """
    options = options or Options()
    options.check()
    path = Path(path)
    with StudyFile(path, readonly=True) as file:
        records = file.studies(verify=False)
    names = [record.name for record in records]
    if name is not None and name not in names:
        with StudyFile(path, readonly=True) as file:
            file.get(name)  # raises, with the names that it has
    chosen = [name] if name is not None else names
    groups = _groups(records, chosen, options, batch_of or _batch)
    report, found = Report(path, options.level), {}
    done = 0
    for studies, agreement in _each(path, groups, options, min(jobs, len(groups))):
        report.agreement.add(agreement)
        found.update({one.name: one for one in studies})
        done += len(studies)
        if on_progress is not None:
            on_progress(done, len(chosen))
    report.studies = [found[one] for one in chosen]
    return report


def _batch(record: StudyRecord) -> Sequence[str]:
    comparison = record.manifest.get("comparison")
    batch = comparison.get("batch") if isinstance(comparison, Mapping) else None
    return (
        [str(name) for name in batch] if isinstance(batch, list) and record.name in batch else [record.name]
    )


def _groups(
    records: Sequence[StudyRecord],
    chosen: Sequence[str],
    options: Options,
    batch_of: Callable[[StudyRecord], Sequence[str]],
) -> list[Group]:
    """What to replay together: on levels that ask a model, the studies of a batch; else each alone."""
    groups: dict[tuple[str, ...], list[str]] = {}
    models: dict[tuple[str, ...], str] = {}
    for record in records:
        if record.name in chosen:
            asks = options.level > 0 and record.manifest.get("model") is not None
            batch = tuple(batch_of(record)) if asks else (record.name,)
            groups.setdefault(batch, []).append(record.name)
            models[batch] = repr(record.manifest.get("model"))
    # Studies of one model one after another, so that it is loaded once.
    return [(batch, tuple(groups[batch])) for batch in sorted(groups, key=lambda batch: models[batch])]


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
