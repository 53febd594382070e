"""`airtune export --program N`: a script that is really run, without Airtune, and prints the loss of the trial."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airtune.benchmarks import get_task
from airtune.benchmarks.tasks.programs import DATA
from airtune.engine import Evaluation, Study, StudyFile, Task
from airtune.engine.cli.app import main
from airtune.grammars import program_space
from tests.engine.sandbox.here import needs_sandbox

TINY = program_space("tiny")
# No airtune in it, as on another machine; and other numbers of threads would change the last bits.
ALONE = "import sys, runpy; sys.modules['airtune'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"


def exported(capfdbinary: pytest.CaptureFixture[bytes], *arguments: str, code: int = 0) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["export", *arguments])
    assert ended.value.code == code
    printed = capfdbinary.readouterr()
    return (printed.err if code else printed.out).decode()


def run(script: Path, *, alone: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if "THREADS" not in name}
    command = [sys.executable, *(["-I", "-c", ALONE] if alone else []), str(script)]
    return subprocess.run(
        command, env={**kept, **environment}, capture_output=True, text=True, timeout=300, check=False
    )


def same_loss(path: Path, number: int, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """The script's losses are those of the trial, to the bit."""
    script = path.parent / "train.py"
    script.write_text(exported(capfdbinary, str(path), "--program", str(number)), encoding="utf-8")
    with StudyFile(path, readonly=True) as file:
        trial = file.records(file.get().name)[number].trial
    assert trial.loss is not None, trial.reason
    ended = run(script)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {"loss": trial.loss, **trial.info}
    assert f"validation {'mse' if 'diabetes' in path.name else 'error'} {trial.loss!r}" in script.read_text()


# Of the images a network that has an epoch or two: of classes, numbers and images the code of the script differs.
@pytest.mark.parametrize(
    ("data", "sandbox"),
    [
        pytest.param("wine", None, marks=needs_sandbox),
        ("diabetes", "none"),
        pytest.param("digits", "none", marks=pytest.mark.slow),
        pytest.param("breast_cancer", "none", marks=pytest.mark.slow),
        pytest.param("digits-images", "none", marks=pytest.mark.slow),
    ],
)
def test_the_script_gives_the_same_loss(
    data: str, sandbox: Any, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    task, path = get_task(f"sklearn/program/{data}"), tmp_path / f"{data}.sqlite"
    space = program_space(DATA[data].space)
    first = space.default() if data != "digits-images" else {**space.default(), "epochs": 2}
    with Study(task, "random", path=path, first=[first], evaluation=Evaluation(sandbox=sandbox)) as study:
        study.run(1)
    same_loss(path, 0, capfdbinary)


def test_a_table_of_ones_own(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reader is Airtune's; AIRTUNE_DATA says where the file is now, and another one is refused."""
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{i % 13},{'xyz'[i % 3]},{2 * (i % 13) + i % 7}\n" for i in range(60))
    (tmp_path / "sums.csv").write_text("a,b,sum\n" + rows)
    with pytest.raises(SystemExit) as ended:
        main(
            "tune --program-space tiny --data sums.csv --target sum --score mse --sandbox none --budget 2 "
            "--proposer default+random --json".split()
        )
    assert ended.value.code == 0
    trials = json.loads(capfdbinary.readouterr().out)["trials"]
    script = tmp_path / "train.py"
    script.write_text(exported(capfdbinary, "airtune.sqlite", "--program", "1"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/moved.csv").write_bytes((tmp_path / "sums.csv").read_bytes())
    (tmp_path / "sums.csv").unlink()
    found = run(script, alone=False, AIRTUNE_DATA="elsewhere/moved.csv")
    assert json.loads(found.stdout) == {"loss": trials[1]["loss"], **trials[1]["info"]}, found.stderr
    (tmp_path / "other.csv").write_text("a,b,sum\n" + rows * 2)
    refused = run(script, alone=False, AIRTUNE_DATA="other.csv")
    assert refused.returncode == 1
    assert "is not the file that the study was made with" in refused.stderr


@pytest.fixture
def own(tmp_path: Path) -> Path:
    def loss(config: dict[str, Any]) -> dict[str, float]:
        if config["model"] == "ridge":
            raise ValueError("of several\nlines '''")
        return {"loss": 1.0, "of\nlines": 2.0}  # bug: what follows its line break was no comment

    with Study(Task("my\ntask", TINY.space, loss), "random", path=tmp_path / "own.sqlite") as study:
        study.run(6)
    return tmp_path / "own.sqlite"


def test_of_an_objective_in_python_the_program_alone(
    own: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Failed ones, too; names and reasons with line breaks stay comments."""
    with StudyFile(own, readonly=True) as file:
        records = file.records(file.get().name)
    assert {one.trial.status for one in records} == {"told", "failed"}
    for record in records:
        text = exported(capfdbinary, str(own), "--program", str(record.trial.number))
        head, source = text.split("\n\n", 1)
        assert source == TINY.render(record.trial.config)
        assert all(line.startswith("# ") for line in head.split("\n"))
        assert ("# failed: " in head) == (record.trial.status == "failed")
        ast.parse(text)


def test_the_head_promises_losses_where_there_are_some(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    plain = get_task("sklearn/program/wine")
    task = Task("mine", plain.space, Script())
    configs = [plain.space.get_default_configuration(), plain.space.sample_configuration()]
    for noise in (None, "0.5"):
        path = tmp_path / f"{noise}.sqlite"
        evaluation = Evaluation(noise=noise)
        with Study(
            task, "random", path=path, first=[dict(one) for one in configs], evaluation=evaluation
        ) as study:
            assert [trial.loss is None for trial in study.run(2).trials] == [False, True]
        told, failed = (exported(capfdbinary, str(path), "--program", str(number)) for number in range(2))
        assert (
            "it prints the same losses, without the noise." if noise else "it prints the same losses."
        ) in told
        assert "# failed: " in failed
        assert "it shows how the program ends." in failed


class Script:
    """An objective of which a script is kept: the first call has a loss, the second one none."""

    program_script = "{program}\n"

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, config: dict[str, Any]) -> float:
        self.calls += 1
        return 1.0 if self.calls % 2 else float("nan")


def test_a_file_to_write_to_and_what_is_refused(own: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    exported(capfdbinary, str(own), "--program", "0", "-o", str(own.parent / "train.py"))
    assert (own.parent / "train.py").read_text() == exported(capfdbinary, str(own), "--program", "0")
    assert "allowed: 0 to 5" in exported(capfdbinary, str(own), "--program", "6", code=2)
    assert "leave the others out" in exported(capfdbinary, str(own), "--program", "1", "--csv", code=2)
    with Study(get_task("toy/branin"), "random", path=own.parent / "toy.sqlite") as study:
        study.run(1)
    said = exported(capfdbinary, str(own.parent / "toy.sqlite"), "--program", "0", code=2)
    assert "over configurations, and not over programs" in said
    assert "--trial 0 shows the configuration" in said
