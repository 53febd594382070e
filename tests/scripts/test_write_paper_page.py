"""The page of the paper's parts is made of the results that are kept beside it, and of nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from write_paper_page import KEPT, main, page

from airtune.benchmarks.paper.plans import PARTS
from airtune.grammars import AirtuneError

PARTS_KEPT = [name for name in PARTS if (KEPT / name).is_dir()]


def test_the_page_is_that_of_the_results() -> None:
    """Fails where a figure of the page was written by hand, or a result changed after it."""
    assert (KEPT / "index.md").read_text(encoding="utf-8") == page(KEPT)


def test_every_part_is_there_or_said_to_be_missing() -> None:
    said = page(KEPT)
    assert PARTS_KEPT
    for name, part in PARTS.items():
        assert (f"[{part.title}](#{name})" in said) == (name in PARTS_KEPT)
        assert (f"`{name}` ({part.title})" in said) == (name not in PARTS_KEPT)
    for name in PARTS_KEPT:
        for figure in (KEPT / name).glob("*.svg"):
            assert f"](./{name}/{figure.name})" in said


def test_what_was_not_as_planned_is_said(tmp_path: Path) -> None:
    name = PARTS_KEPT[0]
    shutil.copytree(KEPT / name, tmp_path / name)
    path = tmp_path / name / "result.json"
    text = path.read_text(encoding="utf-8")
    assert "Not as planned" not in page(tmp_path)
    path.write_text(
        text.replace('"departures": []', '"departures": ["1 seed in place of 5"]'), encoding="utf-8"
    )
    assert "**Not as planned**: 1 seed in place of 5." in page(tmp_path)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(AirtuneError, match="is not what this version writes"):
        page(tmp_path)


def test_studies_are_not_kept(tmp_path: Path) -> None:
    """What is copied from a run: results, times and figures, in place of those of an earlier one."""
    run, kept, name = tmp_path / "run", tmp_path / "kept", PARTS_KEPT[0]
    shutil.copytree(KEPT / name, run / name)
    (run / "studies").mkdir()
    (run / name / "answers.jsonl").touch()
    (kept / name).mkdir(parents=True)
    (kept / name / "old.svg").touch()
    main(["--from", str(run), "--out", str(kept)])
    assert sorted(path.name for path in (kept / name).iterdir()) == sorted(
        path.name for path in (KEPT / name).iterdir()
    )
    assert {path.name for path in kept.iterdir()} == {name, "index.md"}
