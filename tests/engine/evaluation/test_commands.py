from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace, EqualsCondition

from airtune.engine import Evaluation, Study, Task, TaskError, command_objective
from airtune.engine.evaluation.answer import read_output
from airtune.engine.evaluation.commands import _failure
from airtune.engine.evaluation.outcome import evaluate
from airtune.engine.evaluation.result import TrialFailed
from airtune.engine.evaluation.workers import Worker

ECHO = "import json, sys; print(json.dumps({'loss': 1, 'argv': sys.argv[1:]}))"


@pytest.fixture
def space() -> ConfigurationSpace:
    return ConfigurationSpace({"lr": (0.0001, 1.0), "depth": (1, 9), "act": ["relu", "tanh"]})


CONFIG: dict[str, Any] = {"lr": 1e-05, "depth": 3, "act": "relu"}


def program(tmp_path: Path, code: str) -> str:
    (tmp_path / "train.py").write_text(code)
    return f"{sys.executable} {tmp_path / 'train.py'}"


def argv(template: str, space: ConfigurationSpace, config: dict[str, Any]) -> list[str]:
    return command_objective(template, space).argv(config)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("train --lr {lr} --depth={depth} {act}", ["train", "--lr", "1e-05", "--depth=3", "relu"]),
        ("train '{lr} {depth}' \"{act}\" a\\ b", ["train", "1e-05 3", "relu", "a b"]),
        ("train {lr}{depth}{act}{lr}", ["train", "1e-053relu1e-05"]),
        ("train {{lr}} {{{lr}}} {depth} {act}", ["train", "{lr}", "{1e-05}", "3", "relu"]),
        ("train {config_json}", ["train", '{"lr": 1e-05, "depth": 3, "act": "relu"}']),
        ("sh -c 'train $AIRTUNE_CONFIG'", ["sh", "-c", "train $AIRTUNE_CONFIG"]),
    ],
)
def test_templates(space: ConfigurationSpace, template: str, expected: list[str]) -> None:
    assert argv(template, space, CONFIG) == expected


