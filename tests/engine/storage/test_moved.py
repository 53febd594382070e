"""A study file that is moved, replaced or removed while a study runs: noticed at the next trial, nothing lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import Asked, Evaluation, Event, Study, StudyFile, StudyFileMoved, Task, export_jsonl
from airtune.engine.cli.app import main
from airtune.engine.storage.moved import Place

SPACE = ConfigurationSpace({"x": (0.0, 1.0)})


def rename(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def replace(path: Path) -> None:
    path.with_name("other").write_bytes(b"other")
    path.with_name("other").replace(path)


def rename_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("renamed"))


def to_another_folder(path: Path) -> None:
    (path.parent.parent / "archive").mkdir()
    for one in path.parent.glob(f"{path.name}*"):
        one.rename(path.parent.parent / "archive" / one.name)


def relink(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("other"))
    path.with_name("other").write_bytes(b"other")


HOW: dict[str, Callable[[Path], None]] = {
    "renamed": rename,
    "removed": Path.unlink,
    "replaced": replace,
    "emptied": lambda path: os.truncate(path, 0),
    "its folder removed": lambda path: shutil.rmtree(path.parent),
    "its folder renamed": rename_folder,
    "moved with what is beside it": to_another_folder,
    "a link to another file in its place": relink,
}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "s.sqlite"


def study(path: Path, objective: Callable[[dict[str, Any]], Any] = lambda c: c["x"], **more: Any) -> Study:
    return Study(Task("t", SPACE, objective), "random", path=path, name="s", **more)


def exported(path: Path) -> str:
    with StudyFile(path, readonly=True) as file:
        return "".join(export_jsonl(file, times=False))


def after(count: int, act: Callable[[], object]) -> Callable[[dict[str, Any]], float]:
    """An objective that does something in its evaluation of that number."""
    left = iter(range(count, -1, -1))

    def objective(config: dict[str, Any]) -> float:
        if next(left, -1) == 1:
            act()
        return float(config["x"])

    return objective


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("count", [1, 3, 6])
def test_nothing_that_was_told_is_lost(tmp_path: Path, path: Path, how: str, count: int) -> None:
    """Bugs: the rest is written to a file that nobody finds; the last trial is not looked after; not all is copied."""
    with pytest.raises(StudyFileMoved, match="while it was written to") as caught:
        with study(path, after(count, lambda: HOW[how](path))) as running:
            running.run(6)
    saved = caught.value.saved
    assert saved is not None
    assert str(saved) in str(caught.value.hint)
    assert saved.parent == (path.parent if path.parent.exists() else tmp_path)
    assert [trial.status for trial in running.trials] == ["told"] * count
    with StudyFile(saved, readonly=True) as file:
        assert file.trials("s") == list(running.trials)
    with study(saved) as again, study(tmp_path / "whole") as whole:
        again.run(6)
        whole.run(6)
    assert exported(saved) == exported(tmp_path / "whole")
    left = [one.name for one in tmp_path.rglob("s.*") if one.parent.name not in ("archive", "renamed")]
    assert not [name for name in left if name.endswith(("-wal", "-shm"))]


@pytest.mark.parametrize("act", ["ask", "tell", "fail", "close"])
def test_at_the_next_step_whichever_it_is(path: Path, act: str) -> None:
    """Bugs: only `run` looks; what is told after that is not in the copy, or is told to nobody; `close` swallows it."""
    running = study(path)
    asked = running.ask()
    path.unlink()
    steps: dict[str, Callable[[], Any]] = {
        "ask": running.ask,
        "tell": lambda: running.tell(asked, 0.5),
        "fail": lambda: running.fail(asked, "because"),
        "close": running.close,
    }
    with pytest.raises(StudyFileMoved) as caught:
        steps[act]()
    saved = caught.value.saved
    if act == "ask":
        with pytest.raises(StudyFileMoved) as again:
            running.tell(asked, 0.5)
        assert again.value.saved == saved
    if act != "close":
        with pytest.raises(StudyFileMoved):
            running.close()
    running.close()
    assert saved == path.with_name("s.rescued.sqlite")
    with StudyFile(saved) as file:
        expected = {"ask": "told", "tell": "told", "fail": "failed", "close": "asked"}[act]
        assert file.trials("s")[0].status == running.trials[0].status == expected
        file.acquire("s")


def test_what_is_being_evaluated_is_waited_for(path: Path) -> None:
    """Bug: the first result that meets the moved file ends the run, and the others, perhaps hours of work, are lost."""

    def third(event: Event) -> None:
        if isinstance(event, Asked) and event.trial.number == 2:
            path.unlink()

    with pytest.raises(StudyFileMoved) as caught:
        with study(path, lambda config: config["x"], evaluation=Evaluation(jobs=3)) as running:
            running.run(9, third)
    assert caught.value.saved is not None
    with StudyFile(caught.value.saved, readonly=True) as file:
        assert [trial.status for trial in file.trials("s")] == ["told"] * 3


def test_a_new_study_at_the_old_place_keeps_what_is_beside_it(path: Path) -> None:
    """Bug: the old one, as it ends, removes the log of the new one, in which is all that was told there."""
    old = study(path)
    asked = old.ask()
    for one in list(path.parent.iterdir()):
        one.unlink()
    with study(path) as new:
        new.run(3)
        with pytest.raises(StudyFileMoved):
            old.tell(asked, 0.5)
        with pytest.raises(StudyFileMoved):
            old.close()
        assert path.with_name("s.sqlite-wal").exists()
        with StudyFile(path, readonly=True) as file:
            assert len(file.trials("s")) == 3
        new.run(5)
    assert len(exported(path).splitlines()) == 6


def test_no_copy_replaces_another(path: Path) -> None:
    for number, name in enumerate(["s.rescued.sqlite", "s.rescued-2.sqlite", "s.rescued-3.sqlite"], 1):
        with pytest.raises(StudyFileMoved) as caught:
            with study(path, after(number, path.unlink)) as running:
                running.run(number)
        assert caught.value.saved == path.with_name(name)
    for number, name in enumerate(["s.rescued.sqlite", "s.rescued-2.sqlite", "s.rescued-3.sqlite"], 1):
        assert len(exported(path.with_name(name)).splitlines()) == 1 + number


def test_a_comparison_s_processes_leave_it_to_the_one_that_holds_the_leases(path: Path) -> None:
    """Bug: each process of a comparison makes a copy of its own, none of them with all."""
    path = path.with_name("bench.airtune")
    owner = StudyFile(path)
    owner.acquire("s")
    process = StudyFile(path, leases=owner.leases)
    path.unlink()
    for act in (lambda: process.create("s", {}), process.close):
        with pytest.raises(StudyFileMoved) as theirs:
            act()
        assert theirs.value.saved is None
    with pytest.raises(StudyFileMoved, match=r"bench\.airtune") as caught:
        owner.close()
    saved = path.with_name("bench.rescued.airtune")
    assert caught.value.saved == saved
    assert "folder of its own" in str(caught.value.hint)
    with StudyFile(saved, readonly=True) as file:
        assert file.find("s") is not None


def test_where_no_copy_can_be_made_the_file_can_be_put_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bugs: what was told meanwhile is lost; the file is not looked for again; or the error is not told."""

    def nowhere(self: Place) -> Iterator[Path]:
        yield from ()

    monkeypatch.setattr(Place, "_targets", nowhere)
    with study(path) as running:
        asked = running.ask()
        rename(path)
        with pytest.raises(StudyFileMoved, match="put the file back") as caught:
            running.tell(asked, 0.5)
        assert caught.value.saved is None
        path.with_name("elsewhere").rename(path)
        running.run(3)
    assert running.trials[0].loss == 0.5
    assert len(exported(path).splitlines()) == 4


