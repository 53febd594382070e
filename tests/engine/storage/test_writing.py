"""Writing to a study file: only under the lease, all or nothing, and nothing that could not be read again."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airtune.engine import Proposal, StoreError, StudyFile, Trial
from airtune.engine.storage.study_file import COMPARISON_FILE, TrialInsert, TrialUpdate, study_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.sqlite"


@pytest.fixture
def file(path: Path) -> Iterator[StudyFile]:
    with StudyFile(path) as opened:
        opened.acquire("s")
        opened.create("s", {"task": "t", "seed": 0})
        yield opened


def asked(number: int, study: str = "s", **more: Any) -> TrialInsert:
    trial = Trial(number, {"x": number}, proposal_s=0.25)
    return TrialInsert(study, trial, f"{number}", Proposal(trial.config, "random", **more))


def told(number: int, loss: float = 1.0, study: str = "s", log: str = "") -> TrialUpdate:
    return TrialUpdate(study, Trial(number, {"x": number}, "told", loss, evaluation_s=0.5), log)


def edit(path: Path, sql: str, *values: Any) -> None:
    """Change the file as another program would."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(sql, values)


WRITES: dict[str, Callable[[StudyFile], None]] = {
    "create": lambda file: file.create("s", {}),
    "insert": lambda file: file.insert([asked(1)]),
    "update": lambda file: file.update([told(0)]),
    "violation": lambda file: file.violation("s", 1, Proposal({}, "random"), "why"),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize(
    ("change", "now"),
    [
        ("DELETE FROM leases", "nobody does"),
        (
            "UPDATE leases SET token = 'of another', host = 'elsewhere', pid = 77",
            "process 77 on 'elsewhere' does",
        ),
    ],
)
def test_nothing_is_written_without_the_lease(
    path: Path, file: StudyFile, write: Callable[[StudyFile], None], change: str, now: str
) -> None:
    """Bugs: a lease row that is not there passes; a token is not compared; one kind of write does not check."""
    file.insert([asked(0)])
    before = (file.records("s"), file.get())
    edit(path, change)
    with pytest.raises(StoreError, match=f"does not hold study 's'.*{now}"):
        write(file)
    assert (file.records("s"), file.get()) == before


def test_every_study_of_a_transaction_needs_its_lease(path: Path, file: StudyFile) -> None:
    """Bug: only the first study's lease is looked at; or what came before the refusal stays."""
    file.acquire("other")
    file.create("other", {})
    edit(path, "DELETE FROM leases WHERE name = 'other'")
    with pytest.raises(StoreError, match="'other'"):
        file.insert([asked(0), asked(0, "other")])
    assert file.trials("s") == file.trials("other") == []


def test_a_transaction_is_all_or_nothing(file: StudyFile) -> None:
    """Bug: no rollback, so that the first of two trials stays when the second is refused."""
    with pytest.raises(StoreError, match="UNIQUE"):
        file.insert([asked(0, transcript={"prompt": "p"}), asked(0)])
    assert (file.trials("s"), file.transcripts("s")) == ([], {})
    file.insert([asked(0), asked(1)])
    with pytest.raises(StoreError, match=r"trial 2 .*is not waiting"):
        file.update([told(0), told(2)])
    assert [trial.status for trial in file.trials("s")] == ["asked", "asked"]


def test_a_result_is_that_of_its_own_study_and_number(file: StudyFile) -> None:
    """Bugs: the row is looked for without its study, or without its number."""
    file.acquire("other")
    file.create("other", {})
    file.insert([asked(0), asked(1), asked(0, "other")])
    file.update([told(1, 7.0, log="seven")])
    assert [trial.loss for trial in file.trials("s")] == [None, 7.0]
    assert [record.log for record in file.records("s")] == ["", "seven"]
    assert [trial.loss for trial in file.trials("other")] == [None]


def test_a_study_must_be_there(file: StudyFile) -> None:
    file.acquire("other")
    for write in (
        lambda: file.insert([asked(0, "other")]),
        lambda: file.update([told(0, study="other")]),
        lambda: file.violation("other", 0, Proposal({}, "random"), "why"),
    ):
        with pytest.raises(StoreError, match="holds no study 'other'") as caught:
            write()
        assert caught.value.hint == "create it first"


def test_studies_are_counted_each_for_itself(file: StudyFile) -> None:
    """Bugs: two of the four counts change places; a count is that of the whole file, or starts at 1."""
    file.acquire("a", "b")
    file.create_all({"b": {"task": "tb"}, "a": {"task": "ta"}})
    file.insert([asked(number, "b") for number in range(10)])
    file.update([told(number, study="b") for number in range(3)])
    failed = [Trial(number, {}, "failed", reason="why") for number in (3, 4)]
    file.update([TrialUpdate("b", trial) for trial in failed])
    for number in range(4):
        file.violation("b", number, Proposal({}, "random"), "why")
    file.insert([asked(0, "a")])
    found = {one.name: (one.asked, one.told, one.failed, one.violations) for one in file.studies()}
    assert found == {"s": (0, 0, 0, 0), "b": (5, 3, 2, 4), "a": (1, 0, 0, 0)}
    assert list(found) == ["s", "b", "a"]
    assert (file.get("a").manifest["task"], file.get("b").manifest["task"]) == ("ta", "tb")
    one = file.find("b")
    assert one is not None
    assert (one.asked, one.told, one.failed, one.violations) == found["b"]


def test_an_empty_file_has_no_study_to_get(path: Path) -> None:
    with StudyFile(path) as file, pytest.raises(StoreError, match="holds 0 studies") as caught:
        file.get()
    assert caught.value.hint == "run `airtune tune ... --study FILE` first"


def test_what_is_known_of_a_configuration(file: StudyFile) -> None:
    """Bugs: an asked trial counts as known; the text, the prefix or the log is not looked at."""
    file.acquire("toy/a", "toy/b", "tox/a")
    file.create_all({name: {} for name in ("toy/a", "toy/b", "tox/a")})
    file.insert([asked(number, name) for name in ("toy/a", "toy/b", "tox/a") for number in (0, 1)])
    assert file.known("toy/", "0") is None
    file.update([told(0, 3.0, "tox/a"), told(1, 4.0, "toy/b", log="printed")])
    assert file.known("toy/", "0") is None
    found = file.known("toy/", "1")
    assert found is not None
    assert (found.trial.loss, found.log) == (4.0, "printed")
    assert file.known("toy/a", "1") is None
    (other,) = (file.known("tox/", "0"),)
    assert other is not None
    assert other.trial.loss == 3.0


def test_the_least_losses(file: StudyFile) -> None:
    file.acquire("b")
    file.create("b", {})
    file.insert([*(asked(number) for number in range(4)), asked(0, "b")])
    file.update([told(0, 3.0), told(1, -2.0), told(2, 5.0)])
    assert file.best_losses() == {"s": -2.0}


def test_a_document_is_changed_in_one_transaction(path: Path, file: StudyFile) -> None:
    """Bugs: what is stored is not given to the change; an equal document is written again; `None` is not told."""
    seen: list[Any] = []

    def counted(stored: Any) -> dict[str, Any]:
        seen.append(stored)
        return {"n": 1 if stored is None else stored["n"] + 1}

    for _ in range(3):
        file.update_document("plan", counted)
    assert seen == [None, {"n": 1}, {"n": 2}]
    assert file.document("plan") == {"n": 3}
    assert file.document("another") is None
    rows = file._database.rows("SELECT total_changes()")
    file.update_document("plan", lambda stored: stored or {})
    assert file._database.rows("SELECT total_changes()") == rows
    with pytest.raises(ZeroDivisionError):
        file.update_document("plan", lambda _: {"n": 1 // 0})
    with StudyFile(path, readonly=True) as reader:
        assert reader.document("plan") == {"n": 3}


@pytest.mark.parametrize(
    ("at", "sql", "what"),
    [
        (0, "UPDATE studies SET manifest = '{}' WHERE name = 's'", "the manifest of study 's'"),
        (1, "UPDATE trials SET loss = 0.5 WHERE number = 1 AND study = 1", "trial 1"),
        (2, "UPDATE transcripts SET number = 5 WHERE study = 1", "the transcript of trial 5"),
    ],
)
def test_rows_that_were_changed_are_named(path: Path, at: int, sql: str, what: str) -> None:
    """Bugs: a table is left out; rows of other studies are named, too; a changed row is read without a word."""
    with StudyFile(path) as file:
        file.acquire("s", "other")
        file.create_all({"s": {"task": "t"}, "other": {}})
        file.insert([asked(0, transcript={"prompt": "p"}), asked(1), asked(0, "other")])
        file.update([told(1)])
    edit(path, sql)
    with StudyFile(path, readonly=True) as file:
        assert file.altered("s") == [what]
        assert file.altered("other") == []
        readers = (
            file.studies,
            lambda **more: file.records("s", **more),
            lambda **more: file.transcripts("s", **more),
        )
        for read in readers:
            read(verify=False)
            if read is readers[at]:
                with pytest.raises(StoreError, match=what):
                    read()
            else:
                read()
    if at == 0:
        with StudyFile(path, readonly=True) as file, pytest.raises(StoreError, match="as it was written"):
            file.find("s")


def test_what_is_stored_of_a_trial(file: StudyFile) -> None:
    """Bugs: a column is left out, takes another's value, or the pending trials are those of another one."""
    file.insert(
        [
            asked(0),
            replace(asked(1), pending=(0,)),
            replace(asked(2, transcript={"text": "t"}), pending=(0, 1)),
        ]
    )
    assert [one.pending for one in file.records("s")] == [(), (0,), (0, 1)]
    assert [one.trial.proposal_s for one in file.records("s")] == [0.25] * 3
    assert file.transcripts("s") == {2: {"text": "t"}}
    file.update([told(1, -0.0)])
    one = file.records("s")[1]
    assert (one.trial.loss, str(one.trial.loss), one.trial.evaluation_s, one.pending) == (
        0.0,
        "0.0",
        0.5,
        (0,),
    )
    assert one.finished is not None
    assert file.records("s")[0].finished is None
    file.update([TrialUpdate("s", Trial(0, {"x": 0}, "failed", reason="why"))])
    assert file.records("s")[0].trial.evaluation_s is None


def test_the_file_of_a_comparison_is_in_its_folder(tmp_path: Path) -> None:
    assert study_file(tmp_path) == tmp_path / COMPARISON_FILE
    assert study_file(tmp_path / "s.sqlite") == tmp_path / "s.sqlite"


class Huge(int):
    """A whole number that Python neither writes nor reads, with a name for this file's tests."""

    def __str__(self) -> str:
        return "huge"

    __repr__ = __str__


HUGE = Huge(10**5000)
DEEP: Any = 0
for _ in range(70):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("config", {"x": DEEP}), ("config", {"x": HUGE}), ("config", {"x": float("nan")}), ("number", "0"),
        ("number", True), ("proposal_s", float("inf")), ("text", None), 
        pytest.param("text", "\ud800", id="surrogate"), ("origin", None),
        ("pending", (0.5,)), ("transcript", {"prompt": 3}), ("transcript", {"logprobs": [None]}),
        ("transcript", {"details": DEEP}), ("transcript", {"rejected": [{"text": 1}]}),
    ],
)  # fmt: skip
def test_no_trial_is_asked_that_could_not_be_read(file: StudyFile, field: str, value: Any) -> None:
    """Bug: it was stored, and from then on the study, and `show` of the whole file, was refused as forged."""
    one = asked(0)
    if field in ("config", "number", "proposal_s"):
        one = replace(one, trial=replace(one.trial, **{field: value}))
    elif field in ("origin", "transcript"):
        one = replace(one, proposal=replace(one.proposal, **{field: value}))
    else:
        one = replace(one, **{field: value})
    with pytest.raises(StoreError) as caught:
        file.insert([one])
    assert caught.value.allowed
    assert (file.trials("s"), file.transcripts("s")) == ([], {})


@pytest.mark.parametrize(
    "changes",
    [
        {"info": {"a": DEEP}}, {"info": {"a": float("inf")}}, {"loss": None}, {"reason": "why"},
        {"status": "done"}, {"evaluation_s": float("nan")}, {"status": "failed"}, {"info": {"a": {1}}},
        {"status": "failed", "loss": None, "reason": 7}, {"status": "failed", "loss": None, "reason": "\ud800"},
    ],
)  # fmt: skip
def test_no_result_is_stored_that_could_not_be_read(file: StudyFile, changes: dict[str, Any]) -> None:
    file.insert([asked(0)])
    update = told(0)
    with pytest.raises(StoreError):
        file.update([replace(update, trial=replace(update.trial, **changes))])
    assert [trial.status for trial in file.trials("s")] == ["asked"]


@pytest.mark.parametrize(
    "manifest",
    [{"seed": HUGE}, {"seed": 0.5}, {"task": None}, {"space": []}, {"more": DEEP}, {"model": {"files": 1}}],
)  # fmt: skip
def test_no_study_begins_that_could_not_be_read(file: StudyFile, manifest: dict[str, Any]) -> None:
    """Its neighbours in the file would have been refused with it."""
    file.acquire("other")
    with pytest.raises(StoreError):
        file.create("other", manifest)
    assert [one.name for one in file.studies()] == ["s"]


@pytest.mark.parametrize("seed", [2**64, -(2**64), 2**128 - 1, 10**400, 0])
def test_a_seed_may_be_any_whole_number(file: StudyFile, seed: int) -> None:
    """Bug: from 2**64 on it was written and then refused, with all other studies of the file."""
    file.acquire("other")
    file.create("other", {"seed": seed, "comparison": {"seed": seed}})
    assert file.get("other").manifest["seed"] == seed
