"""`lm+self`: of the model's answers the one is proposed whose scores, as the model draws them, have the lowest mean."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace
from typer.testing import CliRunner

from airtune.engine import Evaluation, Job, Proposal, Study, StudyFile, Task, Trial, load_proposer
from airtune.engine.cli.app import app
from airtune.engine.proposers.base import propose_one
from airtune.engine.proposers.lm import problem_of
from airtune.engine.proposers.lm_self import DRAWS, SAMPLES
from airtune.engine.replay.derive import replay
from airtune.engine.replay.report import Options
from airtune.engine.storage.records import compress_transcript
from airtune.engine.storage.usage import study_usage
from airtune.engine.storage.validation import checked_transcript
from airtune.engine.types import StoreError
from airtune.grammars import AirtuneError, DecodeError, space_grammar
from airtune.models import (
    Completion,
    Dialect,
    LanguageModel,
    ModelError,
    PredictingDialect,
    Request,
    load_model,
)
from airtune.models.dialects.pocket.dialect import PocketDialect
from tests.sealing import seal

DIALECT = PocketDialect()
SCORES = DIALECT.score_grammar()


def bowl(config: Mapping[str, Any]) -> float:
    return float((config["x"] - 0.3) ** 2 + (config["y"] - 0.7) ** 2)


TASK = Task("bowl", ConfigurationSpace({"x": (0.0, 1.0), "y": (0.0, 1.0)}), bowl, "depth")


def trials(count: int, seed: int = 0) -> list[Trial]:
    grammar, rng = space_grammar(TASK.space), np.random.default_rng(seed)
    return [Trial(i, (c := grammar.sample(rng)), "told", bowl(c)) for i in range(count)]


class Told:
    """The scripted model in pocket's dialect; scores are `predict`'s of the query and the candidate's place."""

    def __init__(self, predict: Callable[[str, int], str], spoilt: int = 0) -> None:
        self.inner, self.predict = load_model("scripted", dialect="pocket"), predict
        self.spoilt = spoilt  # of every sixteen samples, those that are cut off
        self.batches: list[list[Request]] = []

    @property
    def name(self) -> str:
        return "told"

    @property
    def dialect(self) -> Dialect:
        return self.inner.dialect

    def manifest(self) -> dict[str, Any]:
        return self.inner.manifest()

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.batches.append(list(requests))
        found = self.inner.generate(requests)
        for i, (request, answer) in enumerate(zip(requests, found, strict=True)):
            if request.grammar == SCORES:
                found[i] = replace(answer, text=self.predict(request.prompt, i // DRAWS))
            elif len(requests) == SAMPLES and i < self.spoilt:
                found[i] = replace(answer, text=answer.text[:-1], finish_reason="length")
        return found


def ask(model: LanguageModel, history: Sequence[Trial], seed: int = 0) -> Proposal:
    proposal = propose_one(load_proposer("lm+self", model=model), TASK, history, (), seed)
    return proposal


def shown(proposal: Proposal) -> dict[str, Any]:
    assert proposal.transcript is not None
    return dict(proposal.transcript)


@pytest.fixture(scope="module")
def pocket() -> LanguageModel:
    return load_model("pocket")


def test_scores_are_a_language_of_one_token_each(pocket: LanguageModel) -> None:
    assert isinstance(DIALECT, PredictingDialect)
    assert SCORES.count() == 1000
    assert SCORES.hash == PocketDialect().score_grammar().hash
    assert [DIALECT.read_score(f"={score:03d}") for score in range(1000)] == list(range(1000))
    for wrong in ("", "=", "=!", "=12", "=1234", "a123", "=200 "):
        with pytest.raises(DecodeError):
            DIALECT.read_score(wrong)
    (answer,) = pocket.generate([Request("<?>F[0][+e0]a499;a100=200?a300", SCORES, 0)])
    assert answer.token_ids is not None
    assert len(answer.token_ids) == 1
    assert answer.finish_reason == "stop"


@pytest.mark.parametrize("seed", range(4))
def test_the_lowest_prediction_is_proposed(seed: int) -> None:
    """Predictions of no sense, so that nothing else would choose the same."""
    model = Told(lambda prompt, place: f"={(7 * place + 3) % 11 + 5:03d}")
    found = shown(proposal := ask(model, trials(4), seed))
    scores = found["ranking"]["score"]
    assert proposal.origin == "lm+self"
    assert list(scores) == list(dict.fromkeys(one["text"] for one in found["samples"]))
    assert list(scores.values()) == [(7 * i + 3) % 11 + 5 for i in range(len(scores))]
    assert len(set(scores.values())) > 2
    assert found["text"] == min(scores, key=scores.__getitem__)
    assert dict(proposal.config) == DIALECT.parse(found["text"], DIALECT.grammar(TASK.space))
    assert json.loads(json.dumps(found)) == found


def test_of_equal_predictions_the_first_one_said_is_proposed() -> None:
    found = shown(ask(Told(lambda prompt, place: "=200" if place > 2 else "=300"), trials(4)))
    assert found["text"] == list(found["ranking"]["score"])[3]


def test_the_mean_of_the_draws_counts() -> None:
    """A candidate of one excellent draw and seven bad ones is not preferred to one that is always good."""
    count = 0

    def predict(prompt: str, place: int) -> str:
        nonlocal count
        count += 1
        return "=100" if place == 2 else "=000" if count % DRAWS == 1 else "=150"

    found = shown(ask(Told(predict), trials(4)))
    scores = list(found["ranking"]["score"].values())
    assert scores[:3] == [7 / 8 * 150, 7 / 8 * 150, 100]
    assert found["text"] == list(found["ranking"]["score"])[2]
    assert len(found["queries"]) == DRAWS * len(scores)


def test_what_is_asked() -> None:
    """One batch over one prompt, then some draws of a score for each different answer, no two with one seed."""
    model = Told(lambda prompt, place: "=500")
    task = Task("small", ConfigurationSpace({"a": ["p", "q", "r"]}), lambda config: 0.0)
    history = [Trial(0, {"a": "p"}, "told", 1.0)]
    propose_one(load_proposer("lm+self", model=model, temperature=0.9), task, history)
    samples, queries = model.batches
    assert len(samples) == SAMPLES
    assert {(request.prompt, request.temperature) for request in samples} == {(samples[0].prompt, 0.9)}
    assert len(queries) == 2 * DRAWS  # two choices are left of the space
    assert {request.prompt for request in queries} == {samples[0].prompt[:-1] + f"?a{a}" for a in "BC"}
    assert {(request.temperature, request.grammar.hash) for request in queries} == {(1.0, SCORES.hash)}
    assert len({request.seed for request in (*queries, *samples)}) == 2 * DRAWS + SAMPLES


@pytest.mark.parametrize("history", [[], [Trial(0, {"x": 0.5, "y": 0.5}, "failed", reason="no")]])
def test_with_nothing_told_the_first_answer_is_taken(history: list[Trial]) -> None:
    model = Told(lambda prompt, place: "=000")
    assert ask(model, history) == propose_one(load_proposer("lm", model=model), TASK, history, (), 0)
    assert [len(batch) for batch in model.batches] == [1, 1]  # the second is of `lm`


def test_many_jobs_share_two_batches_and_get_what_they_get_alone() -> None:
    model = Told(lambda prompt, place: f"={hash_of(prompt):03d}")
    jobs = [Job(TASK, trials(k, k), (), k) for k in range(5)]
    jobs.append(Job(TASK, trials(6), (Trial(6, {"x": 0.125, "y": 0.25}),), 9))
    load_proposer("lm+self", model=model).propose(jobs)
    assert [len(batch) for batch in model.batches[:2]] == [1, 5 * SAMPLES]
    assert len(model.batches) == 3  # the third: all draws
    for job in jobs:
        alone = load_proposer("lm+self", model=model)
        assert job.proposal == propose_one(alone, job.task, job.history, job.pending, job.seed)


def hash_of(text: str) -> int:
    """Any number from 0 to 999 that is the same in every process."""
    return sum((i + 1) * ord(letter) for i, letter in enumerate(text)) % 1000


def test_an_exhausted_space_in_a_batch() -> None:
    small = Task("small", ConfigurationSpace({"a": ["x", "y"]}), lambda c: 0.0)
    history = [Trial(0, {"a": "x"}, "told", 1.0), Trial(1, {"a": "y"}, "told", 2.0)]
    jobs = [Job(small, history, (), 0), Job(small, history[:1], (), 0), Job(small, history[:1], (), 1)]
    jobs[2].pending = (Trial(1, {"a": "y"}),)
    load_proposer("lm+self", model=load_model("scripted", dialect="pocket")).propose(jobs)
    assert [None if job.proposal is None else dict(job.proposal.config) for job in jobs] == [
        None,
        {"a": "y"},
        None,
    ]


@pytest.mark.parametrize("proposer", ["lm+self", "default+lm+self"])
def test_a_dialect_without_predictions_is_refused_at_once(proposer: str) -> None:
    with pytest.raises(AirtuneError, match="dialect 'chat'") as caught:
        load_proposer(proposer, model=load_model("scripted"))
    assert caught.value.value == "chat"
    assert "pocket" in str(caught.value.allowed)
    assert "proposer='lm' or 'lm+gp'" in str(caught.value.hint)


def test_a_candidate_whose_predictions_are_no_scores_is_not_proposed() -> None:
    """They are recorded as turned down; the lowest of the others is proposed."""
    found = shown(ask(Told(lambda prompt, place: f"={place:03d}" if place > 1 else "great!"), trials(4)))
    said = list(found["ranking"]["score"])
    assert list(found["ranking"]["score"].values())[:3] == [None, None, 2]
    assert found["text"] == said[2]
    assert [one["text"] for one in found["rejected"]] == ["great!"] * 2 * DRAWS
    assert all("not in the grammar's language" in one["reason"] for one in found["rejected"])


def test_without_any_prediction_the_first_answer_is_taken() -> None:
    model = Told(lambda prompt, place: "=1")
    proposal = ask(model, trials(4))
    assert proposal.origin == "lm"
    assert shown(proposal)["text"] == shown(proposal)["samples"][0]["text"]
    assert len(shown(proposal)["rejected"]) == len(model.batches[-1])


def test_a_model_that_never_answers_is_an_error() -> None:
    class Broken(Told):
        def generate(self, requests: Sequence[Request]) -> list[Completion]:
            return [replace(c, finish_reason="length") for c in super().generate(requests)]

    with pytest.raises(ModelError, match="no usable configuration"):
        ask(Broken(lambda prompt, place: "=000"), trials(4))


def test_the_bundled_model_repeats_itself_and_knows_good_from_bad(pocket: LanguageModel) -> None:
    """Of fifteen trials of a bowl told, it predicts lower scores at the bottom than in the corner farthest from it."""
    assert ask(pocket, trials(8)) == ask(pocket, trials(8))
    queries = []
    for seed in range(6):
        problem = problem_of(Job(TASK, trials(15, seed), (), seed))
        for config in ({"x": 0.3, "y": 0.7}, {"x": 1.0, "y": 0.0}):
            query = DIALECT.render_query(problem, config)
            queries += [Request(query, SCORES, k) for k in range(DRAWS)]
    drawn = np.array([DIALECT.read_score(answer.text) for answer in pocket.generate(queries)])
    means = drawn.reshape(6, 2, DRAWS).mean(axis=2)
    assert (means[:, 0] < means[:, 1]).all(), means


def run(path: Path, model: LanguageModel, count: int = 5) -> None:
    with Study(
        TASK, load_proposer("lm+self", model=model), seed=3, path=path, evaluation=Evaluation(isolate=False)
    ) as study:
        study.run(count)


def test_a_replay_with_and_without_the_model(tmp_path: Path) -> None:
    """And an edited draw, checksum and all, is found by both: without the model another mean shows it."""
    path = tmp_path / "s.sqlite"
    run(path, load_model("scripted", dialect="pocket"))
    for level in (0, 1):
        report = replay(path, options=Options(level))
        assert report.holds, report.json()
        assert report.studies[0].checked == 5
    with StudyFile(path, readonly=True) as file:
        transcript = file.transcripts(file.get().name)[3]
    draw = transcript["queries"][0]
    queries = [{**draw, "text": "=998" if draw["text"] == "=999" else "=999"}, *transcript["queries"][1:]]
    with closing(sqlite3.connect(path)) as db, db:
        stored = (compress_transcript({**transcript, "queries": queries}),)
        db.execute("UPDATE transcripts SET transcript = ?, checksum = NULL WHERE number = 3", stored)
        seal(db)
    for level, what in ((0, "ranking"), (1, "queries")):
        (study,) = replay(path, options=Options(level)).studies
        assert study.diverging == {3}
        assert study.first is not None
        assert study.first.what in (
            what,
            "configuration",
            "text",
            "seed",
            "prompt",
            "token ids",
            "log-probabilities",
        )


def test_a_replay_without_the_model_after_answers_that_were_turned_down(tmp_path: Path) -> None:
    """Bug: of an answer that was turned down only its text was told again, so that the sample seemed to differ."""
    path = tmp_path / "s.sqlite"
    run(path, Told(lambda prompt, place: "=!" if place == 1 else f"={hash_of(prompt):03d}", spoilt=2))
    with StudyFile(path, readonly=True) as file:
        transcripts = file.transcripts(file.get().name)
    assert [len(one["rejected"]) for one in transcripts.values()] == [0, *[2 + DRAWS] * 4]
    report = replay(path, options=Options(0))
    assert report.holds, report.json()
    path = tmp_path / "no predictions.sqlite"
    run(path, Told(lambda prompt, place: "=!", spoilt=3), count=3)
    report = replay(path, options=Options(0))
    assert report.holds, report.json()
    assert report.studies[0].checked == 3


def test_a_recording_stands_in_for_the_model(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    first = ask(load_model("scripted", dialect="pocket", record=file), trials(5))
    assert ask(load_model(file, "replay"), trials(5)).config == first.config


def test_show_tells_what_was_predicted(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    run(path, load_model("scripted", dialect="pocket"), count=3)
    with StudyFile(path, readonly=True) as file:
        transcript = file.transcripts(file.get().name)[2]
    told = CliRunner().invoke(app, ["show", str(path), "--trial", "2"])
    assert told.exit_code == 0, told.output
    lowest = transcript["ranking"]["score"][transcript["text"]]
    first = next(line for line in told.output.splitlines() if line.strip().startswith("predicted"))
    assert first.split()[1] == f"{lowest:.3f}"
    assert first.endswith(f"({transcript['text']})")
    assert told.output.count(" for x=") == len(transcript["ranking"]["score"])
    asked = ["show", str(path), "--trial", "2", "--density", "--density-budget", "8", "--out"]
    seen = CliRunner().invoke(app, [*asked, str(tmp_path / "f.png")])
    assert seen.exit_code == 0, seen.output
    assert "lm+self chose it among several answers" in seen.output


def test_a_servers_predictions_are_counted() -> None:
    usage = {"usage": {"requests": 1, "prompt_tokens": 10, "completion_tokens": 2, "cost": 0.5}}
    one = {"details": usage}
    total = study_usage({}, [{"samples": [one, one], "queries": [one], "rejected": [one]}])
    assert total is not None
    assert (total.requests, total.prompt_tokens, total.cost) == (3, 30, 1.5)


@pytest.mark.parametrize("wrong", [{"queries": "x"}, {"queries": [{"text": 1}]}, {"ranking": [1]}])
def test_transcripts_of_other_shapes_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(StoreError):
        checked_transcript(wrong)
