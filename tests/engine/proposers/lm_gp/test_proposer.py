"""`lm+gp`: the model's samples first, the Gaussian process's own candidates once it knows better."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import Proposal, Task, Trial
from airtune.engine.proposers.base import propose_one
from airtune.engine.proposers.lm_gp import candidates
from airtune.engine.proposers.lm_gp.candidates import Candidates, Encoder
from airtune.engine.proposers.lm_gp.gaussian_process import (
    Floats,
    GaussianProcess,
    sample_kernels,
    standardised,
)
from airtune.engine.proposers.lm_gp.proposer import LMGPProposer
from airtune.engine.seeds import derive_seed
from airtune.engine.types import Job
from airtune.grammars import DecodeError, space_grammar
from airtune.models import Completion, LanguageModel, Request, load_model


def bowl(config: dict[str, Any]) -> float:
    return float((config["x"] - 0.3) ** 2 + (config["y"] - 0.7) ** 2)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_model("scripted")


def square() -> Task:
    return Task("bowl", ConfigurationSpace({"x": (0.0, 1.0), "y": (0.0, 1.0)}), bowl)


def trials_on(task: Task, count: int, seed: int = 0) -> list[Trial]:
    """Told trials of random configurations."""
    grammar, rng = space_grammar(task.space), np.random.default_rng(seed)
    return [Trial(i, (c := grammar.sample(rng)), "told", bowl(c)) for i in range(count)]


def ask(model: LanguageModel, trials: int, seed: int = 0) -> Proposal:
    """The proposal after some random trials on a bowl; the scripted model knows nothing of it."""
    task = square()
    proposal = propose_one(LMGPProposer(model), task, trials_on(task, trials, seed), (), seed)
    assert proposal is not None
    return proposal


def ranking(proposal: Proposal) -> dict[str, Any]:
    assert proposal.transcript is not None
    return dict(proposal.transcript["ranking"])


def test_without_candidates_of_its_own_the_process_chooses_among_the_samples(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a control: where it has them, another is better here."""
    scores = ranking(ask(model, 4, seed=8))
    assert max(scores["log_ei"]) < scores["best_other_log_ei"]
    assert ask(model, 4, seed=8).origin == "lm+gp:gp"
    monkeypatch.setattr(candidates, "NEIGHBOURS", 0)
    monkeypatch.setattr(candidates, "UNIFORM", 1)
    monkeypatch.setattr(candidates, "_CLOSE_STEPS", ())
    alone = ask(model, 4, seed=8)
    assert alone.origin == "lm+gp"
    assert max(ranking(alone)["log_ei"]) >= ranking(alone)["best_other_log_ei"]


def test_the_process_steers_to_the_bottom_of_a_bowl(model: LanguageModel) -> None:
    """The scripted model knows nothing of it, and the samples are few."""
    proposal = ask(model, 30)
    assert proposal.origin == "lm+gp:gp"
    assert bowl(dict(proposal.config)) < 0.01  # of the unit square's bowl: a radius of 0.1


def test_a_checkpoint_with_the_chat_dialect_gets_one_batch_over_one_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airtune.models.backends.transformers import TransformersModel
    from airtune.models.dialects.chat.dialect import ChatDialect
    from airtune.models.tiny import byte_tokenizer, save_random_llama

    model = TransformersModel(save_random_llama(tmp_path, byte_tokenizer()), dialect=ChatDialect())
    batches: list[list[Request]] = []
    generate = model.generate

    def watched(requests: Sequence[Request]) -> list[Completion]:
        batches.append(list(requests))
        return generate(requests)

    monkeypatch.setattr(model, "generate", watched)
    proposal = ask(model, 4)
    (batch,) = batches
    assert len(batch) == 16
    assert len({request.prompt for request in batch}) == 1
    assert len({request.seed for request in batch}) == 16
    assert proposal.transcript is not None
    assert [sample["seed"] for sample in proposal.transcript["samples"]] == [r.seed for r in batch]
    assert len(ranking(proposal)["log_ei"]) > 1


