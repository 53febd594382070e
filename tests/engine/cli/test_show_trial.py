"""What `airtune show FILE --trial N` and tables make of long and odd texts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import Study, StudyFile, Task
from airtune.engine.cli.output import best_text, config_text, loss_text
from airtune.engine.cli.show_trial import _improvement_text, _section, show_trial
from airtune.engine.types import Trial


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\u2028b\u0085c\x0cd\n", ["  a\u2028b\u0085c\x0cd"]),
        ("a\r\nb\rc\n\nd", ["  a", "  b", "  c", "  ", "  d"]),
        ("", ["  "]),
    ],
)
def test_texts_are_cut_at_line_feeds_alone(text: str, lines: list[str]) -> None:
    """Would fail with splitlines: a prompt with U+2028 in a name would be shown as two lines."""
    assert _section("prompt", text) == ["prompt", *lines]


def test_long_further_values_are_not_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Would fail if tables, or the page of a trial, printed further values whole, or lost the note."""
    task = Task("t", ConfigurationSpace({"x": (0.0, 1.0)}), abs)
    with Study(task, "random", path=tmp_path / "s.sqlite") as study:
        study.tell(study.ask(), {"loss": 1.0, "text": "y" * 20_000_000, "curve": list(range(2000))})
    with StudyFile(tmp_path / "s.sqlite", readonly=True) as file:
        show_trial(file, file.get(), 0, as_json=False)
    shown = capsys.readouterr().out
    assert len(shown) < 6000
    assert "note: 'text' was cut to 10000 of 20000000 characters" in shown
    assert [len(loss_text(value)) for value in ("y" * 81, [1] * 100, 0.1234567)] == [80, 80, 7]


def _shown(path: Path, number: int, capsys: pytest.CaptureFixture[str]) -> tuple[str, dict[str, Any]]:
    with StudyFile(path, readonly=True) as file:
        show_trial(file, file.get(), number, as_json=False)
        text = capsys.readouterr().out
        show_trial(file, file.get(), number, as_json=True)
    return text, json.loads(capsys.readouterr().out)


def test_who_gave_which_candidate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The page of a trial of the default proposer showed the model's answer, `a986b155`, whoever had chosen what."""
    space = ConfigurationSpace({"C": (0.01, 100.0), "kernel": ["rbf", "my own"]})
    path = tmp_path / "s.sqlite"
    with Study(Task("svm", space, lambda config: abs(config["C"] - 3)), path=path) as study:
        trials = study.run(12).trials
    with StudyFile(path, readonly=True) as file:
        origins = {record.trial.number: record.origin for record in file.records(study.name)}
    assert {"lm+gp", "lm+gp:gp", "lm", "default"} <= {*origins.values()}
    for number, origin in origins.items():
        text, document = _shown(path, number, capsys)
        answers = [line for line in text.split("\n") if re.search(r"\ba\d{3}b", line) and "C=" not in line]
        # but for the prompt, as the model is told it
        assert not [line for line in answers if "<" not in line]
        if not origin.startswith("lm+gp"):
            assert "candidates" not in document
            continue
        candidates = document["candidates"]
        assert candidates["chosen"] == ("process" if origin.endswith(":gp") else "model")
        assert candidates[candidates["chosen"]]["config"] == dict(trials[number].config)
        assert f"  model:         {config_text(candidates['model']['config'])}, expected improvement " in text
        if candidates["chosen"] == "process":
            assert candidates["model"]["config"] != candidates["process"]["config"]
            assert candidates["model"]["log_ei"] < candidates["process"]["log_ei"]
            assert f"  process:       {config_text(trials[number].config)}, expected improvement " in text
    assert "you (--try" not in text


@pytest.mark.parametrize(
    ("log_ei", "text"),
    [(0.0, "improvement 1"), (-4.6, "improvement 0.0101"), (-900.2, "e^-900"), (None, "not stored")],
)
def test_improvements_that_no_float_holds(log_ei: float | None, text: str) -> None:
    assert text in _improvement_text(log_ei)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"kernel": "my own", "C": 0.5}, "kernel='my own' C=0.5"),
        ({"a b": "", "c": "x=1"}, "'a b'='' c='x=1'"),
        ({"c": "it's", "d": 'say "x"', "e": "a\tb"}, "c=\"it's\" d='say \"x\"' e='a\\tb'"),
        (
            {"net": (8, 8), "on": True, "none": None, "plain": "rbf-2"},
            "net=(8, 8) on=True none=None plain=rbf-2",
        ),
        ({"a\nb": "[1,\n2]"}, "'a\\nb'='[1,\\n2]'"),
    ],
)
def test_texts_are_quoted_where_they_would_run_on(config: dict[str, Any], text: str) -> None:
    """`kernel=my own C=0.5` was three words, or two."""
    assert config_text(config) == text


def test_names_with_line_breaks_do_not_end_the_line() -> None:
    """Bug: what followed one stood on lines of its own, where nobody could tell whose it was."""
    trial = Trial(3, {}, "told", 0.5, info={"test\nloss": 0.25, "kind": "a\nb"})
    assert best_text(trial, "my\nloss") == "best: trial 3, my loss 0.5, test loss 0.25, kind a b"
