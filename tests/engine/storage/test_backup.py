"""The main file alone is whole once nobody writes: what a copy of it holds, with nothing of the log beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from airtune.engine import Proposal, StudyFile, Trial
from airtune.engine.storage.study_file import TrialInsert


def write(file: StudyFile, trials: int) -> None:
    file.acquire("s")
    file.create("s", {})
    file.insert([TrialInsert("s", Trial(n, {"x": n}), f"{n}", Proposal({}, "random")) for n in range(trials)])


def trials_of_a_copy(path: Path, to: Path) -> int:
    """Trials in a copy of the main file alone, as a backup program takes it."""
    to.mkdir(exist_ok=True)
    with StudyFile(Path(shutil.copy(path, to)), readonly=True) as file:
        return len(file.trials("s"))


@pytest.mark.parametrize("trials", [1, 40, 2000])
def test_closed_while_somebody_reads(tmp_path: Path, trials: int) -> None:
    """Bug: the last to close is a reader, who may not bring the log into the file: the copy was empty."""
    path = tmp_path / "s.sqlite"
    writer = StudyFile(path)
    with StudyFile(path, readonly=True) as reader:
        write(writer, trials)
        assert len(reader.trials("s")) == trials
        writer.close()
        assert trials_of_a_copy(path, tmp_path / "copy") == trials


@pytest.mark.parametrize("trials", [1, 40, 500])
def test_opened_again_after_a_kill(tmp_path: Path, trials: int) -> None:
    """Bug: what a killed process left in the log stays there until the next thousand pages."""
    path = tmp_path / "s.sqlite"
    (tmp_path / "killed").mkdir()
    with StudyFile(path) as file:
        write(file, trials)
        killed = Path(shutil.copy(path, tmp_path / "killed"))
        shutil.copy(f"{path}-wal", f"{killed}-wal")
    with StudyFile(killed):
        assert trials_of_a_copy(killed, tmp_path / "copy") == trials


def test_nothing_is_left_beside_it(tmp_path: Path) -> None:
    for name in ("a", "b.airtune", "c d.sqlite"):
        with StudyFile(tmp_path / name) as file:
            write(file, 3)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a", "b.airtune", "c d.sqlite"]
