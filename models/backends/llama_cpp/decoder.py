"""The mask loop on llama.cpp: a prompt is read once, in blocks, and its answers branch off it.

A prompt, but for its last token, is read in an empty context, in blocks of a fixed size that start at fixed positions,
each by itself. So a block has the same bits whatever else is asked and whether it comes from the cache. The last,
partial one is read every time, together with the whole one before it: a pass over 64 tokens or more takes attention in
tiles, and after a thousand others a token costs half of what it costs in a smaller pass.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from airtune.models.backends.llama_cpp.library import SEQUENCES, Context, Token
from airtune.models.decoding.row import Row, draw_next

# Tokens of answers in one pass: below 64, where attention goes through the cells in their order, whosoever they are.
ANSWERS = 32
Tokens = tuple[int, ...]
Ids = NDArray[np.intp]
Line = NDArray[np.float32]


class PrefixCache:
    """Keys and values of prompts that were read, whole blocks of them, least recently used ones dropped first.

    Args:
        capacity: Bytes, at most; 0 keeps nothing.
        block: Tokens of a block.
    """

    def __init__(self, capacity: int, block: int) -> None:
        self._capacity, self._block = capacity, block
        self._states: OrderedDict[Tokens, NDArray[np.uint8]] = OrderedDict()

    @property
    def bytes(self) -> int:
        """What is kept, in bytes."""
        return sum(state.nbytes for state in self._states.values())

    def find(self, prefix: Tokens) -> tuple[int, NDArray[np.uint8] | None]:
        """How many tokens of a prefix are known, whole blocks of them, and the state that begins with them."""
        best, key = 0, None
        for kept in self._states:
            known = 0
            while (end := known + self._block) <= min(len(kept), len(prefix)) and (
                kept[known:end] == prefix[known:end]
            ):
                known = end
            if known > best:
                best, key = known, kept
        if key is None:
            return 0, None
        self._states.move_to_end(key)
        return best, self._states[key]

    def keep(self, prefix: Tokens, state: NDArray[np.uint8]) -> None:
        """Keep the state after a prefix; those of its own beginnings say nothing more and go."""
        if state.nbytes > self._capacity:
            return
        for kept in [kept for kept in self._states if prefix[: len(kept)] == kept]:
            del self._states[kept]
        self._states[prefix] = state
        while self.bytes > self._capacity:
            self._states.popitem(last=False)


class BlockDecoder:
    """See the module's docstring.

    Args:
        context: What is read goes there; each call begins with an empty one.
        cells: Tokens it has room for.
        block: Tokens of a block.
        cache: Keeps prompts from call to call.
        fast_forward: Whether tokens that are forced as bytes are taken in the tokenizer's own spelling.
    """

    def __init__(
        self, context: Context, *, cells: int, block: int, cache: PrefixCache, fast_forward: bool
    ) -> None:
        self._context, self._cells, self._block = context, cells, block
        self._cache, self._fast_forward = cache, fast_forward

    def complete(self, rows: Sequence[Row], alone: bool = False) -> None:
        """Fill in the answers of open rows, in as few batches as there is room for or, asked, one by one."""
        for batch in [[row] for row in rows] if alone else self._batches(rows):
            self._complete(batch)

    def after(self, prompt: Sequence[int]) -> NDArray[np.uint8]:
        """Keys and values of a prompt but for its last token."""
        self._context.clear()
        self._read(tuple(prompt[:-1]))
        return self._context.save(0)

    def branches(
        self,
        state: NDArray[np.uint8],
        prompt: Sequence[int],
        prefixes: Sequence[Tokens],
        columns: Sequence[Ids],
    ) -> list[Line]:
        """Logits after beginnings of answers to one prompt, in few passes: a tree of tokens, as `TreeLogits` has it.

        Args:
            state: What `after` said of the prompt.
            prompt: Its token ids.
            prefixes: Token ids of the answers so far.
            columns: Ids of the tokens that are asked for after each.
        """
        found: list[Line] = [np.empty(0, np.float32)] * len(prefixes)
        order = sorted(range(len(prefixes)), key=prefixes.__getitem__)  # neighbours share most ancestors
        while order:
            tree: dict[
                Tokens, list[int]
            ] = {}  # the numbers of the prefixes that a node, by its path, leads to
            part: list[int] = []
            while order and len(part) < SEQUENCES:
                prefix = prefixes[order[0]]
                paths = [prefix[:n] for n in range(len(prefix) + 1)]
                if part and len(prompt) + len(tree.keys() | set(paths)) > self._cells:
                    break
                for path in paths:
                    tree.setdefault(path, []).append(len(part))
                part.append(order.pop(0))
            lines = self._tree(state, prompt, tree, {prefixes[i] for i in part})
            for i in part:
                found[i] = lines[prefixes[i]][columns[i]]
        return found

    def _tree(
        self,
        state: NDArray[np.uint8],
        prompt: Sequence[int],
        tree: dict[Tokens, list[int]],
        ends: set[Tokens],
    ) -> dict[Tokens, Line]:
        past = len(prompt) - 1
        self._context.clear()
        if past:
            self._context.restore(state, 0, past)
            for sequence in tree[()][1:]:
                self._context.branch(0, sequence)
        tokens = [
            Token(path[-1] if path else prompt[-1], past + len(path), tuple(sequences), path in ends)
            for path, sequences in tree.items()
        ]
        return dict(
            zip([path for path in tree if path in ends], self._context.read(tokens, ANSWERS), strict=True)
        )

    def _batches(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """Rows that there is room for at once, however long their answers become."""
        batch: list[Row] = []
        known: set[Tokens] = set()
        used = 0
        for row in rows:
            prefix = (*row.prompt, *row.token_ids)
            left = row.limit - len(row.token_ids)
            if batch and (
                used + left + len(prefix) * (prefix not in known) > self._cells or len(batch) == SEQUENCES
            ):
                yield batch
                batch, known, used = [], set(), 0
            used += left + len(prefix) * (prefix not in known)
            known.add(prefix)
            batch.append(row)
        if batch:
            yield batch

    def _complete(self, rows: Sequence[Row]) -> None:
        prefixes = [row.prefix() for row in rows]
        first = {prefix: i for i, prefix in reversed(list(enumerate(prefixes)))}
        self._prompts({i: tuple(rows[i].prompt) for i in first.values()})
        start = [
            Token(prefix[at], at, (i,), at == len(prefix) - 1)
            for prefix, i in first.items()
            for at in range(len(rows[i].prompt) - 1, len(prefix))
        ]
        after = dict(zip(first, self._context.read(start, ANSWERS), strict=True))
        for i, prefix in enumerate(prefixes):
            if i != first[prefix]:
                self._context.branch(first[prefix], i)
        lines = [after[prefix] for prefix in prefixes]
        left = list(enumerate(rows))
        while True:
            for (_, row), line in zip(left, lines, strict=True):
                allowed = row.matcher.allowed()
                draw_next([row], allowed, line[allowed][None])
                row.take_forced(self._fast_forward)
            left = [(i, row) for i, row in left if not row.done]
            if not left:
                return
            lines = self._context.read([token for i, row in left for token in _new(i, row)], ANSWERS)

    def _prompts(self, prompts: dict[int, Tokens]) -> None:
        """Read prompts, but for their last tokens, as the sequences of these numbers."""
        owner = {prompt: i for i, prompt in reversed(prompts.items())}
        states = {}
        for prompt in owner:  # tiles start at fixed cells, so every prompt is read from the first cell on
            self._context.clear()
            self._read(prompt[:-1])
            if len(owner) > 1:
                states[prompt] = self._context.save(0)
        if states:
            self._context.clear()
        for prompt, state in states.items():
            if len(prompt) > 1:
                self._context.restore(state, owner[prompt], len(prompt) - 1)
        for i, prompt in prompts.items():
            if i != owner[prompt]:
                self._context.branch(owner[prompt], i)

    def _read(self, past: Tokens) -> None:
        """Read the beginning of a prompt as the first sequence, from the cache where it is known."""
        whole = max(0, len(past) // self._block - 1) * self._block
        known, state = self._cache.find(past[:whole])
        if state is not None:
            self._context.restore(state, 0, known)
        tokens = [Token(token, at, (0,)) for at, token in enumerate(past)]
        if known < whole:
            self._context.read(tokens[known:whole], self._block)
            self._cache.keep(past[:whole], self._context.save(0))
        self._context.read(tokens[whole:], 2 * self._block)


def _new(sequence: int, row: Row) -> list[Token]:
    """What a row took since the last forward pass; the logits after the last of it are wanted."""
    new = row.read(sequence, sequence)
    last = len(new.tokens) - 1
    return [Token(t, new.position + i, (sequence,), i == last) for i, t in enumerate(new.tokens)]
