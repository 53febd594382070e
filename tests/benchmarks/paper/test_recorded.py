"""A model behind a server, recorded where it is, and the same part again elsewhere, without server or network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airtune.benchmarks.paper.plans import PARTS
from airtune.engine.cli.app import main
from airtune.engine.storage.study_file import StudyFile
from tests.servers.fake_openai import serve

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def _run(model: str, out: Path, suite: str) -> dict[str, Any]:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "paper", "--part", "models", "--models", model, "--suite", suite, "--budget", "3",
              "--seeds", "1", "--jobs", "1", "--out", str(out)])  # fmt: skip
    assert not ended.value.code
    found: dict[str, Any] = json.loads((out / "models" / "result.json").read_text(encoding="utf-8"))
    return found


def _trials(out: Path) -> list[list[tuple[str, float | None]]]:
    (path,) = out.rglob("bench.airtune")
    with StudyFile(path, readonly=True) as file:
        names = [
            study.name for study in file.studies() if "lm:" in study.name and "uniform" not in study.name
        ]
        return [[(one.text, one.trial.loss) for one in file.records(name)] for name in sorted(names)]


def test_a_recorded_part_is_the_same_elsewhere(tiny: str, tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    with serve() as server:
        spec = f"openai:tuner+server=vllm+constraint=lark+base_url={server.url}+record={answers}"
        there = _run(spec, tmp_path / "there", tiny)
        asked = len(server.seen)
    assert asked >= 2 * 5  # two functions: three trials of lm, two of default+lm
    here = _run(f"replay:{answers}", tmp_path / "here", tiny)
    assert _trials(tmp_path / "here") == _trials(tmp_path / "there")
    assert len(_trials(tmp_path / "here")) == 4
    figures = [
        [(line["what"], line["ours"], line["control"], line["p"]) for line in one["lines"]]
        for one in (there, here)
    ]
    assert figures[0] == figures[1]
    assert len(figures[0]) == 2 * len(PARTS["models"].claims)
    assert "127.0.0.1" not in json.dumps(there["lines"])  # tables name the model, not where it was
