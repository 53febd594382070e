"""`lm+self`: a language model proposes candidates, and its own prediction of their scores picks the one to try.

The same weights under two prompts: one asks for a configuration, the other for the score of one. What the model
answers to the second is a distribution, and where it knows little a wide one with several peaks: the likeliest score
then says nothing of a configuration (tried: it preferred what the model knew least of). So several scores are drawn
for each candidate, and their mean counts; the draws for one candidate share a prompt, so they cost hardly more than
one. Scores are relative to what has been told: until something has, the model's first answer is taken as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from airtune.engine.proposers.base import Remaining
from airtune.engine.proposers.lm import Answer, LMProposer, problem_of
from airtune.engine.seeds import derive_seed
from airtune.engine.types import Job, Proposal
from airtune.grammars import AirtuneError, DecodeError
from airtune.models import Completion, LanguageModel, PredictingDialect, Request

SAMPLES = 16  # of the model, per proposal
DRAWS = 8  # of the score, per candidate


@dataclass(slots=True)
class _Candidate:
    """An answer, what it stands for, and the scores that the model predicts for that."""

    answer: Answer
    config: dict[str, Any]
    queries: list[Request]
    scores: list[int] = field(default_factory=list)

    @property
    def score(self) -> float | None:
        """The mean of the scores; None if the model gave none that can be read."""
        return sum(self.scores) / len(self.scores) if self.scores else None


@dataclass(slots=True)
class _Asked:
    """A job with the model's answers.

    Attributes:
        job: What is to be proposed.
        samples: All answers, for the transcript: a replay chooses again without the model.
        candidates: The different ones of them, in the order in which they were answered.
        queries: The predictions, for the transcript.
    """

    job: Job
    samples: list[dict[str, Any]] = field(default_factory=list)
    candidates: list[_Candidate] = field(default_factory=list)
    queries: list[dict[str, Any]] = field(default_factory=list)


class LMSelfProposer:
    """Proposes the one of a language model's answers whose score the model predicts to be the lowest.

    Attributes:
        lm: The proposer whose requests, checks and transcripts are used.

    Raises:
        AirtuneError: If the model's dialect has no words to ask for a score.
    """

    name = "lm+self"

    def __init__(self, model: LanguageModel, temperature: float | None = None) -> None:
        dialect = model.dialect
        if not isinstance(dialect, PredictingDialect):
            raise AirtuneError(
                f"the proposer {self.name!r} asks a model to predict scores, and the dialect {dialect.name!r} of "
                f"model {model.name!r} has no words for that",
                value=dialect.name,
                allowed="a model that speaks a dialect with predictions: pocket",
                hint="use proposer='lm' or 'lm+gp' with this model, or model='pocket'",
            )
        self.lm = LMProposer(model, temperature)
        self._dialect: PredictingDialect = dialect

    def propose(self, jobs: Sequence[Job]) -> None:
        """Fill in every job's proposal: all samples in one batch, all predictions in another; None: exhausted.

        Raises:
            ModelError: See `LMProposer.propose`.
        """
        first: list[Job] = []
        later: list[Job] = []
        for job in jobs:
            (later if any(trial.loss is not None for trial in job.history) else first).append(job)
        self.lm.propose(first)
        if not later:
            return
        asked = [self._read(job, answers) for job, answers in self.lm.sample(later, lambda _: SAMPLES)]
        self._predict(asked)
        for one in asked:
            self._pick(one)
        # What is left without a proposal: the model alone, which tries again and says what went wrong.
        self.lm.propose([one.job for one in asked if one.job.proposal is None])

    def _read(self, job: Job, answers: Sequence[Answer]) -> _Asked:
        """Check the answers to one job, and word the questions about them."""
        found = _Asked(job, [answer.short() for answer in answers])
        problem, scores = problem_of(job), self._dialect.score_grammar()
        for answer, config in self.lm.usable(job, answers, Remaining(job)):
            prompt = self._dialect.render_query(problem, config)
            seeds = [derive_seed(self.name, answer.request.seed, k) for k in range(DRAWS)]
            queries = [Request(prompt, scores, seed) for seed in seeds]
            found.candidates.append(_Candidate(answer, config, queries))
        return found

    def _predict(self, asked: Sequence[_Asked]) -> None:
        """Draw scores of every candidate, at the temperature that the model was trained at: 1."""
        queries = [query for one in asked for candidate in one.candidates for query in candidate.queries]
        completions = iter(self.lm.model.generate(queries))
        for one in asked:
            for candidate in one.candidates:
                for query in candidate.queries:
                    completion = next(completions)
                    one.queries.append(Answer(query, completion).short())
                    try:
                        candidate.scores.append(self._score(completion))
                    except DecodeError as error:
                        one.job.rejected.append({**one.queries[-1], "reason": error.message})

    def _score(self, completion: Completion) -> int:
        if completion.finish_reason != "stop":
            raise DecodeError(f"the score ended with {completion.finish_reason!r}", value=completion.text)
        return self._dialect.read_score(completion.text)

    def _pick(self, one: _Asked) -> None:
        """The lowest score, of equal ones the first one; without any score, the first answer, as `lm`'s."""
        if not one.candidates:
            return
        scored = [(c.score, place) for place, c in enumerate(one.candidates) if c.score is not None]
        best = one.candidates[min(scored)[1] if scored else 0]
        transcript = {
            **self.lm.transcript(best.answer.request, best.answer.completion, 0, one.job.rejected),
            "samples": one.samples,
            "queries": one.queries,
            "ranking": {
                "score": {candidate.answer.completion.text: candidate.score for candidate in one.candidates}
            },
        }
        one.job.proposal = Proposal(best.config, self.name if scored else self.lm.name, transcript)
