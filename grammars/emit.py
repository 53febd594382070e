"""The automaton written in other notations: regular expression, Lark (llguidance), GBNF."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import pattern as p
from .automaton import Node
from .errors import GrammarError
from .intervals import Intervals
from .paths import PathLattice
from .pattern import Pattern

# Mask engines take tens of seconds beyond this many characters of expression.
REGEX_BUDGET = 500_000


def regex(lattice: PathLattice, root: Node) -> str:
    """One expression for the whole language.

    Where all paths out of a state meet again, the expression goes on after the alternatives instead of inside
    each, so that independent optional parts add up and do not multiply.
    """
    writer = _RegexWriter(lattice)
    return writer.between(root, None, _meeting_points(root))


class _RegexWriter:
    def __init__(self, lattice: PathLattice) -> None:
        self._lattice = lattice
        self._axis_texts: dict[tuple[int, Intervals], str] = {}
        self._done: dict[tuple[int, int], str] = {}

    def between(self, node: Node, stop: Node | None, meets: dict[int, Node | None]) -> str:
        """All texts from `node` up to, not including, `stop` (None: whatever ends them)."""
        key = (id(node), id(stop))
        if key in self._done:
            return self._done[key]
        start, parts = node, list[str]()
        while node is not stop and node.edges:
            meet = meets[id(node)]
            grouped: dict[str, list[Intervals]] = {}
            for inside, child in node.edges:
                grouped.setdefault(self.between(child, meet, meets), []).append(inside)
            branches = []
            for rest, sets in grouped.items():
                whole = tuple(sorted(pair for one in sets for pair in one))
                branches.append(self._axis(node.level, whole) + rest)
            lead = p.escape(node.lead)
            parts.append(lead + (branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"))
            if meet is None:
                break
            node = meet
        if node is not stop and not node.edges:
            parts.append(p.escape(node.lead))
        text = "".join(parts)
        if len(text) > REGEX_BUDGET:
            raise GrammarError(
                "the regular expression of this grammar is too large",
                value=len(text),
                allowed=f"up to {REGEX_BUDGET} characters",
                hint="use the Lark or GBNF form, which share common parts",
            )
        self._done[(id(start), id(stop))] = text
        return text

    def _axis(self, level: int, inside: Intervals) -> str:
        key = (level, inside)
        if key not in self._axis_texts:
            self._axis_texts[key] = p.to_regex(_axis_pattern(self._lattice, level, inside))
        return self._axis_texts[key]


def _axis_pattern(lattice: PathLattice, level: int, inside: Intervals) -> Pattern:
    if lattice.is_silent(level):
        return p.EMPTY
    axis = lattice.axes[level]
    if len(inside) == 1 and inside[0][0] == inside[0][1]:  # most of what was tried
        return p.Literal(axis.text(inside[0][0]))
    return axis.pattern(inside)


def _meeting_points(root: Node) -> dict[int, Node | None]:
    """Per node with edges, the first node that every path from it passes (its immediate post-dominator).

    Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm" (2001), on a DAG: one pass is enough.
    """
    order = topological(root)
    rank = {id(node): i for i, node in enumerate(order)}
    meet: dict[int, Node | None] = {}
    for node in reversed(order):
        common: Node | None = None
        for i, (_, child) in enumerate(node.edges):
            if i == 0:
                common = child
                continue
            a, b = common, child
            while a is not b and a is not None:
                if rank[id(a)] < rank[id(b)]:
                    a = meet[id(a)]
                else:
                    a, b = b, a
            common = a
        meet[id(node)] = common
    return meet


def topological(root: Node) -> list[Node]:
    """All nodes, each before those it leads to."""
    seen = {id(root): root}
    queue = [root]
    for node in queue:
        for _, child in node.edges:
            if id(child) not in seen:
                seen[id(child)] = child
                queue.append(child)
    # Levels ascend along edges, and the sort is stable: topological, and the same in every process.
    return sorted(queue, key=lambda node: node.level)


def lark(lattice: PathLattice, base: Node, tried: Node | None) -> str:
    """Llguidance's Lark dialect: one terminal, `& ~` what was tried; inside it one terminal per state.

    llguidance inlines terminals and shares equal parts, so this stays small and compiles in a tenth of a second
    where one expression or one rule per state is beyond its limits.

    Args:
        lattice: The lattice.
        base: The automaton without exclusions.
        tried: The automaton of the excluded configurations, or None.
    """
    lines = ["start: CONFIG", "CONFIG: BASE" if tried is None else "CONFIG: BASE & ~TRIED"]
    lines += _terminals(_rules(lattice, base, "BASE", "S", "V", _lark_literal))
    if tried is not None:
        lines += _terminals(_rules(lattice, tried, "TRIED", "T", "W", _lark_literal))
    return "\n".join(lines) + "\n"


def _terminals(rules: _Rules) -> list[str]:
    lines = [
        f"{name}: {' | '.join(' '.join(parts) for parts in branches)}" for name, branches in rules.states
    ]
    return lines + [f"{name}: /{p.to_regex(pattern)}/" for name, pattern in rules.values]


def _lark_literal(text: str) -> str:
    return f"/{p.escape(text)}/" if text else '""'


def gbnf(lattice: PathLattice, root: Node) -> str:
    """One rule per state and one per set of values, in a fixed order."""
    rules = _rules(lattice, root, "root", "s", "v", gbnf_literal)
    lines = [
        f"{name} ::= {' | '.join(' '.join(parts) for parts in branches)}" for name, branches in rules.states
    ]
    lines += [f"{name} ::= {to_gbnf(pattern)}" for name, pattern in rules.values]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class _Rules:
    states: list[tuple[str, list[list[str]]]]
    values: list[tuple[str, Pattern]]


def _rules(
    lattice: PathLattice, root: Node, start: str, state: str, value: str, literal: Callable[[str], str]
) -> _Rules:
    """The automaton as a right-linear grammar: states and sets of values, numbered in a fixed order."""
    order = topological(root)
    names = {id(node): start if node is root else f"{state}{i}" for i, node in enumerate(order)}
    values: dict[tuple[int, Intervals], str] = {}
    states: list[tuple[str, list[list[str]]]] = []
    for node in order:
        if not node.edges:
            states.append((names[id(node)], [[literal(node.lead)]]))
            continue
        branches = []
        lead = [literal(node.lead)] if node.lead else []
        if lattice.is_silent(node.level):
            ways = " | ".join(names[id(child)] for _, child in node.edges)
            branches.append([*lead, f"({ways})" if len(node.edges) > 1 else ways])
        else:
            for inside, child in node.edges:
                spoken = values.setdefault((node.level, inside), f"{value}{len(values)}")
                branches.append([*lead, spoken, names[id(child)]])
        states.append((names[id(node)], branches))
    return _Rules(
        states, [(v, _axis_pattern(lattice, level, inside)) for (level, inside), v in values.items()]
    )


def to_gbnf(pattern: Pattern) -> str:
    """Write a pattern as the right-hand side of a GBNF rule (llama.cpp, and xgrammar's EBNF)."""
    match pattern:
        case p.Literal(text):
            return gbnf_literal(text)
        case p.Chars(members):
            return "[" + "".join(_gbnf_class_char(c) for c in members) + "]"
        case p.Seq(parts):
            return " ".join(to_gbnf(part) for part in parts)
        case p.Alt(parts):
            return "(" + " | ".join(to_gbnf(part) for part in parts) + ")"
        case p.Opt(part):
            return f"({to_gbnf(part)})?"


def gbnf_literal(text: str) -> str:
    r"""Quote a literal for GBNF.

    Characters beyond ASCII become classes: xgrammar 0.2.8 writes them as `\xNN` between its passes and then
    reads a hexadecimal digit that follows as part of the escape.

    >>> print(gbnf_literal('größe "x"'))
    "gr" [ö] [ß] "e \"x\""
    """
    parts = ["[" + run + "]" if not run.isascii() else '"' + _gbnf_escape(run) + '"' for run in _runs(text)]
    return " ".join(parts) if parts else '""'


def _gbnf_escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _runs(text: str) -> list[str]:
    """Stretches of ASCII, and every other character by itself."""
    runs: list[str] = []
    for char in text:
        if runs and char.isascii() and runs[-1].isascii():
            runs[-1] += char
        else:
            runs.append(char)
    return runs


def _gbnf_class_char(char: str) -> str:
    return "\\" + char if char in '\\]["-^' else char.replace("\n", "\\n")
