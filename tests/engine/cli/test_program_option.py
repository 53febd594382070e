"""`airtune tune --program-space`: data, a command or a callable of the user's own evaluate its programs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from airtune.engine import Evaluation, Study, StudyFile, minimize
from airtune.engine.cli.app import main
from airtune.engine.cli.program_option import task_of_programs
from airtune.engine.evaluation.result import TrialFailed
from airtune.engine.proposers.first import checked_first
from airtune.grammars import AirtuneError, free_program, program_space
from tests.engine.sandbox.here import needs_sandbox

TINY = program_space("tiny")
OBJECTIVE = (
    "def loss(source):\n    return {'loss': float(len(source)), 'neighbors': 'model = KN' in source}\n"
)
PRINTS = "import json, sys; print(json.dumps({'loss': len(sys.argv[1])}))"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"{i % 13},{i * 7 % 11},{2 * (i % 13) + i * 7 % 11}\n" for i in range(60)]
    (tmp_path / "sums.csv").write_text("a,b,sum\n" + "".join(rows))
    (tmp_path / "harness.py").write_text(PRINTS)
    (tmp_path / "mine_of_programs.py").write_text(OBJECTIVE)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    with pytest.raises(SystemExit) as ended:
        main(["tune", *arguments, "--json"])
    return int(ended.value.code or 0), json.loads(capsys.readouterr().out)


DATA = ("--data", "sums.csv", "--target", "sum", "--score", "mse")
FEW = ("--proposer", "default+random", "--budget", "2")


@pytest.mark.parametrize(
    "sandbox", [pytest.param((), marks=needs_sandbox, id="sandbox"), ("--sandbox", "none")]
)
def test_a_table(sandbox: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """The first is the default program, a ridge regression, for which the sums are easy."""
    code, told = run("--program-space", "tiny", *DATA, *FEW, *sandbox, capsys=capsys)
    assert code == 0
    assert told["task"].startswith("tiny/sums-")
    assert told["metric"] == "validation mse"
    assert [trial["status"] for trial in told["trials"]] == ["told"] * 2
    first = told["trials"][0]
    assert first["config"] == TINY.default()
    assert 0 < first["loss"] < 0.1
    assert 0 < first["info"]["test_loss"] < 0.1
    with StudyFile("airtune.sqlite", readonly=True) as file:
        (study,) = file.studies()
    assert study.manifest["sandbox"] == ("none" if sandbox else "bubblewrap")
    assert "predicting sum from a, b" in study.manifest["description"]


@pytest.mark.parametrize("sandbox", [pytest.param(("--sandbox",), marks=needs_sandbox, id="sandbox"), ()])
def test_a_command_gets_the_source(sandbox: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    command = f"{sys.executable} harness.py {{program}}"
    code, told = run("--program-space", "tiny", "--command", command, *FEW, *sandbox, capsys=capsys)
    assert code == 0
    for trial in told["trials"]:
        assert trial["loss"] == len(TINY.render(trial["config"]))


def test_a_callable_gets_the_source(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = run("--program-space", "tiny", "--objective", "mine_of_programs:loss", *FEW, capsys=capsys)
    assert code == 0
    for trial in told["trials"]:
        assert trial["loss"] == len(TINY.render(trial["config"]))
        assert trial["info"]["neighbors"] == (trial["config"]["model"] == "neighbors")


def test_minimize_takes_a_program_space() -> None:
    found = minimize(lambda source: float(len(source)), TINY, budget=3, proposer="random")
    for trial in found.trials:
        assert trial.loss == len(TINY.render(trial.config))


def test_a_file_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    Path(
        "a=b.space"
    ).write_text(  # bug: with an equals sign in its name, it was taken for the text of a space
        'p: P = """\n    def fit_predict(train_x, train_y, test_x, seed):\n'
        '        return test_x[:, {column: int}] * {factor: int}\n    """\n'
        "column: int = 0 .. 1\nfactor: int = 1 .. 2"
    )
    options = (
        "--program-space",
        "a=b.space",
        *DATA,
        "--sandbox",
        "none",
        "--proposer",
        "random",
        "--budget",
        "9",
    )
    code, told = run(*options, capsys=capsys)
    assert code == 0
    assert told["stopped"] == "space exhausted"
    assert len({trial["loss"] for trial in told["trials"]}) == 4
    assert told["best"]["config"] == {"column": 0, "factor": 2}


