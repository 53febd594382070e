"""`airtune bench compare`: models side by side, what they took, recordings in place of models."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from airtune.benchmarks import get_task
from airtune.benchmarks.analysis.comparison import Run
from airtune.benchmarks.analysis.costs import Costs, comparison_costs, costs_table
from airtune.benchmarks.measures.compare import compare_plan
from airtune.benchmarks.report import write_report
from airtune.benchmarks.running.plan import Plan, check_plan, study_seed
from airtune.benchmarks.running.runner import run_suite
from airtune.engine.cli.app import main as airtune
from airtune.grammars import AirtuneError, space_grammar
from tests.servers.fake_openai import serve

THINKING = "scripted@chat+reasoning=on+reasoning_tokens=20"


def configs(runs: list[Run], method: str) -> list[list[dict[str, object]]]:
    return [[dict(t.config) for t in run.trials] for run in runs if run.method == method]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of a comparison, and the recording that was made on the way."""
    folder = tmp_path_factory.mktemp("compare")
    record = folder / "answers.jsonl"
    recorded = THINKING.replace("@", f"+record={record}@")
    plan = compare_plan(["scripted", "scripted@chat+history=turns", recorded], seeds=2, budget=3)
    run_suite(plan, folder, jobs=1)
    return folder, record


def test_models_with_their_settings_side_by_side(compared: tuple[Path, Path]) -> None:
    folder, _ = compared
    plan = compare_plan(["scripted", "scripted@chat+history=turns"], seeds=2, budget=3)
    plain, turns, random, default = comparison_costs(folder, plan.methods)
    for one in (plain, turns):
        assert (one.proposals, one.said, one.violations, one.rejected, one.repeats) == (36, 36, 0, 0, 0)
        assert one.cost == one.thought_tokens == 0
    assert plain.prompt_tokens != turns.prompt_tokens
    assert (random.proposals, random.said, random.prompt_tokens) == (36, 0, 0)
    assert default.collisions == 12  # the default, once per study, and nothing else
    assert random.collisions == 0


def test_costs_of_fewer_seeds_and_trials_than_there_are(compared: tuple[Path, Path]) -> None:
    """Bug: the costs beside the figures of one seed were those of all that the file had."""
    folder, _ = compared
    plan = compare_plan(["scripted"], seeds=1, budget=2)
    whole, few = (comparison_costs(folder, plan.methods, *some)[0] for some in ((), (1, 2)))
    assert (few.proposals, few.said) == (12, 12)
    assert few.prompt_tokens is not None
    assert whole.prompt_tokens is not None
    assert few.prompt_tokens < whole.prompt_tokens / 3  # prompts grow


def test_thoughts_are_counted(compared: tuple[Path, Path]) -> None:
    """Both phases: against the transcripts, added up by hand."""
    folder, record = compared
    method = f"lm:{THINKING.replace('@', f'+record={record}@')}"
    (costs,) = comparison_costs(folder, (method,))
    lines = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    answers = [line for line in lines if "text" in line]
    assert len(answers) == costs.said == 36
    thoughts = [line["details"]["thought"] for line in answers]
    assert costs.thought_tokens == sum(len(one["token_ids"]) for one in thoughts)
    assert costs.answer_tokens == costs.thought_tokens + sum(len(one["token_ids"]) for one in answers)
    assert costs.prompt_tokens == sum(one["prompt_tokens"] for one in [*answers, *thoughts])


def test_a_recording_takes_the_models_place(compared: tuple[Path, Path], tmp_path: Path) -> None:
    """Replayed under another name, the comparison is the same: models behind one proposer share the seeds."""
    _, record = compared
    plan = compare_plan([f"replay:{record}", THINKING], seeds=2, budget=3)
    runs = run_suite(plan, tmp_path, jobs=1)
    replayed, again = (configs(runs, method) for method in plan.methods[:2])
    assert replayed == again
    first, second = comparison_costs(tmp_path, plan.methods)[:2]
    assert (first.prompt_tokens, first.answer_tokens) == (second.prompt_tokens, second.answer_tokens)


def test_what_was_not_recorded_is_refused(compared: tuple[Path, Path], tmp_path: Path) -> None:
    _, record = compared
    with pytest.raises(AirtuneError, match="not recorded"):
        run_suite(compare_plan([f"replay:{record}"], seeds=2, budget=4), tmp_path, jobs=1)


