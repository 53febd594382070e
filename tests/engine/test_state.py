"""The rules of the loop, on their own: what a trial sees, what comes next, what a proposal must be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace
from hypothesis import given, settings
from hypothesis import strategies as st

from airtune.engine import Job, Proposal, StudyState, Task, Trial
from airtune.engine.seeds import derive_seed
from airtune.engine.state import InvalidProposal
from airtune.grammars import AirtuneError, canonical_grammar

SPACE = ConfigurationSpace({"n": (1, 200)})
TASK = Task("t", SPACE, lambda config: config["n"])


def fresh(batch: int = 1, seed: int = 3) -> StudyState:
    return StudyState("s", TASK, seed, batch)


def text_of(config: Any) -> str:
    return canonical_grammar(SPACE).encode(dict(config))


def choose(job: Job) -> dict[str, Any]:
    """A proposer in one line: it depends on the seed, on the losses that it sees, and on all configurations."""
    tried = {trial.config["n"] for trial in (*job.history, *job.pending)}
    seen = sum((trial.number + 1) * int(trial.loss or 0) for trial in job.history)
    start = (job.seed + seen) % 200
    return {"n": next(1 + (start + i) % 200 for i in range(200) if 1 + (start + i) % 200 not in tried)}


def ask(state: StudyState) -> tuple[StudyState, Trial]:
    number = state.first_missing
    trial = Trial(number, choose(state.job(number)))
    return state.asked(trial, text_of(trial.config)), trial


def result(trial: Trial) -> Trial:
    """Every fifth configuration fails."""
    n = trial.config["n"]
    if n % 5 == 0:
        return replace(trial, status="failed", reason="no")
    return replace(trial, status="told", loss=float(n % 17))


def run(state: StudyState, budget: int, orders: Iterable[Sequence[int]] = ()) -> StudyState:
    """Ask and tell up to the budget, a batch at a time; each batch's results come in the next of the orders."""
    turns = iter(orders)
    while (number := state.next(budget)) is not None:
        begun = []
        while number is not None and len(begun) < state.batch:
            if number in state.trials:
                state = state.taken_up(number)
                begun.append(state.trials[number])
            else:
                state, trial = ask(state)
                begun.append(trial)
            number = state.next(budget)
        order = [i for i in next(turns, range(len(begun))) if i < len(begun)]
        for i in [*order, *(i for i in range(len(begun)) if i not in order)]:
            state = state.told(result(begun[i]))
    return state


def stored(state: StudyState) -> list[tuple[Trial, str]]:
    return [(trial, text_of(trial.config)) for trial in state.trials.values()]


def numbers(trials: Iterable[Trial]) -> list[int]:
    return [trial.number for trial in trials]


# Whole studies


@settings(max_examples=40)
@given(st.integers(1, 5), st.integers(1, 20), st.integers(1, 20))
def test_a_budget_in_two_parts_is_the_same_study(batch: int, first: int, more: int) -> None:
    """20 and then 20 more are 40, also where the first budget cut a batch, and read from a file in between."""
    whole = run(fresh(batch), first + more)
    part = run(fresh(batch), first)
    assert len(part.trials) == first
    again = fresh(batch).resumed(reversed(stored(part)))
    assert run(again, first + more).trials == whole.trials


@settings(max_examples=40)
@given(st.integers(2, 5), st.lists(st.permutations(range(5)), max_size=6))
def test_the_order_of_results_in_a_batch_changes_nothing(batch: int, orders: list[Sequence[int]]) -> None:
    assert run(fresh(batch), 17, orders) == run(fresh(batch), 17)


@settings(max_examples=40)
@given(st.integers(1, 4), st.sets(st.integers(0, 14), max_size=6))
def test_lost_trials_are_proposed_again_to_the_same_configurations(batch: int, lost: set[int]) -> None:
    """What a salvaged file has lost comes back under its number; what it has is left as it is."""
    whole = run(fresh(batch), 15)
    kept = [pair for pair in stored(whole) if pair[0].number not in lost]
    assert run(fresh(batch).resumed(kept), 15).trials == whole.trials


@settings(max_examples=40)
@given(st.integers(1, 4), st.integers(0, 11))
def test_a_killed_study_goes_on_as_if_nothing_had_been(batch: int, killed: int) -> None:
    """Killed after trial `killed` was asked: it is evaluated under its number, before any new one."""
    whole = run(fresh(batch), 12)
    before = [
        (trial if trial.number < killed - killed % batch else trial.without_result(), text)
        for trial, text in stored(whole)
        if trial.number <= killed
    ]
    again = fresh(batch).resumed(before)
    assert again.left == tuple(range(killed - killed % batch, killed + 1))
    assert again.next(12) == again.left[0]
    assert run(again, 12).trials == whole.trials


