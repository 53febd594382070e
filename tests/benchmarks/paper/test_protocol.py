"""What is declared: templates, a user's options and what departs, verdicts, and that every plan can be run."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from airtune.benchmarks.analysis.statistics import Estimate
from airtune.benchmarks.paper import running
from airtune.benchmarks.paper.declared import plans_markdown
from airtune.benchmarks.paper.plans import ALIASES, MODELS, PARTS
from airtune.benchmarks.paper.protocol import Claim, Options, filled, protocol_of
from airtune.benchmarks.paper.results import Result, judged, of_claim, result_json
from airtune.benchmarks.paper.running import chosen_parts, studies_folder
from airtune.benchmarks.running.plan import Plan, check_plan
from airtune.benchmarks.running.suites import get_suite
from airtune.grammars import AirtuneError
from airtune.models.spec import parse_spec

REPO = Path(__file__).resolve().parents[3]


def test_templates_are_filled_in() -> None:
    model = "llama_cpp:./m.gguf@chat+examples=1"
    assert filled("default+lm:{model+history=turns}", model) == f"default+lm:{model}+history=turns"
    assert filled("lm:{control}", model) == "lm:uniform@chat"
    assert filled("default+lm+gp:pocket", model) == "default+lm+gp:pocket"
    with pytest.raises(ValueError, match="other"):
        filled("lm:{other}", model)


@pytest.mark.parametrize("name", PARTS)
def test_every_plan_can_be_run(name: str) -> None:
    """With models that are everywhere: methods, suites, dialect settings and noise are all known.

    Bug: pocket was asked for a setting of chat's in the part about programs, which so could not be run as planned.
    """
    part = PARTS[name]
    assert name in running.EVALUATED_BY or name == "validity"
    protocol = protocol_of(part, ("scripted", "pocket"), Options())
    for arm in part.arms:
        assert arm.looks[-1] <= arm.budget
        assert get_suite(arm.suite).words
    if name == "validity":
        return
    for arm_name, plan in protocol.plans().items():
        assert len(set(plan.methods)) == len(plan.methods)
        assert "random" in plan.methods
        for method in plan.methods:
            parse_spec(plan.model_of(method) or "pocket").check()
        if not plan.suite.startswith(("original", "moved/original", "nyc_taxi")):
            check_plan(plan)  # the others need tables that are not everywhere
        assert any("{model" in one for one in next(a for a in part.arms if a.name == arm_name).methods)


def test_the_plans_are_what_was_registered() -> None:
    page = (REPO / "docs/project/preregistration.md").read_text(encoding="utf-8")
    assert plans_markdown(list(PARTS.values())) in page


def test_options_are_departures_that_are_told() -> None:
    part = PARTS["noise"]
    plain = protocol_of(part, MODELS, Options())
    assert (plain.departures, plain.models, plain.part) == ((), MODELS, part)
    changed = protocol_of(part, MODELS, Options(("scripted",), "toy", 4, 2))
    said = " ".join(changed.departures)
    for words in (
        "models scripted in place of",
        "suite toy",
        "2 seeds in place of 3",
        "4 evaluations",
        "dry run",
    ):
        assert words in said
    plans = changed.plans()
    assert {(p.suite, p.budget, p.seeds) for p in plans.values()} == {("toy", 4, 2)}
    assert [plans[name].noise for name in ("without", "with")] == [None, "U(0.9,1.1)"]
    assert changed.part.arms[0].looks == (4,)
    assert changed.command == [
        "airtune", "bench", "paper", "--part", "noise", "--models", "scripted", "--suite", "toy", "--budget", "4",
        "--seeds", "2", "--out", "paper",
    ]  # fmt: skip


def test_another_suite_stays_on_other_ranges() -> None:
    arms = protocol_of(PARTS["contamination"], MODELS, Options(suite="toy")).part.arms
    assert [arm.suite for arm in arms] == ["toy", "moved/toy"]


def test_a_suite_on_other_ranges_is_not_compared_with_itself() -> None:
    with pytest.raises(AirtuneError, match="on other ranges already") as error:
        protocol_of(PARTS["contamination"], MODELS, Options(suite="moved/toy"))
    assert error.value.hint == "--suite toy"
    assert {
        arm.suite for arm in protocol_of(PARTS["noise"], MODELS, Options(suite="moved/toy")).part.arms
    } == {"moved/toy"}


def test_all_of_a_larger_budget_is_looked_at() -> None:
    assert protocol_of(PARTS["table1"], MODELS, Options(budget=12)).part.arms[0].looks == (10, 12)
    assert protocol_of(PARTS["table5"], MODELS, Options(budget=20)).part.arms[0].looks == (10, 20)


def test_an_arm_with_models_of_its_own_keeps_them_until_the_user_names_others() -> None:
    arms = {arm.name: arm for arm in PARTS["table5"].arms}
    assert arms["published"].models == ("pocket",)
    plain = protocol_of(PARTS["table5"], ("scripted", "pocket"), Options()).plans()
    assert "lm:pocket" in plain["published"].methods
    assert "lm:scripted" not in plain["published"].methods
    assert "lm:scripted" in plain["original"].methods
    named = protocol_of(PARTS["table5"], MODELS, Options(models=("scripted",))).plans()
    assert "lm:scripted" in named["published"].methods


def test_chat_parts_leave_out_what_speaks_no_chat() -> None:
    both = protocol_of(PARTS["prompts"], MODELS, Options(models=("pocket", "scripted")))
    assert both.models == ("scripted",)
    assert "pocket left out: it speaks no chat" in both.departures
    with pytest.raises(AirtuneError, match="none of the models speaks") as error:
        protocol_of(PARTS["prompts"], MODELS, Options(models=("pocket",)))
    assert error.value.hint


@pytest.mark.parametrize("name", ["cot", "validity", "table5"])
def test_the_models_of_the_plan_are_no_departure(name: str) -> None:
    """Bugs: named, the one model of the plan that speaks chat departed from it; and both models were run in an arm
    that has one of them alone, without a word."""
    part, planned = PARTS[name], ("scripted", "pocket")
    plain = protocol_of(part, planned, Options())
    ways = [planned, plain.models, planned[::-1]] if part.speech == "chat" else [planned]
    for models in ways:
        named = protocol_of(part, planned, Options(models=models))
        assert named.departures == plain.departures
        assert (named.models, named.part.arms) == (plain.models, plain.part.arms)
    assert (
        "models pocket in place of"
        in protocol_of(PARTS["toy"], planned, Options(models=("pocket",))).departures[0]
    )


def test_parts_are_named() -> None:
    assert [part.name for part in chosen_parts(["toy", "repetition", "validity"])] == ["toy", "validity"]
    assert [part.name for part in chosen_parts([])] == list(PARTS)
    assert set(ALIASES.values()) <= set(PARTS)
    with pytest.raises(AirtuneError, match="tabel1") as error:
        chosen_parts(["tabel1"])
    assert "table1" in str(error.value.hint)


@pytest.mark.parametrize(
    ("ours", "paper", "lower", "verdict"),
    [
        ((80, 70, 90), (81.25, None), False, "equal"),
        ((90, 85, 95), (81.25, None), False, "better"),
        ((60, 50, 70), (81.25, None), False, "worse"),
        ((90, 85, 95), (81.25, None), True, "worse"),
        ((60, 50, 70), (81.25, None), True, "better"),
        ((15, 15, 16), (13.7, 15.6), False, "equal"),
        ((17, 15.7, 18), (13.7, 15.6), False, "better"),
        ((81.25, 81.25, 81.25), (81.25, None), False, "equal"),
        ((80, 70, 90), (None, None), False, "no figure"),
        ((80, math.nan, math.nan), (81.25, None), False, "no figure"),
    ],
)
def test_a_verdict_is_by_the_interval(
    ours: tuple[float, float, float], paper: tuple[float | None, float | None], lower: bool, verdict: str
) -> None:
    claim = Claim("x", "x", "Table 1", *paper, lower_is_better=lower)
    assert judged(Estimate(*ours), claim) == verdict
    assert of_claim(claim, Estimate(*ours), arm="a", method="m").verdict == verdict


def test_a_result_is_compact_json_without_nan() -> None:
    protocol = protocol_of(PARTS["toy"], MODELS, Options())
    claim = PARTS["toy"].claims[0]
    line = of_claim(claim, Estimate(1 / 3, math.nan, math.inf), arm="toy", method="lm", lead=True)
    document = json.loads(result_json(protocol, Result("equal", "so", (line,)), {"commit": None}))
    assert document["lines"][0]["ours"] == {"value": 0.333333, "low": None, "high": None}
    assert (document["part"], document["verdict"], document["departures"]) == ("toy", "equal", [])
    assert document["plan"]["arms"][0]["suite"] == "toy"


def test_a_long_list_of_tasks_has_a_folder_of_its_own() -> None:
    """Bug: no file system has names of so many characters, and the advice was another --out."""
    tasks = [f"toy/branin@shift={i}" for i in range(40)]
    plans = [Plan(",".join([*tasks, last]), ("random",)) for last in ("toy/branin", "toy/ackley")]
    names = [studies_folder(plan) for plan in plans]
    assert len(set(names)) == 2
    assert all(len(name) < 200 for name in names)
