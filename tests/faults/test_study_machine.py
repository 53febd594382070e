"""A study file is driven through all that can befall it; after each step what was told is there, as it was told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from airtune.engine import StoreError, Study, StudyFile, StudyFileMoved, Task, Trial, export_jsonl
from airtune.engine.storage.holder import Holder
from airtune.engine.storage.recover.recover import recover

SPACE = ConfigurationSpace({"x": (-1.0, 1.0), "n": (1, 10**12), "c": ["a", "b"]})
TASK = Task("t", SPACE, lambda config: config["x"])
NAMES = ("one", "two")
names = st.sampled_from(NAMES)
losses = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=20)
infos = st.dictionaries(
    texts.filter(lambda key: key != "loss"), st.none() | st.booleans() | losses | texts, max_size=2
)
Told = dict[str, dict[int, tuple[Any, ...]]]  # by study and number


def said(trial: Trial) -> tuple[Any, ...]:
    """A trial without its times; losses by their bits."""
    loss = None if trial.loss is None else trial.loss.hex()
    return trial.status, loss, trial.reason, json.dumps([dict(trial.config), dict(trial.info)])


class StudyFileMachine(RuleBasedStateMachine):
    """A study file with two studies. `told` is what it must hold, `steps` how many there were in all examples."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        # In memory where there is such a place: nobody cuts the power here, and syncs are most of the time.
        self.folder = Path(tempfile.mkdtemp(dir=next(filter(os.path.isdir, ["/dev/shm"]), None)))
        self.path = self.folder / "study.sqlite"
        self.told: Told = {}
        self.open: dict[str, Study] = {}
        self.count = 0

    def teardown(self) -> None:
        for study in self.open.values():
            study.close()
        shutil.rmtree(self.folder)

    # What a user does

    @rule(name=names, new=st.integers(1, 3), loss=losses, info=infos, reason=texts)
    def work(self, name: str, new: int, loss: float, info: dict[str, Any], reason: str) -> None:
        """Open the study if need be; ask, and tell, fail or leave."""
        study = self.opened(name)
        for what in range(new):
            trial = study.ask()
            self.note(name, trial)
            if what == 0:
                self.note(name, study.tell(trial, {"loss": loss, **info}))
            elif what == 1:
                self.note(name, study.fail(trial.number, reason))

    @rule(name=names)
    def close(self, name: str) -> None:
        if name in self.open:
            self.open.pop(name).close()

    @precondition(lambda self: self.told)
    @rule()
    def copy_at_rest(self) -> None:
        """As a backup program does: the one file."""
        self.close_all()
        assert self.beside() == []
        self.holds(Path(shutil.copy(self.path, self.new())))

    @precondition(lambda self: self.told)
    @rule()
    def back_up(self) -> None:
        target = self.new()
        with StudyFile(self.path, readonly=True) as file:
            file.backup(target)
        self.holds(target)
        with StudyFile(target) as file:
            file.acquire(*self.told)  # nobody holds it

    @precondition(lambda self: self.told)
    @rule()
    def export(self) -> None:
        with StudyFile(self.path, readonly=True) as file:
            lines = [json.loads(line) for line in "".join(export_jsonl(file, times=False)).splitlines()]
        trials = [line for line in lines if line["kind"] == "trial"]
        expected = [one for name in sorted(self.told) for _, one in sorted(self.told[name].items())]
        assert [line["name"] for line in lines if line["kind"] == "study"] == sorted(self.told)
        for line, (status, loss, reason, rest) in zip(trials, expected, strict=True):
            assert (line["status"], line["reason"]) == (status, reason)
            assert (None if line["loss"] is None else float(line["loss"]).hex()) == loss
            assert [line["config"], line["info"]] == json.loads(rest)

    @precondition(lambda self: self.told)
    @rule()
    def salvage(self) -> None:
        """Of a file that is not damaged, all; also while it is written to."""
        target = self.new()
        found = recover(self.path, target)
        assert all(one.whole for one in found.studies)
        self.holds(target)

    # What befalls it

    @rule(name=names, told=st.integers(0, 3), loss=losses)
    def kill(self, name: str, told: int, loss: float) -> None:
        """Another process goes on with the study, and is killed between two steps, as nobody can prepare for."""
        self.close(name)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                study = Study(TASK, "random", path=self.path, name=name)
                os.write(writing, b"\n")
                for _ in range(told):
                    study.tell(study.ask(), loss)
                    os.write(writing, b"t")
                study.ask()
                os.write(writing, b"a")
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            assert pipe.read() == b"\n" + b"t" * told + b"a"
        os.waitpid(child, 0)
        before = self.told.get(name, {})
        study = self.opened(name)  # the lease of a dead process: nobody is asked
        after = {trial.number: trial for trial in study.trials}
        assert sum(one.status != "asked" for one in after.values()) == told + sum(
            one[0] != "asked" for one in before.values()
        )
        for number, trial in after.items():
            if number in before and before[number][0] != "asked":
                assert said(trial) == before[number]
            else:
                assert trial.loss in (None, loss + 0.0)
            self.note(name, trial)

    @precondition(lambda self: self.told)
    @rule(checkpointed=st.booleans())
    def power_cut(self, checkpointed: bool) -> None:
        """The disk keeps the file and its log, or the file alone if it was at rest; the processes are gone."""
        after = self.folder / f"{self.count}-{self.path.name}"
        if checkpointed:
            self.close_all()
        shutil.copy(self.path, after)
        if (log := self.path.with_name(f"{self.path.name}-wal")).exists():
            shutil.copy(log, f"{after}-wal")
        self.close_all()
        self.path = after
        self.holds(after)
        for name in self.told:  # what it held is not held any more
            self.opened(name)

    @rule(name=names)
    def second_writer(self, name: str) -> None:
        """Refused; taken over, the first one can write no more."""
        first = self.opened(name)
        with pytest.raises(StoreError, match="is being written by this process"):
            Study(TASK, "random", path=self.path, name=name)
        second = Study(TASK, "random", path=self.path, name=name, take_over=True)
        self.open[name] = second
        with pytest.raises(StoreError, match="does not hold"):
            first.tell(first.ask(), 0.0)
        first.close()
        trial = second.ask()
        self.note(name, trial)
        self.note(name, second.tell(trial, 1.0))

    @rule(name=names, gone=st.booleans())
    def another_container(self, name: str, gone: bool) -> None:
        """Its process may be alive, and is not looked for here; one of this place that has ended is not asked after."""
        self.opened(name)
        self.close(name)
        me = Holder.me()
        other = Holder("elsewhere", 1 << 22, me.place if gone else "m/b/pid:[7]", "17")
        with StudyFile(self.path) as file, file._database.transaction() as db:
            db.execute("INSERT INTO leases VALUES (?, ?, ?, ?, 'token')", (name, *other.row))
        if not gone:
            with pytest.raises(StoreError, match="take_over=True"):
                Study(TASK, "random", path=self.path, name=name)
        self.open[name] = Study(TASK, "random", path=self.path, name=name, take_over=not gone)

    @precondition(lambda self: self.open)
    @rule(removed=st.booleans(), loss=losses, data=st.data())
    def move(self, removed: bool, loss: float, data: st.DataObject) -> None:
        """Each study that is open tells its result and ends; what it told is in a copy, with which it goes on."""
        name = data.draw(st.sampled_from(sorted(self.open)))
        for other in set(self.open) - {name}:
            self.close(other)
        study = self.open.pop(name)
        trial = study.ask()
        self.note(name, trial)
        if removed:
            self.path.unlink()
        else:
            self.path.rename(self.new())
        with pytest.raises(StudyFileMoved) as caught:
            study.tell(trial, loss)
        (now,) = [one for one in study.trials if one.number == trial.number]
        self.note(name, now)
        with pytest.raises(StudyFileMoved):
            study.close()
        assert caught.value.saved is not None
        self.path = caught.value.saved

    # What must hold

    @invariant()
    def all_is_there(self) -> None:
        """What was told is in the file, and nothing else; it is what the open studies say."""
        type(self).steps += 1
        if self.told:
            self.holds(self.path)
        for name, study in self.open.items():
            assert {trial.number: said(trial) for trial in study.trials} == self.told[name]

    def holds(self, path: Path) -> None:
        with StudyFile(path, readonly=True) as file:
            found = {
                one.name: {trial.number: said(trial) for trial in file.trials(one.name)}
                for one in file.studies()
            }
            for one in file.studies():
                counted = [trial[0] for trial in found[one.name].values()]
                assert [one.asked, one.told, one.failed] == [
                    counted.count(status) for status in ("asked", "told", "failed")
                ]
                assert file.altered(one.name) == []
        assert found == self.told

    def opened(self, name: str) -> Study:
        """The study, open: gone on with, or begun."""
        if name not in self.open:
            self.open[name] = Study(TASK, "random", path=self.path, name=name)
            self.told.setdefault(name, {})
        return self.open[name]

    def note(self, name: str, trial: Trial) -> None:
        self.told[name][trial.number] = said(trial)

    def close_all(self) -> None:
        for name in list(self.open):
            self.close(name)

    def new(self) -> Path:
        self.count += 1
        return self.folder / f"{self.count}.sqlite"

    def beside(self) -> list[str]:
        """What SQLite keeps beside the file."""
        return [one.name for one in self.folder.glob(f"{self.path.name}-*")]


@pytest.mark.slow
def test_a_study_file_through_all_that_can_befall_it(record_property: Any) -> None:
    """Bugs: see `faults`; here in any order, 1,000 steps of them."""
    StudyFileMachine.steps = 0
    run_state_machine_as_test(
        StudyFileMachine,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    record_property("steps", StudyFileMachine.steps)
    print(f"{StudyFileMachine.steps} steps")
    assert StudyFileMachine.steps >= 1000