# What a trial is proposed from


def filled(batch: int, statuses: str) -> StudyState:
    """Trials by their statuses: a(sked), t(old), f(ailed), or - for a lost one."""
    made = {"a": "asked", "t": "told", "f": "failed"}
    pairs = []
    for number, letter in enumerate(statuses):
        if letter != "-":
            loss, reason = 1.0 + number if letter == "t" else None, "it broke" if letter == "f" else None
            trial = Trial(number, {"n": number + 1}, made[letter], loss, reason)  # type: ignore[arg-type]
            pairs.append((trial, text_of(trial.config)))
    return fresh(batch).resumed(pairs)


@pytest.mark.parametrize(("statuses", "numbers"), [("t-t", [1, 3, 4]), ("-tt-t", [0, 3, 5]), ("ttt", [3, 4])])
def test_trials_stay_in_the_order_of_their_numbers(statuses: str, numbers: list[int]) -> None:
    """Also where a lost one is asked again; equal mappings need not have one order."""
    state = filled(1, statuses)
    for number in numbers:
        state, trial = ask(state)
        assert trial.number == number
        assert list(state.trials) == sorted(state.trials)
        state = state.told(result(trial))
        assert list(state.trials) == sorted(state.trials)


def test_a_study_with_a_loss_is_not_failing_whatever_came_before() -> None:
    """Found without going through the earlier trials: at every result of a long study that took most of its time."""

    class Untouched(list[int]):
        def __contains__(self, number: object) -> bool:
            raise AssertionError

        __iter__ = None  # type: ignore[assignment]

    assert not filled(1, "tfff").is_failing(Untouched([0, 1]))
    with pytest.raises(TypeError):
        filled(1, "ffff").is_failing(Untouched([0, 1]))


@pytest.mark.parametrize(
    ("batch", "statuses", "history", "pending"),
    [
        (1, "", [], []),
        (1, "tft", [0, 1, 2], []),
        (1, "taf", [0, 2], [1]),  # asynchronously: whatever has ended
        (3, "tff", [0, 1, 2], []),  # a batch begins: it sees the whole one before
        (3, "tfft", [0, 1, 2], [3]),  # within a batch: not its results, though one is there
        (3, "tffaf", [0, 1, 2], [3, 4]),
        (2, "tt", [0, 1], []),
        (4, "ttt", [], [0, 1, 2]),
    ],
)
def test_what_a_trial_sees(batch: int, statuses: str, history: list[int], pending: list[int]) -> None:
    state = filled(batch, statuses)
    number = len(statuses)
    job = state.job(number)
    assert (numbers(job.history), numbers(job.pending)) == (history, pending)
    assert all(trial == state.trials[trial.number] for trial in job.history)
    assert all(trial.status == "asked" and trial.loss is None for trial in job.pending)
    assert job.task is TASK
    assert job.seed == derive_seed(3, number)


def test_a_lost_trial_sees_what_it_saw() -> None:
    job = filled(2, "tt-ttt").job(2)
    assert (numbers(job.history), numbers(job.pending)) == ([0, 1], [])
    job = filled(2, "ttt-tt").job(3)
    assert (numbers(job.history), numbers(job.pending)) == ([0, 1], [2])


def test_what_was_pending_may_be_told() -> None:
    """A replay goes by what the file says, later trials of a salvaged file included."""
    job = filled(3, "ttttt").job(3, [1, 4])
    assert (numbers(job.history), numbers(job.pending)) == ([0, 2], [1, 4])
    assert [trial.loss for trial in job.pending] == [None, None]


def test_a_batch_begins_when_the_one_before_has_ended() -> None:
    state = filled(3, "tat")
    with pytest.raises(AirtuneError, match="trial 3 of study 's' begins a batch") as raised:
        state.job(3)
    assert raised.value.value == [1]
    assert raised.value.allowed == "the results of all trials before 3"
    assert raised.value.hint
    state = replace(state, left=())
    assert state.next(9) is None
    assert state.told(replace(state.trials[1], status="told", loss=0.5)).next(9) == 3
    # 4 would be in the batch of 3, which did not begin
    assert replace(filled(3, "tata"), left=()).next(9) is None
    assert replace(filled(3, "tata"), batch=1, left=()).next(9) == 4


# What comes next


