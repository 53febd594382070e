"""For the reference: doctests in docstrings become blocks of code, wherever they stand (mkdocs.yml names this file)."""

from __future__ import annotations

import re
from typing import Any

import griffe

# From a prompt to the next empty line, as doctest reads it.
_DOCTEST = re.compile(r"^( *)>>> .*(?:\n *\S.*)*", re.MULTILINE)


def fenced(text: str) -> str:
    """The docstring with a fence around each doctest; Markdown takes the prompts for quotations otherwise."""
    return _DOCTEST.sub(lambda found: f"{found[1]}```pycon\n{found[0]}\n{found[1]}```", text)


class Doctests(griffe.Extension):
    """Fences the doctests of every object that the reference shows."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Called by griffe for each object, once all are loaded."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
