"""Speed as ratios, measured side by side: on a busy machine they say more than times do.

1. Our mask loop against transformers' own `generate` with outlines' logits processor: same model, same
   grammar, same number of tokens. Once with a grammar that forces most tokens (JSON), once with one that forces none.
2. Seconds per proposal of the bundled model against Optuna's TPE and GP, on the same histories.
3. Seconds per proposal of `lm` and `lm+gp` against Optuna's GP, alone and for many studies in one batch.
4. Seconds per proposal over the length of the history: see `history`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, product
from typing import Any

import numpy as np
from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer

from airtune.benchmarks import get_task
from airtune.engine.proposers import load_proposer
from airtune.engine.types import Job, Proposer, Task, Trial
from airtune.grammars import (
    AirtuneError,
    EnumeratedAxis,
    Grammar,
    Lattice,
    Notation,
    lattice_grammar,
    space_grammar,
)
from airtune.models import LanguageModel, Request, load_model

PROMPT = "Trials so far, best last: " + '{"a":123,"b":456} -> 0.25\n' * 12


@dataclass(frozen=True, slots=True)
class Ratio:
    """One comparison.

    Attributes:
        what: What was compared, and on what.
        ours_s: Median seconds of ours.
        theirs_s: Median seconds of theirs.
        ratio: Median over the pairs of theirs / ours: above 1, ours is faster.
        low: Smallest ratio of a pair.
        high: Largest ratio of a pair.
    """

    what: str
    ours_s: float
    theirs_s: float
    ratio: float
    low: float
    high: float


Clock = Callable[[], float]


def side_by_side(what: str, ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> Ratio:
    """Run both in turn, `repeats` times after one warm-up each; seconds on the wall."""
    return on_clocks(what, ours, theirs, repeats, {"": (time.perf_counter, time.perf_counter)})[0]


def on_clocks(
    what: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    repeats: int,
    clocks: Mapping[str, tuple[Clock, Clock]],
) -> list[Ratio]:
    """The same on several clocks, each with its name and one of ours and of theirs: a ratio for each."""
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in clocks}
    for i in range(repeats + 1):
        seconds: dict[str, list[float]] = {name: [] for name in clocks}
        for side, run in enumerate((ours, theirs)):
            started = {name: both[side]() for name, both in clocks.items()}
            run()
            for name, both in clocks.items():
                seconds[name].append(both[side]() - started[name])
        if i:
            for name, (mine, other) in seconds.items():
                pairs[name].append((mine, other))
    return [_ratio(what + name, measured) for name, measured in pairs.items()]


def _ratio(what: str, pairs: Sequence[tuple[float, float]]) -> Ratio:
    ratios = [b / a for a, b in pairs]
    return Ratio(
        what,
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
    )


def _forced_grammar() -> Grammar:
    """JSON of a fixed length in bytes: names, quotes and colons are forced, digits are not."""
    return space_grammar(
        ConfigurationSpace({name: (100, 999) for name in ("alpha", "beta", "gamma", "delta")})
    )


def _free_grammar() -> Grammar:
    """24 digits, each free."""
    names = [f"x{i}" for i in range(8)]
    space = ConfigurationSpace({name: (0, 999) for name in names})
    axis = EnumeratedAxis([(f"{i:03d}", i) for i in range(1000)], ordered=True)
    return lattice_grammar(Lattice(space, dict.fromkeys(names, axis), Notation.bare()))


def mask_loop(repeats: int = 5) -> list[Ratio]:
    """Our mask loop against `generate` with outlines' processor, on a random Llama of the size of `pocket`.

    outlines builds an index per grammar. In a search every proposal has a grammar of its own, so that is part
    of the price of a proposal; it is measured with and without. Ours always includes its own compile.
    """
    try:
        import outlines
        from outlines.backends.outlines_core import OutlinesCoreBackend, OutlinesCoreLogitsProcessor
    except ImportError as error:
        raise AirtuneError(
            f"this comparison needs outlines ({error})", hint="pip install 'airtune[engines]'"
        ) from error
    import torch
    from transformers import LogitsProcessorList

    from airtune.models.backends.transformers import TransformersModel
    from airtune.models.dialects.chat.dialect import ChatDialect
    from airtune.models.masks.base import make_engine
    from airtune.models.tiny import byte_tokenizer, save_random_llama

    ratios = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the same for both; more only slow a model of this size
    with tempfile.TemporaryDirectory() as directory:
        save_random_llama(directory, byte_tokenizer(), width=128, layers=6, padding=24_000, spread=0.1)
        model = TransformersModel(directory, dialect=ChatDialect())
        backend = OutlinesCoreBackend(outlines.from_transformers(model.model, model.tokenizer))
        for label, grammar in (
            ("JSON, most forced", _forced_grammar()),
            ("digits, none forced", _free_grammar()),
        ):
            index = backend.get_regex_logits_processor(grammar.regex()).index
            length = grammar.max_length
            for k in (1, 8):
                requests = [Request(PROMPT, grammar, seed) for seed in range(k)]
                inputs = model.tokenizer([PROMPT] * k, return_tensors="pt")

                def theirs(
                    fresh: bool, inputs: Any = inputs, grammar: Grammar = grammar, index: Any = index
                ) -> None:
                    if fresh:
                        index = backend.get_regex_logits_processor(grammar.regex()).index
                    processor = OutlinesCoreLogitsProcessor(index, "torch")
                    ids = model.model.generate(
                        input_ids=inputs["input_ids"],
                        attention_mask=inputs["attention_mask"],
                        logits_processor=LogitsProcessorList([processor]),
                        do_sample=True,
                        top_k=0,
                        max_new_tokens=grammar.max_length,
                    )
                    _require(
                        grammar,
                        [model.vocabulary.text(row) for row in ids[:, inputs["input_ids"].shape[1] :]],
                    )

                def ours(requests: list[Request] = requests, grammar: Grammar = grammar) -> None:
                    # A new engine keeps nothing of the call before.
                    model.engine = make_engine("llguidance", model.vocabulary)
                    _require(grammar, [answer.text for answer in model.generate(requests)])

                for price, fresh in (("index built before", False), ("index built per call", True)):
                    what = f"mask loop, {label}, {length} tokens, {k} rows; generate + outlines, {price}"
                    ratios.append(side_by_side(what, ours, partial(theirs, fresh), repeats))
    torch.set_num_threads(threads)
    return ratios


def _require(grammar: Grammar, texts: Sequence[str]) -> None:
    """A comparison of answers that break the grammar would be worth nothing."""
    wrong = [text for text in texts if not grammar.accepts(text)]
    if wrong:
        raise AirtuneError("an answer is not in the grammar's language", value=wrong[0])


def history_of(task: Task, trials: int, seed: int = 0) -> list[Trial]:
    """Told trials at random places with made-up losses: every proposer is told the same."""
    grammar, rng = space_grammar(task.space), np.random.default_rng(seed)
    return [Trial(i, grammar.sample(rng), "told", float(rng.random())) for i in range(trials)]


def proposals(
    model: LanguageModel | str = "pocket",
    rivals: Sequence[str] = ("tpe", "gp"),
    histories: Sequence[int] = (10, 30),
    task: str = "sklearn/mlp/digits",
    repeats: int = 5,
) -> list[Ratio]:
    """Seconds per proposal of a language model against Optuna's samplers on the same histories."""
    loaded = load_model(model) if isinstance(model, str) else model
    problem, lm = get_task(task), load_proposer("lm", loaded)
    ratios = []
    for trials in histories:
        history = history_of(problem, trials)

        def jobs(k: int, history: list[Trial] = history) -> list[Job]:
            return [Job(problem, history, (), k)]

        for name in rivals:
            what = f"proposal, {task}, {trials} trials: {loaded.name} against {name}"
            ratios.append(_proposers_side_by_side(what, lm, load_proposer(name), jobs, repeats))
    return ratios


