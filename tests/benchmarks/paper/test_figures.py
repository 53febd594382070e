"""The figures of parts on made-up runs whose answers are known."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airtune.benchmarks.analysis.comparison import Run
from airtune.benchmarks.analysis.statistics import Estimate
from airtune.benchmarks.paper import against_random, code, contamination, hybrid, noise
from airtune.benchmarks.paper.against_random import worst
from airtune.benchmarks.paper.compared import (
    Compared,
    Pair,
    difference,
    holm_tests,
    joined,
    matched,
    mean,
    power_note,
)
from airtune.benchmarks.paper.noise import evaluated_again
from airtune.benchmarks.paper.plans import PARTS
from airtune.benchmarks.paper.protocol import Arm, Options, Part, protocol_of
from airtune.benchmarks.paper.results import Line
from airtune.benchmarks.paper.words import figure, without_interval, worth_words
from airtune.benchmarks.running.plan import Plan
from airtune.benchmarks.running.suites import get_suite
from airtune.engine.evaluation.noise import TRUE_LOSS, read_noise
from airtune.engine.types import Trial

TASKS = get_suite("toy").tasks


def runs_of(
    losses: dict[str, Any], seeds: int = 3, budget: int = 4, tasks: tuple[str, ...] = TASKS
) -> tuple[Run, ...]:
    """Runs whose every trial has the method's loss on the task: a number, or one for each task."""
    found = []
    for method, loss in losses.items():
        for t, task in enumerate(tasks):
            value = float(loss[t] if np.ndim(loss) else loss)
            for seed in range(seeds):
                jitter = 0.001 * seed
                trials = [
                    Trial(n, {"x": n + 0.5, "y": 1.0}, "told", value + jitter + 1.0 - 0.01 * n)
                    for n in range(budget)
                ]
                found.append(Run(method, task, seed, trials))
    return tuple(found)


def compared(name: str, losses: dict[str, Any], part: Part, suite: str = "toy", **more: Any) -> Compared:
    arm = next((arm for arm in part.arms if arm.name == name), None) or Arm(name, suite, ())
    plan = Plan(suite, tuple(losses), 3, 4)
    tasks = get_suite(suite).tasks
    return Compared(arm, plan, runs_of(losses, tasks=tasks, **more), Path())


def test_a_line_for_every_figure_with_its_control() -> None:
    part = PARTS["toy"]
    protocol = protocol_of(part, ("scripted",), Options(suite="toy", budget=4))
    losses = {
        "lm:scripted": [1, 1, 1, 1, 9, 9], "default+lm:scripted": 1, "lm:uniform@chat": [1, 9, 9, 9, 9, 9],
        "random": 5, "default+gp": 2,
    }  # fmt: skip
    arm = compared("toy", losses, protocol.part)
    result = against_random.evaluate(protocol, {"toy": arm})
    lead = next(line for line in result.lines if line.lead)
    assert lead.method == "lm:scripted"
    assert lead.ours.value == pytest.approx(100 * 4 / 6)
    assert lead.ours.low < lead.ours.value < lead.ours.high
    assert lead.control is not None
    assert lead.control.value == pytest.approx(100 / 6)
    other = next(line for line in result.lines if line.method == "default+lm:scripted")
    assert (other.ours.value, other.control, other.lead) == (100.0, None, False)
    names = [row[0] for row in result.tables[0].rows]
    assert names[0] == "default+lm:scripted"
    assert set(names) == {"lm:scripted", "default+lm:scripted", "lm:uniform (chat)", "random", "default+gp"}


def test_a_part_is_as_bad_as_its_worst_figure() -> None:
    protocol = protocol_of(PARTS["table1"], ("scripted",), Options(suite="toy", budget=4))
    losses = {"lm:scripted": 1.0, "default+lm:scripted": 1.0, "lm:uniform@chat": 2.0, "random": 1.2}
    one = compared("published", losses, protocol.part)
    result = against_random.evaluate(protocol, {"published": one})
    by_words = {line.what: line.verdict for line in result.lines if line.lead}
    assert by_words["beats random search"] == "equal"  # six of six functions: 54 to 100 %
    assert result.verdict == min(by_words.values(), key=["worse", "equal", "better"].index)
    assert "the paper 81.25 %" in result.answer


