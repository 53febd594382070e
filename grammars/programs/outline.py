"""A program in a few words: the labels of what was chosen, as deep as there is room for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .unroll import ON, Parts, Pick, Repeat, Some, Unrolled, Value

_NOTHING = "none"  # what an alternative that leaves something out is called, by hand or where it is empty
_MORE = "..."


def outline(unrolled: Unrolled, config: Mapping[str, Any], longest: int) -> str:
    """The labels of the alternatives that a program has, in the order of its text: `log forest block*2 dense relu`.

    What says that nothing is there is left out. Where there is no room for the numbers they are left out, too, then
    choices within other choices, and three dots say so.

    Args:
        unrolled: The program space's rules, written out.
        config: The program's configuration.
        longest: Characters that there is room for.
    """
    every = list(_words(unrolled, unrolled.parts, config, 0))
    words = [word for word in every if not word.is_number]
    for some in (every, words):
        if len(whole := " ".join(word.text for word in some)) <= longest:
            return whole
    kept, room = set[int](), longest - len(_MORE)
    for i in sorted(range(len(words)), key=lambda i: words[i].depth):
        room -= len(words[i].text) + 1
        if room < 0:
            break
        kept.add(i)
    return " ".join([*(words[i].text for i in sorted(kept)), _MORE])


class _Word(NamedTuple):
    """A label, or a number, and how many choices are around it."""

    text: str
    depth: int
    is_number: bool = False


def _words(unrolled: Unrolled, parts: Parts, config: Mapping[str, Any], depth: int) -> Iterator[_Word]:
    for part in parts:
        match part:
            case Value(level):
                value, name = config[unrolled.names[level]], unrolled.slots[level].path[-1]
                yield _Word(f"{name}={value:.6g}", depth, is_number=True)
            case Pick(level, branches):
                spec, chosen = unrolled.slots[level].spec, config[unrolled.names[level]]
                if chosen != _NOTHING:
                    yield _Word(str(chosen), depth)
                yield from _words(unrolled, branches[spec["choices"].index(chosen)], config, depth + 1)
            case Repeat(level, _, items):
                count, name = config[unrolled.names[level]], unrolled.slots[level].path[-1]
                yield _Word(f"{name.removeprefix('n_')}*{count}", depth)
                for item in items[:count]:
                    yield from _words(unrolled, item, config, depth + 1)
            case Some(levels, items):
                for level, item in zip(levels, items, strict=True):
                    if config[unrolled.names[level]] == ON:
                        yield _Word(unrolled.slots[level].path[-1], depth)
                        yield from _words(unrolled, item, config, depth + 1)