def test_the_command_prints_quality_and_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")  # a table that is too wide is folded, whose words are then cut
    command = [
        "bench",
        "compare",
        "--models",
        "scripted,scripted@chat+detail=none",
        "--budget",
        "2",
        "--seeds",
        "1",
        "--out",
        str(tmp_path),
    ]
    with pytest.raises(SystemExit, match="0"):
        airtune(command)
    printed = capsys.readouterr().out
    for word in ("lm:scripted (detail=none)", "beats", "prompt", "violations", "repeats"):
        assert word in printed
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| lm:scripted (detail=none) |" in page
    assert "share the seed of a study" in page
    html = write_report(tmp_path)[0].read_text(encoding="utf-8")
    assert "What the models took" in html
    assert "share the seed of a study" in html
    with pytest.raises(SystemExit, match="0"):
        airtune([*command, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [one["method"] for one in found["costs"]][:2] == ["lm:scripted", "lm:scripted@chat+detail=none"]


def test_servers_and_samples_that_do_not_tell() -> None:
    """Unknown is "?", never a number: a server without counts, the samples of lm+gp and lm+self."""
    manifest = {"model": {"backend": "openai", "prices": {"currency": "EUR"}}}
    told = {"usage": {"requests": 2, "prompt_tokens": 100, "completion_tokens": 10, "cost": 0.25}}
    silent = {"usage": {"requests": 1, "prompt_tokens": None, "completion_tokens": None}}
    known, unknown, sampled = Costs("a", proposals=2), Costs("b", proposals=1), Costs("c", proposals=1)
    known.add(
        manifest, [{"details": told}, {"details": {**told, "rejected": [{"reason": "it has been tried"}]}}]
    )
    unknown.add(manifest, [{"details": silent}])
    sampled.add({}, [{"prompt_tokens": 50, "token_ids": [1, 2], "samples": [{"text": "x"}, {"text": "y"}]}])
    predicted = Costs("d", proposals=1)
    predicted.add(
        {}, [{"prompt_tokens": 50, "token_ids": [1], "samples": [{"text": "x"}], "queries": [{"text": "=1"}]}]
    )
    table = costs_table([known, unknown, sampled, predicted], {})
    rows = {name.text: tuple(cell.text for cell in cells) for name, *cells in table.rows}
    assert rows["d"][:2] == ("?", "?")
    assert rows["a"] == ("100.0", "10.0", "0.0", "0.0000", "0.5000 EUR", "0", "1", "1", "0.0")
    assert rows["b"][:2] == ("?", "?")
    assert rows["b"][4] == "?"
    assert rows["c"][:2] == ("50.0", "?")


def test_models_share_seeds_and_methods_do_not() -> None:
    assert (
        study_seed("toy/branin", "lm:a", 1)
        == study_seed("toy/branin", "lm:b@chat", 1)
        == study_seed("toy/branin", "lm", 1)
    )
    others = ("lm", "lm+gp", "default+lm", "random", "default+random")
    assert len({study_seed("toy/branin", method, 1) for method in others}) == len(others)


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([], "no models"),
        (["nowhere"], "nowhere"),
        (["scripted", "scripted"], "all different"),
        (["scripted@chat+reasoning=yes"], "reasoning cannot be 'yes'"),
        (["replay:/nowhere.jsonl"], "nowhere"),
    ],
)
def test_what_cannot_be_compared_is_refused_at_once(models: list[str], message: str) -> None:
    with pytest.raises(AirtuneError, match=message):
        compare_plan(models)


def test_a_missing_extra_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """default+smac without the package was found out when its turn came, after hours of other methods."""
    monkeypatch.setitem(sys.modules, "smac", None)
    for method in ("smac", "default+smac"):
        plan = Plan("toy", methods=("random", method), seeds=1, budget=2)
        with pytest.raises(AirtuneError, match="needs the package smac"):
            check_plan(plan)
        with pytest.raises(AirtuneError, match="needs the package smac"):
            run_suite(plan, tmp_path / "out", jobs=1)
        assert not (tmp_path / "out").exists()


def test_bad_input_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        airtune(["bench", "compare", "--models", "nowhere", "--out", "x"])
    assert stopped.value.code == 2
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_served_model_beside_a_local_one_and_again_from_its_recording(tmp_path: Path) -> None:
    """Tokens and money are the server's own counts; the recording has them too, and asks nobody."""
    prices, record = tmp_path / "prices.json", tmp_path / "answers.jsonl"
    prices.write_text('{"tuner": {"prompt": 2.0, "completion": 10.0}, "currency": "EUR"}', encoding="utf-8")
    with serve() as server:
        server.grammars = [space_grammar(get_task("toy/branin").space)]
        served = (
            f"openai:tuner+server=vllm+base_url={server.url}+prices={prices}+record={record}"
            "@chat+reasoning=on+reasoning_tokens=50"
        )
        plan = compare_plan(["scripted", served], seeds=1, budget=2)
        runs = run_suite(plan, tmp_path / "live", jobs=1)
        asked = len(server.seen)
    local, remote, *_ = comparison_costs(tmp_path / "live", plan.methods)
    assert asked == 2 * remote.said == 24  # a thought and an answer for each
    assert local.cost == 0.0
    assert remote.prompt_tokens is not None
    assert remote.answer_tokens is not None
    assert remote.cost == pytest.approx((2.0 * remote.prompt_tokens + 10.0 * remote.answer_tokens) / 1e6)
    again = compare_plan([f"replay:{record}"], seeds=1, budget=2)
    assert configs(run_suite(again, tmp_path / "again", jobs=1), again.methods[0]) == configs(
        runs, plan.methods[1]
    )
    (replayed, *_) = comparison_costs(tmp_path / "again", again.methods)
    counted = (
        "prompt_tokens",
        "answer_tokens",
        "thought_tokens",
        "cost",
        "currency",
        "said",
        "rejected",
        "violations",
    )
    assert [getattr(replayed, name) for name in counted] == [getattr(remote, name) for name in counted]
    assert replayed.currency == "EUR"
