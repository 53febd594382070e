"""Programs are given training data and features, return predictions, and are scored outside: labels never go in."""

from __future__ import annotations

import ast
import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airtune.engine import (
    Evaluation,
    Harness,
    Limits,
    ProgramData,
    Sandbox,
    Study,
    Task,
    TaskError,
    TrialFailed,
)
from airtune.engine.evaluation.programs import SCORES, SEED, check_function, program_task
from airtune.engine.sandbox import layers
from airtune.engine.sandbox.limits import SandboxError
from airtune.grammars import program_space
from tests.engine.sandbox.here import needs_sandbox

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 2))
Y = X[:, 0] + 10.0
PARTS = (X[:20], Y[:20]), (X[20:32], Y[20:32]), (X[32:], Y[32:])
DATA = ProgramData(*PARTS, "mse")
PLAIN = Sandbox(Limits(time_s=60.0), walls=False)
BOTH = [
    pytest.param(PLAIN, id="plain"),
    pytest.param(Sandbox(Limits(time_s=60.0)), id="sandbox", marks=needs_sandbox),
]
# A space of four programs: a mean, and three that end badly.
SPACE = """
program: Program = '''
    import numpy as np

    def fit_predict(train_x, train_y, test_x, seed):
        {what: Body}
    '''
what: Body = mean: "return np.full(len(test_x), train_y.mean())" | raises: "raise ValueError('no such luck')"
    | short: "return np.zeros(3)" | missing: "return np.full(len(test_x), np.nan)"
"""


def program(body: str) -> str:
    return f"import numpy as np\n\n\ndef fit_predict(train_x, train_y, test_x, seed):\n    {body}\n"


@pytest.mark.parametrize("sandbox", BOTH)
def test_predictions_are_scored_part_by_part(sandbox: Sandbox) -> None:
    """The order of the held-out rows, and which loss is of which part."""
    source = program("return 2 * test_x[:, 0] + train_y.mean()")
    found = Harness(DATA, sandbox)(source)
    for name, (x, y) in zip(("loss", "test_loss"), PARTS[1:], strict=True):
        assert found[name] == pytest.approx(((2 * x[:, 0] + PARTS[0][1].mean() - y) ** 2).mean())
    assert found["loss"] != found["test_loss"]
    without = Harness(replace(DATA, test=None), sandbox)(source)
    assert without == {"loss": found["loss"]}


@pytest.mark.parametrize("sandbox", BOTH)
def test_all_that_a_program_is_given(sandbox: Sandbox) -> None:
    """No label of a held-out row is among its inputs, on its stack or in its environment."""
    looks = (
        "import gc, os, sys; frame = sys._getframe(); held = []\n"
        "    while frame is not None:\n        held += list(frame.f_locals.values()); frame = frame.f_back\n"
        "    seen = [a for a in [*gc.get_objects(), *held] if isinstance(a, np.ndarray)]\n"
        "    seen = np.concatenate([a.ravel().astype(float) for a in seen if a.dtype.kind == 'f'])\n"
        f"    assert seed == {SEED} and train_x.shape == (20, 2) and train_y.shape == (20,)\n"
        "    print('SEEN', sorted(set(seen[np.abs(seen) > 5].round(9).tolist())))\n"
        "    return np.zeros(len(test_x))"
    )
    ran, _ = sandbox.call(program(looks) + "\ndef main(**given): return {'p': fit_predict(**given)}", "main",
        {"train_x": X[:20], "train_y": Y[:20], "test_x": X[20:], "seed": SEED}, {})  # fmt: skip
    assert ran.reason is None, ran.reason
    assert ast.literal_eval(ran.out.decode().partition("SEEN")[2].strip()) == sorted(Y[:20].round(9).tolist())
    caught: dict[str, Any] = {}

    class Looking:
        walls = True

        def call(self, source: str, function: str, inputs: Any, environment: Any) -> Any:
            caught.update(inputs)
            return sandbox.call(source, function, inputs, environment)

    Harness(DATA, Looking())(program("return np.zeros(len(test_x))"))  # type: ignore[arg-type]
    assert set(caught) == {"train_x", "train_y", "test_x", "seed"}
    assert np.isin(caught["test_x"], X).all()
    assert not np.isin(Y[20:], np.concatenate([np.ravel(one) for one in caught.values()])).any()