@pytest.mark.parametrize(
    ("arguments", "why", "says"),
    [
        (["--program-space", "tiny"], "nothing to evaluate its programs with", "--data FILE"),
        (["--program-space", "tiny", *DATA, "--command", "x {program}"], "--data and --command were both", "one of"),
        (["toy/branin", "--program-space", "tiny", *DATA], "TASK and --program-space were both given", "one of"),
        (["--space", "s.json", "--program-space", "tiny", *DATA], "--space and --program-space", "one of"),
        (["--program-space", "tinny", *DATA], "unknown program space", "tiny"),
        (["--program-space", "tiny", *DATA[:4]], "how predictions are scored was not said", "mse (mean squared error)"),
        (["--program-space", "tiny", *DATA[:2], "--score", "mse"], "no column to predict", "--target"),
        (["--program-space", "tiny", *DATA[:2], "--target", "som", "--score", "mse"], "'som'", "'sum'"),
        (["--program-space", "tiny", "--command", "x {program}", "--score", "mse"], "--score was given", "--data"),
        (["--target", "sum", "toy/branin"], "--target was given without a program space", "--program-space"),
        (["--program-space", "tiny", "--command", "python x.py"], "does not use", "{program}"),
        (["--data", "my sums.csv"], "no task was given", "airtune tune --program-space NAME --data 'my sums.csv'"),
        (["toy/branin", "--data", "."], "needs no data folder", "--program-space"),
        (["moved/nyc_taxi/mlp", "--data", "here"], "from the environment", "AIRTUNE_DATA=here"),
        (["--space", "sums.free", "--command", "x {x}"], "describes free programs", "--program-space sums.free"),
        (["--space", "s.json", "--command", "x {x}", "--data", "."], "--data was given with a search space", "task"),
        (["--program-space", "none.space", *DATA], "cannot read the program space", "UTF-8"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(
    arguments: list[str], why: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("s.json").write_text('{"x": {"type": "float", "low": 0, "high": 1}}')
    code, told = run(*arguments, *FEW, capsys=capsys)
    assert code == 2
    assert why in told["error"]["message"]
    assert says in str(told["error"]["allowed"]) + str(told["error"]["fix"])
    assert not Path("airtune.sqlite").exists()


def test_a_space_whose_programs_have_another_function(capsys: pytest.CaptureFixture[str]) -> None:
    Path("other.space").write_text('p: P = "def learn(x): return {n: int}"\nn: int = 1 .. 3')
    code, told = run("--program-space", "other.space", *DATA, *FEW, capsys=capsys)
    assert code == 2
    assert "does not define def fit_predict(train_x, train_y, test_x, seed)" in told["error"]["message"]
    assert "--command" in told["error"]["fix"]


FREE = 'signature = "fit_predict(train_x, train_y, test_x, seed)"\nimports = ["numpy"]\n'
SUMS = """def fit_predict(train_x, train_y, test_x, seed):
    import numpy
    return test_x @ numpy.linalg.lstsq(train_x, train_y, rcond=None)[0]
"""


@needs_sandbox
def test_free_programs_run_in_the_sandbox_as_those_of_a_space_do(tmp_path: Path) -> None:
    """What a model would have written is scored outside; what is no program, or does harm, is a failure."""
    (tmp_path / "sums.free").write_text(FREE)
    task = task_of_programs("sums.free", Path("sums.csv"), "sum", "mse", None, None, others={}, here=True)
    free = free_program("sums.free")
    result = task.objective(free.decode(SUMS))
    assert isinstance(result, dict)
    assert result["loss"] < 1e-12
    assert result["test_loss"] < 1e-12
    reads = SUMS.replace(
        "numpy.linalg.lstsq(train_x, train_y, rcond=None)[0]", f"numpy.load({str(tmp_path / 'sums.csv')!r})"
    )
    with pytest.raises(TrialFailed, match="FileNotFoundError"):
        task.objective(free.decode(reads))
    assert (tmp_path / "sums.csv").exists()


def test_a_free_program_to_try_is_taken_in_its_normal_form(tmp_path: Path) -> None:
    """Bug: it was refused unless it was written as Python's `ast.unparse` writes it."""
    (tmp_path / "sums.free").write_text(FREE)
    free = free_program("sums.free")
    assert checked_first(free.space, [{"source": SUMS.replace("    ", " ")}]) == [free.decode(SUMS)]
    with pytest.raises(AirtuneError, match="not one function of the signature"):
        checked_first(free.space, [{"source": "x = 1"}])


def test_a_file_whose_name_is_no_text() -> None:
    """Bug: the study file could not hold the study's name, and was said to be unwritable."""
    name = os.fsdecode(b"\xff.csv")
    Path("sums.csv").rename(name)
    task = task_of_programs("tiny", Path(name), "sum", "mse", None, None, others={}, here=True)
    with Study(task, "random", path="s.sqlite", evaluation=Evaluation(sandbox="none")) as study:
        assert study.name.startswith("tiny/?-")


def test_another_signature_is_refused_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sums.free").write_text(FREE.replace("fit_predict", "learn"))
    with pytest.raises(SystemExit) as ended:
        main(["tune", "--program-space", "sums.free", *DATA])
    assert ended.value.code == 2
    assert "of free programs: the signature" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*DATA, "--proposer", "tpe"), "proposer 'tpe' cannot search free programs"),
        ((*DATA, "--model", "scripted"), "cannot search free programs"),
        (("--command", "python a.py {program}"), "evaluated with --data only"),
        (("--objective", "mine_of_programs:loss"), "evaluated with --data only"),
    ],
)
def test_what_free_programs_do_not_go_with(
    arguments: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sums.free").write_text(FREE)
    with pytest.raises(SystemExit) as ended:
        main(["tune", "--program-space", "sums.free", *arguments])
    assert ended.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "airtune.sqlite").exists()
