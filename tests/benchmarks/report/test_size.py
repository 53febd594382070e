"""Regret over the size of the language model: which methods make a curve, what is drawn, where sizes come from."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from airtune.benchmarks.report import write_report
from airtune.benchmarks.report.size import model_size, size_curves
from airtune.benchmarks.running.plan import Plan
from airtune.benchmarks.running.runner import run_suite
from airtune.engine import StudyFile
from airtune.engine.manifest import model_hash
from airtune.engine.replay.causes import differences
from airtune.models import model_info

HIDDEN = "lm:pocket@pocket+names=hidden"
PLAN = Plan("toy", methods=("lm:pocket", "lm:uniform@pocket", HIDDEN, "random"), seeds=1, budget=3)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bench")
    run_suite(PLAN, out, jobs=1)
    return out


def pocket_manifest(bench: Path) -> dict[str, Any]:
    with StudyFile(bench / "bench.airtune", readonly=True) as file:
        return dict(file.get("toy/branin/lm:pocket/seed=000").manifest["model"])


def test_a_model_that_knows_something_beside_one_that_does_not(bench: Path, tmp_path: Path) -> None:
    page = write_report(bench, tmp_path)[0].read_text(encoding="utf-8")
    assert page.count('id="size"') == 1
    assert page.count('href="#size"') == 1
    assert (tmp_path / "size.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((tmp_path / "size.csv").open(encoding="utf-8")))
    info = model_info("pocket")
    found = [(r["evaluations"], r["method"], int(r["weights"]), int(r["bytes"])) for r in rows]
    weights = (info.path / "model.safetensors").stat().st_size
    assert found == [
        (budget, *point)
        for budget in ("2", "3")
        for point in (("lm:uniform@pocket", 0, 0), ("lm:pocket", info.parameters, weights))
    ]  # the names hidden are another method: it has no other size
    regret = {
        (r["evaluations"], r["method"]): r for r in csv.DictReader((tmp_path / "regret.csv").open(encoding="utf-8"))
    }  # fmt: skip
    document = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    for row in rows:
        other = regret[row["evaluations"], row["method"]]
        stated = next(r for r in document["rows"][row["evaluations"]] if r["method"] == row["method"])
        assert [row[f"regret{end}"] for end in ("", "_low", "_high")] == [
            other[end] for end in ("mean", "low", "high")
        ]
        assert [float(row[f"beats{end}"]) for end in ("", "_low", "_high")] == list(stated["beats"].values())
    section = page[page.index('id="size"') : page.index('id="ranks"')]
    with StudyFile(bench / "bench.airtune", readonly=True) as file:
        names = [name for s in file.studies() if "/lm:pocket/" in (name := s.name)]
        took = [record.trial.proposal_s for name in names for record in file.records(name)]
        read = [t["prompt_tokens"] for name in names for t in file.transcripts(name).values()]
    assert len(took) == len(read) == 6 * PLAN.budget
    assert f'data-v="{median(took)}"' in section
    assert f'data-v="{sum(read) / len(read)}"' in section
    assert "not among the sizes" not in page


def test_curves_are_of_one_proposer_and_one_setting_of_the_dialect() -> None:
    def study(method: str, weights: int | None, dialect: str) -> Mapping[str, Any]:
        told = {} if weights is None else {"weights": weights, "weights_bytes": 2 * weights}
        model = {"model": "x", "backend": "openai", "dialect": dialect, **told}
        return {"comparison": {"method": method}, "model": model}

    told = {
        "lm:big": (8_000, "chat"), "lm:uniform@chat": (0, "chat"), "lm:uniform@pocket": (0, "pocket"),
        "lm:pocket": (7, "pocket"), "lm:big@chat+history=turns": (8_000, "chat+history=turns"),
        "lm:big@chat+names=hidden": (8_000, "chat+names=hidden"),
        "lm:pocket@pocket+names=hidden": (7, "pocket+names=hidden"),
        "default+lm:big": (8_000, "chat"), "lm:served": (None, "chat"), "lm+gp:served": (None, "chat"),
        "lm:left-out": (5, "chat"),
    }  # fmt: skip
    manifests = [study(method, *what) for method, what in told.items()]
    manifests += [{"comparison": {"method": "random"}, "model": None}, {}]
    curves, unsized = size_curves([*(m for m in told if m != "lm:left-out"), "random"], manifests)
    assert {curve.name: [[p.method for p in size] for size in curve.sizes] for curve in curves} == {
        "lm": [["lm:uniform@chat", "lm:uniform@pocket"], ["lm:pocket"], ["lm:big"]],
        "lm (names=hidden)": [["lm:pocket@pocket+names=hidden"], ["lm:big@chat+names=hidden"]],
    }
    assert unsized == ["lm:served"]  # lm+gp has no other model that it could stand beside
    assert size_curves(["lm:big", "default+lm:big"], manifests) == ([], [])


def test_the_size_is_what_the_manifest_says(bench: Path) -> None:
    """It is no part of what a model is, nor anything that a replay would have to explain."""
    now = pocket_manifest(bench)
    without = {key: value for key, value in now.items() if key not in ("weights", "weights_bytes")}
    assert model_hash(without) == model_hash(now)
    assert differences({"model": without}, now) == []
    assert model_size(now) == (now["weights"], now["weights_bytes"])
    assert now["weights"] == model_info("pocket").parameters > 0
    assert model_size({"model": "gpt-x", "backend": "openai", "dialect": "chat", "files": {}}) is None
