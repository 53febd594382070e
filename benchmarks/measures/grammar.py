"""The audit behind the figure "violations per million proposals".

Studies over random spaces are played with random logits instead of a model: every token is drawn under the
mask of a real engine, every finished text is parsed again, judged by ConfigSpace's own checker, and compared
with everything its grammar excluded. Nothing is corrected: a single violation or repeat is a bug.

A grammar is built anew after each of the first proposals of a study and then whenever half as many more have
been drawn, so that growing exclusions are exercised without a build per proposal. A text drawn twice between
two builds is no repeat (its grammar did not exclude it): such collisions are counted apart and not counted as
proposals.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ConfigSpace import Configuration, ConfigurationSpace
from numpy.typing import NDArray

from airtune.benchmarks.measures.json_lines import append_line, read_lines
from airtune.benchmarks.measures.spaces import random_space
from airtune.grammars import AirtuneError, DecodeError, Grammar, canonical_lattice, lattice_grammar
from airtune.models.decoding.sampling import draw
from airtune.models.masks.base import MaskEngine, make_engine
from airtune.models.masks.vocabulary import vocabulary_of

TokenizerName = Literal["bytes", "bpe"]
PIECE = 25  # studies per piece: a few seconds to a minute of work, so that an interruption loses little
EVERY = 5  # the first so many proposals of a study get a grammar each
SMALL = 5  # every fifth study may have a space of any size, and is then often played until it is exhausted


@dataclass(slots=True)
class AuditResult:
    """Counts of an audit; results of pieces add up.

    Attributes:
        proposals: Texts drawn, parsed and judged.
        studies: Studies played, each over a space of its own.
        grammars: Grammars compiled.
        violations: Texts that were not in the language, or that ConfigSpace refused.
        repeats: Texts that their grammar excluded.
        collisions: Texts drawn twice from one grammar; not proposals, drawn again.
        redrawn: Texts of an over-approximating grammar that ConfigSpace refused, as that grammar announces.
        exhausted: Studies that ended because nothing was left.
        tokens: Tokens taken, forced ones included.
        seconds: Time of the work itself, summed over processes.
        examples: Up to ten descriptions of what went wrong.
    """

    proposals: int = 0
    studies: int = 0
    grammars: int = 0
    violations: int = 0
    repeats: int = 0
    collisions: int = 0
    redrawn: int = 0
    exhausted: int = 0
    tokens: int = 0
    seconds: float = 0.0
    examples: list[str] = field(default_factory=list)

    def add(self, other: AuditResult) -> None:
        """Add the counts of another piece."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.examples = self.examples[:10]


@lru_cache(maxsize=2)
def _engine(name: str, tokenizer: TokenizerName) -> MaskEngine:
    from airtune.models.tiny import bpe_tokenizer, byte_tokenizer

    made = byte_tokenizer() if tokenizer == "bytes" else bpe_tokenizer()
    return make_engine(name, vocabulary_of(made, width=len(made)))


def _sample(
    engine: MaskEngine, grammar: Grammar, rng: np.random.Generator, canonical: bool
) -> tuple[str, int]:
    """One text drawn under the engine's mask with random logits, and the number of its tokens."""
    matcher = engine.compile(grammar)
    vocabulary = engine.vocabulary
    taken: list[int] = []
    # One block of random logits per text, read from another place at every step, and uniforms for the draws.
    width, shift = vocabulary.width, 0
    block: NDArray[np.float64] = 3 * rng.standard_normal(2 * width)
    uniforms = rng.random(grammar.max_length + 1)
    while True:
        tokens = matcher.forced(canonical=canonical)
        if not tokens:
            if matcher.finished:
                break
            shift = (shift + 7) % width
            logits = block[shift : shift + width]
            tokens = [draw(logits, matcher.allowed(), 1.0, float(uniforms[len(taken)]))[0]]
        for token in tokens:
            matcher.advance(token)
        taken += tokens
    return vocabulary.text(taken), len(taken)