def test_one_task_and_one_seed_have_no_interval_and_no_verdict() -> None:
    """A bootstrap of one value is that value: printed as an interval, it would be better or worse than any figure."""
    protocol = protocol_of(PARTS["table1"], ("scripted",), Options(suite="toy/branin", budget=4, seeds=1))
    losses = {"lm:scripted": 1.0, "default+lm:scripted": 1.0, "lm:uniform@chat": 2.0, "random": 3.0}
    plan = Plan("toy/branin", tuple(losses), 1, 4)
    runs = tuple(run for run in runs_of(losses, tasks=["toy/branin"]) if run.seed == 0)
    result = against_random.evaluate(
        protocol, {"published": Compared(protocol.part.arms[0], plan, runs, Path())}
    )
    lead = [line for line in result.lines if line.lead]
    assert [(line.ours.value, math.isnan(line.ours.low), line.verdict) for line in lead] == [
        (pytest.approx(line.ours.value), True, "no figure") for line in lead
    ]
    assert lead[0].ours.value == 100.0
    assert result.verdict == "no figure"
    assert "on 1 task: beats random search 100.0 % (no interval) (the paper 81.25 %)" in result.answer
    assert all("[" not in cell for row in result.tables[0].rows for cell in row)


@pytest.mark.parametrize(
    ("verdicts", "least"),
    [
        (("better", "no figure"), "no figure"),
        (("equal", "no figure", "worse"), "worse"),
        (("better", "equal"), "equal"),
    ],
)
def test_a_figure_without_an_interval_does_not_let_a_part_hold(verdicts: Any, least: str) -> None:
    nothing = Estimate(1.0, math.nan, math.nan)
    assert worst([Line("a", "m", "x", nothing, verdict=verdict) for verdict in verdicts]) == least


def test_what_is_matched_counts_ties() -> None:
    mine = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0]])
    other = np.array([[1.0, 1.0], [3.0, 3.0], [2.0, 2.0], [5.0, 5.0]])
    assert matched(mine, other, list("abcd")).value == 75.0
    assert matched(mine, mine, list("abcd")) == Estimate(100.0, pytest.approx(100 * 0.025 ** (1 / 4)), 100.0)
    assert mean(np.full((4, 2), 100.0), list("abcd"), share=True) == matched(mine, mine, list("abcd"))
    assert mean(np.full((4, 2), 100.0), list("abcd")) == Estimate(100.0, 100.0, 100.0)
    assert difference(mine, other, list("abcd")).value == pytest.approx(-0.25)
    assert difference(mine, mine, list("abcd")) == Estimate(0.0, 0.0, 0.0)


def test_the_hybrid_is_measured_by_bayesian_optimisation_at_every_look() -> None:
    protocol = protocol_of(PARTS["hybrid"], ("scripted",), Options(suite="toy", budget=4))
    losses = {
        "hybrid:scripted": [1, 1, 1, 9, 9, 9], "hybrid:uniform@chat": 9, "default+hybrid:scripted": 5,
        "default+hybrid:uniform@chat": 4, "gp": 2, "default+gp": 5, "random": 6, "default+random": 6,
    }  # fmt: skip
    result = hybrid.evaluate(protocol, {"published": compared("published", losses, protocol.part)})
    shares = {line.method: (line.ours.value, line.control and line.control.value) for line in result.lines}
    assert shares == {"hybrid:scripted": (50.0, 0.0), "default+hybrid:scripted": (100.0, 100.0)}
    worth = {line.method: line.worth for line in result.lines}
    assert worth == {"hybrid:scripted": "no clear difference", "default+hybrid:scripted": "worse"}
    assert result.lines[1].p == pytest.approx(2 / 2**6)  # worse on all six functions, and Holm's of one
    assert result.notes == ()
    assert result.verdict == "equal"  # 50 % with an interval around 65.6; the other is better


