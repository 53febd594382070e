"""Search space -> exact grammar; configuration <-> canonical text."""

from .axes import Axis, ChoiceAxis, EnumeratedAxis, IntegerAxis
from .canonical import canonical_axis, canonical_grammar, canonical_lattice, once_per_space, space_grammar
from .errors import AirtuneError, DecodeError, GrammarError, SpaceError, unknown_name
from .files import check_output, read_file, replacing, write_file
from .float_axes import LinearFloatAxis, LogFloatAxis
from .grammar import Grammar, lattice_grammar
from .lattice import Lattice, Notation, reading_order
from .programs import ProgramSpace, program_space, programs_of, shipped_spaces
from .rounding import round_lattice
from .space_check import check_space, violation
from .space_io import read_space, space_from_json

__all__ = [
    "AirtuneError",
    "Axis",
    "ChoiceAxis",
    "DecodeError",
    "EnumeratedAxis",
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
