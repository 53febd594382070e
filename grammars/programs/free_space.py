"""The search space of free programs: one hyperparameter, whose values are texts, and the language of these.

Texts are numbered by their hashes, so that what was tried is left out as in every other space.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import Hyperparameter
from ConfigSpace.hyperparameters.distributions import ConstantVectorDistribution
from ConfigSpace.hyperparameters.hp_components import Transformer

from ..axes import Axis
from ..canonical import canonical_lattice
from ..errors import DecodeError, GrammarError, SpaceError
from ..grammar import Grammar
from ..intervals import Intervals
from ..pattern import Pattern

if TYPE_CHECKING:
    from .free import FreeProgram

SOURCE = "source"  # the name of the one hyperparameter: a program's text
TYPE = "free_program"  # in the JSON form of spaces


class FreeGrammar(Grammar):
    """The language of free programs: context-free, open-ended, less those that were tried.

    `count` counts numbers of texts, of which most are none. Of a text that a model wrote, `decode` says more than the
    grammar that it was written under: a program that was tried is refused here only.
    """

    characters = "\n" + "".join(map(chr, range(32, 127)))

    def __init__(self, program: FreeProgram, exclude: Iterable[Mapping[str, Any]] = ()) -> None:
        self.program = program
        lattice = canonical_lattice(program.space)
        super().__init__(lattice, [lattice.path(config, snap=False) for config in exclude])

    def __repr__(self) -> str:
        return f"FreeGrammar({self.program.signature!r})"

    @property
    def approximate(self) -> bool:
        """True: a text may have been tried, or break what is checked in its syntax tree."""
        return True

    @property
    def max_length(self) -> int:
        """Where an answer is cut, in tokens."""
        return self.program.max_tokens

    @cached_property
    def hash(self) -> str:
        """See `Grammar.hash`."""
        return hashlib.sha256(f"free {super().hash}".encode()).hexdigest()

    def encode(self, config: Mapping[str, Any]) -> str:
        """See `Grammar.encode`."""
        super().encode(config)
        return str(config[SOURCE])

    def decode(self, text: str) -> dict[str, Any]:
        """See `FreeProgram.decode`.

        Raises:
            DecodeError: Also where the program was tried.
        """
        config = self.program.decode(text)
        if self.lattice.path(config, snap=False) in self._without:
            raise DecodeError("this program was tried already", value=text, hint="write another one")
        return config

    def accepts(self, text: str) -> bool:
        """See `Grammar.accepts`."""
        try:
            self.decode(text)
        except DecodeError:
            return False
        return True

    def lark(self) -> str:
        """See `FreeProgram.lark`: what was tried is not left out."""
        return self.program.lark()

    def nth(self, rank: int) -> dict[str, Any]:
        """Not to be had."""
        raise self._refusal("drawn by its number")

    def regex(self) -> str:
        """Not to be had."""
        raise self._refusal("told by a regular expression")

    def gbnf(self) -> str:
        """Not to be had."""
        raise self._refusal("told in GBNF")

    def _refusal(self, what: str) -> GrammarError:
        return GrammarError(
            f"a free program cannot be {what}", value=self.program.signature,
            allowed="a language model whose masks llguidance makes: the backends transformers, llama_cpp and scripted",
            hint="use such a model, or a program space",
        )  # fmt: skip


class SourceAxis:
    """Texts, numbered by their hashes: those that were seen have a number, and by it they are found again."""

    prefix_free = True  # JSON strings
    size = 2**128

    def __init__(self, program: FreeProgram) -> None:
        self._program = program
        self._seen: dict[int, str] = {}
        self.max_bytes = 64 * program.max_tokens  # of what is not written, only told

    def value(self, index: int) -> str:
        """See `Axis`: of a text that was seen."""
        if index not in self._seen:
            raise GrammarError("no free program of this number was seen", value=index)
        return self._seen[index]

    def text(self, index: int) -> str:
        """See `Axis`."""
        return json.dumps(self.value(index), ensure_ascii=False)

    def index(self, value: Any) -> int:
        """See `Axis`."""
        if not isinstance(value, str) or self._program.decode(value)[SOURCE] != value:
            raise DecodeError("a program that is not in its normal form", value=value, hint="decode it first")
        index = int.from_bytes(hashlib.sha256(value.encode()).digest()[:16], "big")
        self._seen[index] = value
        return index

    def nearest(self, value: Any) -> int:
        """See `Axis`: that of the text's normal form, if it is a program."""
        return self.index(self._program.decode(value)[SOURCE] if isinstance(value, str) else value)

    def pattern(self, inside: Intervals) -> Pattern:
        """See `Axis`: there is none."""
        raise SpaceError(
            "a free program cannot be an answer in JSON", value=self._program.signature,
            allowed="the dialect 'code'", hint="use --dialect code",
        )  # fmt: skip

    def parse(self, text: str, pos: int) -> tuple[int, int] | None:
        """See `Axis`."""
        try:
            value, end = json.JSONDecoder().raw_decode(text, pos)
            return self.index(value), end
        except (ValueError, DecodeError):
            return None

    def describe(self) -> str:
        """See `Axis`."""
        return f"free[{self._program.lark()}]"


class _Hashes(Transformer[Any]):
    """ConfigSpace's vector form of a text: a number that tells it from others, and nothing more."""

    lower_vectorized, upper_vectorized = np.float64(0), np.float64(1)

    def __init__(self, program: FreeProgram) -> None:
        self._program = program

    def to_vector(self, value: Any) -> Any:
        return np.array(
            [int.from_bytes(hashlib.sha256(str(v).encode()).digest()[:6], "big") / 2**48 for v in value]
        )

    def to_value(self, vector: Any) -> Any:
        raise GrammarError("a program's text cannot be had from a number", value=vector)

    def legal_value(self, value: Any) -> Any:
        return np.array([self.legal_value_single(v) for v in value])

    def legal_vector(self, vector: Any) -> Any:
        return (vector >= 0) & (vector <= 1)

    def legal_value_single(self, value: Any) -> bool:
        try:
            return isinstance(value, str) and self._program.decode(value)[SOURCE] == value
        except DecodeError:
            return False

    def legal_vector_single(self, vector: Any) -> bool:
        return bool(0 <= vector <= 1)


class Source(Hyperparameter[str, Any]):
    """The text of a free program, as a hyperparameter. It cannot be sampled."""

    def __init__(self, program: FreeProgram) -> None:
        self.program = program
        super().__init__(
            name=SOURCE, default_value=program.default()[SOURCE], size=np.inf, meta=None,
            transformer=_Hashes(program), vector_dist=ConstantVectorDistribution(np.float64(0)),
            neighborhood=_no_neighbours, neighborhood_size=0, value_cast=str,
        )  # fmt: skip

    def axis(self) -> Axis:
        """Its lattice."""
        return SourceAxis(self.program)


def _no_neighbours(*_: Any, **__: Any) -> Any:
    return np.empty(0)


class FreeSpace(ConfigurationSpace):
    """The search space of a free program.

    Attributes:
        free_program: What it is of.
    """

    def __init__(self, program: FreeProgram) -> None:
        super().__init__()
        self.free_program = program
        self.add(Source(program))

    def to_serialized_dict(self, encoders: Mapping[type, Any] | None = None) -> dict[str, Any]:
        """See `ConfigurationSpace.to_serialized_dict`."""
        own = (TYPE, lambda hp, _: {"name": SOURCE, **asdict(hp.program)})
        whole: dict[str, Any] = super().to_serialized_dict({**(encoders or {}), Source: own})
        return whole
