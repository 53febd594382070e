"""HPOBench's data sets, splits, pre-processing, models and protocols, on made-up data."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from ConfigSpace import Configuration
from hpobench_grids import GRIDS
from hpobench_pieces import fingerprint

from airtune.benchmarks.tasks.hpobench.data import (
    CSV_VARIABLE,
    DATASETS,
    Split,
    data_folder,
    load_split,
    preprocess,
    read_data,
    split_indices,
)
from airtune.benchmarks.tasks.hpobench.models import ALGORITHMS, SEEDS, evaluate, fitted_rows
from airtune.benchmarks.tasks.hpobench.spaces import (
    FIDELITIES,
    SPACES,
    grid_configs,
    grid_default,
    grid_size,
    grid_space,
)
from airtune.engine.types import TaskError
from airtune.grammars import space_grammar

CHEAP = {"svm": 0, "lr": 10, "rf": 16, "mlp": 3, "xgb": 50}


def test_the_folder_is_given_or_from_the_environment(
    csv_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CSV_VARIABLE, raising=False)
    with pytest.raises(TaskError, match=CSV_VARIABLE):
        data_folder()
    monkeypatch.setenv(CSV_VARIABLE, str(csv_folder))
    assert data_folder() == csv_folder
    with pytest.raises(TaskError, match=r"no index\.json"):
        data_folder(tmp_path)


@pytest.mark.parametrize("name", DATASETS)
def test_columns_are_one_hot_then_scaled_all_fitted_on_train(csv_folder: Path, name: str) -> None:
    raw = read_data(csv_folder, name)
    assert raw.categorical == (3, 4)
    parts = split_indices(raw.labels)
    assert [len(part) for part in parts] == [72, 36, 12]
    assert sorted(np.concatenate(parts)) == list(range(120))
    split = load_split(csv_folder, name)
    features = split.train[0]
    assert features.shape == (72, 3 + 2 + 3)
    assert set(np.unique(features[:, :5])) == {0.0, 1.0}
    np.testing.assert_array_equal(features[:, :3].sum(axis=1), 1.0)  # a hole became the most frequent colour
    np.testing.assert_allclose(features[:, 5:].mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(features[:, 5:].std(axis=0), 1.0)
    again = preprocess(raw, (parts[0], parts[0][:10], parts[1]))
    np.testing.assert_array_equal(again[2], split.validation[0])  # other rows change nothing
    np.testing.assert_array_equal(again[1], features[:10])


def test_holes_become_median_and_mode_of_the_training_rows(csv_folder: Path) -> None:
    raw = read_data(csv_folder, "kc1")
    train = np.array([i for i in range(120) if i not in (5, 6, 7)])
    known, holes = preprocess(raw, (train, np.array([5, 6, 7])))
    weights = np.array([float(x) for x in raw.features[train, 1]])
    assert holes[0, 6] == pytest.approx((np.median(weights) - weights.mean()) / weights.std())
    assert holes[1, :3].argmax() == holes[2, :3].argmax() == known[:, :3].sum(axis=0).argmax()


def test_an_unknown_level_is_no_level(csv_folder: Path) -> None:
    raw = read_data(csv_folder, "car")
    train = np.array([i for i in range(120) if raw.features[i, 3] != "c2"])
    other = np.array([i for i in range(120) if raw.features[i, 3] == "c2"])
    _, unseen = preprocess(raw, (train, other))
    np.testing.assert_array_equal(unseen[:, :2], 0.0)


def test_a_changed_file_is_refused_and_explained(csv_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(csv_folder, tmp_path / "copy"))
    with (folder / "car.csv").open("a") as file:
        file.write("1,2,3,c0,k0,class 0\n")
    with pytest.raises(TaskError, match="SHA-256 differs"):
        read_data(folder, "car")
    (folder / "kc1.csv").unlink()
    with pytest.raises(TaskError, match=r"there is no file .*kc1\.csv"):
        read_data(folder, "kc1")
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(index[:1]))
    with pytest.raises(TaskError, match="unknown data set 'vehicle'"):
        read_data(folder, "vehicle")


def test_given_folds_are_used(csv_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(csv_folder, tmp_path / "copy"))
    (folder / "splits").mkdir()
    path = folder / "splits" / "Australian.json"
    train = [row for row in range(119, -1, -1) if row % 10]
    path.write_text(json.dumps({"train": train, "test": list(range(0, 120, 10))}))
    raw, plain = read_data(folder, "australian"), read_data(csv_folder, "australian")
    assert (
        raw.sha256
        == plain.sha256
        == fingerprint(csv_folder, "australian")
        != fingerprint(folder, "australian")
    )
    parts = split_indices(raw.labels, raw.fold)
    assert list(parts[2]) == list(range(0, 120, 10))
    assert sorted(np.concatenate(parts)) == list(range(120))
    assert len(parts[1]) == 36
    np.testing.assert_array_equal(load_split(folder, "australian").test[1], raw.labels[::10])
    path.write_text(json.dumps({"train": train, "test": [0]}))
    with pytest.raises(TaskError, match="does not split the data set"):
        read_data(folder, "australian")


@pytest.mark.parametrize("model", ALGORITHMS)
def test_evaluations_are_deterministic_and_counted(csv_folder: Path, model: str) -> None:
    split = load_split(csv_folder, "vehicle")
    config = grid_default(model, GRIDS[model])
    first, again = (evaluate(model, config, split, fidelity=CHEAP[model], protocol="published") for _ in "ab")
    assert dataclasses.replace(first, seconds=0) == dataclasses.replace(again, seconds=0)
    assert 0 <= first.validation_errors <= 36
    assert 0 <= first.test_errors <= 12
    if model in ("svm", "rf", "xgb"):  # they learn something even at the lowest fidelity
        assert first.validation_errors < 18


def test_published_fits_on_a_bootstrap_of_what_it_scores(csv_folder: Path) -> None:
    split = load_split(csv_folder, "vehicle")
    rows, labels = fitted_rows(split, "published", SEEDS[0])
    assert len(rows) == len(labels) == 72 + 36
    where = [np.flatnonzero((rows == row).all(axis=1)) for row in split.validation[0]]
    drawn = [found for found in where if len(found)]
    assert 0.4 * 36 < len(drawn) < 0.85 * 36  # 1 - 1/e of them
    for row, found in zip(split.validation[1], where, strict=True):
        assert all(labels[found] == row)
    assert not np.array_equal(labels, fitted_rows(split, "published", SEEDS[1])[1])
    # An SVM with a narrow kernel knows what it was fitted on and nothing else: noise is learnt under `published` only.
    rng = np.random.default_rng(0)
    noise = Split(*((rng.normal(size=(200, 5)), rng.integers(0, 2, 200)) for _ in range(3)))
    config = {"C": 1024.0, "gamma": 1024.0}
    clean, published = (evaluate("svm", config, noise, protocol=p) for p in ("clean", "published"))
    assert clean.validation_errors > 80
    assert published.validation_errors < 50
    assert published.test_errors > 80


@pytest.mark.parametrize("model", ["svm", "rf", "lr"])
def test_clean_never_sees_validation(csv_folder: Path, model: str) -> None:
    split = load_split(csv_folder, "car")
    other = dataclasses.replace(split, validation=(split.validation[0] * -3, split.validation[1][::-1]))
    config = grid_default(model, GRIDS[model])
    fitted = [evaluate(model, config, s, fidelity=CHEAP[model]).test_errors for s in (split, other)]
    assert fitted[0] == fitted[1]
    assert fitted_rows(split, "clean", 665) is split.train


def test_divergence_counts_as_all_wrong() -> None:
    rng = np.random.default_rng(0)
    huge = Split(*((rng.normal(size=(40, 3)) * 1e200, rng.integers(0, 2, 40)) for _ in range(3)))
    made = evaluate("lr", {"alpha": 1.0, "eta0": 1.0}, huge, fidelity=10)
    assert made.diverged
    assert (made.validation_errors, made.test_errors) == (40, 40)
    broken = dataclasses.replace(huge, train=(np.full((40, 3), np.nan), huge.train[1]))
    with pytest.raises(ValueError, match="NaN"):
        evaluate("lr", {"alpha": 1.0, "eta0": 1.0}, broken, fidelity=10)


@pytest.mark.parametrize("model", GRIDS)
def test_grids_lie_in_the_space_and_are_the_whole_language(model: str) -> None:
    grid, space, original = GRIDS[model], grid_space(model, GRIDS[model]), SPACES[model]()
    assert set(grid) == set(original)
    assert FIDELITIES.keys() == GRIDS.keys() == SPACES.keys() == ALGORITHMS.keys()
    configs = list(grid_configs(grid))
    assert len(configs) == grid_size(grid) == len({tuple(c.values()) for c in configs})
    grammar = space_grammar(space)
    assert grammar.count() == grid_size(grid)
    for config in configs:
        text = grammar.encode(config)
        assert grammar.decode(text) == config
        assert dict(Configuration(space, values=config)) == config
        for name, value in config.items():
            low, high = original[name].lower, original[name].upper
            assert low - 1e-5 * abs(low) <= value <= high
    default = dict(space.get_default_configuration())
    assert default == grid_default(model, grid)


def test_grids_are_hpobenchs_where_stated() -> None:
    assert GRIDS["svm"]["C"][0] == 2**-10
    assert [len(v) for v in GRIDS["svm"].values()] == [21, 21]
    assert [len(v) for v in GRIDS["lr"].values()] == [25, 25]
    published = {  # its 10-point grids, to 6 digits
        ("mlp", "alpha"): (1e-08, 7.74264e-08, 5.99484e-07, 4.64159e-06, 3.59381e-05, 0.000278256, 0.00215443,
                           0.016681, 0.129155, 1.0),
        ("mlp", "batch_size"): (4, 6, 10, 16, 25, 40, 64, 101, 161, 256),
        ("mlp", "width"): (16, 25, 40, 64, 101, 161, 256, 406, 645, 1024),
        ("rf", "max_depth"): (1, 2, 3, 5, 8, 13, 20, 32, 50),
        ("rf", "min_samples_leaf"): (1, 3, 5, 7, 9, 11, 13, 15, 17, 20),
        ("rf", "min_samples_split"): (2, 3, 5, 8, 12, 20, 32, 50, 80, 128),
        ("xgb", "eta"): (0.000976562, 0.00210949, 0.00455675, 0.00984313, 0.0212623, 0.0459292, 0.0992126,
                         0.214311, 0.462937, 1.0),
        ("xgb", "reg_lambda"): (0.000976562, 0.00455675, 0.0212623, 0.0992126, 0.462937, 2.16012, 10.0794,
                                47.0315, 219.454, 1024.0),
    }  # fmt: skip
    for (model, name), values in published.items():
        assert set(GRIDS[model][name]) <= set(values)
