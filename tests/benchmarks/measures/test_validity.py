"""`airtune bench validity`: free text beside the grammar, played, resumed, counted and shown."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace
from typer.testing import CliRunner

from airtune.benchmarks import get_task
from airtune.benchmarks.measures import validity
from airtune.benchmarks.measures.validity import (
    FILE,
    FREE,
    GRAMMAR,
    MODES,
    Answer,
    Search,
    measure_validity,
)
from airtune.benchmarks.measures.verdicts import USEFUL
from airtune.benchmarks.report.style import save
from airtune.benchmarks.report.validity import validity_report
from airtune.benchmarks.running.plan import study_seed
from airtune.engine import load_proposer
from airtune.engine.cli.app import app
from airtune.engine.evaluation.outcome import evaluate
from airtune.engine.seeds import derive_seed
from airtune.engine.types import Job, Task, Trial
from airtune.grammars import AirtuneError, canonical_grammar
from airtune.models import Completion, LanguageModel, TextRequest, load_model
from airtune.models.backends.scripted import ScriptedModel
from airtune.models.registry import make_dialect
from tests.models.chat_checkpoint import save_random_chat_model

TASKS = ("toy/branin", "toy/ackley")
TEXTS = (
    '{"x": 1.5, "y": 2.5}', "x = 1.5, y = 2.5", "Sure! x: 3, y: 4", "I do not know.", "x = 2", "x=high, y=low",
    '{"x": 1e9, "y": 0}', "x is 0.123456, y is 1", "",
)  # fmt: skip


class Talker(ScriptedModel):
    """Says one of some texts, chosen by the prompt and the seed; under a grammar it is the scripted model.

    Attributes:
        choose: The text for a request.
        asked: The requests for free text.
        patience: How many batches of free text it answers before it is interrupted; None for all.
    """

    def __init__(self, dialect: str = "chat", choose: Callable[[TextRequest], str] | None = None) -> None:
        super().__init__(dialect=make_dialect(dialect))
        self.choose = choose or self._by_hash
        self.asked: list[TextRequest] = []
        self.patience: int | None = None

    def write(self, requests: Sequence[TextRequest]) -> list[Completion]:
        if self.patience is not None:
            if self.patience == 0:
                raise KeyboardInterrupt
            self.patience -= 1
        self.asked += requests
        said = map(self.choose, requests)
        return [Completion(text, tuple(text.encode()), None, "stop", 9, len(text)) for text in said]

    @staticmethod
    def _by_hash(request: TextRequest) -> str:
        return TEXTS[hashlib.sha256(f"{request.prompt}{request.seed}".encode()).digest()[0] % len(TEXTS)]


def searches_of(found: Sequence[Search], mode: str) -> list[Search]:
    return [one for one in found if one.mode == mode]


def test_a_search_in_free_text_goes_on_as_a_users_own_loop_would() -> None:
    texts = iter(TEXTS)
    model = Talker(choose=lambda request: next(texts))
    found = measure_validity({"chat": model}, ["toy/branin"], budget=len(TEXTS))
    (search,) = searches_of(found, FREE)
    kinds = ["new", "repeated", "new", "unreadable", "missing", "type", "range", "snapped", "unreadable"]
    assert [answer.kind for answer in search.answers] == kinds
    assert search.useful == 3
    losses = [answer.loss for answer in search.answers]
    task = get_task("toy/branin")
    assert losses[0] == losses[1] == evaluate(task.objective, {"x": 1.5, "y": 2.5}).loss
    assert (
        losses[7]
        == evaluate(task.objective, canonical_grammar(task.space).snap({"x": 0.123456, "y": 1.0})).loss
    )
    assert losses[3:7] == [None] * 4
    assert search.best == min(loss for loss in losses if loss is not None)
    assert [answer.tokens for answer in search.answers] == [len(text) for text in TEXTS]
    last = model.asked[-1].prompt  # it shows all that went before
    assert last.count("1.50,2.50 -> ") == 2  # a repeat is shown as often as it was tried
    for line in (
        '"I do not know." -> failed: "no configuration was found in this answer"',
        '"x = 2" -> failed: "\\"y\\" is missing"',
        '"x=high, y=low" -> failed: "\\"x\\" must be a number, not \\"high\\""',
        '"{\\"x\\": 1e9, \\"y\\": 0}" -> failed: "\\"x\\" must be from ',
        "0.12,1.00 -> ",
    ):
        assert line in last
    turns = Talker("chat+history=turns", choose=lambda request: "I do not know.")
    measure_validity({"chat+history=turns": turns}, ["toy/branin"], budget=2)
    assert "I do not know." in turns.asked[1].prompt
    assert 'Failed: "no configuration was found in this answer"' in turns.asked[1].prompt


def test_under_the_grammar_the_trials_are_those_of_lm() -> None:
    """And no answer is refused by the judge of free text."""
    model = Talker()
    found = measure_validity({"chat": model}, TASKS, budget=4, seeds=2)
    for search in searches_of(found, GRAMMAR):
        task = get_task(search.task)
        proposer = load_proposer("lm", model)
        history: list[Trial] = []
        for number in range(4):
            seed = derive_seed(study_seed(search.task, "lm", search.seed), number)
            job = Job(task, list(history), (), seed)
            proposer.propose([job])
            assert job.proposal is not None
            outcome = evaluate(task.objective, job.proposal.config)
            history.append(outcome.told(Trial(number, job.proposal.config), 0.0))
        texts = [canonical_grammar(task.space).encode(trial.config) for trial in history]
        assert [answer.chosen for answer in search.answers] == texts
        assert [answer.loss for answer in search.answers] == [trial.loss for trial in history]
        assert {answer.kind for answer in search.answers} == {"new"}


def test_both_modes_get_the_same_first_prompt_seed_and_temperature() -> None:
    model = Talker()
    asked = []
    generate = model.generate

    def kept(requests: Sequence[Any]) -> list[Completion]:
        asked.extend(requests)
        return generate(requests)

    model.generate = kept  # type: ignore[method-assign, assignment, unused-ignore]
    measure_validity({"chat": model}, TASKS, budget=1, temperature=0.5, cap=17)
    both = [
        [(one.prompt, one.seed, one.temperature) for one in requests] for requests in (model.asked, asked)
    ]
    assert both[0] == both[1]
    assert {(one.temperature, one.max_tokens) for one in model.asked} == {(0.5, 17)}


def play(
    path: Path, budget: int = 3, seeds: int = 1, patience: int | None = None, **settings: Any
) -> list[Search]:
    models: dict[str, LanguageModel] = {name: Talker(name) for name in ("chat", "chat+history=turns")}
    models["chat+history=turns"].patience = patience  # type: ignore[attr-defined]
    return measure_validity(models, TASKS, budget=budget, seeds=seeds, path=path, **settings)


@pytest.mark.parametrize("patience", [0, 1, 2])
def test_interrupted_and_resumed_it_gives_the_same_bytes(tmp_path: Path, patience: int) -> None:
    whole = play(tmp_path / "whole")
    path = tmp_path / "parts"
    with pytest.raises(KeyboardInterrupt):
        play(path, patience=patience)
    with path.open("ab") as file:
        file.write(b'{"prompt": "chat", "mo')  # and killed while it wrote
    assert play(path) == whole
    assert path.read_bytes() == (tmp_path / "whole").read_bytes()
    assert play(path, patience=0) == whole  # nothing is asked again


def test_a_step_that_was_written_in_part_is_asked_as_a_whole(tmp_path: Path) -> None:
    whole = play(tmp_path / "whole")
    lines = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    (tmp_path / "part").write_bytes(b"".join(lines[:4]))  # of the second step, the first task's answer
    assert play(tmp_path / "part") == whole


def test_more_seeds_and_proposals_may_be_asked_for_later(tmp_path: Path) -> None:
    play(tmp_path / "grown", budget=2)
    assert play(tmp_path / "grown", budget=4, seeds=2) == play(tmp_path / "whole", budget=4, seeds=2)
    assert play(tmp_path / "grown", budget=2) == play(tmp_path / "fresh", budget=2)


def test_a_file_of_other_answers_is_refused(tmp_path: Path) -> None:
    play(tmp_path / "file")
    with pytest.raises(AirtuneError, match="another cap"):
        play(tmp_path / "file", cap=99)
    with pytest.raises(AirtuneError, match="another temperature"):
        play(tmp_path / "file", temperature=0.0)


@pytest.mark.parametrize(
    ("model", "dialect", "words"),
    [
        ("scripted", "pocket", "dialect 'pocket'"),
        ("scripted", "chat+names=hidden", "names=hidden"),
        ("scripted", "chat+reasoning=on", "reasoning=on"),
        ("uniform", "chat", "cannot write free text"),
    ],
)
def test_what_cannot_be_measured_is_refused(model: str, dialect: str, words: str) -> None:
    with pytest.raises(AirtuneError, match=words):
        measure_validity({dialect: load_model(model, dialect=dialect)}, TASKS)


@pytest.mark.parametrize("setting", ["budget", "seeds", "cap"])
def test_numbers_below_one_are_refused(setting: str) -> None:
    with pytest.raises(AirtuneError, match=f"{setting} must be 1 or more"):
        measure_validity({"chat": Talker()}, TASKS, **{setting: 0})


def test_a_space_that_is_exhausted_ends_its_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its two configurations, in either mode; free text that has not found both goes on."""
    space = ConfigurationSpace({"k": ["a", "b"]})
    tiny = {name: Task(name, space, lambda config: 1.0) for name in ("finds", "fails")}
    monkeypatch.setattr(validity, "get_task", tiny.__getitem__)

    def choose(request: TextRequest) -> str:
        return "k=a" if '"fails"' in request.prompt or "Trials so far" not in request.prompt else "k=b"

    found = measure_validity({"chat": Talker(choose=choose)}, list(tiny), budget=4)
    assert [(one.mode, one.task, len(one.answers), one.useful) for one in found] == [
        (FREE, "finds", 2, 2), (FREE, "fails", 4, 1), (GRAMMAR, "finds", 2, 2), (GRAMMAR, "fails", 2, 2),
    ]  # fmt: skip


