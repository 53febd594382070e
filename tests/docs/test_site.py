"""The check of the built pages finds what a browser would fetch from elsewhere, and nothing that it would not."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from check_site import main, requests

REPO = Path(__file__).resolve().parents[2]

FETCHED = [
    '<script src="https://cdn.example/mermaid.js"></script>',
    '<link rel="stylesheet" href="//fonts.example/css">',
    '<link rel="preconnect" href="https://fonts.example" crossorigin>',
    '<img src="http://example/badge.svg">',
    '<img src="here.png" srcset="here.png 1x, https://example/large.png 2x">',
    '<style>@import "https://example/style.css";</style>',
    '<p style="background: url(https://example/paper.png)">text</p>',
    '<pre class="mermaid"><code>graph LR</code></pre>',
]
ASKED_FOR = [
    '<a href="https://arxiv.org/abs/2312.04528">the paper</a>',
    '<script src="../assets/javascripts/bundle.js"></script>',
    '<link rel="canonical" href="https://example/docs/">',
    "<code>--model-setting base_url=http://127.0.0.1:8000/v1</code>",
    '<img src="data:image/svg+xml;base64,AAAA">',
]


@pytest.mark.parametrize("html", FETCHED)
def test_what_is_fetched_is_found(html: str, tmp_path: Path) -> None:
    """Catches a tag or an attribute that is taken off the list."""
    page = tmp_path / "page.html"
    page.write_text(f"<html><body>{html}</body></html>", encoding="utf-8")
    assert len(requests(page)) == 1
    assert main(tmp_path) == 1


@pytest.mark.parametrize("html", ASKED_FOR)
def test_what_is_not_fetched_is_not(html: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(f"<html><body>{html}</body></html>", encoding="utf-8")
    assert main(tmp_path) == 0


def test_style_sheets_are_read(tmp_path: Path) -> None:
    style = tmp_path / "fonts.css"
    style.write_text("@font-face { src: url('https://example/font.woff2') }", encoding="utf-8")
    assert requests(style) == ["url('https://example/font.woff2"]


def test_an_empty_site_is_no_success(tmp_path: Path) -> None:
    """Catches a build that wrote its pages elsewhere."""
    assert main(tmp_path) == 1


def test_what_pages_include_is_there() -> None:
    """Catches a formatter that takes `--8<-- "file"` in a block of Python for Python: the page then shows that line."""
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (REPO / "docs").rglob("*.md"))
    lines = [line for line in pages.splitlines() if line.startswith("--8")]
    included = [re.fullmatch(r'--8<-- "(.+)"', line) for line in lines]
    assert len(included) >= 10
    assert all(found and (REPO / found[1]).is_file() for found in included), lines


def test_doctests_are_fenced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a doctest that is left outside of its fence: a page shows its prompts as nested quotations."""
    monkeypatch.setitem(sys.modules, "griffe", SimpleNamespace(Extension=object))  # of the extra `docs`
    from docs_doctests import fenced

    text = "Doubles.\n\n>>> double(2)\n4\n\nArgs:\n    x: A number.\n\n    >>> double(3)\n    6"
    assert fenced(text) == (
        "Doubles.\n\n```pycon\n>>> double(2)\n4\n```\n\nArgs:\n    x: A number.\n\n"
        "    ```pycon\n    >>> double(3)\n    6\n    ```"
    )
