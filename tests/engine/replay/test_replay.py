"""Replays: what is stored is derived again to the bit, and whatever was edited is found, with its cause."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import Study, StudyFile, Task, load_proposer
from airtune.engine.replay.derive import Replayer, replay
from airtune.engine.replay.report import Options, Report
from airtune.engine.storage.records import compress_transcript, decompress_transcript
from airtune.grammars import AirtuneError
from airtune.models import LanguageModel, load_model
from airtune.models.backends.scripted import ScriptedModel
from airtune.models.dialects.chat.format import TemplateFormat
from airtune.models.names import locate
from airtune.models.registry import make_dialect
from tests.sealing import seal

TRIALS = 5


def loss(config: Mapping[str, Any]) -> dict[str, Any]:
    if config["n"] == 5:
        raise ValueError("five is right out")
    return {"loss": config["x"] ** 2 + config["n"] / 3, "size": config["n"]}


SPACE = ConfigurationSpace({"x": (-1.0, 1.0), "n": (1, 9), "c": ["a", "b"]})
TASK = Task("bowl", SPACE, loss, metric="depth", description="A bowl.")


def run(path: Path, proposer: str, model: LanguageModel | None = None, **more: Any) -> None:
    with Study(TASK, load_proposer(proposer, model=model), seed=3, path=path, name=proposer, **more) as study:
        study.run(TRIALS)


@pytest.fixture(scope="module")
def pocket() -> LanguageModel:
    return load_model("pocket")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, pocket: LanguageModel) -> Path:
    """A file with a study of every proposer that needs no extra, of the bundled model and of a scripted one."""
    path = tmp_path_factory.mktemp("replay") / "s.sqlite"
    for proposer in ("random", "tpe", "gp", "cmaes", "default+random"):
        run(path, proposer)
    for proposer in ("lm", "default+lm", "lm+gp", "lm+self", "hybrid"):
        run(path, proposer, pocket)
    with Study(
        TASK, load_proposer("lm", model=load_model("scripted")), seed=3, path=path, name="chat"
    ) as study:
        study.run(TRIALS)
    return path


@pytest.fixture
def copy(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(recorded, tmp_path / "copy.sqlite"))


def edit(
    path: Path,
    table: str,
    column: str,
    change: Callable[[Any], Any],
    study: str,
    sealed: bool,
    trial: int = 2,
) -> None:
    """Change a value of a trial (or of the study), and with `sealed` the row's checksum too."""
    with closing(sqlite3.connect(path)) as db, db:
        (number,) = db.execute("SELECT id FROM studies WHERE name = ?", (study,)).fetchone()
        where = (
            f"WHERE id = {number}" if table == "studies" else f"WHERE study = {number} AND number = {trial}"
        )
        (before,) = db.execute(f"SELECT {column} FROM {table} {where}").fetchone()
        after = change(before)
        assert after != before
        db.execute(f"UPDATE {table} SET {column} = ? {where}", (after,))
        if sealed:
            db.execute(f"UPDATE {table} SET checksum = NULL {where}")
            seal(db)


