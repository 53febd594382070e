"""Reports: what is in them, whatever the study file holds, and what is refused."""

from __future__ import annotations

import csv
import json
import re
import shlex
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.benchmarks.analysis.numbers import aligned, number, significant
from airtune.benchmarks.analysis.significance import holm, over_tasks
from airtune.benchmarks.analysis.table import Cell, Column, Table
from airtune.benchmarks.report import make_report, report_markdown, report_tables, study_page, write_report
from airtune.benchmarks.report.comparison_tables import against_random
from airtune.benchmarks.report.findings import headline, model_note, sentences, tiles
from airtune.benchmarks.report.manifests import configuration_command
from airtune.benchmarks.report.source import Source, whole_part
from airtune.benchmarks.running.plan import Plan
from airtune.benchmarks.running.runner import run_suite
from airtune.benchmarks.running.suites import get_suite
from airtune.engine import Study, Task
from airtune.engine.types import StoreError
from airtune.grammars import AirtuneError
from tests.benchmarks.hostile import EVIL, hostile_study
from tests.benchmarks.synthetic import METHODS, make_plan, make_runs


class Tags(HTMLParser):
    """All tags and attribute names of a page, as a browser sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]


PLAN = Plan("toy", methods=("lm", "random", "default+tpe"), seeds=2, budget=6, model="scripted")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bench")
    run_suite(PLAN, out, jobs=1)
    return out


@pytest.fixture(scope="module")
def page(bench: Path) -> str:
    return write_report(bench)[0].read_text(encoding="utf-8")


def test_the_files_of_a_comparison(bench: Path, page: str) -> None:
    folder = bench / "bench-report"
    named = set(re.findall(r'<li><a href="([^"]+)">', page))
    assert named == {path.name for path in folder.iterdir()} - {"report.html"}
    for name in ("regret", "ranks", "changes", "tasks"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (folder / f"{name}.svg").read_text(encoding="utf-8")
    rows = list(csv.DictReader((folder / "table.csv").open(encoding="utf-8")))
    assert {(row["evaluations"], row["method"]) for row in rows} == {
        (b, m) for b in ("2", "5", "6") for m in PLAN.methods
    }
    document = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    for row in rows:
        stated = next(r for r in document["rows"][row["evaluations"]] if r["method"] == row["method"])
        assert float(row["beats"]) == stated["beats"]["value"]
    curve = list(csv.DictReader((folder / "regret.csv").open(encoding="utf-8")))
    assert len(curve) == len(PLAN.methods) * PLAN.budget
    assert all(float(row["low"]) <= float(row["mean"]) <= float(row["high"]) for row in curve)


def test_the_page_of_a_comparison(bench: Path, page: str) -> None:
    assert re.search(r"(beats|level).* of \d+ tasks after \d+ evaluations", page)
    for heading in (
        "table",
        "pairwise",
        "regret",
        "ranks",
        "tasks",
        "proposals",
        "manifest",
        "again",
        "method",
    ):
        assert page.count(f'id="{heading}"') == 1
    whole = re.sub(r" \\\n +", " ", page)  # command lines without their line breaks
    assert (
        "airtune bench toy --proposers lm,random,default+tpe --models scripted --budget 6 --seeds 2" in whole
    )
    text = page.replace("<wbr>", "")
    assert "toy/branin/lm/seed=000" in text
    assert "toy/branin/lm/seed=001" not in text.split('id="manifest"')[0]  # the first seed of each task
    assert page.count('class="proposal') == 6 * PLAN.budget
    assert "violations of the grammar" in page
    one = write_report(bench, study="toy/branin/lm/seed=001")[0]
    assert one.parent != bench / "bench-report"
    assert "Best value" in one.read_text(encoding="utf-8")


def test_nothing_is_fetched_and_no_foreign_script_runs(page: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert policy.group(1).startswith("default-src &#39;none&#39;; script-src &#39;sha256-")
    assert not re.search(r'(src|href)="(https?:|//)', page)
    assert "@import" not in page
    assert "url(http" not in page
    assert len(page) < 8_000_000


def test_anchors_and_ids(page: str) -> None:
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert {anchor for anchor in re.findall(r'href="#([^"]+)"', page)} <= set(ids)


def test_the_same_study_file_gives_the_same_page(bench: Path, page: str, tmp_path: Path) -> None:
    again = write_report(bench, tmp_path / "again")
    assert again[0].read_text(encoding="utf-8") == page
    for one in again[1:]:
        if one.suffix in {".svg", ".csv", ".json"}:
            assert one.read_bytes() == (bench / "bench-report" / one.name).read_bytes()


def test_names_are_text_whatever_they_are(tmp_path: Path) -> None:
    """Names, reasons, values, metric and description with markup, formulas and quotes in them."""
    html = write_report(hostile_study(tmp_path / "evil.airtune"))[0].read_text(encoding="utf-8")
    assert html.count("<script>") == 1  # ours
    assert "&lt;script&gt;alert" in html
    assert EVIL not in html
    seen = Tags()
    seen.feed(html)
    assert seen.tags.count("script") == 1
    assert not {"img", "b", "iframe", "object", "form"} & set(seen.tags)
    assert not [name for name in seen.attributes if name.startswith("on")]
    figure = (tmp_path / "evil-report" / "parallel.svg").read_text(encoding="utf-8")
    assert "<script>" not in figure


def test_a_plain_study(tmp_path: Path) -> None:
    def objective(config: dict[str, float]) -> dict[str, float]:
        if config["x"] > 9.5:
            raise ValueError("too far")
        return {"loss": config["x"] ** 2, "test_loss": config["x"]}

    task = Task("mine:square", ConfigurationSpace({"x": (-10.0, 10.0)}), objective, metric="square")
    path = tmp_path / "mine.airtune"
    with Study(task, "random", seed=3, path=path) as study:
        study.run(15)
        best = study.best
    assert best is not None
    written = write_report(path, tmp_path / "out")
    assert [one.name for one in written] == [
        "report.html", "space.json", "trajectory.png", "trajectory.svg", "parallel.png", "parallel.svg", "trials.csv",
    ]  # fmt: skip
    html = written[0].read_text(encoding="utf-8")
    assert f"found at trial {best.number}" in html
    assert "--objective mine:square --proposer random" in re.sub(r" \\\n +", " ", html)
    assert len(list(csv.DictReader((tmp_path / "out" / "trials.csv").open(encoding="utf-8")))) == 15


def test_many_studies_in_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_page, "MOST_STUDIES", 2)
    path = tmp_path / "many.airtune"
    task = Task("mine", ConfigurationSpace({"x": (0, 9)}), lambda config: config["x"])
    for seed in range(3):
        with Study(task, "random", seed=seed, path=path, name=f"s{seed}") as study:
            study.run(2)
    html = write_report(path)[0].read_text(encoding="utf-8")
    assert "3 studies in many.airtune" in html
    assert "The first 2 of 3 studies are shown in full" in html


def test_a_study_without_any_loss(tmp_path: Path) -> None:
    def fails(config: dict[str, int]) -> float:
        raise ValueError("never")

    path = tmp_path / "none.airtune"
    with Study(Task("mine", ConfigurationSpace({"x": (0, 9)}), fails), "random", path=path) as study:
        study.run(3)
    assert "No trial has a loss" in write_report(path)[0].read_text(encoding="utf-8")


def test_what_cannot_be_reported_is_explained(tmp_path: Path, bench: Path) -> None:
    with pytest.raises(AirtuneError, match=r"has no bench\.airtune"):
        write_report(tmp_path)
    with pytest.raises(StoreError, match="no study file"):
        write_report(tmp_path / "none.airtune")
    (tmp_path / "text.txt").write_text("hello, this is no study file at all\n" * 50)
    with pytest.raises(StoreError):
        write_report(tmp_path / "text.txt")
    with pytest.raises(StoreError, match="did you mean"):
        write_report(bench, study="toy/branin/lm/seed=007")
    (tmp_path / "taken").write_text("")
    with pytest.raises(AirtuneError, match="cannot be written"):
        write_report(bench, tmp_path / "taken")


def test_an_unfinished_comparison_is_shown_as_far_as_it_goes() -> None:
    plan, path = make_plan(), Path("bench.airtune")
    runs = make_runs(plan)
    assert whole_part(path, plan, runs) == Source(path, plan, tuple(runs), get_suite("toy").tasks)
    part = whole_part(path, plan, [run for run in runs if (run.method, run.seed) != ("lm", 3)])
    assert part.plan is not None
    assert part.plan.methods == METHODS[1:]
    assert {run.method for run in part.runs} == set(METHODS[1:])
    assert part.notes == ("lm is left out: 18 of its 24 studies are complete",)
    short = [
        replace(run, trials=run.trials[: 5 + run.seed], origins=run.origins[: 5 + run.seed]) for run in runs
    ]
    part = whole_part(path, plan, short)
    assert part.plan is not None
    assert part.plan.budget == 5
    assert "shown are the first 5 of 12 evaluations" in part.notes[0]
    part = whole_part(path, plan, [run for run in runs if run.task != "toy/ackley"])
    assert len(part.tasks) == 5
    assert part.notes == ("1 of the 6 tasks of the suite have no study here",)
    with pytest.raises(AirtuneError, match="nothing can be compared yet"):
        whole_part(path, plan, [replace(run, trials=run.trials[:1], origins=run.origins[:1]) for run in runs])


def test_of_one_task_the_test_loss_has_its_standard_error_over_seeds() -> None:
    """As the paper's table 4 has it: in the table, in that of tasks, and in the tile."""
    plan = make_plan(("lm", "random"), suite="nyc_taxi/mlp")
    runs = make_runs(plan)
    report = make_report(plan, runs)
    chosen = report.comparison.test[0, 0, :, -1]
    mean, error = chosen.mean(), chosen.std(ddof=1) / 2
    words = f"{significant(mean)} ± {significant(error, 2)}"
    assert f"| {words} |" in against_random(report, 12).markdown()
    assert f"test {significant(mean, 3)} ± {significant(error, 2)} |" in report_markdown(report)
    (tile,) = (tile for tile in tiles(report) if tile["label"].startswith("test loss"))
    assert tile["label"] == "test loss, ± standard error over seeds"
    assert (tile["value"], tile["sub"].partition(",")[0]) == (significant(mean), f"± {significant(error, 2)}")
    assert "±" not in report_markdown(make_report(make_plan(), make_runs(make_plan())))
    alone = replace(plan, seeds=1)
    assert "±" not in report_markdown(make_report(alone, [run for run in runs if run.seed == 0]))


