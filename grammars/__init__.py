"""Search space -> exact grammar; configuration <-> canonical text.

What most searches do without (files, program spaces, round values) is loaded when it is first used.
"""

import importlib
from typing import TYPE_CHECKING

from .axes import Axis, ChoiceAxis, EnumeratedAxis, IntegerAxis
from .canonical import canonical_axis, canonical_grammar, canonical_lattice, once_per_space, space_grammar
from .errors import AirtuneError, DecodeError, GrammarError, SpaceError, unknown_name
from .float_axes import LinearFloatAxis, LogFloatAxis
from .grammar import Grammar, lattice_grammar
from .lattice import Lattice, Notation, reading_order
from .space_check import check_space, violation

if TYPE_CHECKING:
    from .files import check_output, read_file, replacing, write_file
    from .programs import FreeProgram, ProgramSpace, free_program, program_space, programs_of, shipped_spaces
    from .rounding import round_lattice
    from .space_io import read_space, space_from_json

_HOME = {
    "FreeProgram": "programs",
    "ProgramSpace": "programs",
    "check_output": "files",
    "free_program": "programs",
    "program_space": "programs",
    "programs_of": "programs",
    "read_file": "files",
    "read_space": "space_io",
    "replacing": "files",
    "round_lattice": "rounding",
    "shipped_spaces": "programs",
    "space_from_json": "space_io",
    "write_file": "files",
}

__all__ = [
    "AirtuneError",
    "Axis",
    "ChoiceAxis",
    "DecodeError",
    "EnumeratedAxis",
    "FreeProgram",
    "Grammar",
    "GrammarError",
    "IntegerAxis",
    "Lattice",
    "LinearFloatAxis",
    "LogFloatAxis",
    "Notation",
    "ProgramSpace",
    "SpaceError",
    "canonical_axis",
    "canonical_grammar",
    "canonical_lattice",
    "check_output",
    "check_space",
    "free_program",
    "lattice_grammar",
    "once_per_space",
    "program_space",
    "programs_of",
    "read_file",
    "read_space",
    "reading_order",
    "replacing",
    "round_lattice",
    "shipped_spaces",
    "space_from_json",
    "space_grammar",
    "unknown_name",
    "violation",
    "write_file",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = found  # the next access finds it without coming here
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
