"""What the models add: which methods tell it, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airtune.benchmarks.analysis.comparison import compare_runs
from airtune.benchmarks.analysis.statistics import bootstrap_means
from airtune.benchmarks.report import make_report, report_tables
from airtune.benchmarks.report.controls import (
    OTHER_DIALECT,
    focal_method,
    model_controls,
    what_models_add,
)
from airtune.benchmarks.running.plan import with_controls
from tests.benchmarks.synthetic import make_plan, make_runs

METHODS = (
    "default+lm:uniform@pocket",
    "default+lm:pocket@pocket+names=hidden",
    "default+lm:pocket",
    "default+lm:scripted@chat+history=turns",
    "default+lm:uniform@chat",
    "default+lm:x@chat+history=turns",
    "default+lm:x@chat+names=hidden+history=turns",
    "default+lm:x@chat+names=hidden",
    "lm:uniform@pocket",
    "random",
)
DIALECTS = {"default+lm:pocket": "pocket", "default+lm:uniform@pocket": "pocket"} | {
    method: method.partition("@")[2] for method in METHODS if "@chat" in method
}


def test_each_method_has_its_own_controls() -> None:
    """Bug: only the first method was compared, with any know-nothing model, whatever language it answers in."""
    plan = make_plan(METHODS)
    focal = focal_method(plan)
    assert focal == "default+lm:pocket"  # not the controls before it
    found = [
        (one.method, one.reference)
        for one in model_controls(plan, focal, DIALECTS)
        if one.reference in METHODS
    ]
    assert found == [
        ("default+lm:pocket", "default+lm:uniform@pocket"),
        ("default+lm:pocket", "default+lm:pocket@pocket+names=hidden"),
        ("default+lm:pocket", "random"),
        ("default+lm:x@chat+history=turns", "default+lm:scripted@chat+history=turns"),
        ("default+lm:x@chat+history=turns", "default+lm:uniform@chat"),
        ("default+lm:x@chat+history=turns", "default+lm:x@chat+names=hidden+history=turns"),
    ]


def test_a_control_of_another_dialect_is_called_so() -> None:
    plan = make_plan(("lm:pocket", "lm:uniform@chat", "random"))
    dialects = {"lm:pocket": "pocket", "lm:uniform@chat": "chat"}
    assert model_controls(plan, "lm:pocket", dialects)[0].what == OTHER_DIALECT


def test_what_with_controls_adds_is_what_is_found() -> None:
    plan = make_plan((*with_controls(["default+lm"], "pocket"), "random"))
    dialects = {m: "pocket" for m in plan.methods if "lm" in m} | {plan.methods[2]: "pocket+names=hidden"}
    found = [one.reference for one in model_controls(plan, "default+lm", dialects)]
    assert found[:3] == [*plan.methods[1:4]]


def test_the_test_is_over_data_sets_and_test_errors_stand_beside() -> None:
    """Bug: 16 tasks on 4 data sets counted as 16 pieces of evidence (p = 2 / 2**16 where 2 / 2**4 is the least)."""
    plan = make_plan(("lm:pocket", "lm:uniform", "random"), seeds=2, budget=3, suite="sklearn")
    runs = make_runs(plan, failures=0.0)
    shift = {"lm:pocket": 0.0, "lm:uniform": 1.0, "random": 2.0}
    moved = []
    for run in runs:
        by = shift[run.method]
        trials = [replace(t, loss=0.5 + by, info={"test_loss": 5.0 - by}) for t in run.trials]
        moved.append(replace(run, trials=trials))
    tasks = tuple({run.task: None for run in moved})
    comparison = compare_runs({(r.method, r.task, r.seed): r for r in moved}, plan.methods, tasks, 2, 3)
    controls = model_controls(plan, "lm:pocket", {})[:1]
    means = bootstrap_means(comparison.best[..., 2], comparison.clusters)
    (added,) = what_models_add(comparison, controls, 3, means)
    assert (added.row.wins, added.row.losses) == (16, 0)
    assert added.p == pytest.approx(2 / 2**4)
    assert added.test is not None
    assert (added.test.wins, added.test.losses) == (0, 16)  # lower test errors are the control's
    table = report_tables(make_report(plan, moved))[0]
    assert table.columns[-1].head == "test median change %"
    assert (table.rows[0][1].text, table.rows[0][1].sub) == ("16/0/0", "(0/0/16)")
