"""The loop of a study around evaluations that end when the test says so: batches, errors, interrupts, lost trials."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
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
    StoreError,
    Study,
    StudyFile,
    StudyState,
    Task,
    load_proposer,
)
from airtune.engine.asking import ask_together
from airtune.engine.evaluation.outcome import Outcome, evaluate
from airtune.engine.state import InvalidProposal
from airtune.engine.types import best_of
from airtune.grammars import AirtuneError

Export = Callable[..., str]


class Steered:
    """Evaluates in this process; which of the evaluations that were begun is over next, `choose` says."""

    def __init__(self, objective: Any, choose: Callable[[Sequence[int]], int]) -> None:
        self.objective, self.choose = objective, choose
        self.begun: dict[int, Mapping[str, Any]] = {}
        self.most, self.closed = 0, 0

    def submit(self, number: int, config: Mapping[str, Any]) -> None:
        assert number not in self.begun
        self.begun[number] = config
        self.most = max(self.most, len(self.begun))

    def wait(self) -> list[tuple[int, Outcome]]:
        number = self.choose(sorted(self.begun))
        return [(number, evaluate(self.objective, self.begun.pop(number)))]

    def close(self) -> None:
        self.closed += 1
        self.begun.clear()


@pytest.fixture
def steer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Sequence[int]], int]], list[Steered]]:
    """From now on studies evaluate as the function says; the evaluators that they make."""

    def steer(choose: Callable[[Sequence[int]], int]) -> list[Steered]:
        made: list[Steered] = []

        def evaluator(evaluation: Evaluation, objective: Any) -> Steered:
            made.append(Steered(objective, choose))
            return made[-1]

        monkeypatch.setattr(Evaluation, "local_evaluator", evaluator)
        return made

    return steer


def first(numbers: Sequence[int]) -> int:
    return numbers[0]


def last(numbers: Sequence[int]) -> int:
    return numbers[-1]


def test_evaluations_on_a_cluster(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the executor is "ray", and only there, a cluster evaluates, with the objective and its time limit."""
    made: list[tuple[Any, float | None]] = []

    def cluster(objective: Any, timeout_s: float | None) -> Steered:
        made.append((objective, timeout_s))
        return Steered(objective, first)

    monkeypatch.setattr("airtune.engine.integrations.ray.executor.RayEvaluator", cluster)
    with Study(task, "random", evaluation=Evaluation(60.0, executor="ray")) as study:
        assert [trial.status for trial in study.run(2).trials] == ["told", "told"]
    assert made == [(task.objective, 60.0)]
    with Study(task, "random") as study:
        study.run(1)
    assert len(made) == 1


