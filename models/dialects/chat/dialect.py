"""The `chat` dialect: plain English in, one line of JSON out, for instruction-tuned and base models alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ConfigSpace import ConfigurationSpace

from airtune.grammars import Grammar, canonical_grammar, lattice_grammar, round_lattice, space_grammar
from airtune.models.dialects.chat.description import COMMON_SPECIAL, Guard, Words, loss_text
from airtune.models.dialects.chat.format import ChatFormat, Message, PlainFormat, fold_system, message
from airtune.models.dialects.chat.summary import summary
from airtune.models.dialects.chat.thinning import thinned
from airtune.models.dialects.hidden import NAMES, revealed, told_problem, told_space
from airtune.models.dialects.settings import Allowed, check_settings, full_name, read_settings
from airtune.models.types import Observation, Problem

SETTINGS: Allowed = {
    "names": NAMES,
    "default": ("shown", "hidden"),
    "detail": ("full", "space", "none"),
    "history": ("table", "turns", "none"),
    "values": ("round", "all"),
    "summary": ("off", "on"),
    "reasoning": ("off", "on"),
    "reasoning_tokens": range(16, 8193),
    "examples": range(3),
    "system": ("on", "off"),
    "budget": range(1, 1_000_001),
    "max_trials": range(1, 1_000_001),
}
_SYSTEM = (
    "You are an expert at tuning hyperparameters. From a task and its trials so far you choose the configuration "
    "to try next, so that a low loss is found in few trials: refine what works, follow what the losses show, and "
    "explore where nothing is known. Never repeat a trial."
)
ASK = "Answer with the next configuration, as one line of JSON and nothing else."
_NEXT = "Next configuration:"
_REAL = "That was an example. Now the real task."
_MARGIN = 16  # tokens: what was thought may split otherwise when it is read again


@dataclass(frozen=True)
class ChatDialect:
    """Describes the problem and the trials so far, and asks for the next configuration as one line of JSON.

    Its settings are part of its name, such as "chat+history=turns+reasoning=on"; those left out are defaults.

    Too long a history is thinned: failures go first, oldest first, then the told trials with the highest
    loss, the oldest of equals first; the best trial and the trials that are running stay.

    Attributes:
        names: "hidden": the problem is told in neutral words; "permuted": under each other's names
            (`airtune.models.dialects.hidden`).
        default: "shown": the default stands there as an answer until it was tried; "hidden": nothing is said of it.
        detail: What is told of the problem. "full": the task's name, description and metric, and the space;
            "space": the space only; "none": the hyperparameters' names only.
        history: The trials as one "table", or as "turns" of the chat, which the next prompt only adds to; "none": the
            model is told of no trial, so that its answers are independent of each other but for repeating none.
        values: The answer's numbers: "round" ones (`round_lattice`) until all were tried, or "all" there are.
        summary: "on": after the table what the trials show, worked out by code (`summary`).
        reasoning: "on": the model first thinks in free text, then answers (`ReasoningModel`).
        reasoning_tokens: The longest such text.
        examples: How many worked examples, on invented tasks, precede the task.
        system: "off" puts the instructions into the user's first message, as is done in any case where the
            model's template takes no system message.
        budget: Trials in all; the model is then told how many are left. None: it is told nothing of it, so that
            20 trials and then 20 more are the same search as 40.
        max_trials: Show at most this many finished trials.
        format: Turns messages into the text of the prompt.
        special: Texts of the model's special tokens; more are always kept out of users' texts.
        count_tokens: Length of a prompt in tokens; None counts nothing and never thins.
        max_tokens: The model's context, or less: a prompt that with the longest answer exceeds it is thinned.

    Raises:
        ModelError: If a setting has a value that it cannot have.
    """

    names: str = "shown"
    default: str = "shown"
    detail: str = "full"
    history: str = "table"
    values: str = "round"
    summary: str = "off"
    reasoning: str = "off"
    reasoning_tokens: int = 256
    examples: int = 0
    system: str = "on"
    budget: int | None = None
    max_trials: int | None = None
    format: ChatFormat = field(default_factory=PlainFormat)
    special: tuple[str, ...] = ()
    count_tokens: Callable[[str], int] | None = None
    max_tokens: int | None = None

    temperature = 1.0  # the model as it was trained

    def __post_init__(self) -> None:
        check_settings("chat", SETTINGS, self)

    @classmethod
    def configured(cls, settings: Mapping[str, str]) -> ChatDialect:
        """The dialect with settings as texts, for example {"history": "turns", "examples": "1"}.

        Raises:
            ModelError: If there is no such setting, or it cannot have such a value.
        """
        return cls(**read_settings("chat", SETTINGS, settings))

    @property
    def name(self) -> str:
        """`chat` and the settings that are not the defaults."""
        return full_name("chat", SETTINGS, self)

    def bind(
        self,
        *,
        format: ChatFormat,
        special: Sequence[str] = (),
        count_tokens: Callable[[str], int] | None = None,
        max_tokens: int | None = None,
    ) -> ChatDialect:
        """This dialect for one model: its chat format, special tokens and context."""
        limits = [limit for limit in (max_tokens, self.max_tokens) if limit is not None]
        return replace(
            self, format=format, special=tuple(special), count_tokens=count_tokens, max_tokens=min(limits, default=None)
        )  # fmt: skip

    def grammar(self, space: ConfigurationSpace, exclude: Sequence[Mapping[str, Any]] = ()) -> Grammar:
        """See `Dialect.grammar`: of round values or the canonical one, of the space itself or in neutral words."""
        space, exclude = told_space(space, self.names, exclude)
        if self.values == "round" and (some := lattice_grammar(round_lattice(space), exclude)).count():
            return some
        return space_grammar(space, exclude)

    def parse(self, text: str, grammar: Grammar) -> dict[str, Any]:
        """See `Dialect.parse`."""
        config = grammar.decode(text)
        return config if self.names == "shown" else revealed(grammar.space, config)

    def render(self, problem: Problem) -> str:
        """See `Dialect.render`. With reasoning it is the prompt of the first phase; `conclude` makes the second's.

        Raises:
            ModelError: If the prompt does not fit even with the best trial alone.
        """
        problem = told_problem(problem, self.names)
        return self._fitting(Words(problem, canonical_grammar(problem.space), self._guard))

    def _fitting(self, words: Words) -> str:
        """The prompt with as many trials as leave room for the thought and for the longest answer."""
        count, thinks = self.count_tokens, self.reasoning == "on"
        room = (self.max_tokens or 0) - words.grammar.max_length - (self.reasoning_tokens + _MARGIN) * thinks
        return thinned(
            words.problem.observations,
            self.max_trials,
            lambda kept: self.format.render(self._messages(words, kept)),
            None
            if count is None or self.max_tokens is None
            else lambda prompt: count(self.conclude(prompt, "") if thinks else prompt),
            room,
        )

    def conclude(self, prompt: str, thought: str, answer: int = 0) -> str:
        """The prompt of the answer, once the model has thought.

        Args:
            prompt: What `render` made.
            thought: What the model said to it; cut where it would leave no room for the answer.
            answer: The longest answer, in tokens.
        """
        while True:
            whole = self.format.conclude(prompt, self._guard(thought), ASK)
            if self.count_tokens is None or self.max_tokens is None or not thought:
                return whole
            excess = self.count_tokens(whole) + answer - self.max_tokens
            if excess <= 0:
                return whole
            thought = thought[:-excess]

    @cached_property
    def _guard(self) -> Guard:
        return Guard(dict.fromkeys([*COMMON_SPECIAL, *self.special, *self.format.markers]))

    def _messages(self, words: Words, kept: set[int]) -> list[Message]:
        """The conversation with the finished trials of these indices, from the system's message on."""
        talk = self._conversation(words, kept)
        if self.examples:
            talk[0] = message("user", f"{_REAL}\n\n{talk[0]['content']}")
            talk = [*self._worked_examples(), *talk]
        whole = [message("system", _SYSTEM), *talk]
        return whole if self.system == "on" else fold_system(whole)

    def _worked_examples(self) -> list[Message]:
        """The conversations of the examples, in this dialect's own settings, answers included."""
        from airtune.models.dialects.chat.examples import worked_examples

        talk: list[Message] = []
        plain = replace(self, budget=None, max_trials=None)
        for example in worked_examples()[: self.examples]:
            words = Words(example.problem, example.grammar, Guard())
            talk += plain._conversation(words, set(range(len(example.problem.observations))))
            if self.reasoning == "on":
                talk += [message("assistant", example.thought()), message("user", ASK)]
            talk.append(message("assistant", words.answer(example.answer)))
        return talk

    def _conversation(self, words: Words, kept: set[int]) -> list[Message]:
        """The messages about one task, from the user's first to the one that is to be answered."""
        talk = self._talk(words, kept)
        ask = self._think if self.reasoning == "on" else ASK if len(talk) == 1 else _NEXT
        talk[-1] = message("user", f"{talk[-1]['content']}\n{ask}")
        return talk

    @property
    def _think(self) -> str:
        number = max(10, round(self.reasoning_tokens * 0.06) * 10)  # English has about 1.3 tokens a word
        return (
            f"Think first, in at most {number} words: what do the trials show, which hyperparameters matter, and "
            "where should the next trial be? Do not write the configuration yet."
        )

    def _talk(self, words: Words, kept: set[int]) -> list[Message]:
        """The user's messages about the task, and with history="turns" the trials between them."""
        shown = self.default == "shown"
        about = {
            "full": [words.task(), words.space(shown)],
            "space": [words.space(shown)],
            "none": [
                [f"Hyperparameters: {', '.join(words.quote(name) for name in words.grammar.lattice.names)}"]
            ],
        }[self.detail]
        if self.detail != "full":
            about = [["The loss is to be minimised."], *about]
        text = "\n\n".join("\n".join(lines) for lines in about)
        if self.history == "none":
            return [message("user", "\n\n".join([text, *self._first(words)]))]
        if self.history == "turns":
            return self._turns(words, kept, text)
        return [message("user", "\n\n".join([text, "\n".join(self._table(words, kept))]))]

    def _table(self, words: Words, kept: set[int]) -> list[str]:
        trials = words.problem.observations
        done = [i for i, trial in enumerate(trials) if trial.status != "asked"]
        some = f" ({len(kept)} of {len(done)}; the worse ones are left out)" if len(kept) < len(done) else ""
        lines = ["No trial has finished yet."]
        if done:
            inactive = ", - where not active" if words.problem.space.conditions else ""
            lines = [f"Trials so far, oldest first{some}{inactive}: {words.columns} -> loss"]
            lines += [f"{words.row(trials[i])} -> {words.result(trials[i])}" for i in done if i in kept]
        pending = [trial for trial in trials if trial.status == "asked"]
        if pending:
            lines += ["Running, no result yet; do not repeat:", *map(words.row, pending)]
        told = [(trial.loss, i) for i, trial in enumerate(trials) if trial.loss is not None]
        lines += summary(words) if self.summary == "on" else []
        lines += self._first(words, trials)
        if told:
            loss, at = min(told)
            lines.append(f"Best so far, loss {loss_text(loss)}, as JSON: {words.answer(trials[at].config)}")
        return [*lines, *self._left(words, len(trials))]

    def _turns(self, words: Words, kept: set[int], about: str) -> list[Message]:
        trials = words.problem.observations
        done = [i for i, trial in enumerate(trials) if trial.status != "asked"]
        opening = [about, "", *self._first(words)]
        if len(kept) < len(done):
            opening.append(f"Of {len(done)} trials {len(kept)} follow; the worse ones are left out.")
        opening += self._left(words, 0)
        talk, ask, best = [message("user", "\n".join(opening))], ASK, math.inf
        for i, trial in enumerate(trials):
            if trial.status != "asked" and i not in kept:
                continue
            result = "still running" if trial.status == "asked" else words.result(trial)
            if trial.loss is not None:
                result = f"loss {result}" + (", the best so far" if trial.loss < best else "")
                best = min(best, trial.loss)
            talk[-1] = message("user", f"{talk[-1]['content']}\n{ask}")
            lines = [f"{result[0].upper()}{result[1:]}", *self._left(words, i + 1)]
            talk += [message("assistant", words.said(trial)), message("user", "\n".join(lines))]
            ask = _NEXT
        return talk

    def _first(self, words: Words, tried: Sequence[Observation] = ()) -> list[str]:
        default = None if self.detail == "none" or self.default == "hidden" else words.default()
        known = default is None or any(words.said(trial) == default for trial in tried)
        return [] if known else [f"The default configuration, as JSON: {default}"]

    def _left(self, words: Words, used: int) -> list[str]:
        budget = self.budget or words.problem.budget
        return [] if budget is None else [f"Trials left: {max(0, budget - used)}"]