def test_what_was_left_comes_first_and_then_the_first_number_that_is_missing() -> None:
    state = filled(1, "ta-at")
    assert (state.left, state.first_missing, state.finished) == ((1, 3), 2, 2)
    assert [state.next(budget) for budget in (0, 1, 2, 9)] == [None, None, 1, 1]
    state = state.taken_up(1)
    assert (state.left, state.next(9), state.next(3)) == ((3,), 3, None)
    assert state.trials[1].status == "asked"  # it is being evaluated
    state = state.told(replace(state.trials[3], status="told", loss=0.0))  # without having been taken up
    assert (state.left, state.next(9), state.next(3), state.next(2)) == ((), 2, 2, None)
    state = state.asked(Trial(2, {"n": 9}), text_of({"n": 9}))
    assert (state.next(9), state.next(5), list(state.trials)) == (5, None, [0, 1, 2, 3, 4])
    assert state.finished == 3


def test_an_exhausted_space_ends_with_what_was_left() -> None:
    state = filled(1, "ta").without_rest()
    assert state.exhausted
    assert state.next(9) == 1
    assert state.taken_up(1).next(9) is None
    assert not state.resumed(stored(state)).exhausted


def test_the_best_is_the_first_of_the_least() -> None:
    assert fresh().best is None
    assert filled(1, "fa").best is None
    state = filled(1, "fttt")
    assert state.best == state.trials[1]
    state = state.told(replace(state.trials[3], loss=-1.0)).told(replace(state.trials[2], loss=-1.0))
    assert state.best == state.trials[2]


# What is proposed


def test_a_lost_trial_that_comes_out_as_a_later_one_is_proposed_again_beside_it() -> None:
    state = filled(2, "t-ttt")
    job = state.job(1)
    assert state.job_again(1, job) is None  # nothing was proposed
    job.proposal = Proposal({"n": 100}, "p")
    assert state.job_again(1, job) is None
    job.proposal = Proposal({"n": 4}, "p")  # that of trial 3
    again = state.job_again(1, job)
    assert again is not None
    assert (numbers(again.history), numbers(again.pending)) == ([], [0, 2, 3, 4])
    assert (again.seed, again.proposal) == (job.seed, None)
    job.proposal = Proposal({"n": 1}, "p")  # that of an earlier trial: not ours to mend
    assert state.job_again(1, job) is None
    again = state.job(3)
    # its own: a study that has the trial is asked with those that lost it
    again.proposal = Proposal({"n": 4}, "p")
    assert state.job_again(3, again) is None


def test_a_proposal_is_read_as_the_space_knows_it() -> None:
    text, config = fresh().checked(0, Proposal({"n": 7}, "p"), "p")
    assert (text, config) == ('{"n":7}', {"n": 7})


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"n": 201}, "is not a configuration of the space"),
        ({"m": 1}, "is not a configuration of the space"),
        ({"n": 13}, "ConfigSpace refuses"),
        ({"n": 2}, "has been tried already"),
    ],
)
def test_what_is_not_valid_or_not_new_is_refused(
    config: dict[str, Any], problem: str, monkeypatch: Any
) -> None:
    if "refuses" in problem:
        monkeypatch.setattr("airtune.engine.state.violation", lambda space, config: "13 brings bad luck")
    with pytest.raises(InvalidProposal) as raised:
        filled(1, "tt").checked(2, Proposal(config, "p"), "broken")
    assert raised.value.problem.startswith(problem)
    assert (
        raised.value.message
        == f"proposer 'broken' proposed for trial 2 what {raised.value.problem}: {config!r}"
    )
    assert raised.value.value == config
    assert raised.value.allowed
    assert raised.value.hint


# Results


def test_only_a_trial_that_waits_can_be_told() -> None:
    state = filled(1, "atf")
    assert state.waiting(0) == state.trials[0] == state.waiting(state.trials[0])
    for what, said in (
        (3, "study 's' has no such trial: 3"),
        (replace(state.trials[0], config={"n": 5}), "has no such trial"),
        (1, "trial 1 of study 's' has a result already: 2.0"),
        (state.trials[2], "trial 2 of study 's' has a result already: it broke"),
    ):
        with pytest.raises(AirtuneError) as raised:
            state.waiting(what)
        assert said in raised.value.message
        assert raised.value.value == (what.number if isinstance(what, Trial) else what)
        assert raised.value.allowed
        assert raised.value.hint
    with pytest.raises(AirtuneError) as raised:
        state.waiting(3)
    assert raised.value.allowed == "trials 0 to 2"
    with pytest.raises(AirtuneError) as raised:
        fresh().waiting(0)
    assert raised.value.allowed == "none: no trial was asked yet"


def test_a_state_is_never_changed() -> None:
    state = filled(1, "ta")
    before = (dict(state.trials), state.texts, state.left)
    after = state.asked(Trial(2, {"n": 9}), text_of({"n": 9}))
    state.told(replace(state.trials[1], status="told", loss=0.0))
    state.taken_up(1)
    assert (dict(state.trials), state.texts, state.left) == before
    assert after.texts - state.texts == {'{"n":9}'}
