"""Program spaces: search spaces whose configurations are pieces of source code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace

from ..canonical import once_per_space
from ..errors import GrammarError, SpaceError, unknown_name
from ..files import read_file
from ..grammar import Grammar, lattice_grammar
from ..rounding import round_lattice
from ..space_io import space_from_json
from .ambiguity import check_unambiguous
from .check import check_rules
from .definition import Rule
from .lattice import ProgramLattice
from .outline import outline
from .reader import read_rules
from .stored import rules_from_json, rules_to_json
from .unroll import Unrolled

_RULES = "program_space"  # in the first hyperparameter's meta data: the rules


class ProgramSpace:
    """A finite set of programs, each with one configuration of a search space with conditions.

    Args:
        rules: What may be written; the first one is the program.

    Attributes:
        rules: See above.
        space: What is decided: which alternative, how many, what number. Every proposer can search it.

    Raises:
        SpaceError: If the rules do not fit together.
        GrammarError: If there is no finite program, some program has two derivations, or a budget is exceeded.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        try:
            unrolled = Unrolled(check_rules(self.rules))
            self.space = _space(self.rules, unrolled)
            self._unrolled, self._lattice = unrolled, ProgramLattice(unrolled, self.space)
            check_unambiguous(self._lattice)
        except RecursionError as error:
            raise GrammarError(
                "the rules of this program space are nested too deeply",
                value=len(self.rules),
                allowed="some hundred rules within each other",
                hint="lower a depth, or write what is in a rule in its place",
            ) from error

    def __repr__(self) -> str:
        return f"ProgramSpace({self.rules[0].name!r}, {len(self.space)} hyperparameters, {self.count()} programs)"

    @cached_property
    def _grammar(self) -> Grammar:
        return Grammar(self._lattice)

    def grammar(self, exclude: Iterable[Mapping[str, Any]] = (), *, round_values: bool = False) -> Grammar:
        """The exact language of the programs' texts, less those of some configurations; see `lattice_grammar`.

        Args:
            exclude: The configurations.
            round_values: Only programs whose numbers are round (`round_lattice`): for who writes them number by number.
        """
        return lattice_grammar(self._round_lattice if round_values else self._lattice, exclude)

    @cached_property
    def _round_lattice(self) -> ProgramLattice:
        some = round_lattice(self.space)
        return ProgramLattice(self._unrolled, self.space, dict(zip(some.names, some.axes, strict=True)))

    @cached_property
    def numbers(self) -> frozenset[str]:
        """The hyperparameters that are numbers in the source code; the others are its structure."""
        return frozenset(
            name for level, name in enumerate(self._lattice.names) if not self._lattice.is_silent(level)
        )

    def render(self, config: Mapping[str, Any]) -> str:
        """The source code of a configuration.

        Raises:
            DecodeError: If it is not valid, or a number is off the lattice (`snap` first).
        """
        return self._grammar.encode(config)

    encode = render

    def decode(self, source: str) -> dict[str, Any]:
        """The configuration of which this is the source code.

        Raises:
            DecodeError: If it is none of the programs.
        """
        return self._grammar.decode(source)

    def accepts(self, source: str) -> bool:
        """Whether a text is one of the programs."""
        return self._grammar.accepts(source)

    def outline(self, config: Mapping[str, Any], longest: int = 60) -> str:
        """A program in a few words, of so many characters at most: the labels of what was chosen; see `outline`.

        Raises:
            DecodeError: As `render`.
        """
        self.render(config)
        return outline(self._unrolled, config, longest)

    @cached_property
    def structure(self) -> frozenset[str]:
        """The hyperparameters that choose what is written, and how often; the others are the numbers in it."""
        return frozenset(name for i, name in enumerate(self._lattice.names) if self._lattice.is_silent(i))

    def snap(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The nearest configuration on the lattice; see `Grammar.snap`."""
        return self._grammar.snap(config)

    def count(self) -> int:
        """How many programs there are, exactly."""
        return self._grammar.count()

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """A configuration, such that every program is as likely as any other."""
        return self._grammar.sample(rng)

    def default(self) -> dict[str, Any]:
        """The configuration of the default program."""
        return self.snap(dict(self.space.get_default_configuration()))


def _space(rules: Sequence[Rule], unrolled: Unrolled) -> ConfigurationSpace:
    name, names = rules[0].name, unrolled.names
    if not names:
        raise SpaceError(
            f"the program {name!r} leaves nothing open",
            value=name,
            allowed="at least one choice, repetition or number",
            hint="give it an alternative",
        )
    slots = list(zip(names, unrolled.slots, strict=True))
    conditions = [
        {"child": child, "parent": names[slot.parent], **slot.condition}
        for child, slot in slots
        if slot.parent is not None
    ]
    hyperparameters = [{"name": own, **slot.spec} for own, slot in slots]
    hyperparameters[0]["meta"] = {_RULES: rules_to_json(rules)}  # no other place in a space's JSON is kept
    spec = {"name": name, "hyperparameters": hyperparameters, "conditions": conditions}
    return space_from_json(json.dumps(spec))


@once_per_space
def programs_of(space: ConfigurationSpace) -> ProgramSpace | None:
    """The program space whose search space this is, also if it was stored and read; None if it is that of none.

    The space must not be changed afterwards.

    Raises:
        SpaceError: If what is stored are no rules, or those of another space.
    """
    stored = [hp.meta[_RULES] for hp in space.values() if isinstance(hp.meta, dict) and _RULES in hp.meta]
    if not stored:
        return None
    try:
        programs = ProgramSpace(rules_from_json(stored[0]))
    except (AttributeError, KeyError, TypeError) as error:
        raise SpaceError(
            f"the search space holds rules of programs that cannot be read: {error}",
            value=stored[0],
            allowed="what `ProgramSpace` put there",
            hint="make the space anew, from the program space's file",
        ) from error
    if _content(programs.space) != _content(space):
        raise SpaceError(
            "the search space holds the rules of another program space",
            value=space.name,
            allowed="the space as `ProgramSpace` made it",
            hint="change the rules, and not the space",
        )
    return programs


def _content(space: ConfigurationSpace) -> str:
    """What is searched, whatever the space is called."""
    whole = space.to_serialized_dict()
    return json.dumps([whole[part] for part in ("hyperparameters", "conditions", "forbiddens")])


def shipped_spaces() -> list[str]:
    """The names of the program spaces that come with Airtune."""
    return sorted(
        file.name.removesuffix(".space") for file in _shipped().iterdir() if file.name.endswith(".space")
    )


def _shipped() -> Any:
    return files(__package__).joinpath("spaces")


def program_space(path_or_text: str | Path) -> ProgramSpace:
    r"""Read a program space.

    >>> space = program_space('program: Program = "print({n})"  n: int = 1 .. 9')
    >>> space.count(), space.render({"n": 3})
    (9, 'print(3)\n')

    Args:
        path_or_text: A file (`taxi.space`), the name of a space that is shipped (`tiny`), or the text of one, which
            has an equals sign.

    Raises:
        SpaceError: If there is no such file, or it is no program space; the message names the line and the column.
        GrammarError: As `ProgramSpace`.
    """
    if isinstance(path_or_text, str) and "=" in path_or_text:
        return ProgramSpace(read_rules(path_or_text))
    path = Path(path_or_text)
    shipped = _shipped().joinpath(f"{path_or_text}.space")
    if not path.exists() and shipped.is_file():
        return ProgramSpace(read_rules(shipped.read_text(encoding="utf-8")))
    if not path.exists() and path.suffix != ".space":
        message, allowed, hint = unknown_name("program space", str(path_or_text), shipped_spaces())
        raise SpaceError(message, value=str(path), allowed=f"a file *.space, or one of {allowed}", hint=hint)
    try:
        text = read_file(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(
            f"cannot read the program space {str(path)!r}: {error}",
            value=str(path),
            allowed="a readable file in UTF-8",
            hint="check the path and its permissions",
        ) from error
    return ProgramSpace(read_rules(text))