@pytest.mark.parametrize(
    "choice", ["$(touch pwned)", "; rm x", "a'b\"c", "{lr}", "two words", "", "--x", "*", "\\"]
)
def test_values_are_never_parsed_again(choice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    space = ConfigurationSpace({"c": [choice, "other"], "lr": (0.0, 1.0)})
    objective = command_objective(program(tmp_path, ECHO) + " {c} {lr}", space)
    assert objective({"c": choice, "lr": 0.5})["argv"] == [choice, "0.5"]
    assert [path.name for path in tmp_path.iterdir()] == ["train.py"]


@pytest.mark.parametrize("name", ["a b", "model:lr", "a.b", "ä", "it's", "x}", "config_json"])
def test_names_with_odd_characters(name: str) -> None:
    space = ConfigurationSpace({name: (1, 9)})
    assert argv('train "{' + name + '}"', space, {name: 3}) == ["train", "3"]


def test_a_name_that_looks_like_an_escape_needs_the_whole_configuration() -> None:
    space = ConfigurationSpace({"{x}": (1, 9)})
    with pytest.raises(TaskError, match="does not use"):
        command_objective("train {{x}}", space)
    assert argv("train {config_json}", space, {"{x}": 3}) == ["train", '{"{x}": 3}']


def test_inactive_hyperparameters_go_with_their_options() -> None:
    space = ConfigurationSpace({"kernel": ["rbf", "linear"], "gamma": (0.1, 1.0), "c": (1, 9)})
    space.add(EqualsCondition(space["gamma"], space["kernel"], "rbf"))
    template = "svm --kernel {kernel} --gamma {gamma} -v --g={gamma} -n -1 {gamma} {c}{gamma} --last {c}"
    assert argv(template, space, {"kernel": "rbf", "gamma": 0.5, "c": 2}) == [
        "svm", "--kernel", "rbf", "--gamma", "0.5", "-v", "--g=0.5", "-n", "-1", "0.5", "20.5", "--last", "2"
    ]  # fmt: skip
    # An option that stands alone before a dropped argument is taken for its name: -v here, but not -1.
    assert argv(template, space, {"kernel": "linear", "c": 2}) == [
        "svm", "--kernel", "linear", "-n", "-1", "--last", "2"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("template", "message", "fix"),
    [
        ("", "is empty", "for example"),
        ("train 'open", "No closing quotation", "quote"),
        ("train {lrr} {depth} {act}", "names 'lrr'", "did you mean 'lr'?"),
        ("train {} {lr} {depth} {act}", "names ''", "use one of {act}, {depth}, {lr}"),
        ("train {lr {depth} {act}", "single '{'", "double the brace"),
        ("train lr} {depth} {act}", "single '}'", "double the brace"),
        ("train {lr}", "does not use 'act', 'depth'", "{config_json}"),
        ("train", "does not use 'act', 'depth', 'lr'", "{config_json}"),
    ],
)
def test_bad_templates(space: ConfigurationSpace, template: str, message: str, fix: str) -> None:
    with pytest.raises(TaskError) as caught:
        command_objective(template, space)
    assert message in caught.value.message
    assert caught.value.allowed
    assert all(part in (caught.value.hint or "") for part in fix.split(", "))


def test_the_configuration_is_in_the_environment(space: ConfigurationSpace, tmp_path: Path) -> None:
    code = "import os, json\nprint(json.dumps({'loss': 1, **json.loads(os.environ['AIRTUNE_CONFIG'])}))\n"
    objective = command_objective(program(tmp_path, code) + " {config_json}", space)
    assert objective(CONFIG) == {"loss": 1.0, **CONFIG}


@pytest.mark.parametrize(
    ("printed", "result"),
    [
        ('{"loss": 0.25, "test_loss": 0.5}', {"loss": 0.25, "test_loss": 0.5}),
        ("0.25", {"loss": 0.25}),
        ('{"loss": 9}\nepoch 1\n{"loss": 1}\nsaved to disk\n\n', {"loss": 1.0}),
        ('{"loss": 1}\r\n', {"loss": 1.0}),
        ('{"loss": 1}\n"done"\ntrue\nnull\n[1, 2]\n{oops}', {"loss": 1.0}),
    ],
)
def test_the_last_line_of_json_is_the_result(
    space: ConfigurationSpace, tmp_path: Path, printed: str, result: dict[str, Any]
) -> None:
    objective = command_objective(program(tmp_path, f"print({printed!r})") + " {config_json}", space)
    assert objective(CONFIG) == result


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('no figure')", "the command printed no JSON with the loss"),
        ("", "the command printed no JSON with the loss"),
        ('print(\'{"loss": "low"}\')', "a mapping whose 'loss' is a str: 'low'"),
        ("print('{\"loss\": NaN}')", "a mapping whose 'loss' is NaN"),
        ("print('Infinity')", "objective returned inf"),
        ("print('{\"score\": 1}')", "without the key 'loss' (its keys: 'score')"),
        ("import sys; sys.exit('out of memory')", "the command exited with code 1: out of memory"),
        ("import sys; sys.exit(3)", "the command exited with code 3"),
        (
            "print('{\"loss\": 1}'); 1 / 0",
            "the command exited with code 1: ZeroDivisionError: division by zero",
        ),
        ("import os; os.kill(os.getpid(), 9)", "the command was killed by SIGKILL"),
        ("import os; os.write(1, b'\\xff\\xfe{')", "the command printed no JSON with the loss"),
    ],
)
def test_commands_that_fail(space: ConfigurationSpace, tmp_path: Path, code: str, reason: str) -> None:
    objective = command_objective(program(tmp_path, code) + " {config_json}", space)
    outcome = evaluate(objective, CONFIG)
    assert outcome.loss is None
    assert reason in (outcome.reason or "")


def test_programs_that_are_not_there(space: ConfigurationSpace, tmp_path: Path) -> None:
    for name in ("no-such-program-here", str(tmp_path)):
        reason = evaluate(command_objective(f"{name} {{config_json}}", space), CONFIG).reason
        assert reason is not None
        assert reason.startswith(f"the command {name!r} cannot be run: ")


# Says who it and its child are, and never ends.
ENDLESS = """
import os, signal, subprocess, sys
child = subprocess.Popen(["sleep", "1000"], pass_fds=[fifo := os.open(sys.argv[1], os.O_WRONLY)])
signal.pause()
"""


@pytest.mark.parametrize("in_worker", [False, True])
def test_a_time_limit_ends_the_command_and_its_children(tmp_path: Path, in_worker: bool) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    space = ConfigurationSpace({"x": (0.0, 1.0)})
    template = f"{program(tmp_path, ENDLESS)} {fifo} {{x}}"
    if in_worker:
        with Worker(command_objective(template, space), timeout_s=1.0) as worker:
            outcome = worker.evaluate({"x": 0.5})
    else:
        outcome = evaluate(command_objective(template, space, timeout_s=1.0), {"x": 0.5})
    assert outcome.reason == "timed out after 1 s"
    os.set_blocking(held, True)
    assert os.read(held, 1) == b""  # the end comes when the last of those who hold it open has ended
    os.close(held)


def test_a_study_of_a_command(space: ConfigurationSpace, tmp_path: Path) -> None:
    code = (
        "import json, sys\nlr, depth = float(sys.argv[1]), int(sys.argv[2])\nprint(json.dumps(lr + depth))\n"
    )
    template = program(tmp_path, code) + " {lr} {depth} {act}"
    with Study(
        Task("t", space, command_objective(template, space)), "random", evaluation=Evaluation(timeout_s=60)
    ) as study:
        for trial in study.run(3).trials:
            assert trial.loss == trial.config["lr"] + trial.config["depth"]