def search(prompt: str, mode: str, task: str, kinds: str, losses: Sequence[float | None]) -> Search:
    """A search made by hand; kinds by their first letters, "N" for new ones off the lattice."""
    names = {"n": "new", "N": "snapped", "r": "repeated", "u": "unreadable"}
    answers = tuple(
        Answer(i, "", names[kind], None, None, loss, 10 * (i + 1), 5, "stop")
        for i, (kind, loss) in enumerate(zip(kinds, losses, strict=True))
    )
    return Search(prompt, mode, task, 0, answers)


def made() -> list[Search]:
    return [
        search("a", FREE, "t1", "nNru", [3.0, 2.0, 3.0, None]),
        search("a", FREE, "t2", "uuuu", [None] * 4),
        search("a", GRAMMAR, "t1", "nnnn", [4.0, 5.0, 6.0, 7.0]),
        search("a", GRAMMAR, "t2", "nnnn", [4.0, 5.0, 6.0, 7.0]),
        search("b", FREE, "t1", "nnnr", [4.0, 4.0, 8.0, 4.0]),
        search("b", FREE, "t2", "nnnn", [9.0, 4.0, 8.0, 4.0]),
        search("b", GRAMMAR, "t1", "nnnn", [4.0, 5.0, 6.0, 7.0]),
        search("b", GRAMMAR, "t2", "nnnn", [3.0, 5.0, 6.0, 7.0]),
    ]