def _study(number: int, seed: int, quota: int, engine: MaskEngine, result: AuditResult) -> None:
    """Play one study: a random space, up to `quota` proposals, none of which may come twice."""
    rng = np.random.default_rng([seed, number])
    space = random_space(rng, min_count=1 if number % SMALL == 0 else 2 * quota)
    lattice = canonical_lattice(space)
    canonical = number % 2 == 0  # half of the studies force the tokenizer's own spelling, as the backends do
    drawn: dict[str, None] = {}
    configs: list[dict[str, object]] = []
    result.studies += 1
    while len(drawn) < quota:
        grammar = lattice_grammar(lattice, configs)
        left = grammar.count()
        if left == 0:
            result.exhausted += 1
            return
        result.grammars += 1
        excluded = frozenset(drawn)
        wanted = 1 if len(drawn) < EVERY else len(drawn) // 2
        for _ in range(min(wanted, quota - len(drawn), left)):
            text, tokens = _sample(engine, grammar, rng, canonical)
            result.tokens += tokens
            if text in drawn and text not in excluded:
                result.collisions += 1
                continue
            result.proposals += 1
            try:
                config = grammar.decode(text)
            except DecodeError as error:
                problem: str | None = str(error)
            else:
                problem = refusal(space, config)
                if problem is not None and grammar.approximate:
                    result.proposals -= 1
                    result.redrawn += 1
                    configs.append(config)
                    continue
            if text in excluded:
                result.repeats += 1
                problem = f"a repeat: {text}"
            elif problem is not None:
                result.violations += 1
            if problem is not None:
                result.examples.append(f"study {number}, text {text!r}: {problem}")
                return
            drawn[text] = None
            configs.append(config)


def refusal(space: ConfigurationSpace, config: Mapping[str, Any]) -> str | None:
    """Why ConfigSpace's own checker refuses a configuration, or None."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # ConfigSpace 1.2.2 prints in one of its clauses
            Configuration(space, values=dict(config))
    except Exception as error:  # whatever it raises is its verdict
        return repr(error)
    return None


def audit_piece(piece: int, quota: int, seed: int, engine: str, tokenizer: TokenizerName) -> AuditResult:
    """Play the studies of one piece: numbers piece * PIECE and up."""
    started = time.perf_counter()
    result = AuditResult()
    masks = _engine(engine, tokenizer)
    for number in range(piece * PIECE, (piece + 1) * PIECE):
        _study(number, seed, quota, masks, result)
    result.seconds = time.perf_counter() - started
    return result


def audit(
    proposals: int,
    spaces: int = 200,
    seed: int = 0,
    engine: str = "llguidance",
    tokenizer: TokenizerName = "bytes",
    *,
    jobs: int = 1,
    path: str | Path | None = None,
    on_piece: Callable[[AuditResult], None] | None = None,
) -> AuditResult:
    """Draw at least `proposals` proposals in studies over at least `spaces` random spaces.

    Args:
        proposals: How many to judge.
        spaces: Over how many spaces at least; a study asks for proposals / spaces of them, or all its space
            has.
        seed: Seed of spaces and draws; a study depends on it and its own number alone.
        engine: A mask engine's name.
        tokenizer: "bytes", or "bpe": a byte-level BPE with digits merged as in Llama 3.
        jobs: Processes.
        path: A JSON-lines file that keeps finished pieces: the same call resumes from it.
        on_piece: Called with the running total after every piece.

    Raises:
        AirtuneError: If an argument makes no sense, or the file is of another audit.
    """
    if proposals < 1 or spaces < 1 or jobs < 1:
        raise AirtuneError(
            "an audit needs at least one proposal, one space and one job",
            value=(proposals, spaces, jobs),
            allowed="1, 2, ...",
        )
    quota = -(-proposals // spaces)
    pieces = -(-spaces // PIECE)
    setting = {"quota": quota, "seed": seed, "engine": engine, "tokenizer": tokenizer}
    done = read_pieces(Path(path), setting) if path is not None else {}
    total = AuditResult()
    for result in done.values():
        total.add(result)

    def finish(piece: int, result: AuditResult) -> None:
        done[piece] = result
        total.add(result)
        if path is not None:
            append_line(Path(path), {"piece": piece, **setting, **asdict(result)})
        if on_piece is not None:
            on_piece(total)

    _engine(engine, tokenizer)  # an unknown engine is told here, not by a worker
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        # Exhausted studies bring fewer than asked: more pieces follow until the number is reached.
        while len(done) < pieces or total.proposals < proposals:
            missing = [p for p in range(pieces) if p not in done]
            if not missing:
                missing = list(range(len(done), len(done) + jobs))
            if jobs == 1:
                for p in missing:
                    finish(p, audit_piece(p, quota, seed, engine, tokenizer))
                continue
            futures = {pool.submit(audit_piece, p, quota, seed, engine, tokenizer): p for p in missing}
            for future in as_completed(futures):
                finish(futures[future], future.result())
    return total


def read_pieces(path: Path, setting: Mapping[str, object]) -> dict[int, AuditResult]:
    """Finished pieces of an earlier run; a torn last line is passed over and cut off."""
    done: dict[int, AuditResult] = {}
    for entry in read_lines(path):
        if any(entry.get(key) != value for key, value in setting.items()):
            raise AirtuneError(
                f"{path} holds pieces of another audit",
                value={key: entry.get(key) for key in setting},
                allowed=str(dict(setting)),
                hint="give another file",
            )
        done[int(entry["piece"])] = AuditResult(**{k: entry[k] for k in AuditResult.__slots__})
    return done