def test_tables_fit_a_terminal_of_90_columns() -> None:
    from rich.console import Console
    from rich.measure import Measurement

    plan = make_plan()
    for table in report_tables(make_report(plan, make_runs(plan))):
        wide = Console(width=500)
        assert Measurement.get(wide, wide.options, table.rich()).maximum <= 90


def test_models_have_their_names() -> None:
    plan = make_plan(methods=("lm:pocket", "lm:./models/mine/", "lm+gp", "random"))
    report = make_report(plan, make_runs(plan))
    assert [report.label(method) for method in plan.methods] == ["lm:pocket", "lm:mine", "lm+gp", "random"]
    assert {pair.row.method for pair in report.pairwise[12]} == {"lm:pocket"}


def test_numbers_stand_in_line() -> None:
    assert aligned([2.94, -1.135, None, 14.0]) == ["2.940", "−1.135", "–", "14.000"]
    assert aligned([1e-7, 20.0]) == ["1.000e-7".replace("-", "−"), "2.000e1"]
    assert aligned([172.6312345, 3.53271]) == ["172.63", "3.53"]
    assert aligned([]) == []
    assert (number(-0.0001, 1), number(float("nan"), 1), number(-2.34, 1)) == ("0.0", "–", "−2.3")
    assert (significant(1e-9), significant(None)) == ("1e−9", "–")


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    from airtune.engine.cli.app import main

    with pytest.raises(SystemExit) as exited:
        main(["report", *arguments])
    shown = capsys.readouterr()
    return int(str(exited.value.code)), shown.out, shown.err


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.airtune"
    with Study(
        Task("mine", ConfigurationSpace({"x": (0, 9)}), lambda c: c["x"]), "random", path=path
    ) as study:
        study.run(3)
    code, out, _ = command(capsys, str(path))
    assert code == 0
    assert out.startswith(f"report: {tmp_path / 'mine-report' / 'report.html'}")
    code, out, _ = command(capsys, str(path), "--json", "--out", str(tmp_path / "there"))
    document = json.loads(out)
    assert code == 0
    assert document["report"] == str(tmp_path / "there" / "report.html")
    assert all(Path(name).is_file() for name in document["files"])
    code, out, err = command(capsys, str(tmp_path))
    assert (code, out) == (2, "")
    assert err.splitlines()[1].startswith("  allowed: ")
    code, out, _ = command(capsys, str(path), "--study-name", "mien", "--json")
    assert code == 2
    assert json.loads(out)["error"]["value"] == "mien"


