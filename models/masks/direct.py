"""Masks read off the grammar's own automaton: for vocabularies in which every value is one token, as `pocket`'s is.

There a token of the answer is one edge of the automaton, so nothing is compiled: a state is a node, and what was tried
and has the answer so far as its prefix. The general engines write the grammar out, with all that is excluded, and
parse it again for every proposal, which costs more than the model's own work.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from airtune.grammars import Grammar
from airtune.grammars.automaton import Node, Trie, used_up
from airtune.grammars.emit import topological
from airtune.grammars.paths import PathLattice
from airtune.models.masks.base import Matcher, require_some
from airtune.models.masks.vocabulary import Vocabulary
from airtune.models.types import ModelError

Ids = NDArray[np.intp]
_KEPT, _NODES = 64, 10_000  # lattices, and nodes of each


class _ValueTokens:
    """The tokens of one lattice.

    Raises:
        ModelError: If a value is not exactly one token, or the texts hold more than values.
    """

    def __init__(self, lattice: PathLattice, vocabulary: Vocabulary) -> None:
        # Per level: token ids, ascending, and the index that each one stands for.
        self._levels: list[tuple[Ids, Ids]] = []
        self._of_node: dict[int, tuple[Node, Ids, Ids]] = {}
        self.end: Ids = np.array(sorted(vocabulary.eos_ids), dtype=np.intp)
        _require_bare(lattice)
        for level, axis in enumerate(lattice.axes):
            written = range(0 if lattice.is_silent(level) else axis.size)
            ids = np.array([_token(axis.text(i), vocabulary) for i in written], dtype=np.intp)
            order = np.argsort(ids)
            self._levels.append((ids[order], order))

    def of(self, node: Node) -> tuple[Ids, Ids]:
        """Tokens that may come at a node, ascending, and the index that each one stands for."""
        known = self._of_node.get(id(node))
        if known is None:
            ids, indices = self._levels[node.level]
            inside = np.zeros(len(ids), dtype=np.bool_)
            for intervals, _ in node.edges:
                for low, high in intervals:
                    inside |= (low <= indices) & (indices <= high)
            if not inside.all():
                ids, indices = ids[inside], indices[inside]
            if len(self._of_node) >= _NODES:
                self._of_node.clear()
            known = self._of_node[id(node)] = node, ids, indices  # the node too: its id stays its own
        return known[1:]


class _Direct(Matcher):
    """A matcher that has no backend to ask."""

    def __init__(self, values: _ValueTokens, grammar: Grammar, vocabulary: Vocabulary) -> None:
        self._values, self._lattice, self._vocabulary = values, grammar.lattice, vocabulary
        self._written: list[int] = []
        self._allowed: Ids | None = None
        self._node: Node = grammar.lattice.root
        self._tried: Trie | None = grammar.tried or None
        self._most = grammar.lattice.root.count - grammar.count()
        self._skip()

    def allowed(self) -> Ids:
        """See `Matcher.allowed`."""
        if self._allowed is None:
            self._accepting = self._finished = not self._node.edges
            if self._finished:
                self._allowed = self._values.end
            else:
                ids, indices = self._values.of(self._node)
                if self._tried and (gone := used_up(self._node, self._tried, self._most)):
                    ids = ids[~np.isin(indices, gone)]
                self._allowed = ids
        return self._allowed

    def advance(self, token: int) -> None:
        """See `Matcher.advance`."""
        allowed = self.allowed()
        at = int(allowed.searchsorted(token))
        if at == len(allowed) or allowed[at] != token:
            raise self._refusal(token)
        if self._finished:
            self._allowed = np.array([token])
            return
        ids, indices = self._values.of(self._node)
        index = int(indices[ids.searchsorted(token)])
        self._written.append(token)
        self._move(index)
        self._skip()
        self._allowed = None

    def forced(self, *, canonical: bool = True) -> list[int]:
        """See `Matcher.forced`: a value is one token, so bytes leave no more doubt than tokens do."""
        allowed = self.allowed()
        return [int(allowed[0])] if len(allowed) == 1 and not self._finished else []

    def _move(self, index: int) -> None:
        child = self._node.follow(index)
        if child is None:
            raise ModelError("the automaton has no edge where its mask allowed one", value=index)
        self._node = child
        self._tried = self._tried.get(index) if self._tried else None

    def _skip(self) -> None:
        """Past hyperparameters that are never written."""
        while self._node.edges and self._lattice.is_silent(self._node.level):
            self._move(0)


class Engine:
    """The direct engine for one vocabulary. The tokens of the last lattices are kept."""

    name = "direct"

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._values: dict[str, _ValueTokens] = {}

    def compile(self, grammar: Grammar) -> Matcher:
        """See `MaskEngine.compile`."""
        require_some(grammar)
        key = grammar.lattice.digest
        values = self._values.pop(key, None) or _ValueTokens(grammar.lattice, self.vocabulary)
        self._values[key] = values  # the last used one at the end
        if len(self._values) > _KEPT:
            del self._values[next(iter(self._values))]
        return _Direct(values, grammar, self.vocabulary)


def _require_bare(lattice: PathLattice) -> None:
    for node in topological(lattice.root):
        if node.lead:
            raise _unfit(node.lead, "is written besides values")


def _token(text: str, vocabulary: Vocabulary) -> int:
    ids = vocabulary.starts(text.encode())
    if len(ids) != 1 or vocabulary.tokens[ids[0]] != text.encode() or vocabulary.extends(text.encode()):
        raise _unfit(text, "is not one token that no other begins with, and that begins no other")
    return ids[0]


def _unfit(text: str, what: str) -> ModelError:
    return ModelError(
        f"mask engine 'direct' cannot take this grammar: {text!r} {what}",
        value=text,
        allowed="grammars of which every value is one token of the vocabulary, and nothing else is written",
        hint="use mask_engine='llguidance'",
    )
