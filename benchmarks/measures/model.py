"""The audit of `grammar` with a language model in place of random logits, through any backend.

Studies over random spaces with conditions and forbidden clauses are played side by side: at every step each open
study asks for its next configuration, all of them in one batch, under a grammar that excludes all that it tried.
What comes back is judged as there: by our own parser, by ConfigSpace's checker, and against what was tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace

from airtune.benchmarks.measures.grammar import AuditResult, read_pieces, refusal
from airtune.benchmarks.measures.json_lines import append_line
from airtune.benchmarks.measures.spaces import random_space
from airtune.engine.seeds import derive_seed
from airtune.grammars import AirtuneError, DecodeError, SpaceError
from airtune.models import LanguageModel, Observation, Problem, Request

PIECE = 32  # studies side by side: one batch; what an interruption loses


@dataclass(slots=True)
class _Study:
    """One study.

    Attributes:
        number: Decides its space and its seeds.
        space: Its space.
        observations: What was proposed, with a loss that is made up.
        texts: The same as it was written.
    """

    number: int
    space: ConfigurationSpace
    observations: list[Observation] = field(default_factory=list)
    texts: set[str] = field(default_factory=set)

    def request(self, model: LanguageModel, seed: int) -> Request | None:
        """What to ask next, or None if the space is exhausted."""
        grammar = model.dialect.grammar(self.space, exclude=[o.config for o in self.observations])
        if grammar.count() == 0:
            return None
        problem = Problem("audit", "", self.space, "loss", tuple(self.observations))
        drawn = derive_seed(derive_seed(seed, self.number), len(self.observations))
        return Request(model.dialect.render(problem), grammar, drawn, model.dialect.temperature)


def audit_model(
    model: LanguageModel,
    proposals: int,
    spaces: int,
    seed: int = 0,
    *,
    path: Path | None = None,
    on_piece: Callable[[AuditResult], None] | None = None,
) -> AuditResult:
    """Have a model make at least `proposals` proposals in studies over at least `spaces` spaces.

    Args:
        model: The model.
        proposals: How many to judge.
        spaces: Studies, each over a space of its own with a condition or a forbidden clause.
        seed: Seed of spaces and draws.
        path: A JSON-lines file that keeps finished pieces: the same call resumes from it.
        on_piece: Called with the running total after every piece.

    Raises:
        AirtuneError: If an argument makes no sense, or the file is of another audit.
    """
    if proposals < 1 or spaces < 1:
        raise AirtuneError(
            "an audit needs at least one proposal and one space",
            value=(proposals, spaces),
            allowed="1, 2, ...",
        )
    quota = -(-proposals // spaces)
    described = model.manifest()
    setting = {"quota": quota, "seed": seed, "model": model.name, "backend": described["backend"]}
    done = read_pieces(path, setting) if path is not None else {}
    total = AuditResult()
    for result in done.values():
        total.add(result)
    while total.studies < spaces or total.proposals < proposals:
        piece = len(done)
        done[piece] = result = _piece(model, piece, quota, seed)
        total.add(result)
        if path is not None:
            append_line(path, {"piece": piece, **setting, **asdict(result)})
        if on_piece is not None:
            on_piece(total)
    return total


def _piece(model: LanguageModel, piece: int, quota: int, seed: int) -> AuditResult:
    """Play PIECE studies side by side."""
    started = time.perf_counter()
    result = AuditResult()
    studies = [_Study(n, _space(model, seed, n)) for n in range(piece * PIECE, (piece + 1) * PIECE)]
    result.studies = len(studies)
    for _ in range(quota):
        asked: list[tuple[_Study, Request]] = []
        for study in studies:
            request = study.request(model, seed)
            if request is None:
                result.exhausted += 1
            else:
                asked.append((study, request))
        answers = model.generate([request for _, request in asked])
        result.grammars += len(asked)
        result.tokens += sum(len(answer.token_ids or ()) for answer in answers)
        studies = [
            study
            for (study, request), answer in zip(asked, answers, strict=True)
            if _judge(study, request, answer.text, result)
        ]
    result.seconds = time.perf_counter() - started
    return result


def _judge(study: _Study, request: Request, text: str, result: AuditResult) -> bool:
    """Count one answer; whether its study goes on."""
    config: dict[str, Any] = {}
    problem: str | None
    try:
        config = request.grammar.decode(text)
    except DecodeError as error:
        problem = str(error)
    else:
        problem = refusal(study.space, config)
    if text in study.texts or any(config == tried.config for tried in study.observations):
        result.repeats += 1
        problem = f"a repeat: {text}"
    elif problem is not None and config and request.grammar.approximate:  # as that grammar announces
        result.redrawn += 1
        study.texts.add(text)
        study.observations.append(Observation(config, None, "failed", "forbidden"))
        return True
    elif problem is not None:
        result.violations += 1
    result.proposals += 1
    if problem is not None:
        result.examples.append(f"study {study.number}, text {text!r}: {problem}")
        return False
    study.texts.add(text)
    loss = float(np.random.default_rng([study.number, len(study.observations)]).random())
    study.observations.append(Observation(config, loss))
    return True


def _space(model: LanguageModel, seed: int, number: int) -> ConfigurationSpace:
    """A random space with conditions or clauses that the model's dialect can speak about."""
    rng = np.random.default_rng([seed, number])
    while True:
        space = random_space(rng, min_size=2)
        if not (space.conditions or space.forbidden_clauses):
            continue
        try:
            model.dialect.grammar(space)
        except SpaceError:  # more choices or values than the dialect has words for
            continue
        return space
