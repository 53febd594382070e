"""`airtune tune` in its own process: tables, resuming, and the same bytes whatever happens in between."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Folder

# One line in a log per evaluation; the third blocks while there is no file "go", and says so in "began".
GATED = """
import json, os, pathlib, signal, sys
x, n = float(sys.argv[1]), int(sys.argv[2])
with open("log", "a") as log:
    log.write(f"{x} {n}\\n")
if len(open("log").readlines()) == 3 and not os.path.exists("go"):
    pathlib.Path("began").write_text("x")
    signal.pause()
print("training ...")
print(json.dumps({"loss": (x - 0.3) ** 2 + n / 100, "test_loss": x}))
"""
COMMAND = (
    "tune",
    "--space",
    "space.json",
    "--command",
    f"{sys.executable} train.py {{x}} {{n}}",
    "--seed",
    "3",
)


def export(folder: Folder, file: str = "airtune.sqlite") -> str:
    return folder.call("export", file, "--no-times").out


def test_a_study_ends_with_a_table_and_says_where_it_is(folder: Folder) -> None:
    ended = folder.call("tune", "toy/branin", "--proposer", "random", "--budget", "4")
    for number in range(4):
        assert f"[{number + 1}/4] trial {number}" in ended.err
    assert "trial" in ended.out
    assert "best" in ended.out
    assert "airtune.sqlite" in ended.out
    assert "airtune export" in ended.out
    assert (folder.path / "airtune.sqlite").exists()


def test_the_same_command_again_shows_the_table_and_says_that_it_is_complete(folder: Folder) -> None:
    command = ("tune", "toy/branin", "--proposer", "random", "--budget", "3")
    folder.call(*command)
    before = export(folder)
    again = folder.call(*command)
    assert "complete" in again.out
    assert again.err == ""
    assert export(folder) == before


def test_json_is_one_document_and_nothing_else(folder: Folder) -> None:
    document = folder.call("tune", "sklearn/svm/iris", "--proposer", "random", "--budget", "3", "--json").json
    assert [trial["number"] for trial in document["trials"]] == [0, 1, 2]
    assert document["stopped"] == "budget"
    assert document["seed"] == 0
    best = min(document["trials"], key=lambda trial: trial["loss"])
    assert document["best"]["loss"] == best["loss"]
    assert "test_loss" in document["best"]["info"]
    assert (folder.path / document["path"]).exists()


def test_no_progress_leaves_standard_error_empty(folder: Folder) -> None:
    ended = folder.call("tune", "toy/branin", "--proposer", "random", "--budget", "2", "--no-progress")
    assert ended.err == ""


@pytest.mark.parametrize("proposer", ["random", "default+random", "tpe", "gp", "cmaes"])
def test_two_runs_export_the_same_bytes_whatever_the_hash_seed(folder: Folder, proposer: str) -> None:
    exports = []
    for number, hash_seed in enumerate(("0", "1")):
        file = f"{number}.sqlite"
        task = "sklearn/svm/iris" if proposer == "random" else "toy/branin"
        command = ("tune", task, "--proposer", proposer, "--budget", "6", "--study", file)
        folder.airtune(*command, environment={"PYTHONHASHSEED": hash_seed})
        exports.append(export(folder, file))
    assert exports[0] == exports[1]
    assert exports[0].count("\n") >= 6


@pytest.mark.slow
def test_pocket_exports_the_same_bytes_whatever_the_hash_seed(folder: Folder) -> None:
    exports = []
    for number, hash_seed in enumerate(("0", "1")):
        file = f"{number}.sqlite"
        command = ("tune", "sklearn/svm/iris", "--budget", "6", "--study", file)
        folder.airtune(*command, environment={"PYTHONHASHSEED": hash_seed})
        exports.append(export(folder, file))
    assert exports[0] == exports[1]


def test_another_seed_is_another_study(folder: Folder) -> None:
    for seed in ("0", "1"):
        folder.call("tune", "toy/branin", "--proposer", "random", "--seed", seed, "--study", f"{seed}.sqlite")
    assert export(folder, "0.sqlite") != export(folder, "1.sqlite")


@pytest.mark.parametrize("proposer", ["random", "tpe"])
def test_20_and_20_trials_equal_40(folder: Folder, proposer: str) -> None:
    command = ("tune", "toy/branin", "--proposer", proposer)
    folder.call(*command, "--budget", "20", "--study", "twice.sqlite")
    folder.call(*command, "--budget", "40", "--study", "twice.sqlite")
    folder.call(*command, "--budget", "40", "--study", "once.sqlite")
    assert export(folder, "twice.sqlite") == export(folder, "once.sqlite")


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda kill: kill.name)
def test_a_study_that_was_stopped_half_way_ends_as_if_it_had_not(
    folder: Folder, kill: signal.Signals
) -> None:
    folder.write("train.py", GATED)
    options = ("--proposer", "tpe", "--budget", "6")
    process = folder.start_evaluating(*COMMAND, *options)
    if kill != signal.SIGKILL:
        if kill == signal.SIGINT:  # as a terminal does it: the whole foreground group hears Ctrl-C
            os.killpg(process.pid, kill)
        else:  # as a batch scheduler does it; it ended the process at once, without a word and its lease not given back
            process.send_signal(kill)
        out, err = process.communicate()
        assert process.returncode == 1
        assert "resume" in out + err
        assert "Traceback" not in out + err
    else:
        process.send_signal(kill)
        process.communicate()
        assert process.returncode != 0
    log = (folder.path / "log").read_text().splitlines()
    assert len(log) == 3
    folder.write("go", "")
    folder.airtune(*COMMAND, *options)
    again = (folder.path / "log").read_text().splitlines()
    assert again[3] == log[2]  # the evaluation in flight was run again, with the same configuration
    assert len(again) == 7
    folder.airtune(*COMMAND, *options, "--study", "whole.sqlite")
    assert export(folder) == export(folder, "whole.sqlite")


def test_one_file_holds_several_studies(folder: Folder) -> None:
    for seed in ("0", "1"):
        folder.call("tune", "toy/branin", "--proposer", "random", "--budget", "2", "--seed", seed)
    folder.call("tune", "toy/ackley", "--proposer", "random", "--budget", "2", "--study-name", "mine")
    studies = folder.call("show", "airtune.sqlite", "--json").json
    assert len(studies["studies"]) == 3
    assert "mine" in [study["name"] for study in studies["studies"]]


def test_an_exhausted_space_is_not_an_error(folder: Folder) -> None:
    space = json.loads((folder.path / "space.json").read_text())
    space["hyperparameters"] = [
        {
            "type": "categorical",
            "name": "k",
            "choices": ["a", "b", "c"],
            "default_value": "a",
            "weights": None,
        }
    ]
    folder.write("small.json", json.dumps(space))
    folder.write("train.py", "print('{\"loss\": 1}')\n")
    command = (
        "tune",
        "--space",
        "small.json",
        "--command",
        f"{sys.executable} train.py {{k}}",
        "--proposer",
        "random",
    )
    ended = folder.call(*command, "--budget", "9", "--json").json
    assert ended["stopped"] == "space exhausted"
    assert sorted(trial["config"]["k"] for trial in ended["trials"]) == ["a", "b", "c"]


def test_a_python_callable_by_name(folder: Folder) -> None:
    folder.write(
        "mine.py", "def loss(config):\n    return {'loss': config['x'] * config['n'], 'epochs': 3}\n"
    )
    by_option = ("tune", "--space", "space.json", "--objective", "mine:loss", "--proposer", "random")
    first = folder.call(*by_option, "--budget", "3", "--json").json
    assert first["best"]["info"] == {"epochs": 3}
    as_task = (
        "tune",
        "mine:loss",
        "--space",
        "space.json",
        "--proposer",
        "random",
        "--study",
        "other.sqlite",
    )
    second = folder.call(*as_task, "--budget", "3", "--json").json
    assert [trial["loss"] for trial in first["trials"]] == [trial["loss"] for trial in second["trials"]]


def test_two_jobs_at_a_time_are_the_same_study_twice(folder: Folder) -> None:
    """Both of a batch run at once (each waits for the other's mark); the file, exported, is the same again."""
    (folder.path / "pair.py").write_text(
        "import json, os, pathlib, sys\n"
        "x, n, here = float(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])\n"
        "here.mkdir(exist_ok=True)\n"
        "(here / f'{x!r}-{n}').touch()\n"
        "while len(os.listdir(here)) % 2: os.sched_yield()\n"
        "print(json.dumps({'loss': x * n}))\n"
    )
    for name in ("one", "two"):
        shutil.rmtree(folder.path / "met", ignore_errors=True)
        command = f"{sys.executable} pair.py {{x}} {{n}} met"
        ended = folder.call(
            "tune", "--space", "space.json", "--command", command, "--proposer", "tpe", "--budget", "6",
            "--jobs", "2", "--study", f"{name}.sqlite", "--json",
        )  # fmt: skip
        found = json.loads(ended.out)
        assert found["schedule"] == "batches of 2"
        assert [trial["status"] for trial in found["trials"]] == ["told"] * 6
    assert export(folder, "one.sqlite") == export(folder, "two.sqlite")
    lines = [json.loads(line) for line in export(folder, "one.sqlite").splitlines()]
    assert [line.get("pending") for line in lines[1:]] == [None, [0], None, [2], None, [4]]
    shown = folder.call("show", "one.sqlite", "--trial", "3")
    assert "without" in shown.out
    assert "the results of trials 2" in shown.out
    assert folder.call("replay", "one.sqlite").code == 0
