"""Comparing with recorded values: values that our own evaluations made are found again exactly."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from validate_hpobench_tables import (
    COLUMNS,
    compare,
    draw_sample,
    fit_work,
    main,
    read_fits,
    read_recorded,
)

from airtune.benchmarks.tasks.hpobench.data import load_split
from airtune.benchmarks.tasks.hpobench.models import evaluate
from airtune.engine.types import TaskError

FORESTS = [
    {
        "max_depth": depth,
        "min_samples_split": 2.0,
        "max_features": 0.5555555820465088,
        "min_samples_leaf": leaf,
    }
    for depth, leaf in ((1.0, 1.0), (50.0, 1.0), (50.0, 20.0))
]


@pytest.fixture(scope="module")
def traces(csv_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in the layout of LLAMBO's traces, every row twice; accuracies of one training seed."""
    split = load_split(csv_folder, "blood-transfusion")
    rows = []
    for config in FORESTS:
        whole = {k: v if k == "max_features" else int(v) for k, v in config.items()}
        made = evaluate("rf", whole, split, fidelity=512, protocol="published")
        score, test = 1 - made.validation_errors / 36, 1 - made.test_errors / 12
        rows += [["blood_transfusion", "rf", json.dumps(config), score, test]] * 2
    network = {"alpha": 1e-8, "batch_size": 4.0, "depth": 3.0, "learning_rate_init": 1e-5, "width": 1024.0}
    rows.append(["blood_transfusion", "nn", json.dumps(network), 0.5, 0.5])
    path = tmp_path_factory.mktemp("llambo") / "traces.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return path


def test_recorded_rows_are_read_once_with_whole_numbers(traces: Path) -> None:
    recorded = read_recorded(traces)
    assert sorted(r.model for r in recorded) == ["mlp", "rf", "rf", "rf"]
    assert {r.dataset for r in recorded} == {"blood-transfusion"}
    for one in recorded:
        integers = [
            v for k, v in one.config.items() if k not in ("max_features", "alpha", "learning_rate_init")
        ]
        assert all(isinstance(value, int) for value in integers)
    with pytest.raises(TaskError, match="there is no file"):
        read_recorded(traces.parent / "none.csv")
    (traces.parent / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(TaskError, match="columns are missing"):
        read_recorded(traces.parent / "other.csv")


def test_xgb_configurations_that_differ_in_eta_alone_are_one(tmp_path: Path) -> None:
    """HPOBench's recorded values ignore eta."""
    rows = [
        [
            "car",
            "xgb",
            json.dumps({"colsample_bytree": 1.0, "eta": eta, "max_depth": 8.0, "reg_lambda": 1.0}),
            0.9,
            0.9,
        ]
        for eta in (0.0009765625, 1.0)
    ]
    path = tmp_path / "traces.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    (only,) = read_recorded(path)
    assert only.config["eta"] == 0.3


def test_refits_agree_and_go_on(
    traces: Path, csv_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(csv_folder), "--llambo", str(traces), "--out", str(tmp_path), "--json"]
    arguments += ["--models", "rf,mlp", "--sample", "3", "--longest", "1"]
    assert main([*arguments, "--minutes", "0"]) == 0
    assert len(json.loads(capsys.readouterr().out)) <= 1  # no time for more than one fit
    assert main(arguments) == 0
    (found,) = json.loads(capsys.readouterr().out)  # the network would have taken too long
    assert (found["model"], found["dataset"], found["n"]) == ("rf", "blood-transfusion", 3)
    for part in ("score", "test"):
        assert found[f"{part}_difference"] == pytest.approx(0, abs=1e-12)
        assert found[f"{part}_bias"] == pytest.approx(0, abs=1e-12)
    assert found["score_spearman"] == pytest.approx(1)
    lines = (tmp_path / "fits.jsonl").read_text()
    assert lines.count("\n") == 3
    (tmp_path / "fits.jsonl").write_text(lines[:-9])  # a torn last line is fitted again
    assert len(read_fits(tmp_path / "fits.jsonl")) == 2
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == [found]
    without_times = [json.loads(line)["key"] for line in (tmp_path / "fits.jsonl").read_text().splitlines()]
    assert len(without_times) == len(set(without_times)) == 3


def test_samples_are_fixed_and_pass_over_what_takes_too_long(traces: Path) -> None:
    recorded = read_recorded(traces)
    rows = {"blood-transfusion": 673}
    sample = draw_sample(recorded, ["rf", "mlp"], 2, rows, 60)
    assert sample == draw_sample(recorded, ["rf", "mlp"], 2, rows, 60)
    assert [one.model for one in sample.chosen] == ["rf", "rf"]
    assert sample.left_out["mlp", "blood-transfusion"] == 1
    assert max(fit_work(one, 673) for one in recorded) > 60


def test_comparisons_state_differences_and_their_sign(traces: Path) -> None:
    forests = [one for one in read_recorded(traces) if one.model == "rf"]
    pairs = [(one, one.score + 0.1, 0.5) for one in forests]
    row = compare("rf", "blood-transfusion", pairs, 0)
    assert row.score_difference == pytest.approx(0.1)
    assert row.score_bias == pytest.approx(0.1)
    assert row.score_spearman == pytest.approx(1)
    assert np.isnan(row.test_spearman)  # ours are all equal
