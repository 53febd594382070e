"""The `code` dialect: the conversation of `chat`, but the answer is the source code of a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ConfigSpace import ConfigurationSpace

from airtune.grammars import FreeProgram, Grammar, ProgramSpace, SpaceError, programs_of
from airtune.models.dialects.chat.description import Words, loss_text
from airtune.models.dialects.chat.dialect import ChatDialect
from airtune.models.dialects.chat.format import Message, fold_system, message
from airtune.models.dialects.settings import Allowed, check_settings, full_name, read_settings
from airtune.models.types import Problem

SETTINGS: Allowed = {
    "default": ("shown", "hidden"),
    "history": ("table", "none"),
    "values": ("round", "all"),
    "system": ("on", "off"),
    "budget": range(1, 1_000_001),
    "max_trials": range(1, 1_000_001),
}
_SYSTEM = (
    "You are an expert at machine learning. From a task and the programs that were tried so far you write the program "
    "to try next, so that a low loss is found in few trials: improve what works, follow what the losses show, and "
    "try something else where nothing is known. Never repeat a program."
)
_ASK = "Answer with the source code of the next program and nothing else, not even a fence."


@dataclass(frozen=True)
class CodeDialect(ChatDialect):
    """Shows the task and the programs so far with their losses, and asks for the next one.

    Its grammar is that of the program space's texts, less the programs that were tried. It speaks only of search spaces
    of program spaces, and of free programs: of these an answer that was refused is shown, too, and why. Too long a
    history is thinned as in `chat`. Settings as there, and

    Attributes:
        history: "none": the model is told of no trial, so that its programs are independent of each other but for
            repeating none.
    """

    def __post_init__(self) -> None:
        check_settings("code", SETTINGS, self)

    @classmethod
    def configured(cls, settings: Mapping[str, str]) -> CodeDialect:
        """See `ChatDialect.configured`."""
        return cls(**read_settings("code", SETTINGS, settings))

    @property
    def name(self) -> str:
        """`code` and the settings that are not the defaults."""
        return full_name("code", SETTINGS, self)

    def grammar(self, space: ConfigurationSpace, exclude: Sequence[Mapping[str, Any]] = ()) -> Grammar:
        """See `Dialect.grammar`.

        Raises:
            SpaceError: If it is not the search space of a program space.
        """
        programs = _programs(space)
        if not isinstance(programs, ProgramSpace):
            return programs.grammar(exclude)
        if self.values == "round" and (some := programs.grammar(exclude, round_values=True)).count():
            return some
        return programs.grammar(exclude)

    def parse(self, text: str, grammar: Grammar) -> dict[str, Any]:
        """See `Dialect.parse`."""
        return grammar.decode(text)

    def render(self, problem: Problem) -> str:
        """See `ChatDialect.render`."""
        return self._fitting(Words(problem, _programs(problem.space).grammar(), self._guard))

    def _messages(self, words: Words, kept: set[int]) -> list[Message]:
        whole = [message("system", _SYSTEM), message("user", "\n".join(self._request(words, kept)))]
        return whole if self.system == "on" else fold_system(whole)

    def _request(self, words: Words, kept: set[int]) -> list[str]:
        trials = words.problem.observations
        lines = words.task()
        free: FreeProgram | None = getattr(words.problem.space, "free_program", None)
        default = words.default() if free is None else None
        if free is not None:
            lines += ["", *_signature(free)]
        tried = {words.said(trial) for trial in trials} if self.history != "none" else set()
        if self.default == "shown" and default is not None and default not in tried:
            lines += ["", "The default program:", *_code(default)]
        if self.history != "none":
            lines += self._trials(words, kept)
        budget = self.budget or words.problem.budget
        if budget is not None and self.history != "none":
            lines += ["", f"Trials left: {max(0, budget - len(trials))}"]
        return [*lines, "", _ASK]

    def _trials(self, words: Words, kept: set[int]) -> list[str]:
        trials = words.problem.observations
        done = [i for i, trial in enumerate(trials) if trial.status != "asked"]
        if not done:
            lines = ["", "No program has been tried yet."]
        elif len(kept) < len(done):
            lines = [
                "",
                f"{len(kept)} of {len(done)} programs so far, oldest first; the worse ones are left out.",
            ]
        else:
            lines = ["", "All programs so far, oldest first."]
        for i in done:
            if i in kept:
                loss = "" if trials[i].loss is None else "loss "
                lines += [
                    "",
                    f"Program {i}, {loss}{words.result(trials[i])}:",
                    *_code(words.said(trials[i])),
                ]
        for i, trial in enumerate(trials):
            if trial.status == "asked":
                lines += ["", f"Program {i}, running, no loss yet:", *_code(words.said(trial))]
        told = [(trial.loss, i) for i, trial in enumerate(trials) if trial.loss is not None]
        if told:
            lowest, at = min(told)
            lines += ["", f"The best so far is program {at}, loss {loss_text(lowest)}."]
        return lines


def _programs(space: ConfigurationSpace) -> ProgramSpace | FreeProgram:
    programs: ProgramSpace | FreeProgram | None = getattr(space, "free_program", None) or programs_of(space)
    if programs is None:
        raise SpaceError(
            "the dialect 'code' speaks of programs, and this search space is of none",
            value=space.name,
            allowed="the search spaces of program spaces (`program_space(...).space`)",
            hint="use the dialect 'chat', or write a program space",
        )
    return programs


def _signature(free: FreeProgram) -> list[str]:
    may = (
        f"It may import {', '.join(free.imports)}, in its body, and"
        if free.imports
        else "It may import nothing, and"
    )
    return [
        "A program is one function with this signature, which ends with a return:",
        *_code(f"def {free.signature}:"),
        f"{may} it may define functions, but no classes. An answer of more than {free.max_tokens} tokens is cut.",
    ]


def _code(source: str) -> list[str]:
    return ["```python", source.rstrip("\n"), "```"]