class Following:
    """Steps from the best trial so far, to where the seed says: what it proposes depends on the results it sees."""

    name = "following"

    def propose(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            tried = [dict(trial.config) for trial in (*job.history, *job.pending)]
            best = best_of(job.history)
            start = job.seed + (0 if best is None else best.config["n"])
            steps = ({"x": 0.5, "n": 1 + (start + i) % 9, "c": "ab"[i // 9]} for i in range(18))
            job.proposal = Proposal(next(one for one in steps if one not in tried), self.name)


class Failing:
    """Random search that fails, or proposes what is not new, at one trial."""

    name = "failing"

    def __init__(self, at: int, config: Mapping[str, Any] | None = None) -> None:
        self.at, self.config, self.random = at, config, load_proposer("random")
        self.failed = False

    def propose(self, jobs: Sequence[Job]) -> None:
        self.random.propose(jobs)
        for job in jobs:
            if len(job.history) + len(job.pending) == self.at:
                if self.config is None:
                    assert not self.failed, "asked again"
                    self.failed = True
                    raise AirtuneError("the model is gone")
                job.proposal = Proposal(self.config, self.name)


def test_batches_end_in_any_order(task: Task, tmp_path: Path, export: Export, steer: Any) -> None:
    exports, orders = [], []
    for choose in (first, last):
        made, events, path = steer(choose), list[Event](), tmp_path / choose.__name__
        with Study(task, Following(), path=path, seed=2, evaluation=Evaluation(jobs=3)) as study:
            result = study.run(8, events.append)
        assert result.stopped == "budget"
        assert study.name == "bowl/following/seed=2/batches-of-3"
        assert study.manifest["schedule"] == "batches of 3"  # another one would be another study
        assert [one.most for one in made] == [3]  # as many as there may be, and no more
        assert made[0].closed >= 1
        assert [event.number for event in events if isinstance(event, Proposing)] == list(range(8))
        assert not any(event.resumed for event in events if isinstance(event, Asked))
        orders.append([event.trial.number for event in events if isinstance(event, Finished)])
        exports.append(export(path))
    assert orders == [[0, 1, 2, 3, 4, 5, 6, 7], [2, 1, 0, 5, 4, 3, 7, 6]]
    assert exports[0] == exports[1]


def test_asynchronous_trials_do_not_wait_for_a_slow_one(task: Task, tmp_path: Path, steer: Any) -> None:
    made = steer(last)
    with Study(
        task, "random", path=tmp_path / "s", evaluation=Evaluation(jobs=2, asynchronous=True)
    ) as study:
        study.run(6)
    assert made[0].most == 2
    with StudyFile(tmp_path / "s", readonly=True) as file:
        pending = [one.pending for one in file.records(file.get().name)]
    assert pending == [(), (0,), (0,), (0,), (0,), (0,)]


def test_a_proposer_that_fails_costs_nothing_that_is_being_evaluated(task: Task, steer: Any) -> None:
    made = steer(first)
    with Study(task, Failing(2), evaluation=Evaluation(jobs=4)) as study:
        with pytest.raises(AirtuneError, match="the model is gone"):
            study.run(9)
        assert [trial.status for trial in study.trials] == ["told", "told"]
        assert made[0].closed == 1
        study.proposer = load_proposer("random")
        assert len(study.run(5).trials) == 5
        assert len(made) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_what_is_cut_short_is_evaluated_again_under_its_number(
    task: Task, error: type[BaseException], steer: Any
) -> None:
    def interrupted(numbers: Sequence[int]) -> int:
        if numbers[0] >= 2:
            raise error("in the way")
        return numbers[0]

    made, events = steer(interrupted), list[Event]()
    with Study(task, "random", seed=5, evaluation=Evaluation(jobs=2)) as study:
        if error is KeyboardInterrupt:
            result = study.run(6)
            assert (result.stopped, len(result.trials), result.best) == ("interrupted", 4, study.best)
        else:
            with pytest.raises(OSError, match="in the way"):
                study.run(6)
        assert made[0].closed == 1
        assert [trial.status for trial in study.trials] == ["told", "told", "asked", "asked"]
        steer(first)
        assert study.run(6, events.append).stopped == "budget"
    asked = [(event.trial.number, event.resumed) for event in events if isinstance(event, Asked)]
    assert asked == [(2, True), (3, True), (4, False), (5, False)]
    assert [event.number for event in events if isinstance(event, Proposing)] == [4, 5]


def test_evaluate_ends_the_evaluator_when_it_is_interrupted(task: Task, steer: Any) -> None:
    def interrupted(numbers: Sequence[int]) -> int:
        raise KeyboardInterrupt

    made = steer(interrupted)
    with Study(task, "random") as study:
        trial = study.ask()
        with pytest.raises(KeyboardInterrupt):
            study.evaluate(trial)
        assert made[0].closed == 1
        steer(first)
        told = study.evaluate(trial)
        assert (told.number, told.status, told.evaluation_s is not None) == (0, "told", True)
        assert study.trials == (told,)


@pytest.mark.parametrize(("budget", "stopped"), [(5, "budget"), (6, "budget"), (7, "space exhausted")])
def test_an_exhausted_space_waits_for_what_is_being_evaluated(budget: int, stopped: str, steer: Any) -> None:
    steer(last)
    task = Task("t", ConfigurationSpace({"n": (1, 6)}), lambda config: config["n"])
    with Study(task, "random", evaluation=Evaluation(jobs=4)) as study:
        result = study.run(budget)
        assert (result.stopped, len(result.trials)) == (stopped, min(budget, 6))
        assert {trial.status for trial in result.trials} == {"told"}
        assert study.run(6).stopped == "budget"
        assert study.run(8).stopped == "space exhausted"


def lose(path: Path, *numbers: int) -> None:
    """What salvage leaves of a damaged file: some trials are gone."""
    database = sqlite3.connect(path)
    database.executemany("DELETE FROM trials WHERE number = ?", [(number,) for number in numbers])
    database.executemany("DELETE FROM transcripts WHERE number = ?", [(number,) for number in numbers])
    database.commit()
    database.close()


@pytest.mark.parametrize("jobs", [1, 3])
def test_lost_trials_are_made_again(
    task: Task, tmp_path: Path, export: Export, steer: Any, jobs: int
) -> None:
    steer(first)
    path = tmp_path / "s"
    with Study(task, Following(), path=path, seed=1, evaluation=Evaluation(jobs=jobs)) as study:
        study.run(8)
    whole = export(path)
    lose(path, 1, 5)
    with Study(task, Following(), path=path, seed=1, evaluation=Evaluation(jobs=jobs)) as study:
        study.run(8)
    assert export(path) == whole


def test_a_lost_trial_of_a_noisy_objective_is_not_one_that_is_there(tmp_path: Path) -> None:
    """Proposed from other results it may come out as a later trial, which is then shown to the proposer too."""

    class Least:
        name = "least"

        def __init__(self, misled: bool = False) -> None:
            self.misled = misled

        def propose(self, jobs: Sequence[Job]) -> None:
            for job in jobs:
                tried = {trial.config["n"] for trial in (*job.history, *job.pending)}
                n = 3 if self.misled and not tried else min({1, 2, 3, 4, 5} - tried)
                job.proposal = Proposal({"n": n}, self.name)

    path = tmp_path / "s"
    task = Task("t", ConfigurationSpace({"n": (1, 5)}), lambda config: config["n"])
    with Study(task, Least(), path=path) as study:
        study.run(4)
    lose(path, 0)
    with Study(task, Least(misled=True), path=path) as study:
        trial = study.ask()
    assert (trial.number, dict(trial.config)) == (0, {"n": 1})
    with StudyFile(path, readonly=True) as file:
        assert file.records(file.get().name)[0].pending == (1, 2, 3)


def test_of_several_studies_all_are_asked_or_none(task: Task) -> None:
    """In one batch; a proposal that may not be is stored as a violation of its own study alone."""
    with StudyFile(None) as file:
        states = [StudyState(name, task, seed) for seed, name in enumerate("abc")]
        file.acquire(*"abc")
        file.create_all({name: {} for name in "abc"})
        with pytest.raises(InvalidProposal, match="proposer 'failing' proposed for trial 0 what is not"):
            ask_together(file, Failing(0, {"x": 7.0}), states, 0)
        assert [len(file.trials(name)) for name in "abc"] == [0, 0, 0]
        assert [file.get(name).violations for name in "abc"] == [1, 0, 0]
        after = ask_together(file, load_proposer("random"), states, 0)
        for state, name in zip(after, "abc", strict=True):
            (record,) = file.records(name)
            assert (state.name, state.trials, state.texts) == (name, {0: record.trial}, {record.text})
            assert record.trial.proposal_s > 0
        assert len({str(state.trials[0].config) for state in after}) == 3


def test_a_study_that_has_the_trial_keeps_its_own(task: Task) -> None:
    """It is asked with those that have lost theirs, so that a model gets the same batch again."""
    batches: list[int] = []

    class Counting(Failing):
        def propose(self, jobs: Sequence[Job]) -> None:
            batches.append(len(jobs))
            super().propose(jobs)

    with StudyFile(None) as file:
        file.acquire("a", "b")
        file.create_all({"a": {}, "b": {}})
        states = [StudyState("a", task, 0), StudyState("b", task, 1)]
        (has_it,) = ask_together(file, Counting(9), states[:1], 0)
        after = ask_together(file, Counting(9), [has_it, states[1]], 0)
        assert batches == [1, 2]
        assert after[0] == has_it
        assert list(after[1].trials) == [0]


def test_an_exhausted_study_among_others(task: Task) -> None:
    small = Task("small", ConfigurationSpace({"n": [1]}), lambda config: 0.0)
    with StudyFile(None) as file:
        file.acquire("a", "b")
        file.create_all({"a": {}, "b": {}})
        states = [StudyState("a", small, 0), StudyState("b", task, 0)]
        random = load_proposer("random")
        states = ask_together(file, random, states, 0)
        states = [state.told(Outcome(1.0).told(state.trials[0], 0.1)) for state in states]
        states = ask_together(file, random, states, 1)
        assert [state.exhausted for state in states] == [True, False]
        assert [len(state.trials) for state in states] == [1, 2]
        assert len(file.trials("a")) == 1


def test_a_file_is_looked_at_before_a_model_is_loaded(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no study file, but longer than the sixteen bytes that SQLite looks at", encoding="utf-8")
    with pytest.raises(StoreError):
        Study(task, "lm", model="no such model", path=path)


def test_without_a_model_it_is_the_bundled_one(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, object]] = []

    def load(name: str, model: object) -> Following:
        asked.append((name, model))
        return Following()

    monkeypatch.setattr("airtune.engine.study.load_proposer", load)
    with Study(task), Study(task, "lm", model="other"):
        assert asked == [("default+lm+gp", "pocket"), ("lm", "other")]


def test_a_study_that_cannot_go_on_lets_its_file_go(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Study(task, "random", path=path, name="s"):
        pass
    for arguments in ({"proposer": "tpe"}, {"proposer": "lm", "model": "no such model"}):
        with pytest.raises(AirtuneError):
            Study(task, path=path, name="s", **arguments)  # type: ignore[arg-type]
    with Study(task, "random", path=path, name="s") as study:  # its lease was given back
        assert study.trials == ()
