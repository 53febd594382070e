"""Every part by its command, on two functions with a scripted model: result, page, and resuming to the same bytes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from airtune.benchmarks.paper import running
from airtune.benchmarks.paper.plans import PARTS
from airtune.engine.cli.app import main
from airtune.engine.storage.study_file import StudyFile
from airtune.grammars import AirtuneError

OPTIONS = ("--models", "scripted", "--budget", "3", "--seeds", "2", "--jobs", "1")
OWN = ("noise-cifar10", "code")  # parts that are run on their own tasks: a table, programs


def run(out: Path, *more: str, suite: str | None = "tiny") -> int:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "paper", "--out", str(out), *OPTIONS, *(["--suite", suite] if suite else []), *more])
    return int(ended.value.code or 0)


def result(out: Path, part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / part / "result.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("part", PARTS)
def test_a_part_runs_by_its_command(
    part: str, tiny: str, without_data: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--part", part, suite=None if part in OWN else tiny) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{part}: ")
    assert "not as planned: models scripted in place of" in said
    found = result(tmp_path, part)
    assert found["verdict"] in ("better", "equal", "worse", "no figure")
    leads = [line for line in found["lines"] if line["lead"]]
    assert leads
    assert all(line["ours"]["value"] is not None for line in leads)
    assert "suite tiny in place of" in " ".join(found["departures"]) or part in OWN
    assert found["tables"]
    assert found["provenance"]["models"]  # bug: validity did not say of which it was
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f'id="{part}"' in page
    assert "not as planned" in page
    assert "; 2 seeds" in page
    assert all(
        line["against"] in page for line in found["lines"]
    )  # bug: the page did not say what a control was
    # bug: lines ended between a figure and its unit, and within an interval
    assert not re.search(r'<(?:p|b|/small|td class="num[^>]*)>[^<]*(?:\d %|p =|\d, −?[\d.]+\])', page)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)


def test_validity_says_how_far_it_is(tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bug: a step's line was a number of answers that began anew with each prompt, seed and mode, and named none."""
    assert run(tmp_path, "--part", "validity", "--seeds", "1") == 0
    said = capsys.readouterr().err.splitlines()
    for prompt in PARTS["validity"].arms[0].methods:
        for made in (2, 4, 6):
            assert f"{prompt}, grammar: {made} of {made} proposals valid and new" in said
        assert sum(line.startswith(f"{prompt}, free text: ") for line in said) == 3


def test_interrupted_and_resumed_it_is_the_same_bytes(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(whole, "--part", "noise") == 0
    calls = 0

    def interrupting(*args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return run_suite(*args, **more)

    run_suite = running.run_suite
    monkeypatch.setattr(running, "run_suite", interrupting)
    assert run(parts, "--part", "noise") == 1  # between the arms
    assert not (parts / "noise" / "result.json").exists()
    assert run(parts, "--part", "noise") == 0
    names = [path.relative_to(whole) for path in sorted(whole.rglob("*")) if path.suffix in (".json", ".svg")]
    assert len(names) == 6
    for name in names:
        if name.name != "times.json":
            assert (parts / name).read_bytes() == (whole / name).read_bytes(), name
    again = (parts / "noise" / "result.json").read_bytes()
    assert run(parts, "--part", "noise") == 0
    assert (parts / "noise" / "result.json").read_bytes() == again


def test_parts_on_the_same_tasks_share_their_studies(tiny: str, tmp_path: Path) -> None:
    """Nothing is run twice, and what a part finds depends on neither the others nor their seeds and trials."""
    asked = ("--part", "models", "--seeds", "1", "--budget", "2")
    assert run(tmp_path / "alone", *asked) == 0
    assert run(tmp_path / "beside", "--part", "table1") == 0  # two seeds, three trials, more methods
    (path,) = (tmp_path / "beside").rglob("bench.airtune")
    with StudyFile(path, readonly=True) as file:
        before = {study.name: study.told for study in file.studies()}
    assert run(tmp_path / "beside", *asked) == 0
    with StudyFile(path, readonly=True) as file:
        assert {study.name: study.told for study in file.studies()} == before
    for name in ("result.json", "original-regret.svg"):
        alone, beside = (tmp_path / where / "models" / name for where in ("alone", "beside"))
        assert alone.read_bytes() == beside.read_bytes(), name


def test_the_page_is_made_of_what_is_kept(tiny: str, tmp_path: Path) -> None:
    """Without the studies: results, times and figures are all that has to be committed."""
    from airtune.benchmarks.report.paper import write_paper_report

    assert run(tmp_path, "--part", "toy,hybrid") == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for path in tmp_path.rglob("bench.airtune*"):
        path.unlink()
    shutil.copytree(tmp_path, tmp_path.parent / "kept")
    assert write_paper_report(tmp_path.parent / "kept").read_text(encoding="utf-8") == page.replace(
        f"<code>{tmp_path.name}</code>", "<code>kept</code>"
    )
    assert page.index('id="hybrid"') < page.index('id="toy"')  # in the order of the plans
    assert page.count('class="verdict missing"') == len(PARTS) - 2
    assert page.count('class="point') == 2 * 5 * 3  # functions, methods, evaluations: seed 0 alone
    assert page.count("<use href") == 2 * 5


def test_what_is_wrong_is_told_before_anything_runs(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--part", "toi") == 2
    assert "did you mean 'toy'" in capsys.readouterr().err
    assert run(tmp_path, "--part", "toy,prompts", "--models", "pocket") == 2
    assert run(tmp_path, "--part", "toy", "--seeds", "0") == 2
    assert run(tmp_path, "--part", "toy", "--models", "scripted@chat+names=hiden") == 2
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SystemExit) as ended:
        main(["bench", "paper"])
    assert ended.value.code == 2
    assert "--out DIR" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "{}", '{"part": "noise", "plan": {}, "lines": 3}'])
def test_a_result_that_cannot_be_read_is_told(content: str, tmp_path: Path) -> None:
    """Bug: a result.json of another version beside a new part ended the command with a traceback."""
    from airtune.benchmarks.report.paper import write_paper_report

    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "result.json").write_text(content)
    with pytest.raises(AirtuneError, match="is not what this version writes") as error:
        write_paper_report(tmp_path)
    assert "--part noise --out" in str(error.value.hint)


def test_the_plan_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "paper", "--part", "cot", "--plan"])
    assert not ended.value.code
    said = capsys.readouterr().out
    assert "### `cot`: Chain of thought" in said
    assert "table1" not in said


def test_parts_that_cannot_be_run_here_are_told_and_left_out(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --part: pocket speaks no chat, so chat's parts cannot be; if nothing is left, it is an error."""
    monkeypatch.setattr(running, "PARTS", {name: PARTS[name] for name in ("cot", "toy")})
    assert run(tmp_path, "--models", "pocket") == 0
    told = capsys.readouterr()
    assert "cot is not run: the part 'cot' is about chat prompts" in told.err
    assert told.out.startswith("toy: ")
    monkeypatch.setattr(running, "PARTS", {"cot": PARTS["cot"]})
    assert run(tmp_path, "--models", "pocket") == 2
