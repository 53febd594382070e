"""A comparison whose study file is removed meanwhile: one copy with all that was told, from which it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from airtune.benchmarks.running.plan import Plan
from airtune.benchmarks.running.runner import Progress, run_suite
from airtune.engine import StoreError, StudyFile, StudyFileMoved, export_jsonl
from airtune.engine.storage.holder import Holder
from airtune.engine.storage.study_file import COMPARISON_FILE

PLAN = Plan("toy", methods=("random", "default+random"), seeds=1, budget=3)


def exported(out: Path) -> str:
    with StudyFile(out / COMPARISON_FILE, readonly=True) as file:
        return "".join(export_jsonl(file, times=False))


@pytest.mark.parametrize("jobs", [1, 2])
def test_it_goes_on_from_the_copy(tmp_path: Path, jobs: int) -> None:
    """Bugs: each process makes a copy of its own, with a part of it; what the others have told is lost."""
    out, again, whole = (tmp_path / name for name in ("out", "again", "whole"))
    done = 0

    def remove(progress: Progress) -> None:
        nonlocal done
        done = sum(progress.done.values())
        if done >= 4:
            (out / COMPARISON_FILE).unlink(missing_ok=True)

    with pytest.raises(StudyFileMoved, match="folder of its own") as caught:
        run_suite(PLAN, out, jobs=jobs, on_progress=remove)
    saved = caught.value.saved
    assert saved is not None
    assert [one.name for one in out.iterdir()] == [saved.name]
    again.mkdir()
    saved.rename(again / COMPARISON_FILE)
    with StudyFile(again / COMPARISON_FILE, readonly=True) as file:
        assert sum(one.told for one in file.studies()) >= done >= 4
    run_suite(PLAN, again, jobs=1)
    run_suite(PLAN, whole, jobs=1)
    assert exported(again) == exported(whole)


def test_one_option_takes_a_comparison_over(tmp_path: Path) -> None:
    """Bug: no option did; each of its studies had to be released from Python."""
    run_suite(PLAN, tmp_path, jobs=1)
    with StudyFile(tmp_path / COMPARISON_FILE) as file:
        names = [one.name for one in file.studies()]
        with file._database.transaction() as db:
            rows = [(name, *Holder("node-7", 1, "m/b/pid:[7]", "17").row, "token") for name in names]
            db.executemany("INSERT INTO leases VALUES (?, ?, ?, ?, ?)", rows)
    more = Plan(PLAN.suite, methods=PLAN.methods, seeds=1, budget=4)
    with pytest.raises(StoreError, match="take_over=True"):
        run_suite(more, tmp_path, jobs=1)
    runs = run_suite(more, tmp_path, jobs=1, take_over=True)
    assert {len(run.trials) for run in runs} == {4}