def test_a_disk_that_is_full_leaves_no_half_copy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: what could be copied stays, and looks like a study file; no other folder is tried."""
    full = path.parent
    to = Place._targets

    def targets(self: Place) -> Iterator[Path]:
        for target in to(self):
            if target.parent == full:
                target.unlink()
                target.symlink_to("/dev/full")
            yield target

    monkeypatch.setattr(Place, "_targets", targets)
    with pytest.raises(StudyFileMoved) as caught:
        with study(path, after(2, path.unlink)) as running:
            running.run(2)
    saved = caught.value.saved
    assert saved is not None
    assert saved.parent == full.parent
    assert len(exported(saved).splitlines()) == 3
    assert list(full.iterdir()) == []


def test_the_objective_goes_to_another_folder(tmp_path: Path, path: Path) -> None:
    """Bug: a path that is relative is looked for in the folder that the objective has gone to."""
    with study(Path("folder/s.sqlite"), after(2, lambda: os.chdir(path.parent))) as running:
        assert len(running.run(4).trials) == 4
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["folder", "s.sqlite"]


def test_the_command_prints_what_is_known(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (path.parent / "a.json").write_text('{"x": {"type": "float", "lower": 0, "upper": 1}}')
    moves = "if os.path.exists('stop'): os.unlink('s.sqlite')"
    code = f"import os\ndef f(c):\n  {moves}\n  open('stop', 'w')\n  return c['x']\n"
    (path.parent / "mover.py").write_text(code)
    monkeypatch.chdir(path.parent)
    command = "tune --space a.json --objective mover:f --proposer random --budget 5 --no-progress"
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--study", "s.sqlite"])
    said = capsys.readouterr()
    assert ended.value.code == 1
    assert "best" in said.out
    assert "moved or removed" in said.err
    assert "s.rescued.sqlite" in said.err
    assert len(exported(path.with_name("s.rescued.sqlite")).splitlines()) == 3
