"""What `airtune show FILE --trial N` and tables make of long and odd texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import Study, StudyFile, Task
from airtune.engine.cli.output import loss_text
from airtune.engine.cli.show_trial import _section, show_trial


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
