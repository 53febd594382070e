"""Mutations of bytes, texts and JSON: reproducible from a random.Random, aware of structure where there is one."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

EVIL = "<script>alert(1)</script>\"'&{{7*7}}"
# Texts that terminals, pages, shells, SQL, markup and encoders might take for more than text.
TEXTS = [
    "", " ", "\x00", "a\nb", "\r\n", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b2J", "\x7f\x08", "\u202eevil",
    "\ud800", "\udfff\ud800", "\u2028", EVIL, "[bold red]x[/]", "[link=file:///etc/passwd]x[/link]", "{}", "{name}",
    "$(touch x)", "; touch x", "' OR 1=1 --", "=cmd|' /C calc'!A0", "../../etc/passwd", "/etc/passwd", "%s%n", "é☃𝔘",
    "\ufeff", "x" * 5000, "name", "lr", "kernel", "NaN", "-0", "1e999", "0x10", "$\\frac{", "\\x1b", "https://192.0.2.1/",
]  # fmt: skip
NUMBERS: list[Any] = [
    0, -1, 1, 2, 3, 255, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**18, 10**19, 10**400, -(10**4000), 0.0,
    -0.0, 0.5, 1e-300, 5e-324, 1e308, 1.7976931348623157e308, 1e999, -1e999, float("nan"), 0.1 + 0.2, 1.0, 1e15, 123.4,
]  # fmt: skip
OTHERS: list[Any] = [None, True, False, [], {}, [[]], [{}], {"": {}}, ["a"], [1, "a", None]]


def hostile(random: Random) -> Any:
    """One value that a reader should not choke on."""
    kind = random.randrange(10)
    if kind < 4:
        return random.choice(TEXTS)
    if kind < 8:
        return random.choice(NUMBERS)
    if kind == 8 and random.random() < 0.2:
        deep: Any = 0
        for _ in range(random.choice([50, 200, 900, 3000])):
            deep = [deep] if random.random() < 0.5 else {"a": deep}
        return deep
    return copy.deepcopy(random.choice(OTHERS))


def mutated_bytes(random: Random, data: bytes) -> bytes:
    """Flipped bits, cut, doubled, zeroed and moved stretches."""
    found = bytearray(data)
    for _ in range(random.choice([1, 1, 2, 4, 16])):
        if not found:
            return bytes(found)
        at = random.randrange(len(found))
        length = min(random.choice([1, 1, 2, 4, 16, 512, 4096]), len(found) - at)
        kind = random.randrange(8)
        if kind < 3:
            found[at] ^= 1 << random.randrange(8)
        elif kind == 3:
            found[at : at + length] = random.choice([b"\0", b"\xff", b"\x80"]) * length
        elif kind == 4:
            found[at : at + length] = random.randbytes(length)
        elif kind == 5:
            other = random.randrange(len(found))
            found[at : at + length] = found[other : other + length].ljust(length, b"\0")
        elif kind == 6:
            del found[at : at + length]
        else:
            del found[random.randrange(len(found)) :]
    return bytes(found)


def mutated_text(random: Random, text: str) -> str:
    """Characters deleted, doubled, replaced, swapped; cut; something hostile put in."""
    for _ in range(random.choice([1, 1, 1, 2, 5])):
        at = random.randrange(len(text) + 1)
        to = min(len(text), at + random.choice([1, 1, 2, 8, 40]))
        other = random.randrange(len(text) + 1)
        text = random.choice(
            [
                text[:at] + text[to:],
                text[:to] + text[at:],
                text[:at] + random.choice('0123456789.eE+-"{}[],: \n\\\x1b\x00é') + text[to:],
                text[:at] + text[other : other + 4] + text[at:],
                text[:at],
                text[at:],
                text[:at] + str(random.choice(TEXTS)) + text[at:],
                text[:at] + repr(random.choice(NUMBERS)) + text[to:],
                text.swapcase(),
                text + text,
            ]
        )[:20_000]
    return text


def mutated_json(random: Random, value: Any) -> Any:
    """A copy with some nodes replaced, deleted, copied elsewhere, renamed or filled with hostile values."""
    whole = [copy.deepcopy(value)]
    for _ in range(random.choice([1, 1, 1, 1, 2, 3, 6])):
        places = list(_places(whole))
        holder, key = random.choice(places)
        other, from_ = random.choice(places)
        kind = random.randrange(14)
        if kind < 3:
            holder[key] = hostile(random)
        elif kind >= 8 and not isinstance(
            holder[key], dict | list
        ):  # mild: what stands elsewhere, of its kind
            alike = [h[k] for h, k in places if type(h[k]) is type(holder[key])]
            holder[key] = random.choice(alike)
        elif kind == 3 and holder is not whole:
            del holder[key]
        elif kind == 4:
            holder[key] = _copy(other[from_])
        elif kind == 5 and isinstance(holder, dict):
            holder[random.choice([*holder, "type", "name", random.choice(TEXTS)])] = holder.pop(key)
        elif kind == 6 and isinstance(holder, list):
            holder.insert(random.randrange(len(holder) + 1), _copy(holder[key]))
        elif isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
            holder[key] = random.choice([holder[key] * -1, holder[key] + 1, str(holder[key]), [holder[key]]])
        else:
            holder[key] = hostile(random)
        if len(_dumped(whole)) > 100_000:
            break
    return whole[0]


def to_text(value: Any) -> str:
    """JSON text, NaN and infinities as Python writes them; deep values too."""
    return _dumped(value)


def _copy(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except RecursionError:
        return "too deep to copy"


def _places(root: Any) -> Any:
    """Every (holder, key) in a value, without recursion."""
    open_ = [root]
    while open_:
        holder = open_.pop()
        for key in holder if isinstance(holder, dict) else range(len(holder)):
            yield holder, key
            if isinstance(holder[key], dict | list):
                open_.append(holder[key])


def _dumped(value: Any) -> str:
    try:
        return json.dumps(value)
    except (RecursionError, ValueError):  # too deep, or too many digits: by hand
        return _by_hand(value)


def _by_hand(value: Any) -> str:
    parts: list[str] = []
    stack: list[Any] = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, _Literal):
            parts.append(one.text)
        elif isinstance(one, list):
            inner = [x for item in one for x in (_Literal(","), item)][1:]
            stack.extend(reversed([_Literal("["), *inner, _Literal("]")]))
        elif isinstance(one, dict):
            pairs = [x for k, v in one.items() for x in (_Literal(f",{json.dumps(str(k))}:"), v)]
            if pairs:
                pairs[0] = _Literal(pairs[0].text[1:])
            stack.extend(reversed([_Literal("{"), *pairs, _Literal("}")]))
        elif isinstance(one, int) and not isinstance(one, bool) and abs(one) > 10**4000:
            parts.append("9" * 5000)
        else:
            parts.append(json.dumps(one))
    return "".join(parts)


class _Literal:
    """JSON text as it is."""

    def __init__(self, text: str) -> None:
        self.text = text