def test_output_is_kept_for_those_who_look(space: ConfigurationSpace, tmp_path: Path) -> None:
    code = "import sys\nprint('epoch 1')\nsys.exit('broken')\n"
    with Worker(command_objective(program(tmp_path, code) + " {config_json}", space)) as worker:
        outcome = worker.evaluate(json.loads(json.dumps(CONFIG)))
    assert "epoch 1" in outcome.log
    assert "broken" in outcome.log


@pytest.mark.parametrize(
    ("printed", "result"),
    [
        ('{\n "loss": 0.25,\n "best": [\n  3,\n  2,\n  1\n ]\n}\n', {"loss": 0.25, "best": [3, 2, 1]}),
        ('{\n\t"loss":\n 0.25,\n "runs": [\n{"loss": 9}\n]}', {"loss": 0.25, "runs": [{"loss": 9}]}),
        (
            '{"loss": 1}\r\n{\r\n"loss": 2,\r\n"n": {\r\n"loss": 3\r\n}\r\n}\r\n',
            {"loss": 2, "n": {"loss": 3}},
        ),
        ('{"loss": 1, "a": "x\u2028y\u2029z\u0085w"}', {"loss": 1, "a": "x\u2028y\u2029z\u0085w"}),
        ("[INFO] epoch 1\n[1/2] x\n  0.5\nDone.\n", {"loss": 0.5}),
        ('10%\r99%\r{"loss": 0.5}\n', {"loss": 0.5}),
        ("[\n 1,\n 2\n]\n0.5\n[\n 3\n]\n", {"loss": 0.5}),
        ("Result:\n\n      0.2500\n", {"loss": 0.25}),
        ("0.9\n.5\n", {"loss": 0.5}),
        ("0.9\n+5.\n", {"loss": 5.0}),
        ("0.9\n-.5E-1\n", {"loss": -0.05}),
        ('\ufeff{"loss": 0.5}\r\n', {"loss": 0.5}),
        ("{'loss': 0.9}\n0.5\n", {"loss": 0.5}),
    ],
)
def test_the_last_document_is_the_result(printed: str, result: object) -> None:
    assert read_output(printed) == result


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ('{\n "loss": 0.25,\n "best": [\n  1\n ]\n', "cannot be read, from the line '{' on"),
        ('{"loss": 0.9}\n{"loss": 0.25,\n "best": [\n  1,\n 2,\n]\n}', "from the line '{\"loss\": 0.25,' on"),
        ("result: {\n'best': [\n3\n]\n}", "the command printed no JSON with the loss"),
        ('{"loss": 1} done', 'a loss in what is no JSON: {"loss": 1} done: Extra data'),
        ('{\n"loss": 1,\n"a": [\n2\n]} done', "the command printed no JSON with the loss"),
        ("[" * 100_000, "the command printed no JSON with the loss"),
        # Bug: of a program that prints a loss each epoch and diverges, the last one before counted.
        ("0.5\nnan\n", "objective returned NaN"),
        ("0.5\n-inf\n", "objective returned -inf"),
        ("0.5\n" + "9" * 5000, "objective returned inf"),
        ('{"loss": 0.5}\n{"loss": nan}\n', 'a loss in what is no JSON: {"loss": nan}: Expecting value'),
        ('{"loss": 0.5}\n{"epoch": 2, "loss": inf}\n', "a loss in what is no JSON"),
        ('{"loss": 0.5}\n{"loss": 0,4}\n', "a loss in what is no JSON"),
        ("0.5\n{'loss': 0.4}\n", "a loss in what is no JSON"),
        ('{"loss": 0.5}{"loss": 0.4}\n', "a loss in what is no JSON"),
    ],
)
def test_no_part_of_a_broken_document_is_the_result(printed: str, reason: str) -> None:
    with pytest.raises(TrialFailed) as caught:
        read_output(printed)
    assert reason in str(caught.value)


def test_an_error_is_cut_at_line_feeds_alone() -> None:
    assert _failure(1, "Traceback\nValueError: a\u2028b\u0085c\r\n").endswith(": ValueError: a\u2028b\u0085c")


class _Gone:
    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("stream", [None, _Gone()])
def test_without_a_standard_error_no_loss_is_lost(
    space: ConfigurationSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: object
) -> None:
    """Bug: every trial failed in a process that has none (a window, a service), or whose reader has gone."""
    objective = command_objective(program(tmp_path, ECHO) + " {lr} {depth} {act}", space)
    monkeypatch.setattr(sys, "stderr", stream)
    outcome = evaluate(objective, CONFIG)
    monkeypatch.undo()
    assert (outcome.reason, outcome.loss) == (None, 1)