def test_the_report_counts_as_one_would_by_hand() -> None:
    report = validity_report(made())
    a, under_a, b, _, pooled = report.arms
    assert (a.prompt, a.mode, under_a.mode, pooled.prompt) == ("a", FREE, GRAMMAR, "all prompts")
    assert (a.proposals, pooled.proposals, report.budget, report.seeds) == (8, 16, 4, 1)
    assert {kind: count for kind, count in a.counts.items() if count} == {
        "new": 1, "snapped": 1, "repeated": 1, "unreadable": 5,
    }  # fmt: skip
    assert a.shares["unreadable"].value == 62.5
    assert (a.shares["unreadable"].low, a.shares["unreadable"].high) == (
        25.0,
        100.0,
    )  # one of the tasks, twice
    assert (a.useful.value, a.useful.low, a.useful.high) == (1.0, 0.0, 2.0)
    assert (a.tokens.value, a.tokens_per_useful) == (25.0, 100.0)
    assert (a.wins, a.ties, a.losses) == (1, 0, 1)  # without any loss, a task is lost
    assert (b.wins, b.ties, b.losses) == (0, 1, 1)
    assert (a.p, b.p) == (1.0, 1.0)
    assert (under_a.wins, pooled.p) == (None, None)
    assert pooled.shares["new"].value == 100.0
    assert report.best.prompt == "b"
    assert report.broken == 0
    broken = made()
    broken[2] = replace(
        broken[2], answers=(*broken[2].answers[:3], replace(broken[2].answers[3], kind="repeated"))
    )
    assert validity_report(broken).broken == 1


