"""`lm`: a language model proposes, under a grammar that leaves it only what is valid and untried.

`LMProposer.request` renders the prompt and builds the grammar, `LMProposer.accept` re-validates what came
back, and `LMProposer.propose` drives both for many studies, all their requests in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airtune.engine.proposers.base import Remaining, observed
from airtune.engine.seeds import derive_seed
from airtune.engine.types import Job, Proposal
from airtune.grammars import AirtuneError, DecodeError
from airtune.models import Completion, LanguageModel, ModelError, Observation, Problem, Request

# An answer is rejected only where a grammar over-approximates its space (a completion of an exact grammar is
# valid by construction), so a model that fails this often in a row is broken, not unlucky.
ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """One of several answers to a prompt."""

    request: Request
    completion: Completion

    def short(self) -> dict[str, Any]:
        """As short as a replay allows (JSON-able)."""
        completion = self.completion
        return {
            "seed": self.request.seed,
            "text": completion.text,
            "finish_reason": completion.finish_reason,
            "logprob": None if completion.logprobs is None else float(sum(completion.logprobs)),
            **({"details": dict(completion.details)} if completion.details else {}),
        }


class LMProposer:
    """Proposes what a language model answers.

    The prompt holds the task and all its trials, and nothing of the budget: 20 trials and then 20 more are
    the same search as 40.

    Attributes:
        model: The model; its dialect renders prompts and parses answers.
        temperature: Sampling temperature, 0 for greedy; the dialect's own where none is given.
    """

    name = "lm"

    def __init__(self, model: LanguageModel, temperature: float | None = None) -> None:
        temperature = model.dialect.temperature if temperature is None else temperature
        if not 0.0 <= temperature < float("inf"):
            raise AirtuneError(
                f"temperature {temperature!r} is not a number from 0 up",
                value=temperature,
                allowed="0 (greedy) or any positive number",
                hint="1.0 samples from the model as it was trained",
            )
        self.model = model
        self.temperature = temperature

    def propose(self, jobs: Sequence[Job]) -> None:
        """Fill in every job's proposal, one `generate` call per round; None stays where a space is exhausted.

        Raises:
            ModelError: If one job's answers are rejected `ATTEMPTS` times in a row.
        """
        waiting = list(jobs)
        for attempt in range(ATTEMPTS):
            asked: list[tuple[Job, Request]] = []
            for job in waiting:
                request = self.request(job, attempt)
                if request is not None:
                    asked.append((job, request))
            if not asked:
                return
            completions = self.model.generate([request for _, request in asked])
            waiting = []
            for (job, request), completion in zip(asked, completions, strict=True):
                try:
                    config = self.accept(Remaining(job), request, completion)
                except DecodeError as error:
                    job.rejected.append({**_answer(request, completion, attempt), "reason": error.message})
                    waiting.append(job)
                    continue
                transcript = self.transcript(request, completion, attempt, job.rejected)
                job.proposal = Proposal(config, self.name, transcript)
        if waiting:
            last = waiting[0].rejected[-1]
            raise ModelError(
                f"model {self.model.name!r} gave no usable configuration for task {waiting[0].task.name!r} "
                f"in {ATTEMPTS} attempts; the last answer was {last['text']!r}: {last['reason']}",
                value=last["text"],
                hint="try another model or a temperature nearer 1, or loosen the space's forbidden clauses; of free "
                "programs raise max_tokens",
            )

    def request(self, job: Job, attempt: int = 0) -> Request | None:
        """What to ask the model for the next trial, or None if the space is exhausted."""
        dialect = self.model.dialect
        tried = [trial.config for trial in observed(job.history, job.pending)]
        grammar = dialect.grammar(job.task.space, exclude=tried)
        if grammar.count() == 0:
            return None
        prompt = dialect.render(problem_of(job))
        return Request(prompt, grammar, derive_seed(job.seed, attempt), self.temperature)

    def accept(self, remaining: Remaining, request: Request, completion: Completion) -> dict[str, Any]:
        """The configuration, of those that remain, that the model's answer stands for.

        Raises:
            DecodeError: If the answer was cut off, is not in the grammar's language, or stands for a
                configuration that is forbidden or has been tried.
        """
        if completion.finish_reason != "stop":
            cut = ": it was too long, and was cut" if completion.finish_reason == "length" else ""
            raise DecodeError(
                f"the answer ended with {completion.finish_reason!r}{cut}", value=completion.text
            )
        parsed = self.model.dialect.parse(completion.text, request.grammar)
        config = remaining.admit(parsed)
        if config is None:
            raise DecodeError(f"{parsed!r} is forbidden or has been tried", value=completion.text)
        return config

    def sample(self, jobs: Sequence[Job], count: Callable[[Job], int]) -> list[tuple[Job, list[Answer]]]:
        """Several answers to each job, all in one batch.

        Those to one job share a prompt, and differ by their seeds. A job whose space is exhausted is left out.
        """
        asked: list[tuple[Job, list[Request]]] = []
        for job in jobs:
            request = self.request(job)
            if request is not None:
                seeds = [request.seed, *(derive_seed(request.seed, k) for k in range(1, count(job)))]
                asked.append((job, [replace(request, seed=seed) for seed in seeds]))
        completions = iter(self.model.generate([r for _, requests in asked for r in requests]))
        return [(job, [Answer(r, next(completions)) for r in requests]) for job, requests in asked]

    def usable(
        self, job: Job, answers: Sequence[Answer], remaining: Remaining
    ) -> list[tuple[Answer, dict[str, Any]]]:
        """The different answers that stand for a valid and new configuration, with it; `job` is told of the others."""
        found: dict[str, tuple[Answer, dict[str, Any]]] = {}
        for answer in answers:
            text = answer.completion.text
            if text in found:
                continue
            try:
                found[text] = answer, self.accept(remaining, answer.request, answer.completion)
            except DecodeError as error:
                job.rejected.append({**answer.short(), "reason": error.message})
        return list(found.values())

    def transcript(
        self,
        request: Request,
        completion: Completion,
        attempt: int,
        rejected: Sequence[Mapping[str, Any]],
    ) -> dict[str, Any]:
        """All that is needed to see, and to replay, how a proposal came about (JSON-able)."""
        return {
            "model": self.model.name,
            "dialect": self.model.dialect.name,
            "prompt": request.prompt,
            "grammar": request.grammar.hash,
            "temperature": request.temperature,
            **_answer(request, completion, attempt),
            "rejected": list(rejected),
        }


def problem_of(job: Job) -> Problem:
    """What a dialect is told of a task and its trials; of free programs, also which answers were none, and why."""
    trials = observed(job.history, job.pending)
    refused = job.rejected if hasattr(job.task.space, "free_program") else []
    answers = (Observation({}, None, "failed", one["reason"], answer=one["text"]) for one in refused)
    return Problem(
        name=job.task.name,
        description=job.task.description,
        space=job.task.space,
        metric=job.task.metric,
        observations=(*(Observation(t.config, t.loss, t.status, t.reason) for t in trials), *answers),
    )


def _answer(request: Request, completion: Completion, attempt: int) -> dict[str, Any]:
    """One attempt as it goes into a transcript."""
    return {
        "attempt": attempt,
        "seed": request.seed,
        "text": completion.text,
        "finish_reason": completion.finish_reason,
        "token_ids": None if completion.token_ids is None else [int(token) for token in completion.token_ids],
        "logprobs": None if completion.logprobs is None else [float(value) for value in completion.logprobs],
        "prompt_tokens": completion.prompt_tokens,
        "decode_steps": completion.decode_steps,
        **({"details": dict(completion.details)} if completion.details else {}),
    }