def on_a_line(*trials: tuple[float, float | None]) -> tuple[Task, list[Trial]]:
    """A task of one number, and trials at places with their losses; None is a failure."""
    task = Task("line", ConfigurationSpace({"x": (0.0, 1.0)}), bowl)
    return task, [
        Trial(i, {"x": x}, "failed", reason="no") if loss is None else Trial(i, {"x": x}, "told", loss)
        for i, (x, loss) in enumerate(trials)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_a_failed_trial_is_as_bad_as_the_worst(model: LanguageModel, seed: int) -> None:
    """Taken for a loss of 0 the failures would be the best of all, and the next trial next to them."""
    task, history = on_a_line((0.1, 14.0), (0.3, 10.0), (0.5, 12.0), (0.85, None), (0.9, None), (0.95, None))
    proposal = propose_one(LMGPProposer(model), task, history, (), seed)
    assert proposal is not None
    assert 0.1 < proposal.config["x"] < 0.5


@pytest.mark.parametrize("seed", range(3))
def test_a_trial_is_not_proposed_next_to_a_pending_one(model: LanguageModel, seed: int) -> None:
    """With a control: without the pending one the next trial is there."""
    task, history = on_a_line((0.0, 3.0), (0.1, 2.0), (0.5, 1.0), (1.0, 4.0))
    lm_gp = LMGPProposer(model)
    first = propose_one(lm_gp, task, history, (), seed)
    assert first is not None
    again = propose_one(lm_gp, task, history, (), seed + 100)
    assert again is not None
    beside = propose_one(lm_gp, task, history, [Trial(4, first.config)], seed + 100)
    assert beside is not None
    assert abs(again.config["x"] - first.config["x"]) < 0.03
    assert abs(beside.config["x"] - first.config["x"]) > 0.05


def watch_search(monkeypatch: pytest.MonkeyPatch, *answer: Floats) -> list[list[dict[str, Any]]]:
    """Notes what `Candidates.search` is given as the best trials, and may answer in its place."""
    noted: list[list[dict[str, Any]]] = []
    search = Candidates.search

    def watched(
        made: Candidates,
        best: Sequence[Mapping[str, Any]],
        acquisition: Callable[[Floats], Floats],
        rng: np.random.Generator,
    ) -> tuple[Floats, ...]:
        noted.append([dict(config) for config in best])
        return answer or search(made, best, acquisition, rng)

    monkeypatch.setattr(Candidates, "search", watched)
    return noted


def test_the_search_starts_from_the_best_trials(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Best first, of equals the earliest; failures are none of them. The neighbours of the worst are of no use."""
    noted = watch_search(monkeypatch)
    task, history = on_a_line((0.1, 3.0), (0.2, None), (0.3, 1.0), (0.4, 2.0), (0.5, 1.0))
    propose_one(LMGPProposer(model), task, history)
    assert [[config["x"] for config in best] for best in noted] == [[0.3, 0.5, 0.4, 0.1]]


@pytest.mark.parametrize("pending", [0, 1])
def test_the_ranking_in_the_transcript_is_the_processs(model: LanguageModel, pending: int) -> None:
    """Made again step by step from the history, the pending trials, the samples and the seed."""
    task = square()
    trials = trials_on(task, 6)
    trials[2] = Trial(2, trials[2].config, "failed", reason="no")
    history, waiting = trials[: 6 - pending], [Trial(t.number, t.config) for t in trials[6 - pending :]]
    proposal = propose_one(LMGPProposer(model), task, history, waiting, 5)
    assert proposal is not None
    assert proposal.transcript is not None
    encoder = Encoder(task.space)

    def points(configs: list[Mapping[str, Any]]) -> Floats:
        return encoder.points(encoder.vectors(configs))

    x = points([trial.config for trial in history])
    y = standardised(np.array([np.inf if trial.loss is None else trial.loss for trial in history]))
    rng = np.random.default_rng(derive_seed("lm+gp", 5))
    process = GaussianProcess(x, y, *sample_kernels(x, y, rng), points([t.config for t in waiting]))
    grammar = model.dialect.grammar(task.space)
    texts = dict.fromkeys(sample["text"] for sample in proposal.transcript["samples"])
    log_ei = process.log_expected_improvement(points([model.dialect.parse(text, grammar) for text in texts]))
    told = sorted((t for t in history if t.loss is not None), key=lambda t: t.loss or 0.0)
    rows, scores = Candidates(task.space).search(
        [t.config for t in told], process.log_expected_improvement, rng
    )
    assert ranking(proposal) == {
        "log_ei": [round(float(value), 6) for value in log_ei],
        "best_other_log_ei": round(float(scores.max()), 6),
    }
    assert proposal.origin == "lm+gp:gp"
    best = Candidates(task.space).config(rows[scores.argmax()])
    assert dict(proposal.config) == pytest.approx(best, abs=1e-3)
    assert proposal.transcript["text"] == list(texts)[int(log_ei.argmax())]
    assert proposal.transcript["attempt"] == 0


def test_the_best_new_candidate_is_taken_if_it_beats_the_samples(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best of all has been tried, so the next best is; where that is no better than a sample, the sample is."""
    task, history = on_a_line((0.1, 3.0), (0.2, 2.0), (0.3, 1.0))
    watch_search(monkeypatch, np.array([[0.7], [0.3], [0.6], [0.5]]), np.array([8.0, 9.0, 7.0, 8.0]))
    proposal = propose_one(LMGPProposer(model), task, history)
    assert proposal is not None
    assert (dict(proposal.config), proposal.origin) == ({"x": 0.7}, "lm+gp:gp")  # of equals the first
    assert ranking(proposal)["best_other_log_ei"] == 9.0
    best_sample = max(ranking(proposal)["log_ei"])
    for scores in ([best_sample - 1.0, 9.0], [-np.inf, -np.inf]):
        watch_search(monkeypatch, np.array([[0.7], [0.3]]), np.array(scores))
        kept = propose_one(LMGPProposer(model), task, history)
        assert kept is not None
        assert kept.origin == "lm+gp"
        assert kept.transcript is not None
        assert dict(kept.config) == model.dialect.parse(
            kept.transcript["text"], model.dialect.grammar(task.space)
        )


def test_the_process_has_a_say_from_three_told_trials_on(model: LanguageModel) -> None:
    """Failures do not count."""
    lm_gp = LMGPProposer(model)
    task, history = on_a_line((0.1, 3.0), (0.2, None), (0.3, None), (0.4, 2.0), (0.5, 1.0))
    early = propose_one(lm_gp, task, history[:4])
    later = propose_one(lm_gp, task, history)
    assert early is not None
    assert later is not None
    assert early.origin == "lm"
    assert early == propose_one(lm_gp.lm, task, history[:4])
    assert later.origin.startswith("lm+gp")


@pytest.mark.parametrize(("trials", "samples"), [(3, 16), (9, 16), (10, 4)])
def test_how_many_samples_the_model_is_asked_for(model: LanguageModel, trials: int, samples: int) -> None:
    proposal = ask(model, trials)
    assert proposal.transcript is not None
    assert len(proposal.transcript["samples"]) == samples


def test_many_jobs_get_what_each_would_get_alone(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Early and later ones mixed: one batch of the model for each kind."""
    task = square()
    told = trials_on(task, 8)
    jobs = [
        Job(task, told[:n], [Trial(t.number, t.config) for t in told[n : n + 1]], 7 + n)
        for n in (5, 0, 3, 2, 7)
    ]
    alone = [propose_one(LMGPProposer(model), j.task, j.history, j.pending, j.seed) for j in jobs]
    sizes: list[int] = []
    generate = model.generate

    def counted(requests: Sequence[Request]) -> list[Completion]:
        sizes.append(len(requests))
        return generate(requests)

    monkeypatch.setattr(model, "generate", counted)
    LMGPProposer(model).propose(jobs)
    assert [job.proposal for job in jobs] == alone
    assert [size for size in sizes if size] == [2, 3 * 16]


@pytest.mark.parametrize("refused", [1, 16])
def test_answers_that_are_turned_down_are_in_the_transcript(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    """Where none of the samples is of use, the model is asked again, alone."""
    task, history = on_a_line((0.1, 3.0), (0.2, 2.0), (0.3, 1.0))
    lm_gp, asked = LMGPProposer(model), list[str]()
    accept = lm_gp.lm.accept

    def strict(*arguments: Any) -> dict[str, Any]:
        asked.append(arguments[-1].text)
        if len(asked) <= refused:
            raise DecodeError("it will not do", value=asked[-1])
        return accept(*arguments)

    monkeypatch.setattr(lm_gp.lm, "accept", strict)
    proposal = propose_one(lm_gp, task, history)
    assert proposal is not None
    assert proposal.transcript is not None
    assert (proposal.origin == "lm") == (refused == 16)
    rejected = [(one["text"], one["reason"]) for one in proposal.transcript["rejected"]]
    assert rejected == [(text, "it will not do") for text in asked[:refused]]


def test_the_temperature_is_the_models_own_or_the_callers(model: LanguageModel) -> None:
    assert LMGPProposer(model).lm.temperature == model.dialect.temperature
    assert LMGPProposer(model, 0.25).lm.temperature == 0.25
