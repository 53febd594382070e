"""Damaged study files: refused, never read as something else; what is salvaged is exactly what was written."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import Proposal, StoreError, Study, StudyFile, Task, Trial, export_jsonl
from airtune.engine.storage.recover.recover import recover
from airtune.engine.storage.recover.sqlite_pages import read_pages
from airtune.engine.storage.study_file import TrialInsert, TrialUpdate

SPACE = ConfigurationSpace({"x": (-1.0, 1.0), "n": (1, 9), "c": ["a", "b"]})
TRIALS = 24


def loss(config: dict[str, Any]) -> dict[str, Any]:
    if config["n"] == 5:
        raise ValueError("five is right out")
    return {"loss": config["x"] ** 2 + config["n"] / 3, "size": config["n"]}


TASK = Task("bowl", SPACE, loss, description="A bowl." * 600)  # its manifest takes overflow pages


def fill(path: Path) -> StudyFile:
    """Two studies and a document, all written; the file is left open."""
    for name, seed in (("a", 0), ("b", 1)):
        with Study(TASK, "random", seed=seed, path=path, name=name) as study:
            study.run(TRIALS - 1)
            study.ask()  # in flight
    file = StudyFile(path)
    file.acquire("said")
    file.create("said", {**file.get("a").manifest, "model": {"model": "m"}, "seed": 7})
    noise = random.Random(0)
    for number in range(TRIALS):
        trial = Trial(number, {"x": number / 7}, proposal_s=1.0)
        prompt = noise.randbytes(noise.choice([10, 400, 4000])).hex()
        transcript = {"prompt": prompt, "token_ids": [1, 2], "logprobs": [-0.5, -1e-300]}
        file.insert(
            [TrialInsert("said", trial, f'{{"x":{number}}}', Proposal(trial.config, "lm", transcript))]
        )
        if number % 5 < 4:
            file.update(
                [TrialUpdate("said", replace(trial, status="told", loss=float(number)), "log " * number)]
            )
    file.update_document("plan", lambda _: {"suite": "toy"})
    return file


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recover") / "s.sqlite"
    fill(path).close()
    return path


Truth = dict[str, tuple[Any, list[Any], dict[int, Any]]]


def read(path: Path) -> Truth:
    """All that is in a file: manifest, records and transcripts of every study."""
    with StudyFile(path, readonly=True) as file:
        return {
            one.name: (one.manifest, file.records(one.name), file.transcripts(one.name))
            for one in file.studies()
        }


@pytest.fixture(scope="module")
def truth(whole: Path) -> Truth:
    return read(whole)


def zero(data: bytearray, noise: random.Random) -> None:
    start = noise.randrange(len(data) // 4096) * 4096
    data[start : start + 4096] = bytes(4096)


def overwrite(data: bytearray, noise: random.Random) -> None:
    start = noise.randrange(len(data) // 512) * 512
    data[start : start + 512] = noise.randbytes(512)


def flip(data: bytearray, noise: random.Random) -> None:
    data[noise.randrange(len(data))] ^= 1 << noise.randrange(8)


def swap(data: bytearray, noise: random.Random) -> None:
    one, other = (noise.randrange(len(data) // 4096) * 4096 for _ in range(2))
    data[one : one + 4096] = data[other : other + 4096]


def cut(data: bytearray, noise: random.Random) -> None:
    del data[noise.randrange(len(data)) :]


def header(data: bytearray, noise: random.Random) -> None:
    data[noise.randrange(100)] ^= noise.randrange(1, 256)


DAMAGE: list[Callable[[bytearray, random.Random], None]] = [zero, overwrite, flip, swap, cut, header]


def damage(data: bytes, seed: int) -> bytes:
    noise = random.Random(seed)
    damaged = bytearray(data)
    for _ in range(noise.choice([1, 1, 2, 5, 20])):
        if len(damaged) > 8192:
            noise.choice(DAMAGE)(damaged, noise)
    return bytes(damaged)


def check_salvage(path: Path, out: Path, truth: Truth) -> int:
    """Salvage; all of it must be true. How many trials it is."""
    before, found = path.read_bytes(), None
    with contextlib.suppress(StoreError):
        found = recover(path, out)
    assert path.read_bytes() == before
    if found is None:
        with pytest.raises(StoreError, match="nothing can be salvaged"):
            recover(path, out)
        assert not out.exists()
        return 0
    salvaged = read(out)
    reported = {one.study: one for one in found.studies}
    for name, (manifest, records, transcripts) in salvaged.items():
        true_manifest, true_records, true_transcripts = truth[name]
        assert manifest == true_manifest
        true = {one.trial.number: one for one in true_records}
        for one in records:
            of = true[one.trial.number]
            if one != of:  # as it was before its result
                asked = replace(of.trial, status="asked", loss=None, reason=None, info={}, evaluation_s=None)
                assert one == replace(of, trial=asked, log="", finished=None)
                assert one.trial.number in reported[name].unfinished
        assert all(true_transcripts[number] == said for number, said in transcripts.items())
        missing = true.keys() - {one.trial.number for one in records}
        assert set(reported[name].lost) <= missing
        # What no trial behind it and no index tells of can be lost without a trace: the last ones.
        kept = [one.trial.number for one in records]
        assert {number for number in missing if number < max(kept, default=0)} <= set(reported[name].lost)
    with StudyFile(out, readonly=True) as file:
        assert "".join(export_jsonl(file, transcripts=True)).count("\n") >= len(salvaged)
    return sum(len(records) for _, records, _ in salvaged.values())


def fuzz(whole: Path, truth: Truth, folder: Path, seeds: range) -> tuple[int, int, int]:
    """Damage the file in many ways. How often it was refused, how many trials were salvaged, and of how many."""
    data, refused, salvaged = whole.read_bytes(), 0, 0
    for seed in seeds:
        path = folder / f"{seed}.sqlite"
        path.write_bytes(damage(data, seed))
        for readonly in (True, False):
            used = Path(shutil.copy(path, folder / "used.sqlite"))
            try:
                with StudyFile(used, readonly=readonly) as file:
                    names = [one.name for one in file.studies()]
                    for name in names:
                        file.records(name), file.transcripts(name), file.document("plan")
                assert read(used) == truth, f"seed {seed}: read as something else"
            except StoreError as error:
                refused += readonly
                says = str(error)
                assert "recover" in says or "not a study file" in says or "schema version" in says, says
            for left in folder.glob("used.sqlite*"):
                left.unlink()
        salvaged += check_salvage(path, folder / "out.sqlite", truth)
        for left in (path, folder / "out.sqlite"):
            left.unlink(missing_ok=True)
    return refused, salvaged, len(seeds) * 3 * TRIALS


def test_damaged_files_are_refused_and_salvaged(whole: Path, truth: Truth, tmp_path: Path) -> None:
    refused, salvaged, whole_ones = fuzz(whole, truth, tmp_path, range(60))
    assert refused > 50
    assert salvaged > 0.5 * whole_ones


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 1600, 50))
def test_many_damaged_files(whole: Path, truth: Truth, tmp_path: Path, start: int) -> None:
    refused, salvaged, whole_ones = fuzz(whole, truth, tmp_path, range(start, start + 50))
    print(f"{refused} of 50 refused, {salvaged} of {whole_ones} trials salvaged")
    assert refused > 35


def test_a_whole_file_is_salvaged_whole(whole: Path, truth: Truth, tmp_path: Path) -> None:
    found = recover(whole, tmp_path / "out.sqlite")
    assert read(tmp_path / "out.sqlite") == truth
    assert all(one.whole for one in found.studies)
    with StudyFile(tmp_path / "out.sqlite", readonly=True) as file:
        assert file.document("plan") == {"suite": "toy"}
    with pytest.raises(StoreError, match="is there already"):
        recover(whole, tmp_path / "out.sqlite")


def test_without_its_first_page_all_but_what_was_in_it_is_there(
    whole: Path, truth: Truth, tmp_path: Path
) -> None:
    """The first page has the header and the schema: without it SQLite reads nothing at all."""
    (tmp_path / "s.sqlite").write_bytes(bytes(4096) + whole.read_bytes()[4096:])
    with pytest.raises(StoreError, match="not an SQLite file"):
        StudyFile(tmp_path / "s.sqlite")
    assert check_salvage(tmp_path / "s.sqlite", tmp_path / "out.sqlite", truth) == 3 * TRIALS


def test_the_write_ahead_log_counts(tmp_path: Path) -> None:
    """What a crash leaves: a file that is behind, and a log, of which one frame is damaged too."""
    path = tmp_path / "live.sqlite"
    (tmp_path / "crashed").mkdir()
    crashed = tmp_path / "crashed" / "s.sqlite"
    with contextlib.closing(fill(path)) as file:
        shutil.copy(path, crashed)
        wal = Path(shutil.copy(f"{path}-wal", f"{crashed}-wal"))
        assert wal.stat().st_size > 20 * 4096
        truth = read(path)
        file.studies()
    size = 24 + 4096
    for seed in range(12):
        noise = random.Random(seed)
        data = bytearray(wal.read_bytes())
        if seed:
            data[32 + size * noise.randrange(len(data) // size) + noise.randrange(24, size)] ^= 0x10
        copy = tmp_path / f"{seed}.sqlite"
        shutil.copy(crashed, copy)
        Path(f"{copy}-wal").write_bytes(data)
        trials = check_salvage(copy, tmp_path / f"out{seed}.sqlite", truth)
        assert trials == 3 * TRIALS if seed == 0 else trials > TRIALS
        assert Path(f"{copy}-wal").read_bytes() == bytes(data)


def test_an_empty_file_with_a_log_is_not_begun_anew(tmp_path: Path) -> None:
    """SQLite deletes the log of an empty file, and with it all that could be salvaged."""
    path = tmp_path / "s.sqlite"
    path.touch()
    Path(f"{path}-wal").write_bytes(b"\x37\x7f\x06\x82" + bytes(5000))
    for readonly in (False, True):
        with pytest.raises(StoreError, match="is empty, but"):
            StudyFile(path, readonly=readonly)
    assert Path(f"{path}-wal").stat().st_size == 5004


def exported(path: Path, name: str) -> str:
    with StudyFile(path, readonly=True) as file:
        return "".join(export_jsonl(file, name, times=False))


@pytest.mark.parametrize("lost", [{3}, {0}, {2, 5, 6}, {TRIALS - 2}])
def test_a_salvaged_study_goes_on_where_it_has_gaps(tmp_path: Path, lost: set[int]) -> None:
    """What was lost is proposed again as it was, and evaluated again; the end is that of an undamaged run."""
    path, whole = tmp_path / "s.sqlite", tmp_path / "whole.sqlite"
    for where in (path, whole):
        with Study(TASK, "random", path=where, name="a") as study:
            study.run(TRIALS)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        for number in lost:
            db.execute("DELETE FROM trials WHERE number = ?", (number,))
    found = recover(path, tmp_path / "out.sqlite")
    assert found.studies[0].lost in (sorted(lost), [])  # deleted rows may be found where they were
    assert exported(path, "a") != exported(whole, "a")
    for damaged in (path, tmp_path / "out.sqlite"):
        with Study(TASK, "random", path=damaged, name="a") as study:
            assert study.run(TRIALS).stopped == "budget"
        assert exported(damaged, "a") == exported(whole, "a")


def test_a_trial_whose_transcript_alone_was_salvaged_is_asked_again(tmp_path: Path) -> None:
    """The study could not go on: "UNIQUE constraint failed: transcripts.study, transcripts.number"."""
    path, whole = tmp_path / "s.sqlite", tmp_path / "whole.sqlite"
    for where in (path, whole):
        with Study(TASK, "lm", model="scripted", path=where, name="a") as study:
            study.run(4)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM trials WHERE number > 1")
    with Study(TASK, "lm", model="scripted", path=path, name="a") as study:
        study.run(4)
    assert exported(path, "a") == exported(whole, "a")


def test_a_salvaged_comparison_goes_on_where_it_has_gaps(tmp_path: Path) -> None:
    from airtune.benchmarks.running.plan import Plan
    from airtune.benchmarks.running.runner import run_suite

    plan = Plan("toy", methods=("random",), seeds=1, budget=6)
    for folder in ("whole", "damaged"):
        run_suite(plan, tmp_path / folder, jobs=1)
    path = tmp_path / "damaged" / "bench.airtune"
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM trials WHERE number = 2 AND study IN (1, 3)")
    run_suite(plan, tmp_path / "damaged", jobs=1)
    with StudyFile(path, readonly=True) as file:
        damaged = "".join(export_jsonl(file, times=False))
    with StudyFile(tmp_path / "whole" / "bench.airtune", readonly=True) as file:
        assert damaged == "".join(export_jsonl(file, times=False))


@pytest.mark.parametrize(
    "content", [b"", b"x", b"SQLite format 3\0", bytes(9000), b"these are my notes\n" * 999]
)
def test_nothing_is_salvaged_from_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.sqlite").write_bytes(content)
    with pytest.raises(StoreError, match="nothing can be salvaged"):
        recover(tmp_path / "s.sqlite", tmp_path / "out.sqlite")
    assert not (tmp_path / "out.sqlite").exists()
    with pytest.raises(StoreError, match="cannot be read"):
        recover(tmp_path / "none.sqlite", tmp_path / "out.sqlite")


@pytest.mark.parametrize("size", [512, 1024, 4096, 65536])
def test_pages_of_any_size_are_read_as_sqlite_reads_them(tmp_path: Path, size: int) -> None:
    """Against SQLite itself: integers and reals of every width, texts and blobs that take overflow pages."""
    noise = random.Random(size)
    values = [
        0,
        1,
        -1,
        127,
        -129,
        1 << 15,
        -(1 << 23),
        1 << 31,
        -(1 << 47),
        (1 << 63) - 1,
        0.5,
        -1e300,
        None,
        "",
        b"",
    ]
    values += ["é" * n for n in (1, 60, 3000)] + [noise.randbytes(n) for n in (1, 200, 9000, 70000)]
    wanted = {
        (number, noise.choice(values), noise.choice(values), noise.choice(values)) for number in range(80)
    }
    with contextlib.closing(sqlite3.connect(tmp_path / "s.sqlite")) as db, db:
        db.execute(f"PRAGMA page_size = {size}")
        db.execute("CREATE TABLE a (id INTEGER PRIMARY KEY, x, y, z)")
        db.execute("CREATE TABLE b (id INTEGER PRIMARY KEY, x, y, z) WITHOUT ROWID")
        for table in "ab":
            db.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?)", list(wanted))
    views = read_pages((tmp_path / "s.sqlite").read_bytes(), b"")
    (pages,) = (view for view in views if view.size == size)
    assert len(views) <= 2
    found = [row for number in pages.pages for row in pages.rows(number)]
    assert {
        (rowid, *values[1:]) for rowid, values in found if rowid is not None and len(values) == 4
    } >= wanted
    assert {values for rowid, values in found if rowid is None} == wanted
