"""What comes back from the sandbox is read as JSON and raw numbers, with bounds, or named an invalid result."""

from __future__ import annotations

import json
import math
import pickle
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from airtune.engine.sandbox.frames import TYPES, pack, unpack
from airtune.engine.sandbox.limits import Limits
from airtune.engine.sandbox.python import run_python
from tests.engine.sandbox.here import needs_sandbox

LIMITS = Limits(time_s=120.0)


def frame(head: object, raw: bytes = b"") -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return len(text).to_bytes(8, "big") + text + raw


ONE = {"name": "y", "type": "float64", "shape": [2]}
TWO = np.array([1.0, 2.0]).tobytes()


FINITE = {"allow_nan": False, "allow_infinity": False}
NUMBERS = st.integers() | st.floats(**FINITE)  # type: ignore[arg-type]
ARRAYS = st_numpy.arrays(
    st.sampled_from(sorted(TYPES)), st_numpy.array_shapes(min_dims=0, max_side=3), elements=FINITE
)


@settings(max_examples=60)
@given(st.dictionaries(st.text(max_size=5), NUMBERS | st.text(), max_size=4), ARRAYS)
def test_values_and_arrays_come_back(plain: dict[str, Any], array: Any) -> None:
    found = unpack(pack({**plain, "array": array}))
    back = found.pop("array")
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert (back == array).all()
    plain.pop("array", None)
    assert found == plain


@settings(max_examples=200)
@given(st.binary(max_size=200), st.binary(max_size=40))
def test_any_bytes_are_values_or_a_value_error(start: bytes, end: bytes) -> None:
    for content in (start + end, frame(start, end), frame({"values": {}, "arrays": [ONE]}, end)):
        try:
            assert isinstance(unpack(content), dict)
        except ValueError:
            continue


NESTED = b'{"values": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b'}, "arrays": []}'


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "nothing was written"),
        (b"\0" * 7, "cut off"),
        (frame({"values": {}, "arrays": []})[:-1], "cut off"),
        ((1 << 62).to_bytes(8, "big") + b"{}", "cut off or too long"),
        (frame({"values": {}, "arrays": []}, b"x"), "belong to nothing"),
        (frame([1]), "no object"),
        (frame({"values": {}, "arrays": [], "more": 1}), "no object with values and arrays"),
        (frame({"values": [], "arrays": []}), "not an object of values"),
        (frame({"values": {}, "arrays": [ONE] * 65}), "at most 64"),
        (frame(b'{"values": {"loss": NaN}, "arrays": []}'), "NaN"),
        (frame(b'{"values": {"loss": -Infinity}, "arrays": []}'), "Infinity"),
        (frame(b'{"values": {"loss": 1e999}, "arrays": []}'), "1e999"),
        (frame(NESTED), "nested"),
        (frame({"values": {"a": json.loads("[" * 60 + "]" * 60)}, "arrays": []}), "deeper than 50"),
        (frame({"values": {}, "arrays": [ONE, ONE]}, TWO * 2), "twice"),
        (frame({"values": {"y": 1}, "arrays": [ONE]}, TWO), "twice"),
        (frame({"values": {}, "arrays": [ONE]}, TWO[:-1]), "cut off"),
        (frame({"values": {}, "arrays": [{**ONE, "type": "object"}]}, TWO), "name, type or shape"),
        (frame({"values": {}, "arrays": [{**ONE, "shape": [-2]}]}, TWO), "name, type or shape"),
        (frame({"values": {}, "arrays": [{**ONE, "shape": [1 << 39, 1 << 39]}]}, TWO), "cut off"),
        (frame({"values": {}, "arrays": [{**ONE, "shape": [True, 2]}]}, TWO), "name, type or shape"),
        (frame({"values": {}, "arrays": [ONE]}, np.array([1.0, math.nan]).tobytes()), "NaN or infinity"),
        (frame({"values": {}, "arrays": [{**ONE, "type": "bool"}]}, b"\1\2"), "no truth values"),
        (pickle.dumps({"loss": 0.0}), "cut off or too long"),
    ],
)  # fmt: skip
def test_what_is_no_result(content: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        unpack(content)


@needs_sandbox
def test_a_function_is_called_with_values_and_arrays() -> None:
    source = "def main(n, x):\n    return {'sum': float(x.sum()) + n, 'doubled': 2 * x}"
    ended, found = run_python(source, {"n": 3, "x": np.arange(4, dtype=np.float32)}, limits=LIMITS)
    assert ended.kind is None
    assert found["sum"] == 9.0
    assert found["doubled"].dtype == np.float32
    assert found["doubled"].tolist() == [0, 2, 4, 6]


FORGED = "import os\ndef main():\n    os.write(4, {content!r})\n    os._exit(0)"


@needs_sandbox
@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("def main(): return {'loss': float('nan')}", "crash: .*ValueError"),
        ("def main(): return 3", "crash: .*AttributeError"),
        ("def main(): return {'f': open}", "crash: .*TypeError"),
        ("import os\ndef main(): os._exit(0)", "invalid result: nothing was written"),
        (FORGED.format(content=pickle.dumps(print)), "invalid result: its header is cut off or too long"),
        (FORGED.format(content=frame(b'{"values": {"loss": NaN}, "arrays": []}')), "invalid result: it holds NaN"),
        (FORGED.format(content=frame({"values": {}, "arrays": [ONE]}, TWO[:-1])), "invalid result: array 'y'"),
        ("import numpy\ndef main(): return {'x': numpy.zeros(1 << 20)}", "invalid result: it is larger than 1048576"),
        ("def main(:", "crash: .*SyntaxError"),
        ("x = 1", "crash: .*AttributeError"),
        ("import signal, os\ndef main(): os.kill(os.getpid(), signal.SIGSEGV)", "crash: .*SIGSEGV"),
    ],
)  # fmt: skip
def test_failures_of_a_program_are_named(source: str, why: str) -> None:
    ended, found = run_python(source, {}, limits=Limits(time_s=120.0, result_bytes=1 << 20))
    assert found == {}
    assert re.match(why, str(ended.reason)), ended.reason