def test_random_search_alone_has_a_page(tmp_path: Path) -> None:
    """Bug: the table of changes against it had a row too many, and the page ended in an IndexError."""
    run_suite(replace(PLAN, methods=("random",), seeds=1, budget=2), tmp_path, jobs=1)
    assert "Regret by evaluations" in write_report(tmp_path)[0].read_text(encoding="utf-8")


def test_what_the_model_adds_comes_first(bench: Path, page: str) -> None:
    """Bug: the page began with random search, and said nothing of the same proposer around another model."""
    plan = make_plan(
        methods=("default+tpe", "default+lm+gp:uniform", "default+lm+gp:pocket", "default+gp", "random")
    )
    report = make_report(plan, make_runs(plan))
    assert report.focal == "default+lm+gp:pocket"  # not the control, though it comes before
    for budget in report.budgets:
        pairs = report.model_adds[budget]
        assert [pair.row.reference for pair in pairs] == ["default+lm+gp:uniform", "default+gp", "random"]
        assert pairs[0].what == "same proposer, know-nothing model"
        raw = {
            name: over_tasks(*(report.comparison.regret.mean(axis=2)[m, :, budget - 1] for m in (2, i)))
            for i, name in enumerate(report.comparison.methods)
        }
        family = holm([raw[pair.row.reference][0] for pair in pairs])  # of this table, not of the other one
        assert [pair.p for pair in pairs] == pytest.approx(family)
        assert [pair.direction for pair in pairs] == [raw[pair.row.reference][1] for pair in pairs]
    first = report_tables(report)[0]
    assert first.title == "What the model adds: default+lm+gp:pocket, 2 evaluations"
    assert report_markdown(report).startswith(f"**{first.title}**")
    assert "is not among the methods" not in model_note(report)
    assert page.index('id="model"') < page.index('id="table"')
    assert "that control is not among the methods here" in page
    without = make_plan(methods=("random", "default+tpe"))
    assert make_report(without, make_runs(without)).model_adds == {}