@pytest.mark.parametrize("sandbox", BOTH)
@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise ValueError('no such luck')", "crash: .*ValueError: no such luck"),
        ("return np.zeros(3)", "invalid result: 20 predictions .* not an array of shape"),
        ("return np.zeros((len(test_x), 1))", r"invalid result: 20 predictions .* shape \(20, 1\)"),
        ("return 1.0", r"shape \(\)"),
        ("return ['a'] * len(test_x)", "something else"),
        ("return {'a': 1}", "something else"),
        ("return [[1], [1, 2]]", "something else"),
        ("pass", "something else"),
        ("return np.full(len(test_x), np.nan)", "NaN"),
        ("import os; os.write(2, b'x' * 100); os._exit(0)", "invalid result: nothing was written"),
        ("import os; os.kill(os.getpid(), 9)", "crash: .*SIGKILL"),
    ],
)
def test_what_is_wrong_is_named(sandbox: Sandbox, body: str, why: str) -> None:
    with pytest.raises(TrialFailed, match=why):
        Harness(DATA, sandbox)(program(body))


@pytest.mark.parametrize("sandbox", BOTH)
def test_limits_of_a_program(sandbox: Sandbox) -> None:
    for limits, body, why in [
        (Limits(time_s=3.0), "while True: pass", "time: not over after 3 s"),
        (
            Limits(time_s=60.0, output_bytes=1000),
            "print('x' * 5000); return np.zeros(20)",
            "output: more than 1000",
        ),
        (
            Limits(time_s=60.0, result_bytes=500),
            "return np.zeros(10_000)",
            "invalid result: it is larger than 500",
        ),
    ]:
        with pytest.raises(TrialFailed, match=why):
            Harness(DATA, replace(sandbox, limits=limits))(program(body))


def test_forged_predictions_and_too_large_ones() -> None:
    huge = Harness(DATA, PLAIN)(program("return np.full(len(test_x), 1e300)"))
    assert huge["loss"] == np.inf  # which no study takes for a loss
    with pytest.raises(TrialFailed, match="invalid result"):
        Harness(DATA, PLAIN)(program("globals()['answer_of_the_program'] = None; import os; os._exit(0)"))


def test_the_scores() -> None:
    y = np.array([0.0, 1.0, 2.0, 2.0])
    predicted = np.array([0.0, 1.0, 1.0, 4.0])
    assert {name: score.loss(predicted, y) for name, score in SCORES.items()} == {
        "mse": 1.25,
        "mae": 0.75,
        "error": 0.5,
    }


@pytest.fixture
def task() -> Task:
    return program_task(
        "means", program_space(SPACE), DATA, PLAIN, metric="validation mse", description="Means."
    )


def test_a_study_of_programs(task: Task, tmp_path: Path) -> None:
    """All four programs, in a worker process; those that fail say why, and the study goes on."""
    evaluation = Evaluation(isolate=True)
    with Study(task, "random", seed=0, path=tmp_path / "s.sqlite", evaluation=evaluation) as study:
        found = study.run(10, keep_going=True)
    assert found.stopped == "space exhausted"
    reasons = {trial.config["what"]: trial.reason for trial in found.trials}
    assert reasons.keys() == {"mean", "raises", "short", "missing"}
    assert reasons["mean"] is None
    assert "no such luck" in str(reasons["raises"])
    assert found.best is not None
    assert found.best.loss == pytest.approx(((Y[:20].mean() - Y[20:32]) ** 2).mean())
    assert found.best.info == {"test_loss": pytest.approx(((Y[:20].mean() - Y[32:]) ** 2).mean())}
    assert study.manifest["sandbox"] == "none"