def said(key: str, change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    """A change of one entry of a transcript."""

    def changed(stored: bytes) -> bytes:
        transcript = decompress_transcript(stored)
        return compress_transcript({**transcript, key: change(transcript[key])})

    return changed


def test_everything_is_derived_again_without_a_model(recorded: Path) -> None:
    before = recorded.read_bytes()
    seen: list[tuple[int, int]] = []
    report = replay(recorded, options=Options(0), on_progress=lambda *done: seen.append(done))
    assert report.holds, report.json()
    assert [one.checked for one in report.studies] == [TRIALS] * 11
    assert report.differences == []
    assert seen[-1] == (11, 11)
    assert recorded.read_bytes() == before


def test_everything_is_derived_again_with_the_model_to_the_bit(recorded: Path) -> None:
    before = recorded.read_bytes()
    report = replay(recorded)
    assert report.holds, report.json()
    assert report.agreement.tokens > 4 * TRIALS
    assert report.agreement.same == report.agreement.tokens
    assert report.agreement.largest == 0.0
    assert recorded.read_bytes() == before
    json.dumps(report.json(), allow_nan=False)


def test_processes_find_the_same(recorded: Path) -> None:
    assert replay(recorded, options=Options(0), jobs=2).json() == replay(recorded, options=Options(0)).json()


def test_other_batches(recorded: Path) -> None:
    """The scripted model answers every request on its own; the bundled one on a CPU does not, in its last bits."""
    assert replay(recorded, "chat", Options(2)).holds
    report = replay(recorded, "lm", Options(2))
    assert report.agreement.same == report.agreement.tokens
    assert report.agreement.largest < 1e-5
    if not report.holds:
        first = report.studies[0].first
        assert first is not None
        assert first.what == "log-probabilities"
        assert "deterministic=strict" in first.cause


def test_a_model_that_does_not_depend_on_its_batch(tmp_path: Path) -> None:
    run(tmp_path / "s.sqlite", "lm+gp", load_model("pocket", deterministic="strict"))
    report = replay(tmp_path / "s.sqlite", options=Options(2))
    assert report.holds, report.json()
    assert report.studies[0].checked == 3 * TRIALS  # once in each size of batch


def test_another_machine(recorded: Path) -> None:
    assert replay(recorded, "lm", Options(3)).holds
    assert replay(recorded, "lm", Options(3, settings=(("threads", 2),), tolerance=1e-4)).holds
    report = replay(recorded, "lm", Options(3, settings=(("dtype", "bfloat16"),)))
    (study,) = report.studies
    assert study.first is not None
    assert "another dtype" in study.first.cause
    assert [one.cause for one in report.differences] == ["another dtype"]
    assert 0 < report.agreement.largest < 1


EDITS = [
    (
        "transcripts",
        "transcript",
        said("text", lambda text: text[:-1] + ("0" if text[-1] != "0" else "1")),
        "text",
    ),
    ("transcripts", "transcript", said("token_ids", lambda ids: [ids[0] ^ 1, *ids[1:]]), "token ids"),
    (
        "transcripts",
        "transcript",
        said("logprobs", lambda v: [v[0] * (1 + 2e-16), *v[1:]]),
        "log-probabilities",
    ),
    ("transcripts", "transcript", said("prompt", lambda text: text[:-1] + " "), "prompt"),
    ("transcripts", "transcript", said("seed", lambda seed: seed ^ 1), "seed"),
    ("transcripts", "transcript", said("grammar", lambda text: text[::-1]), "grammar's hash"),
    ("transcripts", "transcript", said("temperature", lambda t: t + 0.1), "temperature"),
    (
        "trials",
        "config",
        lambda text: text.replace('"x": 0', '"x": 1').replace('"x": -', '"x": '),
        "configuration",
    ),
    ("trials", "text", lambda text: text + " ", "configuration"),
    ("trials", "origin", lambda text: "tpe", "origin"),
]


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize(("table", "column", "change", "what"), EDITS, ids=[what for *_, what in EDITS])
def test_one_edited_byte_is_found(
    copy: Path, table: str, column: str, change: Callable[[Any], Any], what: str, sealed: bool
) -> None:
    edit(copy, table, column, change, "lm", sealed)
    (study,) = replay(copy, "lm").studies
    assert not study.holds(1)
    assert study.first is not None
    row = "trial 2" if table == "trials" else "the transcript of trial 2"
    assert study.altered == ([] if sealed else [row])
    assert ("checksum does not match" in study.first.cause) is not sealed
    # An edit of what led to an answer shows there, and an edit of an answer in the answer.
    assert study.first.trial == 2 or (table == "trials" and study.first.trial == 3)
    assert what in {study.first.what, "configuration"}
    assert not replay(copy, "lm", Options(0)).holds or (sealed and what in ("token ids", "log-probabilities"))


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("study", ["lm", "chat", "tpe", "gp", "lm+gp", "lm+self"])
def test_an_edited_history_is_found(copy: Path, study: str, sealed: bool) -> None:
    with StudyFile(copy, readonly=True) as file:  # one that did not fail, with trials after it
        trial = max(r.trial.number for r in file.records(study)[:3] if r.trial.loss is not None)
    edit(copy, "trials", "loss", lambda value: -9.0, study, sealed, trial)
    (found,) = replay(copy, study, Options(0)).studies
    assert not found.holds(0)
    if not sealed:
        assert found.altered == [f"trial {trial}"]
    if found.first is not None:
        assert found.first.trial > trial
        assert found.first.what == (
            "prompt" if study in ("lm", "chat", "lm+gp", "lm+self") else "configuration"
        )
        assert (f"an edited history: trial {trial}" if not sealed else "was edited") in found.first.cause
    else:  # the proposer's next step did not depend on it
        assert not sealed


@pytest.mark.parametrize("sealed", [False, True])
def test_an_edited_seed_is_found(copy: Path, sealed: bool) -> None:
    for study in ("lm", "random"):
        edit(copy, "studies", "manifest", lambda text: text.replace('"seed": 3', '"seed": 4'), study, sealed)
        (found,) = replay(copy, study, Options(0)).studies
        assert found.diverging == set(range(TRIALS))
        assert found.first is not None
        assert found.first.what == ("seed" if study == "lm" else "configuration")


def other_weights(folder: Path) -> Path:
    """The bundled model with one bit of one weight changed."""
    shutil.copytree(locate("pocket"), folder)
    (file,) = folder.glob("*.safetensors")
    data = bytearray(file.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    _, end = json.loads(data[8:start])["model.norm.weight"]["data_offsets"]
    data[start + end - 2] ^= 0x20  # a high bit of the last number
    file.write_bytes(data)
    return folder


def test_one_edited_weight_is_found(recorded: Path, tmp_path: Path) -> None:
    folder = other_weights(tmp_path / "other")
    (study,) = replay(recorded, "lm", Options(1, model=str(folder))).studies
    assert not study.holds(1)
    assert [one.cause for one in study.other_model] == ["other weights"]
    assert study.first is not None
    assert "other weights" in study.first.cause
    assert study.first.what in ("log-probabilities", "token ids")


def test_an_edited_weight_is_found_where_the_manifest_was_edited_to_match(copy: Path, tmp_path: Path) -> None:
    folder = other_weights(tmp_path / "other")
    files = load_model(folder).manifest()["files"]

    def matching(text: str) -> str:
        manifest = json.loads(text)
        manifest["model"]["files"] = files
        return json.dumps(manifest)

    edit(copy, "studies", "manifest", matching, "lm", sealed=True)
    (study,) = replay(copy, "lm", Options(1, model=str(folder))).studies
    assert study.other_model == []
    assert study.first is not None
    assert study.first.trial == 0
    assert "the study file was edited" in study.first.cause


def test_other_versions_and_hardware_are_named(copy: Path) -> None:
    def older(text: str) -> str:
        manifest = json.loads(text)
        manifest["versions"]["optuna"] = "1.0"
        manifest["hardware"]["processor"] = "abacus"
        return json.dumps(manifest)

    edit(copy, "studies", "manifest", older, "tpe", sealed=True)
    report = replay(copy, "tpe", Options(0))
    assert report.holds
    assert {one.cause for one in report.differences} == {"other package versions", "other hardware"}
    edit(
        copy,
        "trials",
        "config",
        lambda text: text.replace('"c": "a"', '"c": "b"').replace('"n": ', '"n": 1'),
        "tpe",
        True,
    )
    (study,) = replay(copy, "tpe", Options(0)).studies
    assert study.first is not None
    assert "versions.optuna 1.0" in study.first.cause
    assert "abacus" in study.first.cause


def test_what_was_pending_is_part_of_the_history(tmp_path: Path, pocket: LanguageModel) -> None:
    path = tmp_path / "s.sqlite"
    with Study(TASK, load_proposer("lm", model=pocket), path=path, name="s") as study:
        waiting = [study.ask() for _ in range(3)]
        study.tell(waiting.pop(1), 0.5)
        waiting.append(study.ask())
        for trial in reversed(waiting):
            study.tell(trial, float(trial.number))
        study.ask()
    assert replay(path, options=Options(0)).holds
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE trials SET pending = '[]', checksum = NULL WHERE number = 3")
        seal(db)
    (found,) = replay(path, options=Options(0)).studies
    assert found.diverging == {3}


def template(messages: Any) -> str:
    return "".join(f"<|{m['role']}|>\n {m['content'].strip()} <|end|>" for m in messages) + "<|assistant|>"


def test_prompts_of_a_chat_template_are_checked_without_the_tokenizer(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    plain: Any = make_dialect("chat+history=turns")
    model = ScriptedModel(dialect=plain.bind(format=TemplateFormat(template), special=("<|end|>",)))
    run(path, "lm", model)
    with StudyFile(path, readonly=True) as file:
        assert file.transcripts("lm")[1]["prompt"].startswith("<|system|>\n ")
    assert replay(path, options=Options(0)).holds
    edit(
        path,
        "transcripts",
        "transcript",
        said("prompt", lambda text: text.replace("A bowl", "A bowI")),
        "lm",
        True,
    )
    (study,) = replay(path, options=Options(0)).studies
    assert study.diverging == {2}
    assert study.first is not None
    assert study.first.what == "prompt"


def test_a_range_of_trials(recorded: Path) -> None:
    options = Options(0, first=1, last=2)
    assert [one.checked for one in replay(recorded, options=options).studies] == [2] * 11


def test_a_missing_trial_stops_what_follows(copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as db, db:
        db.execute("DELETE FROM trials WHERE number = 2")
    (study,) = replay(copy, "tpe", Options(0)).studies
    assert study.checked == 2
    assert sorted(study.skipped) == [3, 4]
    assert not study.holds(0)


def broken(text: str) -> str:
    return text.replace('"lower": 1', '"lower": 0')


def test_what_cannot_be_replayed_says_why(copy: Path) -> None:
    edit(copy, "studies", "manifest", broken, "tpe", sealed=True)
    (study,) = replay(copy, "tpe", Options(0)).studies
    assert study.refused is not None
    assert "search space is not the one" in study.refused
    edit(copy, "transcripts", "transcript", lambda stored: stored[:-4], "lm", sealed=True)
    (study,) = replay(copy, "lm", Options(0)).studies
    assert study.refused is not None
    with closing(sqlite3.connect(copy)) as db, db:
        db.execute(
            "UPDATE studies SET manifest = replace(manifest, '\"scripted\"', '\"openai\"'), checksum = NULL"
        )
        seal(db)
    (study,) = replay(copy, "chat").studies
    assert study.refused is not None
    assert "level 0" in study.refused or "behind a server" in study.refused
    # The others are checked all the same.
    assert sum(one.holds(0) for one in replay(copy, options=Options(0)).studies) >= 6


@pytest.mark.parametrize(
    "options",
    [Options(4), Options(1, backend="vllm"), Options(0, settings=(("dtype", "float16"),)), Options(tolerance=-1.0),
     Options(first=3, last=2)],
)  # fmt: skip
def test_options_without_a_meaning_are_refused(recorded: Path, options: Options) -> None:
    with pytest.raises(AirtuneError):
        replay(recorded, options=options)
    with pytest.raises(AirtuneError, match="unknown study"):
        replay(recorded, "nope")


def test_a_group_is_replayed_in_the_batch_that_it_was_part_of(tmp_path: Path) -> None:
    """In another batch a model's last bits may differ: one study of a comparison is asked in the company of all."""
    from airtune.benchmarks.running.plan import Plan
    from airtune.benchmarks.running.runner import run_suite

    plan = Plan("toy", methods=("lm", "lm+gp"), seeds=1, budget=4)
    run_suite(plan, tmp_path, jobs=1)
    report: Report = replay(tmp_path / "bench.airtune", "toy/ackley/lm/seed=000")
    assert report.holds, report.json()
    with Replayer(tmp_path / "bench.airtune", Options()) as replayer:
        alone = ("toy/ackley/lm+gp/seed=000",)
        whole = tuple(
            group for plan_group in plan.groups() for group in plan_group.studies if "lm+gp" in group
        )
        studies, agreement = replayer.replay((whole, alone))
        assert [one.holds(1) for one in studies] == [True]
        assert agreement.largest == 0.0
    assert replace(Options(), level=1) == Options()