def test_a_loss_that_is_higher_is_called_higher() -> None:
    """Bug: "-35.5 %" with "lower loss" under it; and a headline that did not say whether it means anything."""
    plan = make_plan(methods=("random", "lm"))
    runs = make_runs(plan, failures=0.0)
    moved = {"lm": 1.0, "random": 0.0}
    worse = [
        replace(run, trials=[replace(t, loss=(t.loss or 0.0) + 60.0 * moved[run.method]) for t in run.trials])
        for run in runs
    ]
    report = make_report(plan, worse)
    tile = tiles(report)[1]
    assert tile["label"] == "higher loss than random search, median task"
    assert not tile["value"].startswith("−")
    assert headline(report) == (
        "Random search beats lm on 6 of 6 tasks after 12 evaluations: more than chance (p\u00a0=\u00a00.031)"
    )
    assert re.findall(r"[\d.]+ % (above|below)", sentences(report)[0]) == ["above", "above"]
    assert report.model_adds[12][0].verdict == "worse"
    better = make_report(
        plan, [replace(run, method={"lm": "random", "random": "lm"}[run.method]) for run in worse]
    )
    assert tiles(better)[1]["label"] == "lower loss than random search, median task"
    assert headline(better) == (
        "lm beats random search on 6 of 6 tasks after 12 evaluations: more than chance (p\u00a0=\u00a00.031)"
    )
    assert re.findall(r"[\d.]+ % (above|below)", sentences(better)[0]) == ["below", "below"]
    same = make_report(
        plan, [replace(one, method=method) for one in worse if one.method == "lm" for method in moved]
    )
    assert headline(same) == (
        "lm and random search are level: each is better on 0 of 6 tasks after 12 evaluations: "
        "this may be chance (p\u00a0=\u00a01.00)"
    )


def test_one_table_for_terminal_markdown_and_page() -> None:
    columns = [Column("name", number=False), Column("x/tie/y"), Column("far", wide=True)]
    table = Table("T − 1", columns, [[Cell("a"), Cell("−2", "[−3, 1]", -2.0), Cell("9")]])
    assert table.markdown().splitlines() == [
        "**T - 1**", "", "| name | x/tie/y |", "|---|---:|", "| a | -2 [-3, 1] |"
    ]  # fmt: skip
    rich = table.rich()
    assert [column.header for column in rich.columns] == ["name", "x/tie/\ny"]
    assert [list(column.cells) for column in rich.columns] == [["a"], ["-2\n[-3, 1]"]]
    plain = Table.of_texts("t", ("name", "a", "b"), [("m", "1.5 EUR", "-")])
    assert [(cell.text, cell.sort) for cell in plain.rows[0]] == [("m", "m"), ("1.5 EUR", 1.5), ("-", "")]
    signed = Table.of_texts("t", ("name", "a", "b"), [("m", "−41.5 % [−237, 78]", "6.25e−5")])
    assert [cell.sort for cell in signed.rows[0][1:]] == [-41.5, 6.25e-5]  # bug: a number with − had none


