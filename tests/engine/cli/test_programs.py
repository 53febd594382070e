"""What the command line shows of a study over programs: its table, a trial's source code, and what is new in it."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from airtune.engine import Evaluation, Study, StudyFile, Task, load_proposer
from airtune.engine.cli.app import main
from airtune.engine.cli.programs import difference_lines, program_lines
from airtune.engine.cli.show_trial import best_before
from airtune.engine.cli.trial_table import print_trials
from airtune.grammars import program_space
from airtune.models import load_model

TINY = program_space("tiny")
LARGE = program_space("tabular_classification")


def loss(config: dict[str, Any]) -> float:
    """The further in the study, the worse, but for what has neighbours; more than 20 of them are too many."""
    if config.get("neighbors", 0) > 20:
        raise MemoryError("more than twenty neighbours are too many for this small machine")
    return float(config.get("neighbors", 30) + (config["scaling"] == "none"))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("programs") / "s.sqlite"
    with Study(Task("table", TINY.space, loss), "random", seed=3, path=file) as study:
        study.run(12)
    return file


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["show", *arguments])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_a_trial_shows_its_program_and_what_is_new(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every trial, so also the best (against the best before it), a failed one, and the first."""
    with StudyFile(path, readonly=True) as file:
        records = file.records(file.get().name)
    assert {"told", "failed"} == {one.trial.status for one in records}
    for record in records:
        number, source = record.trial.number, TINY.render(record.trial.config)
        document = json.loads(shown(capsys, str(path), "--trial", str(number), "--json"))
        told = [one.trial for one in records[:number] if one.trial.loss is not None]
        best = min(told, key=lambda trial: trial.loss or 0.0, default=None)
        assert document["program"] == source
        assert document["best_before"] == (None if best is None else best.number)
        text = shown(capsys, str(path), "--trial", str(number))
        program = text.split("\nprogram\n")[1].split("\nno program had" if best is None else "\ndifference")[
            0
        ]
        assert "\n".join(line[2:] for line in program.split("\n")) + "\n" == source
        assert "\x1b" not in text
        if best is None:
            assert "no program had a loss before it" in text
            continue
        assert f"difference to trial {best.number}, the best before it (loss " in text
        assert patched(TINY.render(best.config), text.split("\ndifference")[1].split("\n")[1:]) == source


def patched(before: str, difference: list[str]) -> str:
    """The other side of a unified difference, whose lines have a margin of two."""
    lines, made, at = before.split("\n"), list[str](), 0
    for line in (one[2:] for one in difference):
        if found := re.match(r"@@ -(\d+)", line):
            made += lines[at : int(found.group(1)) - 1]
            at = int(found.group(1)) - 1
        elif line[:1] in (" ", "-"):
            assert lines[at] == line[1:]
            made += [line[1:]] if line[0] == " " else []
            at += 1
        elif line[:1] == "+":
            made.append(line[1:])
        else:
            break
    return "\n".join(made + lines[at:])


def test_the_best_before_is_of_what_the_proposer_knew(tmp_path: Path) -> None:
    """In a batch, a trial was not proposed from the one beside it, however good that became."""
    task = Task("table", TINY.space, loss)
    with Study(task, "random", path=tmp_path / "s.sqlite", evaluation=Evaluation(jobs=2)) as study:
        for losses in ((5.0, 1.0), (0.5, 3.0), (0.7, 9.0)):
            for trial, value in zip([study.ask(), study.ask()], losses, strict=True):
                study.tell(trial, value)
    with StudyFile(tmp_path / "s.sqlite", readonly=True) as file:
        records = file.records(file.get().name)
    found = [best_before(records, number) for number in range(6)]
    assert [None if one is None else one.number for one in found] == [None, None, 1, 1, 2, 2]


def test_a_models_answer_is_not_printed_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The answer of the dialect `code` is the program; turned-down ones are told in a few words."""
    task, model = Task("table", TINY.space, loss), load_model("scripted", dialect="code")
    with Study(task, load_proposer("lm", model=model), path=tmp_path / "s.sqlite") as study:
        study.run(2)
    text = shown(capsys, str(tmp_path / "s.sqlite"), "--trial", "1")
    before, after = text.split("\nanswer\n")
    assert "\nprogram\n" in before
    assert after.startswith("  the program above\n")
    assert "fit_predict" not in after


def test_the_table_has_programs_in_words(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On 80 columns: a line broken between words for each program, and why one failed below it, not in a column."""
    monkeypatch.setenv("COLUMNS", "80")
    text = shown(capsys, str(path))
    assert max(map(len, text.split("\nbest: ")[0].splitlines())) <= 80
    assert "program" in text.splitlines()[3]
    assert "        failed: MemoryError: more than twenty neighbours are too many" in text
    assert f"\n  its program: airtune show {path} --trial " in text
    with Study(Task("large", LARGE.space, len), "random", name="large") as study:
        trials = study.run(5).trials
    print_trials(trials, "validation error", trials[0], LARGE)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 4 + 4 * len(trials)


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    source, other = TINY.render(TINY.default()), TINY.render({**TINY.default(), "scaling": "standard"})

    def printed(**environment: str) -> str:
        from airtune.engine.cli.output import print_lines

        for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stdout", stream)
        print_lines([*program_lines(source), *difference_lines(source, other)])
        monkeypatch.undo()
        return stream.getvalue()

    plain, coloured = printed(), printed(FORCE_COLOR="1", TERM="xterm-256color")
    assert "\x1b" not in plain
    assert "\x1b[35mfrom" in coloured
    assert "\x1b[32m+    scaler" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain
    assert not re.search(r"\x1b\[[\d;]*3\dm", printed(FORCE_COLOR="1", TERM="xterm-256color", NO_COLOR="1"))


def test_what_a_terminal_would_obey_is_spelled_out() -> None:
    """A study file may come from anywhere, and with it the code that its programs are made of."""
    first, second = "x = '\x1b]0;evil\x07'\n", "y = '\u202e'\n"
    text = "\n".join(line.plain for line in [*program_lines(first), *difference_lines(first, second)])
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert r"\x1b]0;evil\x07" in text