def test_clear_differences_have_small_p_values() -> None:
    """Nine tasks lost of nine: 2 / 2**9, and twice that by Holm's procedure over two prompts."""
    searches = []
    for prompt in ("a", "b"):
        for i in range(9):
            searches.append(search(prompt, FREE, f"t{i}", "uu", [None, None]))
            searches.append(search(prompt, GRAMMAR, f"t{i}", "nn", [1.0, 2.0]))
    first = validity_report(searches).arms[0]
    assert (first.wins, first.losses) == (0, 9)
    assert first.p == pytest.approx(2 * 2 / 2**9)
    assert first.tokens_per_useful is None


def test_tables_figure_and_json_of_a_report(tmp_path: Path) -> None:
    report = validity_report(made())
    kinds, bought = (table.markdown() for table in report.tables())
    assert "| no configuration in it | 62 5 [25, 100] | 0 0 [0, 0] | 0 0 [0, 0] |" in kinds
    assert "| a free text | 1.0 [0.0, 2.0] | 25 [25, 25] | 100 | 1/0/1 | 1 |" in bought
    save(report.figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    widths = [bar.get_width() for bar in report.figure().axes[0].patches]
    assert sum(widths) == pytest.approx(100.0 * 3)  # two prompts, and the grammar
    document = json.loads(json.dumps(report.json(), allow_nan=False))
    assert document["best_prompt"] == "b"
    assert document["arms"][0]["shares"]["repeated"]["value"] == 12.5


def test_the_command_plays_prints_and_goes_on(tmp_path: Path) -> None:
    words = (
        "bench",
        "validity",
        "toy/branin,toy/ackley",
        "--model",
        "scripted",
        "--budget",
        "2",
        "--out",
        str(tmp_path),
    )
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "valid and new" in done.stdout  # on one line, on 80 columns
    assert re.search(r"^ chat\+history=turns .*\n grammar ", done.stdout, re.MULTILINE)
    assert {path.name for path in tmp_path.iterdir()} == {FILE, "report.md", "validity.png"}
    before = (tmp_path / FILE).read_bytes()
    assert len(before.splitlines()) == 1 + 3 * 2 * 2 * 2
    again = CliRunner().invoke(app, (*words, "--json"))
    assert again.exit_code == 0, again.output
    assert (tmp_path / FILE).read_bytes() == before
    arms = json.loads(again.stdout)["arms"]
    assert [arm["prompt"] for arm in arms[::2]] == [
        "chat",
        "chat+examples=1",
        "chat+history=turns",
        "all prompts",
    ]
    assert CliRunner().invoke(app, ("bench", "validity", "toy/branin", "--model", "scripted")).exit_code != 0


@pytest.mark.parametrize("mode", MODES)
def test_on_a_small_random_checkpoint(tmp_path: Path, mode: str) -> None:
    """The real way through transformers: a tokenizer, a template, end of turn, a context with room for the cap."""
    path = save_random_chat_model(tmp_path, "qwen", size=1000, context=1024)
    model = load_model(path)
    found = searches_of(measure_validity({"chat": model}, TASKS, budget=2, cap=24), mode)
    answers = [answer for one in found for answer in one.answers]
    assert len(answers) == 4
    assert all(answer.prompt_tokens > 100 for answer in answers)
    if mode == GRAMMAR:
        assert {answer.kind for answer in answers} <= set(USEFUL)
    else:
        assert all(answer.tokens <= 24 for answer in answers)
        assert {answer.finish_reason for answer in answers} <= {"stop", "length"}
