"""Study: ask, tell, run, resume. With the real proposers, and with broken ones where those cannot be had."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import (
    Asked,
    Evaluation,
    Event,
    Finished,
    Job,
    Proposal,
    Proposing,
    SpaceExhausted,
    StoreError,
    Study,
    StudyFile,
    Task,
    TaskError,
    Trial,
    derive_seed,
    load_proposer,
    minimize,
)
from airtune.grammars import AirtuneError, SpaceError
from airtune.models import load_model


class Recording:
    """Random search that keeps what it was asked."""

    name = "recording"

    def __init__(self) -> None:
        self.calls: list[tuple[tuple[Trial, ...], tuple[Trial, ...], int]] = []
        self.inner_proposer = load_proposer("random")

    def propose(self, jobs: Sequence[Job]) -> None:
        self.calls += [(tuple(job.history), tuple(job.pending), job.seed) for job in jobs]
        self.inner_proposer.propose(jobs)


class Broken:
    """Proposes one and the same, whatever it is."""

    name = "broken"

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.asked = 0

    def propose(self, jobs: Sequence[Job]) -> None:
        self.asked += 1
        assert self.asked < 6, "asked again and again"
        for job in jobs:
            job.proposal = Proposal(self.config, self.name)


def test_run_in_memory(task: Task) -> None:
    events: list[Event] = []
    with Study(task, "random", seed=1) as study:
        result = study.run(3, events.append)
        assert result.path is None
        assert result.stopped == "budget"
        assert result.trials == study.trials
        assert [trial.number for trial in result.trials] == [0, 1, 2]
        for trial in result.trials:
            assert trial.status == "told"
            assert trial.loss == trial.config["x"] ** 2 + trial.config["n"] / 3
            assert trial.info == {"size": trial.config["n"]}
            assert trial.proposal_s > 0
            assert trial.evaluation_s is not None
        assert result.best == min(result.trials, key=lambda trial: trial.loss or 0.0)
        assert study.run(2).trials == result.trials
    assert [type(event) for event in events] == [Proposing, Asked, Finished] * 3
    assert events[1] == Asked(
        replace(result.trials[0], status="asked", loss=None, info={}, evaluation_s=None), False
    )
    assert events[2] == Finished(result.trials[0])


def test_a_trial_depends_on_the_trials_before_it_the_seed_and_its_number_only(task: Task) -> None:
    recording = Recording()
    with Study(task, recording, seed=7) as study:
        study.run(4)
    for number, (history, pending, seed) in enumerate(recording.calls):
        assert seed == derive_seed(7, number)
        assert pending == ()
        assert history == study.trials[:number]


def test_pending_trials_are_shown_as_such_and_history_is_sorted(task: Task) -> None:
    recording = Recording()
    with Study(task, recording) as study:
        trials = [study.ask() for _ in range(3)]
        study.tell(trials[2], 1.0)
        study.tell(trials[0], 2.0)
        study.ask()
    history, pending, _ = recording.calls[-1]
    assert [trial.number for trial in history] == [0, 2]
    assert pending == (trials[1],)


def test_failures_are_shown_to_the_proposer(task: Task) -> None:
    recording = Recording()
    with Study(task, recording) as study:
        study.fail(study.ask(), "no\n memory")
        study.fail(study.ask(), " \n", evaluation_s=3.0)
        study.ask()
    (history, _, _) = recording.calls[-1]
    assert [(trial.status, trial.reason, trial.loss, trial.evaluation_s) for trial in history] == [
        ("failed", "no memory", None, None),
        ("failed", "no reason given", None, 3.0),
    ]


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("bad", "objective returned a str: 'bad', expected a finite number or a mapping with key 'loss'"),
        (None, "objective returned None, expected a finite number or a mapping with key 'loss'"),
        (math.nan, "objective returned NaN (nan)"),
        (True, "objective returned a bool: True, expected a finite number or a mapping with key 'loss'"),
        ({"loss": math.inf}, "objective returned a mapping whose 'loss' is inf"),
    ],
)
def test_telling_what_is_no_result_fails_the_trial(task: Task, told: Any, reason: str) -> None:
    with Study(task, "random") as study:
        trial = study.tell(study.ask(), told)
        assert (trial.status, trial.loss, trial.reason) == ("failed", None, reason)
        assert study.best is None


def test_telling_returns_the_trial_as_it_is_now(task: Task) -> None:
    with Study(task, "random") as study:
        asked = study.ask()
        told = study.tell(asked.number, {"loss": 2, "epochs": 3}, evaluation_s=1.5)
        assert told == replace(asked, status="told", loss=2.0, info={"epochs": 3}, evaluation_s=1.5)
        assert study.trials == (told,)


def test_the_best_is_the_first_of_equals(task: Task) -> None:
    with Study(task, "random") as study:
        trials = [study.ask() for _ in range(3)]
        for trial in reversed(trials):
            study.tell(trial, 1.0)
        assert study.best == study.trials[0]


def test_telling_twice_or_what_was_not_asked(task: Task) -> None:
    with Study(task, "random") as study:
        trial = study.ask()
        for unknown in (3, -1, replace(trial, number=1), replace(trial, config={"x": 0.5})):
            with pytest.raises(AirtuneError, match="has no such trial"):
                study.tell(unknown, 1.0)
        study.tell(trial, 1.0)
        for again in (
            lambda: study.tell(trial, 2.0),
            lambda: study.fail(trial, "x"),
            lambda: study.evaluate(trial),
        ):
            with pytest.raises(AirtuneError, match=r"trial 0 .* has a result already: 1\.0"):
                again()
        assert study.trials[0].loss == 1.0


@pytest.mark.parametrize("budget", [0, -1, True, 2.0, "3", None])
def test_a_budget_below_one_is_refused(task: Task, budget: Any) -> None:
    with Study(task, "random") as study, pytest.raises(AirtuneError, match="budget") as caught:
        study.run(budget)
    assert caught.value.allowed == "1 or more"
    assert study.trials == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": 0.5}, "seed 0.5"),
        ({"seed": True}, "seed True"),
        ({"proposer": "tpee"}, "'tpee'"),
        ({"proposer": "lm", "model": "pockett"}, "'pockett'"),
    ],
)
def test_bad_settings_leave_no_file(
    task: Task, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(AirtuneError, match=message) as caught:
        Study(task, **({"proposer": "random"} | settings), path=tmp_path / "s.sqlite")
    assert caught.value.allowed
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timeout_s": 0}, "timeout_s 0"),
        ({"timeout_s": math.nan}, "timeout_s nan"),
        ({"timeout_s": "3"}, "timeout_s '3'"),
        ({"timeout_s": 3, "isolate": False}, "cannot be stopped"),
    ],
)
def test_evaluations_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(AirtuneError, match=message) as caught:
        Evaluation(**settings)
    assert caught.value.allowed
    assert caught.value.hint


def test_tasks_that_cannot_be_run(task: Task) -> None:
    with pytest.raises(TaskError, match="cannot be called"):
        Study(replace(task, objective=0.5), "random")  # type: ignore[arg-type]
    with pytest.raises(SpaceError, match="empty"):
        Study(replace(task, space=ConfigurationSpace()), "random")


@pytest.mark.parametrize(
    "space", [{"x": (0.0, 1.0)}, None, "space.json", [ConfigurationSpace({"x": (0, 1)})]]
)
def test_what_is_no_space(task: Task, space: Any) -> None:
    """Bug: "'dict' object has no attribute 'space'"."""
    for call in (
        lambda: minimize(lambda config: 0.0, space, proposer="random"),
        lambda: Study(replace(task, space=space), "random"),
    ):
        with pytest.raises(SpaceError, match=r"the space of task .* is ") as caught:
            call()
        assert "ConfigurationSpace({" in str(caught.value.hint)


@pytest.mark.parametrize("proposer", [None, object(), 3])
def test_what_is_no_proposer(task: Task, proposer: Any) -> None:
    """Bug: "'NoneType' object has no attribute 'name'"."""
    with pytest.raises(AirtuneError, match="unknown proposer") as caught:
        Study(task, proposer)
    assert "default+lm+gp" in str(caught.value.allowed)


def test_an_exhausted_space_ends_the_study_politely() -> None:
    task = Task("few", ConfigurationSpace({"k": ["a", "b", "c"]}), lambda config: len(config["k"]))
    with Study(task, "random") as study:
        result = study.run(10)
        assert result.stopped == "space exhausted"
        assert sorted(trial.config["k"] for trial in result.trials) == ["a", "b", "c"]
        with pytest.raises(SpaceExhausted, match=r"3 trials[^$]*fix: nothing is left to do"):
            study.ask()
        assert study.run(3).stopped == "budget"


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"x": 5.0, "n": 1, "c": "a"}, "not a configuration of the space"),
        ({"x": 0.123456789, "n": 1, "c": "a"}, "not a configuration of the space"),
        ({"x": 0.5, "n": 1}, "not a configuration of the space"),
        ({"x": 0.5, "n": 1, "c": "a", "y": 2}, "not a configuration of the space"),
        ({"x": "0.5", "n": 1, "c": "a"}, "not a configuration of the space"),
    ],
)
def test_an_invalid_proposal_is_stored_and_never_used(
    task: Task, tmp_path: Path, config: dict[str, Any], problem: str
) -> None:
    with Study(task, Broken(config), path=tmp_path / "s.sqlite", name="s") as study:
        with pytest.raises(AirtuneError, match=problem):
            study.run(1)
        assert study.trials == ()
    with StudyFile(tmp_path / "s.sqlite", readonly=True) as file:
        assert file.get("s").violations == 1


def test_a_repeat_is_stored_and_never_used(task: Task) -> None:
    with Study(task, Broken({"n": 1, "x": 0.5, "c": "a"})) as study:
        trial = study.ask()
        for _ in range(2):
            with pytest.raises(AirtuneError, match="has been tried already"):
                study.ask()
        study.tell(trial, 1.0)
        with pytest.raises(AirtuneError, match="has been tried already"):
            study.run(2)
        assert len(study.trials) == 1


def interrupt(times: list[int]) -> Callable[[dict[str, Any]], float]:
    """An objective into which Ctrl-C falls at the calls whose numbers are given."""
    calls = iter(range(1000))

    def objective(config: dict[str, Any]) -> float:
        if next(calls) in times:
            raise KeyboardInterrupt
        return float(config["x"])

    return objective


def test_ctrl_c_leaves_a_study_that_goes_on(space: ConfigurationSpace) -> None:
    task = Task("t", space, interrupt([2, 3]))
    recording = Recording()
    with Study(task, recording) as study:
        first = study.run(5)
        assert first.stopped == "interrupted"
        assert [trial.status for trial in first.trials] == ["told", "told", "asked"]
        assert study.run(5).stopped == "interrupted"
        events: list[Event] = []
        last = study.run(5, events.append)
        assert last.stopped == "budget"
        assert events[0] == Asked(first.trials[2], True)
        assert [trial.config for trial in last.trials[:3]] == [trial.config for trial in first.trials]
    with Study(replace(task, objective=interrupt([])), Recording()) as whole:
        assert [t.config for t in whole.run(5).trials] == [t.config for t in last.trials]
    assert len(recording.calls) == 5


def test_an_error_on_the_way_leaves_the_trial_to_be_run_again(task: Task) -> None:
    def tell(event: Event) -> None:
        if isinstance(event, Asked):
            raise RuntimeError("the progress bar broke")

    with Study(task, "random") as study:
        with pytest.raises(RuntimeError):
            study.run(2, tell)
        assert [trial.status for trial in study.trials] == ["asked"]
        assert [trial.status for trial in study.run(2).trials] == ["told", "told"]


def test_20_and_20_equal_40(task: Task, tmp_path: Path, export: Callable[..., str]) -> None:
    for proposer, budgets in (("random", (20, 40)), ("default+tpe", (6, 14))):
        once, twice = tmp_path / f"{proposer}-1", tmp_path / f"{proposer}-2"
        with Study(task, proposer, path=once) as study:
            study.run(budgets[1])
        for budget in budgets:
            with Study(task, proposer, path=twice) as study:
                assert len(study.run(budget).trials) == budget
        assert export(once) == export(twice)


def test_what_was_asked_and_not_told_comes_again_first(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with Study(task, "random", path=path) as study:
        asked = [study.ask() for _ in range(3)]
        study.tell(asked[1], 1.0)
    with Study(task, "random", path=path) as study:
        assert study.ask() == asked[0]
        study.tell(asked[2], 3.0)  # told without being asked for again: it is not given out
        assert study.ask().number == 3
        study.tell(asked[0], 0.0)
        assert [trial.status for trial in study.trials] == ["told", "told", "told", "asked"]


def test_one_writer(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with Study(task, "random", path=path):
        with pytest.raises(StoreError, match="this process"):
            Study(task, "random", path=path)
        with Study(task, "random", path=path, seed=1) as other:
            other.run(2)
    with Study(task, "random", path=path) as again:
        again.run(1)
    with StudyFile(path, readonly=True) as file:
        assert [record.name for record in file.studies()] == ["bowl/random/seed=0", "bowl/random/seed=1"]


def test_a_different_study_of_the_same_name_is_refused(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    bytes_, small = load_model("bytes", "scripted"), ConfigurationSpace({"x": (0.0, 1.0)})
    with Study(task, load_proposer("lm", model=bytes_), path=path, name="s") as study:
        study.run(2)
    others = [
        ("task", replace(task, name="other"), load_proposer("lm", model=bytes_), 0),
        ("search space", replace(task, space=small), load_proposer("lm", model=bytes_), 0),
        ("proposer", task, "random", 0),
        ("seed", task, load_proposer("lm", model=bytes_), 1),
        ("temperature", task, load_proposer("lm", model=bytes_, temperature=0.5), 0),
    ]
    for field, other, proposer, seed in others:
        with pytest.raises(StoreError, match=f"another {field}") as caught:
            Study(other, proposer, seed=seed, path=path, name="s")
        assert "name=" in str(caught.value)
    with Study(task, load_proposer("lm", model=bytes_), path=path, name="s") as study:
        assert len(study.trials) == 2


def test_a_language_model_s_study_keeps_its_transcripts(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    model = load_model("bytes", "scripted")
    with Study(task, load_proposer("lm", model=model), path=path) as study:
        result = study.run(3)
        assert study.name == f"bowl/lm/{model.name}/seed=0"
        assert study.manifest["model"] == model.manifest()
    with StudyFile(path, readonly=True) as file:
        transcripts = file.transcripts(study.name)
        assert list(transcripts) == [0, 1, 2]
        assert all(transcripts[t.number]["text"] for t in result.trials)


def test_minimize(space: ConfigurationSpace, tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    arguments: dict[str, Any] = {"proposer": "random", "seed": 3, "path": path}
    result = minimize(lambda config: config["x"], space, budget=4, **arguments)
    assert result.best is not None
    assert result.best.loss == min(trial.config["x"] for trial in result.trials)
    assert result.path == path
    more = minimize(lambda config: config["x"], space, budget=6, **arguments)
    assert more.trials[:4] == result.trials
    assert len(more.trials) == 6
    assert minimize(lambda _: math.nan, space, budget=2, proposer="random").best is None