def _proposers_side_by_side(
    what: str, ours: Proposer, theirs: Proposer, jobs: Callable[[int], list[Job]], repeats: int
) -> Ratio:
    return side_by_side(what, in_rounds(ours, jobs), in_rounds(theirs, jobs), repeats)


def in_rounds(proposer: Proposer, jobs: Callable[[int], list[Job]]) -> Callable[[], object]:
    """A call that lets the proposer propose for the jobs of round 0, then of 1, ..."""
    rounds = count()
    return lambda: proposer.propose(jobs(next(rounds)))


def eight() -> ConfigurationSpace:
    """Eight hyperparameters of several kinds, under names that a model may know."""
    space = ConfigurationSpace()
    space.add(
        Float("learning_rate", (1e-5, 1.0), log=True),
        Float("weight_decay", (1e-6, 1e-1), log=True),
        Float("subsample", (0.1, 1.0)),
        Float("momentum", (0.0, 0.99)),
        Integer("max_depth", (1, 12)),
        Integer("width", (16, 1024), log=True),
        Integer("batch_size", (8, 256), log=True),
        Categorical("schedule", ["constant", "linear", "cosine"]),
    )
    return space


def ranked(
    model: LanguageModel | str = "pocket",
    rival: str = "gp",
    trials: int = 30,
    studies: Sequence[int] = (1, 32),
    repeats: int = 5,
    proposers: Sequence[str] = ("lm+gp",),
) -> list[Ratio]:
    """Seconds for one proposal to each of some studies, all in one batch, against a rival's one by one."""
    loaded = load_model(model) if isinstance(model, str) else model
    tasks = [Task(f"speed/{i}", eight(), len) for i in range(max(studies))]  # len: is never called
    # Other trials in every round, as in a search: nothing made for one history is of use for the next.
    rounds = [
        [tuple(history_of(task, trials, max(studies) * k + i)) for i, task in enumerate(tasks)]
        for k in range(repeats + 1)
    ]
    theirs = load_proposer(rival)
    ratios = []
    for name, size in product(proposers, studies):

        def jobs(k: int, size: int = size) -> list[Job]:
            told = zip(tasks[:size], rounds[k][:size], strict=True)
            return [Job(task, history, (), k) for task, history in told]

        what = (
            f"{size} x proposal, 8 hyperparameters, {trials} trials: {name} ({loaded.name}) against {rival}"
        )
        ratios.append(_proposers_side_by_side(what, load_proposer(name, loaded), theirs, jobs, repeats))
    return ratios
