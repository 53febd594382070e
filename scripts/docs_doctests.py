"""For the reference: doctests in docstrings become blocks of code, wherever they stand (mkdocs.yml names this file)."""

from __future__ import annotations

import re
from typing import Any

import griffe

_PROMPT = re.compile(r"( *)>>> ")


def fenced(text: str) -> str:
    """The docstring with a fence around each doctest, which goes from a prompt to the next empty line.

    Markdown takes the prompts for quotations otherwise.
    """
    lines: list[str] = []
    margin: str | None = None  # of the doctest that a line is in
    for line in [*text.split("\n"), ""]:
        prompt = _PROMPT.match(line)
        if margin is None and prompt is not None:
            margin = prompt[1]
            lines.append(f"{margin}```pycon")
        elif margin is not None and not line.strip():
            lines.append(f"{margin}```")
            margin = None
        lines.append(line)
    return "\n".join(lines[:-1])


class Doctests(griffe.Extension):
    """Fences the doctests of every object that the reference shows."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Called by griffe for each object, once all are loaded."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
