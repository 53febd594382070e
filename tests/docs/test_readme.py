"""The README stays short, its code runs, its figures are those of the documentation, its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "models/pocket/CARD.md")
README = (REPO / "README.md").read_text(encoding="utf-8")


def test_it_fits_a_newcomers_patience() -> None:
    """Catches the paragraph that is added each time, until nobody reads any of them."""
    lines = README.splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 160
    assert README.count("\n|---") == 1  # one table
    assert len(re.findall(r"\]\([^)]+\)", README)) <= 5


@pytest.mark.slow
def test_its_python_runs(tmp_path: Path) -> None:
    """Catches a public name that is renamed in the code and not here."""
    (code,) = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert re.match(r"\{.*'lr': .*\} [\d.]+\n$", done.stdout), done.stderr


@pytest.mark.slow
def test_its_searches_run_one_after_the_other(tmp_path: Path) -> None:
    """Bug: the second one, beside the first one's study, was refused. The model that is not here is a scripted one."""
    searches = re.findall(r"^    (?:.+ && )?(airtune tune .+)$", README, re.MULTILINE)
    assert len(searches) == 2
    for search in searches:
        command = [*search.replace("smollm2", "scripted").split(), "--no-progress"]
        command[0] = str(Path(sys.executable).parent / "airtune")
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", ["docs/explanation/model.md", "models/pocket/CARD.md"])
def test_the_know_nothing_control_is_told_everywhere(page: str) -> None:
    """Catches a figure that is made again in one place: what the model adds stands in three."""
    row = re.search(r"^\| the same with a model that knows nothing \|.+$", README, re.MULTILINE)
    assert row is not None
    figures = re.findall(r"\d+/\d+/\d+", row.group())
    text = (REPO / page).read_text(encoding="utf-8")
    assert len(figures) == 3
    assert all(figure in text for figure in figures)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Those of docs/ are checked when the site is built."""
    file = REPO / page
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", file.read_text(encoding="utf-8")):
        assert "://" in target or (file.parent / target).exists(), target


def test_files_that_are_named_exist() -> None:
    """Catches a test or a module that moves while SECURITY.md tells where it was. The log tells of its day."""
    pages = [REPO / page for page in PAGES if page != "CHANGELOG.md"]
    pages += [path for path in (REPO / "docs").rglob("*.md") if path.parent.name != "log"]
    folders = r"tests|engine|models|grammars|benchmarks|scripts|examples|docs|\.ci"
    named = re.compile(rf"(?<![\w/.-])((?:{folders})/[\w./-]+\w)")
    found = {(page.name, path) for page in pages for path in named.findall(page.read_text(encoding="utf-8"))}
    assert len(found) > 20
    assert not {(page, path) for page, path in found if not (REPO / path).exists()}
