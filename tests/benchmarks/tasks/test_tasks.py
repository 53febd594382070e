"""The built-in tasks: what they compute, and what they refuse."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest

from airtune.benchmarks import NEED_DATA, get_task, task_names
from airtune.benchmarks.running.suites import SUITES, get_suite
from airtune.benchmarks.tasks.hpobench.data import split_indices
from airtune.benchmarks.tasks.sklearn import ALGORITHMS, DATA, load_split, raw_data
from airtune.benchmarks.tasks.toy import FUNCTIONS, minimum
from airtune.engine.types import TaskError
from airtune.grammars import AirtuneError

CHEAP = {"svm": "", "lr": "@iter=10", "rf": "@trees=16", "mlp": "@epochs=3"}


def test_there_are_six_toy_and_sixteen_sklearn_tasks() -> None:
    names = [
        name for name in task_names() if not name.startswith(("hpobench/", "sklearn/program/", *NEED_DATA))
    ]
    assert len(names) == len(set(names)) == 22
    assert sum(name.startswith("toy/") for name in names) == 6
    for name in names:
        task = get_task(name)
        assert task.name == name
        assert task.description
        assert len(task.space) >= 2


@pytest.mark.parametrize("name", FUNCTIONS)
def test_toy_minima(name: str) -> None:
    """The stated points attain the stated minimum, and nothing on a fine grid or around them is below it."""
    function, task = FUNCTIONS[name], get_task(f"toy/{name}")
    assert minimum(task.name) == function.minimum
    (xl, xu), (yl, yu) = function.x, function.y
    assert (task.space["x"].lower, task.space["x"].upper) == (xl, xu)
    for x, y in function.minimisers:
        assert xl <= x <= xu
        assert yl <= y <= yu
        assert task.objective({"x": x, "y": y}) == pytest.approx(function.minimum, abs=1e-4)
        for angle in np.linspace(0, 2 * math.pi, 16):
            near = task.objective({"x": x + 1e-2 * math.cos(angle), "y": y + 1e-2 * math.sin(angle)})
            assert near >= function.minimum
    grid = [function.value(x, y) for x in np.linspace(xl, xu, 101) for y in np.linspace(yl, yu, 101)]
    assert min(grid) >= function.minimum - 1e-12


def test_no_toy_default_is_near_an_optimum() -> None:
    """Otherwise every default+X method would be handed the answer."""
    for name, function in FUNCTIONS.items():
        task = get_task(f"toy/{name}")
        default = task.space.get_default_configuration()
        for x, y in function.minimisers:
            assert math.hypot(default["x"] - x, default["y"] - y) > 0.05 * (function.x[1] - function.x[0])


def test_the_spaces_are_hpobenchs() -> None:
    svm = get_task("sklearn/svm/iris").space
    assert (svm["C"].lower, svm["C"].upper, svm["C"].log, svm["C"].default_value) == (
        2**-10,
        2**10,
        True,
        1.0,
    )
    assert svm["gamma"].default_value == pytest.approx(0.1)
    mlp = get_task("sklearn/mlp/iris").space
    assert {name: hp.default_value for name, hp in mlp.items()} == pytest.approx(
        {"depth": 3, "width": 64, "batch_size": 32, "alpha": 1e-3, "learning_rate_init": 1e-3}
    )
    assert (mlp["alpha"].lower, mlp["learning_rate_init"].lower) == (1e-8, 1e-5)
    forest = get_task("sklearn/rf/iris").space
    assert (forest["max_features"].lower, forest["max_features"].upper) == (0.0, 1.0)
    assert (forest["min_samples_split"].upper, forest["max_depth"].upper) == (128, 50)


@pytest.mark.parametrize("data", DATA)
def test_splits_are_disjoint_whole_stratified_and_scaled_on_train(data: str) -> None:
    features, labels = raw_data(data)
    parts = split_indices(labels)
    together = np.concatenate(parts)
    assert sorted(together) == list(range(len(labels)))
    for part in parts:
        for label in np.unique(labels):
            share, whole = np.mean(labels[part] == label), np.mean(labels == label)
            assert abs(share - whole) * len(part) <= 1.0  # as even as whole samples can be
    assert len(parts[2]) == math.ceil(0.1 * len(labels))
    assert len(parts[1]) == math.ceil(0.33 * (len(labels) - len(parts[2])))
    train = load_split(data).train[0]
    varying = features[parts[0]].std(axis=0) > 0
    np.testing.assert_allclose(train.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(train.std(axis=0)[varying], 1.0)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_objectives_are_deterministic_and_report_both_errors(algorithm: str, data: str) -> None:
    """Also after a trip through pickle, as to a worker; warnings of short training do not get out."""
    task = get_task(f"sklearn/{algorithm}/{data}{CHEAP[algorithm]}")
    config = dict(task.space.get_default_configuration())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = task.objective(config)
        again = pickle.loads(pickle.dumps(task.objective))(config)
    assert first == again
    assert set(first) == {"loss", "test_loss"}
    classes = len(np.unique(load_split(data).train[1]))
    assert 0.0 <= first["loss"] < 1.0 - 1.0 / classes  # better than guessing
    assert 0.0 <= first["test_loss"] <= 1.0
    validation = len(load_split(data).validation[1])
    assert first["loss"] * validation == pytest.approx(round(first["loss"] * validation))


def test_validation_is_never_seen_in_fitting() -> None:
    """With a narrow kernel an SVM knows what it was fitted on and nothing else."""
    task = get_task("sklearn/svm/digits")
    result = task.objective({"C": 1024.0, "gamma": 1024.0})
    assert result["loss"] > 0.8
    assert result["test_loss"] > 0.8


def test_fidelities_change_the_cost_and_the_name() -> None:
    assert get_task("sklearn/rf/digits").objective.fidelity == 512
    task = get_task("sklearn/rf/digits@trees=16")
    assert task.name == "sklearn/rf/digits@trees=16"
    assert task.objective.fidelity == 16
    assert get_task("sklearn/lr/iris").objective.fidelity == 1000
    assert get_task("sklearn/mlp/iris@epochs=9").objective.fidelity == 9


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("sklearn/rf/digits@trees=15", "from 16 to 512"),
        ("sklearn/rf/digits@trees=513", "from 16 to 512"),
        ("sklearn/rf/digits@trees=-16", "from 16 to 512"),
        ("sklearn/rf/digits@trees=16.0", "from 16 to 512"),
        ("sklearn/rf/digits@epochs=16", "trees=N"),
        ("sklearn/rf/digits@", "trees=N"),
        ("sklearn/mlp/iris@epochs=", "epochs=N"),
        ("sklearn/svm/iris@iter=10", "no fidelity"),
        ("toy/branin@trees=16", "unknown task"),
        ("sklearn/svm/irs", "did you mean 'sklearn/svm/iris'"),
        ("toy/brannin", "did you mean 'toy/branin'"),
        ("", "unknown task"),
        ("here/x.free", "airtune tune --program-space here/x.free --data FILE"),
        ("x y.space", "airtune tune --program-space 'x y.space' --data FILE"),
        ("tiny", "airtune tune --program-space tiny --data FILE"),
        ("toy/x.json", "airtune tune --space toy/x.json --command"),
        ("moved/moved/toy/branin", "use 'moved/toy/branin'"),
    ],
)
def test_bad_names_are_explained(name: str, says: str) -> None:
    with pytest.raises(TaskError) as raised:
        get_task(name)
    assert says in str(raised.value)
    assert raised.value.hint


def test_suites_hold_existing_tasks() -> None:
    # "original" needs a package of its own, others data.
    for suite in [SUITES[name] for name in SUITES if name not in ("original", *NEED_DATA)]:
        assert [get_task(name).name for name in suite.tasks] == list(suite.tasks)
    assert len(get_suite("core").tasks) == 22
    assert len(get_suite("sklearn").tasks) == len(get_suite("sklearn-tables").tasks) == 16
    assert "sklearn/mlp/digits@epochs=9" in get_suite("sklearn-tables").tasks
    with pytest.raises(AirtuneError, match="unknown suite"):
        get_suite("cores")


@pytest.mark.parametrize("name", ["sklearn/rf/iris", "cifar10/cnn-table"])
def test_importing_the_tasks_is_light(name: str) -> None:
    code = (
        f"import sys, airtune.benchmarks as b; b.get_task({name!r}); "
        "print([m for m in ('sklearn', 'torch', 'optuna') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