def test_the_best_configuration_comes_first_and_can_be_copied(tmp_path: Path) -> None:
    """Bugs: it stood below a chart, in no form to copy; its values were rounded (0.0165 as 0.017); loss came last."""
    space = ConfigurationSpace({"lr": (0.001, 1.0), "big": (1, 10**18), "kind": ["a b", "c"]})
    command = "python train.py --lr {lr} --big {big} --kind {kind}"
    path = tmp_path / "mine.airtune"
    with Study(Task(command, space, lambda c: c["lr"], metric="error"), "random", path=path) as study:
        study.run(6)
        best, study_trials = study.best, study.trials
    assert best is not None
    html = write_report(path)[0].read_text(encoding="utf-8")
    assert html.index('id="best"') < html.index('id="trajectory"') < html.index('id="trials"')
    blocks = [unescape(block) for block in re.findall(r'class="command copied"[^>]*>([^<]*)<', html)]
    assert json.loads(blocks[0]) == dict(best.config)
    config = best.config
    assert shlex.split(blocks[1]) == [
        "python", "train.py", "--lr", str(config["lr"]), "--big", str(config["big"]), "--kind", str(config["kind"])
    ]  # fmt: skip
    heads = [re.sub("<[^>]*>", "", head) for head in re.findall(r"<th [^>]*>(.*?)</th>", html)]
    assert heads[:2] == ["trial", "error"]
    assert set(heads[2:5]) == {"lr", "big", "kind"}
    row = re.search(rf'<td class="focal" data-v="{best.number}">.*?</tr>', html, re.DOTALL)
    assert row is not None
    assert f">{config['lr']}<" in row[0]
    figure = (tmp_path / "mine-report" / "parallel.svg").read_text(encoding="utf-8")
    assert "1e+18" in figure  # not its first twelve digits
    worst = max(trial.loss for trial in study_trials if trial.loss is not None)
    assert f">{worst:.3g}<" in figure  # the upper end of the losses' axis, which was 1 where all are below
    assert configuration_command("mine:f", {"lr": 0.5, "kind": "a b"}, space) == "--lr 0.5 --kind 'a b'"


def test_failures_are_grouped_by_their_reasons(tmp_path: Path) -> None:
    """Bug: the page of a study whose every trial failed had links to sections that are not there, and no reason."""

    def fails(config: dict[str, int]) -> float:
        print(f"trying {config['x']}")
        raise ValueError("odd" if config["x"] % 2 else "even")

    path = tmp_path / "none.airtune"
    with Study(Task("mine", ConfigurationSpace({"x": (0, 4)}), fails), "random", path=path) as study:
        study.run(5)
    html = write_report(path)[0].read_text(encoding="utf-8")
    assert "No trial has a loss: 5 failed" in html
    reasons = re.findall(r'<p class="prose">(\d) trials? \([^)]*\): ([^<]*)</p>', html)
    assert [(n, reason.rpartition(" ")[2]) for n, reason in reasons] == [("3", "even"), ("2", "odd")]
    anchors = set(re.findall(r'href="#([^"]+)"', html))
    assert "failures" in anchors
    assert anchors <= set(re.findall(r'\sid="([^"]+)"', html))


def test_what_a_reader_would_obey_is_spelled_out(tmp_path: Path) -> None:
    """Bug: a right-to-left override in a name turned the page's text round."""
    name = "\u202eevil\x1b[31m"
    task = Task(
        "mine", ConfigurationSpace({name: (0.0, 1.0), "y": [name, "b"]}), lambda c: c[name], metric=name
    )
    path = tmp_path / "turned.airtune"
    with Study(task, "random", path=path, name="s") as study:
        study.run(3)
    for file in write_report(path):
        if file.suffix in {".html", ".svg"}:
            text = file.read_text(encoding="utf-8")
            assert not {"\u202e", "\x1b"} & set(text), file.name
    assert r"\u202eevil\x1b[31m" in write_report(path)[0].read_text(encoding="utf-8")
