"""The `chat` dialect: plain English in, one line of JSON out, for instruction-tuned and base models alike."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace import hyperparameters as hp

from airtune.grammars import Grammar, space_grammar
from airtune.models.base import ModelError, Observation, Problem
from airtune.models.chat_format import ChatFormat, PlainFormat

_RELATIONS = {
    "EqualsCondition": "is",
    "NotEqualsCondition": "is not",
    "GreaterThanCondition": "is above",
    "LessThanCondition": "is below",
    "InCondition": "is one of",
    "ForbiddenEqualsClause": "is",
    "ForbiddenInClause": "is one of",
    "ForbiddenGreaterThanClause": "is above",
    "ForbiddenGreaterThanEqualsClause": "is at least",
    "ForbiddenLessThanClause": "is below",
    "ForbiddenLessThanEqualsClause": "is at most",
    "ForbiddenEqualsRelation": "equals",
    "ForbiddenGreaterThanRelation": "is above",
    "ForbiddenGreaterThanEqualsRelation": "is at least",
    "ForbiddenLessThanRelation": "is below",
    "ForbiddenLessThanEqualsRelation": "is at most",
}


@dataclass(frozen=True)
class ChatDialect:
    """Describes the problem and the trials so far, and asks for the next configuration as one line of JSON.

    Whatever a user wrote (names, descriptions, choices, failure reasons) appears as a JSON string on its own
    line: it cannot end its line, and a special token inside it is escaped.

    Too long a history is thinned: failures go first, oldest first, then the told trials with the highest
    loss, the oldest of equals first; the best trial and the trials that are running stay.

    Attributes:
        format: Turns messages into the text of the prompt.
        special: Texts of the tokenizer's special tokens.
        count_tokens: Length of a prompt in tokens; None counts nothing and never thins.
        max_tokens: The model's context, or less: a prompt that with the longest answer exceeds it is thinned.
        max_trials: Show at most this many finished trials.
    """

    format: ChatFormat = field(default_factory=PlainFormat)
    special: tuple[str, ...] = ("<|",)
    count_tokens: Callable[[str], int] | None = None
    max_tokens: int | None = None
    max_trials: int | None = None

    name = "chat"
    temperature = 1.0  # the model as it was trained

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
            self, format=format, special=tuple(special) or self.special, count_tokens=count_tokens,
            max_tokens=min(limits, default=None),
        )  # fmt: skip

    def grammar(self, space: ConfigurationSpace, exclude: Sequence[Mapping[str, Any]] = ()) -> Grammar:
        """See `Dialect.grammar`: the canonical grammar itself."""
        return space_grammar(space, exclude)

    def parse(self, text: str, grammar: Grammar) -> dict[str, Any]:
        """See `Dialect.parse`."""
        return grammar.decode(text)

    def render(self, problem: Problem) -> str:
        """See `Dialect.render`.

        Raises:
            ModelError: If the prompt does not fit even with the best trial alone.
        """
        grammar = space_grammar(problem.space)
        done = [(i, o) for i, o in enumerate(problem.observations) if o.status != "asked"]
        # What stays longest comes first: the best loss, the newer of equals; then failures, newest first.
        ranked = sorted(done, key=lambda pair: (math.inf if pair[1].loss is None else pair[1].loss, -pair[0]))
        shown = len(ranked) if self.max_trials is None else min(len(ranked), self.max_trials)
        while True:
            kept = {i for i, _ in ranked[:shown]}
            prompt = self._prompt(problem, grammar, kept)
            if self.count_tokens is None or self.max_tokens is None:
                return prompt
            size, room = self.count_tokens(prompt), self.max_tokens - grammar.max_length
            if size <= room:
                return prompt
            if shown <= 1:
                raise ModelError(
                    f"the prompt has {size} tokens without its history, but only {room} fit",
                    value=size,
                    allowed=f"{room} tokens, beside the answer",
                    hint="shorten the description or the choices, or use a model with a longer context",
                )
            # Trials are of like size: jump near the number that fits, then close in one by one.
            shown = max(1, min(shown - 1, int(shown * room / size) + 1))

    def _prompt(self, problem: Problem, grammar: Grammar, kept: set[int]) -> str:
        text = "\n".join(
            [
                *self._task(problem),
                "",
                *self._space(problem.space),
                "",
                *self._history(problem, grammar, kept),
                "",
            ]
        )
        ask = (
            "Answer with the configuration to try next, as one line of JSON in the format of the trials, "
            "nothing else."
        )
        if problem.budget is not None:
            ask = f"Trial {len(problem.observations) + 1} of {problem.budget} comes next. {ask}"
        return self.format.render([{"role": "user", "content": text + ask}])

    def _quote(self, value: object) -> str:
        """A value as JSON that holds no line break and no special token."""
        text = json.dumps(value, ensure_ascii=False)
        for mark in ("\u0085", "\u2028", "\u2029"):  # line breaks that JSON lets pass
            text = text.replace(mark, f"\\u{ord(mark):04x}")
        return self._defuse(text)

    def _defuse(self, text: str) -> str:
        for token in self.special:
            if token and token in text:
                text = text.replace(token, f"\\u{ord(token[0]):04x}{token[1:]}")
        return text

    def _task(self, problem: Problem) -> list[str]:
        lines = [
            "You tune hyperparameters: from the trials so far, choose the configuration to try next.",
            f"Task: {self._quote(problem.name)}",
        ]
        if problem.description:
            lines.append(f"Description: {self._quote(problem.description)}")
        return [*lines, f"Goal: minimise {self._quote(problem.metric)}. Lower is better."]

    def _space(self, space: ConfigurationSpace) -> list[str]:
        active: dict[str, list[str]] = {}
        for condition in space.conditions:
            active.setdefault(_child(condition), []).append(self._condition(condition))
        lines = ["Hyperparameters:"]
        for parameter in space.values():
            text = f"- {self._quote(parameter.name)}: {self._range(parameter)}"
            if parameter.name in active:
                text += f"; only if {' and '.join(active[parameter.name])}"
            lines.append(text)
        lines += [f"Never: {self._forbidden(clause)}" for clause in space.forbidden_clauses]
        return lines

    def _range(self, parameter: Any) -> str:
        default = self._quote(_plain(parameter.default_value))
        if isinstance(parameter, hp.Constant):
            return f"always {default}"
        if isinstance(parameter, hp.CategoricalHyperparameter):
            return f"one of {', '.join(self._quote(_plain(c)) for c in parameter.choices)}; default {default}"
        if isinstance(parameter, hp.OrdinalHyperparameter):
            values = ", ".join(self._quote(_plain(c)) for c in parameter.sequence)
            return f"ordered, one of {values}; default {default}"
        kind = "integer" if isinstance(parameter, hp.IntegerHyperparameter) else "number"
        scale = ", log scale" if parameter.log else ""
        lower, upper = _plain(parameter.lower), _plain(parameter.upper)
        return f"{kind} from {lower!r} to {upper!r}{scale}; default {default}"

    def _condition(self, condition: Any) -> str:
        parts = getattr(condition, "components", None)
        if parts is not None:
            word = " and " if type(condition).__name__ == "AndConjunction" else " or "
            return "(" + word.join(self._condition(part) for part in parts) + ")"
        relation = _RELATIONS[type(condition).__name__]
        return f"{self._quote(condition.parent.name)} {relation} {self._values(condition)}"

    def _forbidden(self, clause: Any) -> str:
        parts = getattr(clause, "components", None)
        if parts is not None:
            word = " or " if type(clause).__name__ == "ForbiddenOrConjunction" else " and "
            return word.join(self._forbidden(part) for part in parts)
        relation = _RELATIONS[type(clause).__name__]
        if hasattr(clause, "left"):
            return f"{self._quote(clause.left.name)} {relation} {self._quote(clause.right.name)}"
        return f"{self._quote(clause.hyperparameter.name)} {relation} {self._values(clause)}"

    def _values(self, clause: Any) -> str:
        if type(clause).__name__ in ("InCondition", "ForbiddenInClause"):
            return ", ".join(self._quote(_plain(value)) for value in clause.values)
        return self._quote(_plain(clause.value))

    def _history(self, problem: Problem, grammar: Grammar, kept: set[int]) -> list[str]:
        def line(observation: Observation) -> str:
            return self._defuse(grammar.encode(grammar.snap(observation.config)))

        done = [(i, o) for i, o in enumerate(problem.observations) if o.status != "asked"]
        pending = [o for o in problem.observations if o.status == "asked"]
        lines = [f"Trials so far, oldest first ({len(done)}):" if done else "No trial has finished yet."]
        if len(kept) < len(done):
            lines = [
                f"Trials so far, oldest first ({len(kept)} of {len(done)}; the worse ones are left out):"
            ]
        for i, observation in done:
            if i in kept:
                told = (
                    f"{observation.loss:.6g}" if observation.loss is not None else self._failure(observation)
                )
                lines.append(f"{line(observation)} -> {told}")
        told_losses = [(o.loss, i) for i, o in done if o.loss is not None]
        if told_losses:
            loss, at = min(told_losses)
            lines.append(f"Best so far: {line(problem.observations[at])} -> {loss:.6g}")
        if pending:
            lines.append("Running, no result yet; do not repeat:")
            lines += [line(observation) for observation in pending]
        return lines

    def _failure(self, observation: Observation) -> str:
        return f"failed: {self._quote(observation.reason)}" if observation.reason else "failed"


def _plain(value: Any) -> Any:
    """A NumPy scalar as the plain Python value."""
    return value.item() if isinstance(value, np.generic) else value


def _child(condition: Any) -> str:
    return str(condition.child.name)
