"""An interrupt ends an evaluation, also of an objective that takes no notice of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from airtune.benchmarks import get_task
from airtune.engine import Study, Task
from airtune.engine.evaluation.outcome import evaluate

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """As the command line has them: both raise KeyboardInterrupt."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def stubborn(number: int, error: type[Exception] | None = None) -> Any:
    """An objective that is interrupted, and ends as if it had not been."""

    def objective(_: dict[str, Any]) -> float:
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            if error is not None:
                raise error("training was stopped") from None
        return 0.25

    return objective


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("error", [None, RuntimeError])
def test_a_swallowed_interrupt_is_raised_again(number: int, error: type[Exception] | None) -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluate(stubborn(number, error), {})
    assert signal.getsignal(number) is signal.default_int_handler


def test_a_handler_that_raises_nothing_is_left_to_it() -> None:
    heard: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    assert evaluate(stubborn(signal.SIGINT), {}).loss == 0.25
    assert heard == [signal.SIGINT]


def test_signals_that_are_ignored_stay_so_and_threads_are_left_alone() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert evaluate(stubborn(signal.SIGINT), {}).loss == 0.25
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    found: list[float | None] = []
    thread = threading.Thread(target=lambda: found.append(evaluate(lambda _: 0.5, {}).loss))
    thread.start()
    thread.join()
    assert found == [0.5]


def test_a_network_trained_in_part_is_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """scikit-learn's MLPClassifier ends at Ctrl-C with the weights it has: the trial must be evaluated again."""
    from sklearn.neural_network import MLPClassifier

    task = get_task("sklearn/mlp/iris@epochs=9")
    epoch, epochs = MLPClassifier._update_no_improvement_count, []

    def interrupted(self: Any, *arguments: Any) -> Any:
        epochs.append(len(epochs))
        if len(epochs) == 2:
            signal.raise_signal(signal.SIGINT)
        return epoch(self, *arguments)

    with Study(task, "random", seed=1) as study:
        whole = study.run(1).trials[0]
    monkeypatch.setattr(MLPClassifier, "_update_no_improvement_count", interrupted)
    with Study(task, "random", seed=1) as study:
        with pytest.warns(UserWarning, match="interrupted by user"):
            assert study.run(1).stopped == "interrupted"
        assert [trial.status for trial in study.trials] == ["asked"]
        assert len(epochs) == 2
        again = study.run(1).trials[0]
    assert len(epochs) == 2 + 9
    assert (again.number, again.config, again.loss) == (0, whole.config, whole.loss)


def test_a_study_whose_objective_swallows_interrupts_goes_on_where_it_was() -> None:
    calls: list[dict[str, Any]] = []

    def objective(config: dict[str, Any]) -> float:
        calls.append(config)
        return stubborn(signal.SIGTERM)(config) if len(calls) == 2 else float(len(calls))

    task = Task("stubborn", get_task("toy/branin").space, objective, "value")
    with Study(task, "random", seed=0) as study:
        assert study.run(3).stopped == "interrupted"
        assert [trial.status for trial in study.trials] == ["told", "asked"]
        result = study.run(3)
    assert calls[1] == calls[2]
    assert [trial.loss for trial in result.trials] == [1.0, 3.0, 4.0]