def test_the_primary_test_stands_alone_and_the_others_are_corrected_together() -> None:
    one = {"toy": compared("toy", {"a": 1.0, "b": 2.0, "c": 3.0, "random": 4.0}, PARTS["toy"])}
    pairs = [Pair("toy", method, other, 4) for method, other in ("ab", "ac", "bc")]
    least = 2 / 2**6
    assert list(holm_tests(one, pairs[:1]).values()) == [(least, "better")]
    assert list(holm_tests(one, pairs).values()) == [
        (least, "better"),
        *[(2 * least, "no clear difference")] * 2,
    ]
    assert holm_tests(one, []) == {}
    assert power_note(one, pairs[:2]) == power_note(one, []) == ()
    assert power_note(one, pairs) == (
        "Over 6 data sets the smallest possible p-value is 0.031: none of the 2 tests but the primary one can tell a "
        "difference, whatever it is.",
    )
    few = {"toy": compared("toy", {"a": 1.0, "b": 2.0, "random": 4.0}, PARTS["toy"], suite="toy/branin")}
    assert power_note(few, pairs[:1]) == (
        "Over 1 data set the smallest possible p-value is 1: no test against a control can tell a difference, whatever "
        "it is.",
    )


def test_arms_on_other_ranges_are_joined_task_by_task() -> None:
    part = PARTS["contamination"]
    protocol = protocol_of(part, ("scripted",), Options(suite="toy", budget=4))
    here = {"lm:scripted": 1.0, "lm:scripted@chat+names=hidden": 2.0, "lm:uniform@chat": 5.0, "random": 6.0}
    there = {"lm:scripted": 3.0, "lm:scripted@chat+names=hidden": 4.0, "lm:uniform@chat": 5.0, "random": 6.0}
    arms = {
        "as it is": compared("as it is", here, part),
        "moved": compared("moved", there, part, suite="moved/toy"),
    }
    both = joined(arms)
    assert both.comparison.tasks == TASKS
    result = contamination.evaluate(protocol, arms)
    gaps = [line.ours.value for line in result.lines]
    scale = float(np.mean(1.0 / (both.comparison.reference - both.comparison.known)))
    assert gaps == pytest.approx([3 * scale, 1 * scale, 2 * scale], rel=1e-6)
    assert all(line.control is not None and line.control.value == 0.0 for line in result.lines)
    assert result.verdict == "worse"
    assert "257c51b8" in result.notes[0] or "model.safetensors" in result.notes[0]


def noisy_runs(methods: tuple[str, ...], text: str, tasks: tuple[str, ...]) -> tuple[Run, ...]:
    runs = []
    for run in runs_of(dict.fromkeys(methods, 2.0), tasks=tasks):
        trials = []
        for trial in run.trials:
            true = float(trial.loss or 0.0)
            seen = read_noise(text).on(true, run.seed, trial.number)
            trials.append(Trial(trial.number, trial.config, "told", seen, info={TRUE_LOSS: true}))
        runs.append(Run(run.method, run.task, run.seed, trials))
    return tuple(runs)


@pytest.mark.parametrize("suite", ["toy", "moved/toy"])
def test_noise_costs_what_was_chosen_wrongly(suite: str) -> None:
    tasks = get_suite(suite).tasks
    protocol = protocol_of(PARTS["noise"], ("scripted",), Options(suite=suite, budget=4))
    methods = ("lm:scripted", "random")
    plan = Plan(suite, methods, 3, 4)
    without, with_ = protocol.part.arms
    arms = {
        "without": Compared(without, plan, runs_of(dict.fromkeys(methods, 2.0), tasks=tasks), Path()),
        "with": Compared(
            with_,
            Plan(suite, methods, 3, 4, noise=with_.noise),
            noisy_runs(methods, str(with_.noise), tasks),
            Path(),
        ),
    }
    result = noise.evaluate(protocol, arms)
    (line,) = result.lines
    assert line.ours.value > 0  # the last trial is the best, and noise hides it in some searches
    assert "again" in result.tables[1].heads[2]
    assert json.dumps(result.answer).count("evaluations") >= 2


