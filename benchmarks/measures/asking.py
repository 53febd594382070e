"""Asking a model as a search does, and comparing what two ways of answering cost."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count, product

from airtune.benchmarks import get_task
from airtune.benchmarks.measures.speed import Clock, Ratio, history_of, on_clocks
from airtune.grammars import AirtuneError, space_grammar
from airtune.models import Completion, Dialect, LanguageModel, Observation, Problem, Request

Ask = Callable[[Sequence[Request]], Sequence[Completion]]
CLOCKS: Mapping[str, Clock] = {"processor time": time.process_time, "wall clock": time.perf_counter}


def search_requests(dialect: Dialect, task: str, trials: int, number: int, seed: int = 0) -> list[Request]:
    """The requests of a search from `trials` told trials on, each with one trial more: random ones, made-up losses.

    Args:
        dialect: Writes the prompts.
        task: The task's name.
        trials: Of the first request.
        number: How many requests.
        seed: Of the trials.
    """
    found = get_task(task)
    told = [Observation(t.config, t.loss) for t in history_of(found, trials + number - 1, seed)]
    made = []
    for n in range(trials, trials + number):
        problem = Problem(found.name, found.description, found.space, found.metric, tuple(told[:n]))
        grammar = space_grammar(found.space, [one.config for one in told[:n]])
        made.append(Request(dialect.render(problem), grammar, seed=n))
    return made


class Asking:
    """A call asks for the next of some batches of requests, and sees that the answers are answers.

    Args:
        ask: Answers a batch.
        batches: Of requests.
        cpu: The clock of its processor time, where that is another process's.
    """

    def __init__(
        self, ask: Ask, batches: Sequence[Sequence[Request]], cpu: Clock = time.process_time
    ) -> None:
        self._ask, self._batches, self._rounds, self._cpu = ask, batches, count(), cpu
        self._lengths: list[int] = []

    def __call__(self) -> None:
        """The next."""
        batch = self._batches[next(self._rounds)]
        for request, answer in zip(batch, self._ask(batch), strict=True):
            if not request.grammar.accepts(answer.text):
                raise AirtuneError("an answer is not in the grammar's language", value=answer.text)
            usage = answer.details.get("usage", {})
            self._lengths.append(
                usage["completion_tokens"] if answer.token_ids is None else len(answer.token_ids)
            )

    def clocks(self) -> dict[str, Clock]:
        """Of the processor, and on the wall."""
        return {f": {name}": clock for name, clock in {**CLOCKS, "processor time": self._cpu}.items()}

    @property
    def tokens(self) -> float:
        """Of an answer, on average."""
        return statistics.fmean(self._lengths)


class InParts:
    """A call asks for the next of some batches; its clocks tell what whole answers take, and what decoding them does.

    Decoding is what the same batch takes when its prompts are read already, less what its first tokens take then: what
    is left of reading, the grammars' compilation and all else that a request costs by itself are in both.

    Args:
        ask: Answers a batch.
        batches: Of requests.
    """

    def __init__(self, ask: Ask, batches: Sequence[Sequence[Request]]) -> None:
        self._rounds = zip(
            (Asking(ask, [batch] * 2) for batch in batches),
            (partial(ask, [replace(one, max_tokens=1) for one in batch]) for batch in batches),
            strict=True,
        )
        self._asked: list[Asking] = []
        self._spent = dict.fromkeys(product(("whole", "decoding"), CLOCKS), 0.0)

    def __call__(self) -> None:
        """The next."""
        answers, first_tokens = next(self._rounds)
        self._asked.append(answers)
        new, first, known = (self._seconds(run) for run in (answers, first_tokens, answers))
        for name in CLOCKS:
            self._spent["whole", name] += new[name]
            self._spent["decoding", name] += known[name] - first[name]

    def _seconds(self, run: Callable[[], object]) -> dict[str, float]:
        started = {name: clock() for name, clock in CLOCKS.items()}
        run()
        return {name: clock() - started[name] for name, clock in CLOCKS.items()}

    def clocks(self) -> dict[str, Clock]:
        """Of both parts, on the processor's clock and on the wall's: seconds of the calls so far."""
        return {
            f", {part}: {name}": partial(self._spent.__getitem__, (part, name)) for part, name in self._spent
        }

    @property
    def tokens(self) -> float:
        """Of an answer, on average."""
        return statistics.fmean(asking.tokens for asking in self._asked)


def alone(model: LanguageModel) -> Callable[[Sequence[Request]], list[Completion]]:
    """Asks for the requests of a batch one after the other."""
    return lambda batch: [model.generate([request])[0] for request in batch]


def compare(what: str, ours: Asking | InParts, theirs: Asking | InParts, repeats: int) -> list[Ratio]:
    """Both in turn, on their clocks; how long the answers were is part of what is said.

    Args:
        what: Is compared.
        ours: Asks ours.
        theirs: Asks theirs.
        repeats: Measurements.
    """
    mine, other = ours.clocks(), theirs.clocks()
    clocks = {name: (clock, other[name]) for name, clock in mine.items()}
    said = on_clocks(what, ours, theirs, repeats, clocks)
    lengths = f"; {ours.tokens:.0f} and {theirs.tokens:.0f} tokens an answer"
    return [replace(ratio, what=ratio.what + lengths) for ratio in said]
