"""Studies over free programs: only a language model that writes code searches them, and it is told what was refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from airtune.engine import Study, StudyFile, Task, load_proposer, minimize
from airtune.engine.cli.app import main
from airtune.engine.replay.derive import replay
from airtune.engine.replay.report import Options
from airtune.grammars import AirtuneError, FreeProgram
from airtune.models import Completion, ModelError, Request, load_model
from airtune.models.dialects.code.dialect import CodeDialect

PROGRAM = FreeProgram("f(x)", ("math",), 64)
GOOD = [
    "def f(x):\n    return x\n",
    "def f(x):\n    import math\n    return math.sqrt(x)\n",
    "def f(x):\n    return 1 / 0\n",
]


class Writer:
    """A model of texts that are given; a text that ends with an ellipsis was cut."""

    name = "writer"

    def __init__(self, texts: Sequence[str]) -> None:
        self.dialect = CodeDialect()
        self.texts, self.prompts = list(texts), list[str]()

    def manifest(self) -> dict[str, Any]:
        names = {"model": self.name, "backend": "scripted", "dialect": self.dialect.name}
        return {**names, "files": {}, "versions": {}, "settings": {}, "weights": 0, "weights_bytes": 0}

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        done = []
        for request in requests:
            self.prompts.append(request.prompt)
            text = self.texts.pop(0)
            finish = "length" if text.endswith("...") else "stop"
            done.append(Completion(text, (1, 2), (-0.5, 0.0), finish, 10, 1))
        return done


def loss(config: dict[str, Any]) -> float:
    names: dict[str, Any] = {}
    exec(compile(PROGRAM.render(config), "program", "exec"), names)
    return float(names["f"](4.0))


def task() -> Task:
    return Task("roots", PROGRAM.space, loss, description="Find the least.")


def test_a_study(tmp_path: Path) -> None:
    """Programs are tried as they are written; what fails is told, and a replay derives all of it again."""
    file = tmp_path / "s.sqlite"
    model = Writer(GOOD)
    with Study(task(), load_proposer("lm", model=model), path=file, name="s") as study:
        found = study.run(3)
    assert [(one.status, one.loss) for one in found.trials] == [
        ("told", 4.0),
        ("told", 2.0),
        ("failed", None),
    ]
    assert [one.config["source"] for one in found.trials] == GOOD
    assert found.best is not None
    assert PROGRAM.render(found.best.config) == GOOD[1]
    first, second, third = model.prompts
    assert "```python\ndef f(x):\n```" in first
    assert "It may import math, in its body" in first
    assert "An answer of more than 64 tokens is cut." in first
    assert "default" not in first
    assert f"Program 0, loss 4:\n```python\n{GOOD[0]}```" in second
    assert f"Program 1, loss 2:\n```python\n{GOOD[1]}```" in third
    report = replay(file, options=Options(0))
    assert report.holds, report.json()
    with Study(
        task(), load_proposer("lm", model=(again := Writer(["def f(x):\n  return 3"]))), path=file, name="s"
    ) as study:
        assert study.run(4).trials[3].loss == 3.0
    assert "ZeroDivisionError" in again.prompts[0]


def test_what_a_person_sees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table, a trial, what is new in it, a script, and a report, which has no scale to draw texts on."""
    monkeypatch.setenv("COLUMNS", "80")
    file = tmp_path / "s.sqlite"
    with Study(task(), load_proposer("lm", model=Writer(GOOD)), path=file, name="s") as study:
        study.run(3)

    def said(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main([*arguments])
        assert not ended.value.code
        return capsys.readouterr().out

    table = said("show", str(file))
    assert "3 lines: return math.sqrt(x)" in table
    assert "def f" not in table
    assert max(len(line) for line in table.splitlines() if str(file) not in line) <= 80
    assert "--trial 1" in table

    shown = said("show", str(file), "--trial", "1")
    assert "program\n  def f(x):\n      import math\n      return math.sqrt(x)\n" in shown
    assert "difference to trial 0, the best before it (loss 4)" in shown
    assert json.loads(said("show", str(file), "--trial", "1", "--json"))["program"] == GOOD[1]
    assert said("export", str(file), "--program", "1").endswith(GOOD[1])
    assert "Traceback" not in said("report", str(file), "--out", str(tmp_path / "report"))
    assert "math.sqrt" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


def test_what_was_refused_is_told_before_the_next_answer(tmp_path: Path) -> None:
    """It is no trial; the next prompt shows the answer and why it was refused, and the transcript keeps it."""
    file = tmp_path / "s.sqlite"
    refused = [
        "def f(x):\n    import os\n    return x\n",
        "def f(x):\n  return  x",
        "def f(x):\n    return (((...",
        "no",
    ]
    model = Writer([GOOD[0], *refused, GOOD[1]])
    with Study(task(), load_proposer("lm", model=model), path=file, name="s") as study:
        trials = study.run(2).trials
    assert [one.config["source"] for one in trials] == GOOD[:2]
    reasons = [
        "line 2 imports 'os', which is not allowed",
        "this program was tried already",
        "the answer ended with 'length': it was too long, and was cut",
        "the program does not parse",
    ]
    for number, (answer, reason) in enumerate(zip(refused[:3], reasons, strict=False)):
        shown = model.prompts[2 + number]
        assert f"Program {number + 1}, failed: " in shown
        assert reason in shown
        assert answer.rstrip("\n") in shown
        assert reason not in model.prompts[1 + number]
    with StudyFile(file, readonly=True) as stored:
        told = stored.transcripts("s")[1]["rejected"]
    assert [one["text"] for one in told] == refused[:3] + refused[3:]
    assert [one["reason"][:20] for one in told[:3]] == [reason[:20] for reason in reasons[:3]]
    report = replay(file, options=Options(0))
    assert report.holds, report.json()


def test_a_model_that_writes_no_program_ends_the_run(tmp_path: Path) -> None:
    with (
        Study(task(), load_proposer("lm", model=Writer(["no"] * 8)), path=tmp_path / "s.sqlite") as study,
        pytest.raises(ModelError, match=r"no usable configuration .* in 8 attempts") as raised,
    ):
        study.run(1)
    assert "raise max_tokens" in str(raised.value.hint)


@pytest.mark.parametrize(
    ("proposer", "dialect"),
    [("random", None), ("uniform", None), ("tpe", None), ("gp", None), ("local", None), ("lm+gp", "code"),
     ("hybrid", "code"), ("default+lm", "code"), ("default+random", None), ("lm", "chat"), ("lm", "pocket")],
)  # fmt: skip
def test_who_cannot_search_them_is_refused_before_the_first_trial(
    proposer: str, dialect: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "s.sqlite"
    made = load_proposer(proposer, model=load_model("scripted", dialect=dialect) if dialect else None)
    with pytest.raises(AirtuneError, match="cannot search free programs") as refused:
        Study(task(), made, path=file)
    assert proposer in refused.value.message
    assert not file.exists()
    if dialect is None:  # and nobody else is taken instead
        with pytest.raises(AirtuneError, match="cannot search free programs"):
            minimize(loss, PROGRAM.space, budget=1, proposer=proposer)


def test_the_model_of_no_weights_says_that_it_cannot_draw_them(tmp_path: Path) -> None:
    model = load_model("uniform", dialect="code")
    with (
        Study(task(), load_proposer("lm", model=model), path=tmp_path / "s.sqlite") as study,
        pytest.raises(AirtuneError, match="a free program cannot be drawn by its number"),
    ):
        study.run(1)