def test_evaluating_the_best_again_is_of_the_best_mean() -> None:
    """A lucky draw is found out: its mean rises above the other's."""
    trials = [
        Trial(0, {"x": 0}, "told", 1.0, info={TRUE_LOSS: 2.0}),  # seen at half of what it is
        Trial(1, {"x": 1}, "failed", reason="x"),
        Trial(2, {"x": 2}, "told", 1.2, info={TRUE_LOSS: 1.2}),
        Trial(3, {"x": 3}, "told", 0.1, info={TRUE_LOSS: 0.1}),
    ]
    quiet = "U(0.999999,1.000001)"
    assert evaluated_again(trials, 3, 0, quiet, 7) == 2.0
    assert evaluated_again(trials, 4, 1, quiet, 7) == 1.2  # the first again: its mean is 1.5
    assert evaluated_again(trials, 4, 0, quiet, 7) == 0.1
    assert evaluated_again(trials[1:2], 1, 0, quiet, 7) is None


def test_figures_in_words() -> None:
    assert figure(Estimate(81.25, 69.4, 93.8)) == "81.2 % [69, 94]"
    assert figure(Estimate(-0.0312, -0.1, 0.05), "") == "−0.031 [−0.100, 0.050]"
    assert figure(Estimate(float("nan"), 0, 0)) == "–"
    assert figure(Estimate(100.0, math.nan, math.nan)) == "100.0 % (no interval)"
    assert without_interval(Estimate(81.25, 69.4, 93.8)) == "81.2 %"
    assert worth_words("better", 1e-9) == "the model adds to it (p < 0.0001)"
    assert worth_words("", None) == "not tested"


def test_programs_are_measured_by_test_losses_and_by_random_search_on_hyperparameters() -> None:
    protocol = protocol_of(PARTS["code"], ("scripted",), Options(budget=2))
    programs, numbers = protocol.part.arms
    assert programs.methods[0] == protocol.part.lead
    losses = {"lm:scripted@code": 0.1, "lm:scripted@code+history=none": 0.2, "lm:uniform@code": 0.4, "random": 0.8,
              "uniform": 0.8}  # fmt: skip
    assert set(protocol.plans()["programs"].methods) == set(losses)

    def arm(one: Arm, methods: dict[str, float]) -> Compared:
        runs, apart = [], 0.01 if one is programs else -0.01  # seeds differ: there are intervals
        for method, loss in methods.items():
            for seed in range(3):
                # The second has the lower validation loss, and is chosen; the third comes after the look.
                trials = [
                    Trial(
                        n,
                        {},
                        "told",
                        3.0 - n,
                        info={"test_loss": loss * (1 + apart * (seed - 1)) if n == 1 else 9.0},
                    )
                    for n in range(3)
                ]
                runs.append(Run(method, one.suite, seed, trials))
        return Compared(one, Plan(one.suite, tuple(methods), 3, 3), tuple(runs), Path())

    result = code.evaluate(
        protocol,
        {"programs": arm(programs, losses), "hyperparameters": arm(numbers, {"random": 1.5, "gp": 1.0})},
    )
    test, ratio = (line for line in result.lines if line.lead)
    assert (test.ours.value, test.control and test.control.value) == pytest.approx((0.1, 0.4))
    assert ratio.ours.value == pytest.approx(15.0)
    assert (test.verdict, ratio.verdict, result.verdict) == ("worse", "better", "worse")
    others = {line.method: line.ours.value for line in result.lines if line.what == "test loss"}
    assert others == pytest.approx({"lm:scripted (code)": 0.1, "lm:scripted (history=none)": 0.2})
    assert result.tables[0].rows[0][0] == "lm:scripted (code)"
    assert result.tables[0].rows[0][1].startswith("0.1 ± ")
