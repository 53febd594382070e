"""Grammar: the exact language of a space's valid configurations on a lattice, less those already tried."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace

from . import intervals
from .automaton import Node, Path, Trie, only, subtract, trie_of
from .errors import DecodeError, GrammarError
from .paths import PathLattice


class Grammar:
    """An immutable finite language of configuration texts, from `space_grammar` or `lattice_grammar`.

    Sound and complete: its texts are exactly those of the lattice configurations that ConfigSpace's own check
    accepts (a superset if `approximate`), less the excluded ones and choices of weight 0. Every configuration has
    exactly one text.

    Attributes:
        lattice: The lattice it is over.
        characters: All that its texts are made of, where the lattice does not tell.

    Args:
        lattice: See above.
        excluded: Paths of the lattice, whole ones, that are not in the language.
    """

    characters: str | None = None

    def __init__(self, lattice: PathLattice, excluded: Iterable[Path] = ()) -> None:
        self.lattice = lattice
        self._without = frozenset(excluded)
        self._excluded = tuple(sorted(self._without))

    @cached_property
    def root(self) -> Node:
        """The automaton, for those who walk it; made when it is first asked for, since most proposals do without."""
        if not self._excluded:
            return self.lattice.root
        return subtract(self.lattice.root, self.tried, self.lattice.factory.fork())

    @cached_property
    def tried(self) -> Trie:
        """The excluded paths: with the lattice's own automaton they say what `root` does."""
        return trie_of(self._excluded)

    @property
    def space(self) -> ConfigurationSpace:
        """The search space."""
        return self.lattice.space

    @property
    def approximate(self) -> bool:
        """Whether some texts break a clause that needed too many states: check, and redraw those."""
        return self.lattice.approximate

    @property
    def max_length(self) -> int:
        """No text is longer than this, in bytes of UTF-8; what is excluded does not make it shorter."""
        return self.lattice.root.max_bytes

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of the language's definition; equal in every process."""
        sha = hashlib.sha256(self.lattice.digest.encode())
        sha.update(json.dumps(self._excluded).encode())
        return sha.hexdigest()

    def __hash__(self) -> int:
        return hash(self.hash)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grammar) and self.hash == other.hash

    def __repr__(self) -> str:
        return f"Grammar({len(self.lattice.names)} hyperparameters, {self.count()} configurations)"

    def count(self) -> int:
        """How many configurations are left, exactly."""
        return self.lattice.root.count - len(self._excluded)

    def encode(self, config: Mapping[str, Any]) -> str:
        """The text of a configuration.

        Args:
            config: Exactly the active hyperparameters, with lattice values.

        Raises:
            DecodeError: If it is off the lattice, not valid or excluded.
        """
        path = self.lattice.path(config, snap=False)
        if not self._accepts_path(path):
            raise DecodeError(
                "the configuration is excluded: it was tried already",
                value=dict(config),
                hint="ask the grammar without exclusions for its text",
            )
        return self._write(path)

    def decode(self, text: str) -> dict[str, Any]:
        """The configuration a text stands for: active hyperparameters only, plain Python values.

        Raises:
            DecodeError: If the text is not in the language.
        """
        path = self._path(text)
        if path is None:
            _, problem, at = self.lattice.read(text, self.root)
            raise DecodeError(
                f"not in the grammar's language: {problem} at character {at} of {_short(text)}",
                value=text,
                allowed=f"the texts of {self!r}",
                hint="a text that breaks off or strays cannot be repaired: propose again",
            )
        return self.config(path)

    def accepts(self, text: str) -> bool:
        """Whether a text is in the language."""
        return self._path(text) is not None

    def snap(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The nearest lattice configuration with the same active set and choices; exclusion aside.

        Raises:
            DecodeError: If there is none.
        """
        return self.config(self.lattice.path(config, snap=True))

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """A configuration, exactly uniform over those left.

        Raises:
            GrammarError: If none is left.
        """
        self._require_some()
        return self.nth(intervals.random_below(rng, self.count()))

    def nth(self, rank: int) -> dict[str, Any]:
        """The configuration of this rank, 0 <= rank < count(), in a fixed order."""
        if not 0 <= rank < self.count():
            raise GrammarError(
                f"no configuration has the rank {rank}", value=rank, allowed=f"0 <= rank < {self.count()}"
            )
        node, path = self.root, []
        while node.edges:
            for inside, child in node.edges:
                here = intervals.size(inside) * child.count
                if rank < here:
                    path.append(intervals.nth(inside, rank // child.count))
                    node, rank = child, rank % child.count
                    break
                rank -= here
        return self.config(tuple(path))

    def regex(self) -> str:
        """One regular expression for the whole text: no anchors, no look-around; exclusions are worked in.

        Raises:
            GrammarError: If nothing is left, or the expression would be too large (use `lark` or `gbnf`).
        """
        from . import emit

        self._require_some()
        return emit.regex(self.lattice, self.root)

    def lark(self) -> str:
        """A grammar for llguidance: one terminal per state of the base, `& ~` those of what is excluded.

        Raises:
            GrammarError: If nothing is left.
        """
        from . import emit

        self._require_some()
        tried = None
        if self._excluded:
            tried = only(self.lattice.root, self.tried, self.lattice.factory.fork())
        return emit.lark(self.lattice, self.lattice.root, tried)

    def gbnf(self) -> str:
        """A grammar for llama.cpp and for xgrammar's `Grammar.from_ebnf`: one rule per state.

        Raises:
            GrammarError: If nothing is left.
        """
        from . import emit

        self._require_some()
        return emit.gbnf(self.lattice, self.root)

    def json_schema(self) -> dict[str, Any]:
        """A JSON Schema of the space, to show to people and programs; it does not enforce the language."""
        from .schema import json_schema

        return json_schema(self.lattice)

    def _require_some(self) -> None:
        if not self.count():
            raise GrammarError(
                "the grammar is empty: no configuration is left",
                value=self.hash,
                allowed="a grammar whose count() is above 0",
                hint="end the study, or widen the space",
            )

    def _accepts_path(self, path: Path) -> bool:
        node: Node | None = self.lattice.root
        for index in path:
            node = node.follow(index) if node else None
        return node is not None and not node.edges and node.count > 0 and path not in self._without

    def _walk(self, path: Path) -> list[Node]:
        """The nodes along a path of the lattice, from the root to the end."""
        nodes = [self.lattice.root]
        for index in path:
            child = nodes[-1].follow(index)
            if child is None:
                raise GrammarError("the path is not in the lattice", value=path)
            nodes.append(child)
        return nodes

    def config(self, path: Path) -> dict[str, Any]:
        """The configuration at a whole path of the lattice, excluded or not."""
        return {
            self.lattice.names[node.level]: self.lattice.axes[node.level].value(index)
            for node, index in zip(self._walk(path), path, strict=False)
        }

    def _write(self, path: Path) -> str:
        *nodes, end = self._walk(path)
        parts = []
        for node, index in zip(nodes, path, strict=True):
            silent = self.lattice.is_silent(node.level)
            parts.append(node.lead + ("" if silent else self.lattice.axes[node.level].text(index)))
        return "".join(parts) + end.lead

    def _path(self, text: str) -> Path | None:
        """The path of a text of the language, or None."""
        path = self.lattice.read(text, self.lattice.root)[0]
        return None if path is None or path in self._without else path


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


def lattice_grammar(lattice: PathLattice, exclude: Iterable[Mapping[str, Any]] = ()) -> Grammar:
    """The grammar of a lattice without some configurations.

    Args:
        lattice: Keep it: the automaton in it is reused.
        exclude: Configurations (active hyperparameters only). One off the lattice excludes the nearest one
            on it, so that a coarse lattice never repeats what would look the same on it; one whose set of
            active hyperparameters and choices the lattice cannot express excludes nothing.

    Raises:
        DecodeError: If an excluded configuration names an unknown hyperparameter or choice.
    """
    paths: list[Path] = []
    for config in exclude:
        path = lattice.nearest_path(config)
        if path is not None:
            paths.append(path)
    return Grammar(lattice, paths)
