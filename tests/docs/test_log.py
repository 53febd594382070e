"""The log of experiments: nothing lost, everything found from its index."""

from __future__ import annotations

import re
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
LOG = REPO / "docs" / "log"
# Entries up to the day when the log was divided into pages. Later ones come on top.
ENTRIES = 55
_ENTRY = re.compile(r"^## (2026-\d\d-\d\d .+)$", re.MULTILINE)


def entries() -> dict[str, list[str]]:
    """The headings of each page's entries."""
    pages = {path.name: _ENTRY.findall(path.read_text(encoding="utf-8")) for path in LOG.glob("*.md")}
    return {name: found for name, found in pages.items() if found}


def test_no_entry_is_lost() -> None:
    """Catches an entry that is deleted: a negative result that somebody did not like to read."""
    assert sum(len(found) for found in entries().values()) >= ENTRIES


def test_every_entry_is_in_the_index() -> None:
    """Catches an entry that is added without a line that says its verdict."""
    index = (LOG / "index.md").read_text(encoding="utf-8")
    for page, found in entries().items():
        assert f"]({page})" in index, page
        listed = re.findall(rf"^\| \S+ \| \[[^|\]]+\]\({page}#[^)]+\) \|", index, re.MULTILINE)
        assert len(listed) == len(found), page


def test_entries_are_oldest_first() -> None:
    for page, found in entries().items():
        dates = [heading[:10] for heading in found]
        assert dates == sorted(dates), page
