"""The report of a study over programs: their source, how they hang together, and what their structure is worth."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from airtune.benchmarks import get_task
from airtune.benchmarks.report import write_report
from airtune.benchmarks.report.manifests import study_commands
from airtune.benchmarks.report.programs import add_stored_programs, changes, difference, highlighted
from airtune.benchmarks.report.proposals import show
from airtune.engine import Study, StudyFile
from airtune.engine.storage.study_file import TrialRecord
from tests.benchmarks.programs_study import PROGRAMS, programs_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return programs_study(tmp_path_factory.mktemp("programs") / "s.sqlite")


@pytest.fixture(scope="module")
def page(study: Path) -> str:
    return write_report(study)[0].read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def records(study: Path) -> list[TrialRecord]:
    with StudyFile(study, readonly=True) as file:
        return file.records(file.get().name)


def text_of(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", html))


def test_every_program_is_there_as_it_is_and_in_colours(page: str, records: list[TrialRecord]) -> None:
    """Would fail if colouring lost a character, if a program was left out, or if one was not escaped."""
    shown = [text_of(html) for html in re.findall(r'<pre class="code"[^>]*>(.*?)</pre>', page, re.DOTALL)]
    best = min((one for one in records if one.trial.loss is not None), key=lambda one: one.trial.loss or 0.0)
    assert shown[0] == PROGRAMS.render(best.trial.config)
    sources = [PROGRAMS.render(one.trial.config) for one in records]
    assert [text for text in shown[1:] if text.startswith("import")] == sources
    assert '<span class="c-k">def</span>' in page
    assert f"--program {best.trial.number} &gt; train.py" in page


def test_failures_say_what_they_have_in_common(page: str, records: list[TrialRecord]) -> None:
    failed = [one.trial.number for one in records if one.trial.status == "failed"]
    assert len(failed) > 1
    section = page.split('id="failures"')[1].split("</section>")[0]
    assert (
        f"{len(failed)} trials ({', '.join(map(str, failed))}): MemoryError: no room for &lt;four&gt;"
        in section
    )
    assert "have <code>n_block = 4</code>" in section


def test_ancestry_and_structure(study: Path, page: str) -> None:
    """Model is what decides: it comes first. The best one's line begins with the first program."""
    section = page.split('id="structure"')[1].split("</section>")[0]
    assert re.search(r"explains \d+ %", section)
    rows = re.findall(r'<td class="name"[^>]*>(.*?)</td><td[^>]*>(.*?)</td><td[^>]*>(.*?)</td>', section)
    assert [(name, value) for name, _, value in rows[:2]] == [("model", "estimator"), ("model", "network")]
    assert int(rows[0][1].removesuffix(" %")) > 50
    line = page.split('<ol class="line">')[1].split("</ol>")[0]
    numbers = [int(number) for number in re.findall(r'class="n">(\d+)<', line)]
    assert numbers[0] == 0
    assert numbers == sorted(numbers)
    assert f"found at trial {numbers[-1]}" in page
    assert line.count("decision") == len(numbers) - 1
    for name in ("ancestry", "structure"):
        assert (study.parent / "s-report" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_table_of_words_and_not_of_seventy_columns(page: str, records: list[TrialRecord]) -> None:
    table = page.split('id="trials"')[1].split("</table>")[0]
    assert table.count("<th ") == 6
    for one in records:
        assert f'data-v="{PROGRAMS.outline(one.trial.config, 100)}"'.replace("'", "&#39;") in table
    assert "Where the trials were" not in page


def test_what_a_model_wrote(tmp_path: Path) -> None:
    """An answer of a thousand tokens, nearly all forced, is no list of a thousand; nor is a program shown twice."""
    path = programs_study(tmp_path / "s.sqlite", 3, "lm")
    page = write_report(path)[0].read_text(encoding="utf-8")
    with StudyFile(path, readonly=True) as file:
        told = file.transcripts(file.get().name)
    drawn = sum(value != 0.0 for one in told.values() for value in one["logprobs"])
    assert 0 < page.count("<li title=") < 3 * drawn
    assert page.count('<li title="token') >= drawn
    assert "the only ones that the grammar allowed, " in page
    assert page.count("the program above") == 3


@pytest.mark.parametrize(
    ("manifest", "command"),
    [
        ({"task": "sklearn/program/wine"}, "airtune tune sklearn/program/wine --proposer"),
        (
            {"task": "tiny/sums-0123abcd", "metric": "validation mse", "program_script": "..."},
            "--program-space tiny --data FILE --target COLUMN --score mse --proposer",
        ),
        (
            {"task": "python harness.py {program}", "sandbox": "none"},
            "--program-space FILE.space --command 'python harness.py {program}' --proposer lm --sandbox none --model",
        ),
        ({"task": "mine:loss"}, "--program-space FILE.space --objective mine:loss --proposer"),
    ],
)
def test_the_command_that_does_it_again(manifest: dict[str, str], command: str) -> None:
    """Would offer the search space as a file of --space, which writes no programs."""
    model = {"model": "small", "backend": "transformers", "dialect": "code+history=none"}
    known = {"proposer": "lm", "seed": 1, "metric": "loss", "model": model, **manifest}
    (line, _) = study_commands("s", known, 3, of_programs=True)
    whole = re.sub(r" \\\n +", " ", line)
    assert command in whole
    assert "--model small --dialect code+history=none --seed 1 --budget 3" in whole


def test_proposals_of_a_comparison_have_their_programs(
    study: Path, records: list[TrialRecord], tmp_path: Path
) -> None:
    """The first ones of a study are shown there; each is compared with all before it. Other studies are left alone."""
    with Study(get_task("toy/branin"), "random", path=tmp_path / "toy.sqlite") as toy:
        toy.run(2)
    for path, programs in ((study, True), (tmp_path / "toy.sqlite", False)):
        with StudyFile(path, readonly=True) as file:
            shown, _ = show(file, file.studies(), 5)
            add_stored_programs(file, shown, file.studies())
        for proposal, record in zip(shown[0].proposals, records, strict=False):
            assert bool(proposal["program"]) == programs
            if programs:
                assert text_of(proposal["program"]) == PROGRAMS.render(record.trial.config)


def test_what_changed_in_words() -> None:
    default = PROGRAMS.default()
    source = PROGRAMS.render(default)
    start = source.index("ensemble.HistGradientBoostingClassifier(")
    forest = PROGRAMS.decode(
        source[:start]
        + "ensemble.RandomForestClassifier(\n"
        + "        100, max_features=0.3000, min_samples_leaf=1, random_state=seed)\n"
        + source[source.index("    return model.fit") :]
    )
    said = changes(PROGRAMS, default, forest)
    assert said["words"] == [("estimator", "boosting", "forest")]
    assert (said["new"], said["gone"], said["count"], said["more"]) == (3, 5, 9, 0)
    html = difference("a\nb\n", "a\n<c>\n")
    assert '<span class="del">-b\n</span><span class="ins">+&lt;c&gt;\n</span>' in html
    assert highlighted("x = '<b>'\n") == str(highlighted("x = '<b>'\n"))
    assert "<b>" not in highlighted("x = '<b>'\n")