def test_an_objective_goes_by_pickle_and_takes_a_function_of_a_module(task: Task) -> None:
    config = {"what": "mean"}
    assert pickle.loads(pickle.dumps(task.objective))(config) == task.objective(config)
    loaded = Harness(_load, PLAIN)
    assert loaded(program("return np.full(len(test_x), train_y.mean())")) == task.objective(config)


def _load() -> ProgramData:
    return DATA


@pytest.fixture
def no_bubblewrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    layers.require.cache_clear()
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    yield
    layers.require.cache_clear()


@pytest.mark.usefixtures("no_bubblewrap")
def test_without_bubblewrap_nothing_is_run(tmp_path: Path) -> None:
    """Refused before the study file is made; --sandbox none, which is in the manifest, is the way around."""
    made = program_task("means", program_space(SPACE), DATA, Sandbox(), metric="mse")
    with pytest.raises(SandboxError, match="bubblewrap is not installed") as raised:
        Study(made, "random", path=tmp_path / "s.sqlite")
    assert "apt-get install bubblewrap" in str(raised.value.hint)
    assert "--sandbox none" in str(raised.value.allowed)
    assert not (tmp_path / "s.sqlite").exists()
    with pytest.raises(SandboxError):
        made.objective({"what": "mean"})
    with Study(made, "random", seed=0, evaluation=Evaluation(sandbox="none")) as study:
        assert study.manifest["sandbox"] == "none"
        assert study.run(1).trials[0].status == "told" or study.trials[0].reason


@needs_sandbox
def test_programs_run_in_the_sandbox_unless_told_otherwise(tmp_path: Path) -> None:
    made = program_task("means", program_space(SPACE), DATA, Sandbox(), metric="mse")
    with Study(made, "random", path=tmp_path / "s.sqlite") as study:
        assert study.manifest["sandbox"] == "bubblewrap"
        assert study.task.objective.sandbox.hidden == (str((tmp_path / "s.sqlite").resolve()),)
    limited = Evaluation(sandbox=Sandbox(Limits(processes=64)))
    with Study(made, "random", path=tmp_path / "t.sqlite", evaluation=limited) as study:
        assert study.manifest["sandbox_limits"]["processes"] == 64
        assert study.task.objective.sandbox.limits.processes == 64


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("def fit_predict(train_x, train_y, test_x): ...", "does not define"),
        ("def predict(train_x, train_y, test_x, seed): ...", "does not define"),
        ("class A:\n    def fit_predict(train_x, train_y, test_x, seed): ...", "does not define"),
        ("def fit_predict(train_x, train_y, test_x, seed, /): ...", "does not define"),
        ("def fit_predict(", "is no Python"),
    ],
)
def test_programs_must_have_the_function(source: str, why: str) -> None:
    with pytest.raises(TaskError, match=why) as raised:
        check_function(source)
    assert "fit_predict(train_x, train_y, test_x, seed)" in str(raised.value.allowed)
    check_function(
        "async def other(): ...\ndef fit_predict(train_x, train_y, test_x, *, seed=0, more=1): ..."
    )


def test_the_result_is_that_of_the_same_program_without_the_harness(task: Task) -> None:
    """JSON: a study file holds the losses as they are."""
    names: dict[str, Any] = {}
    exec(program_space(SPACE).render({"what": "mean"}), names)
    held = np.concatenate([PARTS[1][0], PARTS[2][0]])
    predicted = names["fit_predict"](*PARTS[0], held, SEED)
    told = json.loads(json.dumps(task.objective({"what": "mean"})))
    assert told == {"loss": float(((predicted[:12] - PARTS[1][1]) ** 2).mean()),
                    "test_loss": float(((predicted[12:] - PARTS[2][1]) ** 2).mean())}  # fmt: skip
