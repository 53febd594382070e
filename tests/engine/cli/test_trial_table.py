"""The table of trials: it fits the terminal, and a long one is drawn without looking at anything twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from airtune.engine import Trial
from airtune.engine.cli.show import show
from airtune.engine.cli.trial_table import print_trials
from airtune.engine.manifest import study_manifest
from airtune.engine.proposers import load_proposer
from airtune.engine.storage.study_file import StudyFile, TrialInsert
from airtune.engine.types import Proposal, Task
from airtune.grammars import canonical_grammar


def told(number: int, **config: object) -> Trial:
    return Trial(number, config, "told", number / 7, proposal_s=0.1, evaluation_s=2.0)


def printed(trials: list[Trial], capsys: pytest.CaptureFixture[str], best: int | None = None) -> list[str]:
    print_trials(trials, "error", None if best is None else trials[best])
    return capsys.readouterr().out.splitlines()


def test_every_cell_stands_under_its_heading(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Characters of two columns are counted as two; the best trial is marked."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = printed([told(0, x=0.25, k="雪雪"), told(1, x=1e-9), told(2, x=3.0, k="b")], capsys, best=1)
    assert lines == [
        "",
        " trial       x      k     error   propose s   evaluate s ",
        " " + "─" * 55 + " ",
        "     0    0.25   雪雪         0       0.100          2.0 ",
        "   * 1   1e-09          0.14286       0.100          2.0 ",
        "     2       3      b   0.28571       0.100          2.0 ",
        "",
    ]
    assert {cell_len(line) for line in lines if line} == {57}


@pytest.mark.parametrize("columns", [60, 100])
def test_what_does_not_fit_is_folded_and_nothing_is_left_out(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    config = {f"hyperparameter_{i}": f"value{i}" for i in range(9)}
    failed = Trial(1, config, "failed", reason="the objective raised ValueError: " + "x" * 40)
    lines = printed([told(0, **config), failed], capsys)
    assert max(map(cell_len, lines)) <= columns
    everything = "".join("".join(lines).split())
    assert all(everything.count(part) >= 2 for part in ("hype", "valu"))
    assert len(lines) > 10


def test_a_local_models_transcripts_are_not_read_for_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are most of a long study's bytes, and hold no count of a server's tokens."""
    from airtune.benchmarks import get_task
    from airtune.models import load_model

    task: Task = get_task("toy/branin")
    config = dict(task.space.get_default_configuration())
    proposer = load_proposer("lm", load_model("scripted"))
    with StudyFile(tmp_path / "s.airtune") as file:
        file.acquire("s")
        file.create("s", study_manifest(task, proposer, 0))
        text = canonical_grammar(task.space).encode(canonical_grammar(task.space).snap(config))
        proposal = Proposal(config, "lm", {"model": "scripted"})
        file.insert([TrialInsert("s", Trial(0, config), text, proposal)])
    monkeypatch.setattr(StudyFile, "transcripts", None)
    show(tmp_path / "s.airtune", None, None, False, None, None, None, False)
    assert "1 without a result" in capsys.readouterr().out
