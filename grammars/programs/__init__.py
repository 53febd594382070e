"""Program spaces: typed grammars of source code, whose programs are the configurations of a search space.

- `reader`: a file or text -> rules; the language is in `space.lark`
- `definition`: the rules, as plain data
- `check`: rules -> rules that fit together
- `unroll`: rules -> all that is decided, once, in the order of the text
- `lattice`: that -> the exact automaton over the programs' text
- `ambiguity`: the automaton -> no program has two derivations
- `stored`: rules <-> JSON, which goes with the search space
- `outline`: a program in a few words
- `space`: all of it together
- `free`: programs without a program space, `python_subset` their grammar, `free_space` their search space
"""

from .definition import Alternative, Choice, Hole, Levels, Number, Rule, Subset
from .free import FreeProgram, free_program
from .reader import read_rules, read_template
from .space import ProgramSpace, program_space, programs_of, shipped_spaces

__all__ = [
    "Alternative",
    "Choice",
    "FreeProgram",
    "Hole",
    "Levels",
    "Number",
    "ProgramSpace",
    "Rule",
    "Subset",
    "free_program",
    "program_space",
    "programs_of",
    "read_rules",
    "read_template",
    "shipped_spaces",
]
