"""Values and arrays as bytes: JSON, and raw numbers behind it. Nothing in them can be run, and nothing is believed.

The first eight bytes are the length of the JSON, big-endian; it has "values", an object, and "arrays": of each its
name, type and shape, in the order in which their numbers follow, little-endian, without gaps. Its source also runs
inside the sandbox: standard library, and NumPy where there is an array.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

TYPES = {"bool": 1, "int8": 1, "int16": 2, "int32": 4, "int64": 8, "uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8,
         "float16": 2, "float32": 4, "float64": 8}  # fmt: skip
LARGEST_HEADER, MOST_ARRAYS, MOST_AXES, DEEPEST = 1 << 20, 64, 8, 50


def pack(values: Mapping[str, Any]) -> bytes:
    """The values as bytes; what has a dtype is an array, the rest must be JSON.

    Raises:
        TypeError: If one is neither.
        ValueError: If one is NaN or infinite, or an array's type is none of numbers.
    """
    plain = {name: value for name, value in values.items() if not hasattr(value, "dtype")}
    heads, raw = [], []
    for name in (name for name in values if name not in plain):
        import numpy

        array = numpy.asarray(values[name])
        if array.dtype.name not in TYPES:
            raise ValueError(
                f"array {name!r} has the type {array.dtype}, which is none of {', '.join(TYPES)}"
            )
        heads.append({"name": name, "type": array.dtype.name, "shape": array.shape})
        raw.append(array.astype(array.dtype.newbyteorder("<")).tobytes())
    head = json.dumps({"values": plain, "arrays": heads}, allow_nan=False).encode()
    return b"".join((len(head).to_bytes(8, "big"), head, *raw))


def unpack(content: bytes) -> dict[str, Any]:
    """The values of `pack`, from whoever wrote them.

    Raises:
        ValueError: With the reason, if they are anything else: cut off, too long, nested deeper than `DEEPEST`, of
            other types, NaN or infinite.
    """
    size = int.from_bytes(content[:8], "big")
    if len(content) < 8 or size > min(LARGEST_HEADER, len(content) - 8):
        raise ValueError("nothing was written" if not content else "its header is cut off or too long")
    try:
        head = json.loads(content[8 : 8 + size], parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(head, dict) or head.keys() != {"values", "arrays"}:
        raise ValueError("its header is no object with values and arrays")
    values, heads = head["values"], head["arrays"]
    if not isinstance(values, dict) or not isinstance(heads, list) or len(heads) > MOST_ARRAYS:
        raise ValueError(f"its header is not an object of values and a list of at most {MOST_ARRAYS} arrays")
    if _depth(values) > DEEPEST:
        raise ValueError(f"it is nested deeper than {DEEPEST}")
    found, place = dict(values), 8 + size
    for one in heads:
        name, kind, shape = _array_head(one)
        end = place + TYPES[kind] * math.prod(shape)
        if name in found or end > len(content):
            raise ValueError(f"array {name[:50]!r} is there twice, or its numbers are cut off")
        import numpy

        array = numpy.frombuffer(content[place:end], numpy.dtype(kind).newbyteorder("<"))
        if kind == "bool" and bool((array.view("uint8") > 1).any()):
            raise ValueError(f"array {name[:50]!r} holds bytes that are no truth values")
        if kind.startswith("float") and not bool(numpy.isfinite(array).all()):
            raise ValueError(f"array {name[:50]!r} holds NaN or infinity")
        found[name], place = array.reshape(shape).astype(kind), end
    if place != len(content):
        raise ValueError(f"{len(content) - place} bytes follow that belong to nothing")
    return found


def _array_head(one: object) -> tuple[str, str, list[int]]:
    fields: dict[str, Any] = one if isinstance(one, dict) and one.keys() == {"name", "type", "shape"} else {}
    name, kind, shape = fields.get("name"), fields.get("type"), fields.get("shape")
    if isinstance(name, str) and isinstance(kind, str) and kind in TYPES and isinstance(shape, list):
        if len(shape) <= MOST_AXES and all(type(n) is int and 0 <= n < 1 << 40 for n in shape):
            return name, kind, shape
    raise ValueError("an array's name, type or shape is none")


def _refuse(text: str) -> float:
    raise ValueError(f"it holds {text}")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text[:20])


def _depth(value: object) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return deepest
