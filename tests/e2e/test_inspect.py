"""The commands that only look: show, export, grammar, models, doctor, help."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Folder


@pytest.fixture(scope="module")
def study(new_folder: Callable[[], Folder]) -> Folder:
    """A folder with a finished study in airtune.sqlite, for all tests here: they only look."""
    folder = new_folder()
    folder.airtune("tune", "sklearn/svm/iris", "--proposer", "random", "--budget", "3")
    return folder


def test_show_a_study_and_a_trial(study: Folder) -> None:
    shown = study.call("show", "airtune.sqlite").out
    assert "sklearn/svm/iris" in shown
    assert "C" in shown
    document = study.call("show", "airtune.sqlite", "--json").json
    name = document["studies"][0]["name"]
    whole = study.call("show", "airtune.sqlite", "--study-name", name, "--json").json
    assert len(whole["trials"]) == 3
    trial = study.call("show", "airtune.sqlite", "--trial", "1", "--json").json
    assert trial["config"] == whole["trials"][1]["config"]
    assert "told" in study.call("show", "airtune.sqlite", "--trial", "1").out


@pytest.mark.parametrize(
    ("options", "value"),
    [(("--trial", "7"), "7"), (("--study-name", "sklearn/svm/iriss"), "'sklearn/svm/iriss'")],
)
def test_show_what_is_not_there(study: Folder, options: tuple[str, str], value: str) -> None:
    ended = study.call("show", "airtune.sqlite", *options, code=2)
    assert value in ended.err
    assert "  allowed: " in ended.err


def test_looking_changes_nothing(study: Folder) -> None:
    before = (study.path / "airtune.sqlite").read_bytes()
    study.call("show", "airtune.sqlite")
    study.call("export", "airtune.sqlite")
    assert (study.path / "airtune.sqlite").read_bytes() == before


def test_export_as_json_lines(study: Folder) -> None:
    records = [json.loads(line) for line in study.call("export", "airtune.sqlite").out.splitlines()]
    trials = [record for record in records if "config" in record]
    assert [trial["number"] for trial in trials] == [0, 1, 2]
    assert study.call("export", "airtune.sqlite", "--jsonl").out == study.call("export", "airtune.sqlite").out
    study.call("export", "airtune.sqlite", "--no-times", "-o", "out.jsonl")
    assert (study.path / "out.jsonl").read_text() == study.call("export", "airtune.sqlite", "--no-times").out


def test_export_as_csv(study: Folder) -> None:
    rows = list(csv.DictReader(io.StringIO(study.call("export", "airtune.sqlite", "--csv").out)))
    assert len(rows) == 3
    assert {"number", "status", "loss"} <= set(rows[0])


def test_an_export_can_be_excluded_from_a_grammar(study: Folder) -> None:
    """What `export` writes, `grammar --exclude` reads: a space less a study's trials."""
    study.write("mine.py", "def loss(config):\n    return config['x']\n")
    own = ("tune", "mine:loss", "--space", "space.json", "--proposer", "random", "--study", "own.sqlite")
    study.call(*own, "--budget", "4")
    study.call("export", "own.sqlite", "-o", "tried.jsonl")
    whole = study.call("grammar", "space.json", "--json").json
    less = study.call("grammar", "space.json", "--exclude", "tried.jsonl", "--json").json
    assert whole["count"] - less["count"] == 4


def test_grammar_says_what_a_space_holds(folder: Folder) -> None:
    shown = folder.call("grammar", "space.json").out
    for word in ("x", "n", "64", "configurations", "longest"):
        assert word in shown


def test_grammar_notations(folder: Folder) -> None:
    regex = folder.call("grammar", "space.json", "--emit", "regex").out.rstrip("\n")
    drawn = folder.call("grammar", "space.json", "--sample", "20", "--seed", "4").out.splitlines()
    assert len(drawn) == 20
    assert all(re.fullmatch(regex, line) for line in drawn)
    assert drawn == folder.call("grammar", "space.json", "--sample", "20", "--seed", "4").out.splitlines()
    assert drawn != folder.call("grammar", "space.json", "--sample", "20", "--seed", "5").out.splitlines()
    assert "start" in folder.call("grammar", "space.json", "--emit", "lark").out
    assert "::=" in folder.call("grammar", "space.json", "--emit", "gbnf").out
    assert folder.call("grammar", "space.json", "--emit", "json-schema").json["type"] == "object"


def test_grammar_json_samples_are_configurations(folder: Folder) -> None:
    drawn = folder.call("grammar", "space.json", "--sample", "3", "--json").json
    assert len(drawn) == 3
    assert all(1 <= sample["config"]["n"] <= 64 for sample in drawn)


def test_models_list_and_info(folder: Folder) -> None:
    assert "pocket" in folder.call("models", "list").out
    assert "pocket" in [model["name"] for model in folder.call("models", "list", "--json").json["models"]]
    assert folder.call("models", "info", "pocket", "--json").json["name"] == "pocket"


def test_models_verify_pocket(folder: Folder) -> None:
    assert folder.call("models", "verify", "pocket", "--json").json["ok"] is True


def test_doctor_says_what_works_here(folder: Folder) -> None:
    document = folder.call("doctor", "--json").json
    assert document["ok"] is True
    named = {check["name"] for check in document["checks"]}
    assert {"python", "study file", "model pocket", "mask engine llguidance", "gpu"} <= named
    assert {"backend llama_cpp", "backend vllm", "backend openai"} <= named
    shown = folder.airtune("doctor").out
    assert all(name in shown for name in named)
    assert not list(folder.path.glob("*.sqlite*"))


def test_help_names_every_command(folder: Folder) -> None:
    shown = folder.airtune("--help").out
    for command in ("tune", "show", "export", "grammar", "models", "bench", "doctor"):
        assert command in shown
        assert folder.call(command, "--help").out


def test_version(folder: Folder) -> None:
    assert re.fullmatch(r"airtune \d+\.\d+\.\d+\n", folder.airtune("--version").out)
