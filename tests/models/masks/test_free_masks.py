"""Masks over free programs: what a model can write parses, and what people write is among it."""

from __future__ import annotations

import ast
import warnings

import numpy as np
import pytest

from airtune.grammars import FreeProgram
from airtune.models import ModelError
from airtune.models.masks.base import Matcher, make_engine
from airtune.models.masks.vocabulary import byte_vocabulary

PROGRAM = FreeProgram("f(x, y)", ("math", "sklearn"), 400)
VOCABULARY = byte_vocabulary()
ENGINE = make_engine("llguidance", VOCABULARY)
HEAD = "def f(x, y):\n"
# What random bytes seldom come to: said where it may be said.
PIECES = (
    "if ~elif ~else:\n~for ~for x in y:\n~while ~with ~def ~lambda ~not ~assert ~pass\n~break\n~continue\n~import math~"
    "from sklearn.svm import ~ as ~ in ~ not in ~ is ~ and ~ or ~ if ~ else ~ = ~x += 1\n~ ** ~(~[~{~'a'~\"b\"~)~]~}~"
    ": ~:\n~, ~x~y~1.5e-3~True~None~return x\n~\n~\n~    ~        ~            ~-~*~=~.fit"
).split("~")


def follow(matcher: Matcher, text: str) -> str | None:
    """The part of a text that was refused, or None."""
    for at, byte in enumerate(text.encode()):
        if byte not in matcher.allowed():
            return text[at:]
        matcher.advance(byte)
    return None


def refused(source: str) -> str | None:
    matcher = ENGINE.compile(PROGRAM.grammar())
    return follow(matcher, source) or (None if matcher.finished else "unfinished")


def drawn(rng: np.random.Generator, longest: int = 250) -> str | None:
    """A text of the grammar: pieces as far as they are allowed, and then out of it; None where that does not end."""
    matcher, written = ENGINE.compile(PROGRAM.grammar()), ""
    for _ in range(4 * longest):
        if matcher.finished:
            return written
        allowed, line = matcher.allowed(), written.rsplit("\n", 1)[-1]
        piece = PIECES[rng.integers(len(PIECES))]
        if len(written) > longest:
            ends = [chr(byte) for byte in b"\n)]}'\":01" if byte in allowed]
            piece = ends[rng.integers(len(ends))] if ends else ""
            if line and "    return 0\n".startswith(line) and len(line) >= 4:
                piece = "    return 0\n"[len(line)]
        if not piece or ord(piece[0]) not in allowed:
            if rng.random() < 0.8 and len(written) <= longest:
                continue
            piece = chr(allowed[rng.integers(len(allowed))])
        for character in piece:
            if ord(character) not in matcher.allowed():
                break
            matcher.advance(ord(character))
            written += character
    return None


def test_what_is_written_parses() -> None:
    """Every text of the grammar is Python; with a control: it is Python of many kinds."""
    found, kinds = 0, set[str]()
    for seed in range(110):
        source = drawn(np.random.default_rng(seed))
        if source is None:
            continue
        found += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
        kinds |= {type(node).__name__ for node in ast.walk(tree)}
    assert found > 40
    wanted = (
        "If For While With FunctionDef Lambda Import ImportFrom Assign AugAssign Assert Return Call Attribute "
        "Subscript IfExp BoolOp BinOp Compare UnaryOp List Dict Tuple"
    )
    assert kinds >= {*wanted.split()}


BODIES = """
    import sklearn
    from sklearn.ensemble import RandomForestRegressor as Forest, ExtraTreesRegressor
    model = Forest(n_estimators=100, max_depth=None, random_state=3)
    model.fit(x, y)
    return model.predict(x)
---
    a, b = x.shape
    weights = [0.5] * b
    for epoch in range(10):
        for i in range(0, a, 32):
            batch = x[i:i + 32, :]
            if batch.sum() > 1e-3 and not i % 2 == 0:
                weights[i] -= 0.01 * batch.mean(axis=0)
            elif i is None:
                continue
            else:
                break
    return {'w': weights, "n": -1 ** 2}
---
    def score(z):
        return (z - z.mean()) / (z.std() or 1.0)
    with open_file(x) as handle:
        pass
    best = min([(score(z), i) for i, z in enumerate(x) if i > 0], key=lambda pair: pair[0])
    model.eval()
    return best[1] if best else y[::-1], x.T @ x, f(*y, a=1)
"""


@pytest.mark.parametrize("source", [HEAD + body.lstrip("\n") for body in BODIES.split("---\n")])
def test_what_people_write_is_among_it(source: str) -> None:
    ast.parse(source)
    assert refused(source) is None
    assert PROGRAM.accepts(source)


def test_a_block_ends() -> None:
    """A line for each 32 tokens of an answer: then the function returns, whatever the model would rather do."""
    assert refused(HEAD + "    x = 1\n" * 12 + "    return x\n") is None
    assert refused(HEAD + "    x = 1\n" * 13 + "    return x\n") == "x = 1\n    return x\n"
    block = "    for i in x:\n" + "        x = i\n" * 12
    assert refused(HEAD + block + "    return x\n") is None
    assert refused(HEAD + block + "        x = i\n    return x\n") == "    x = i\n    return x\n"


@pytest.mark.parametrize(
    ("body", "rest"),
    [
        ("import os", "os"),
        ("import sklearnx", "x"),
        ("from os", "os"),
        ("import math.__loader__", "_"),
        ("return x.__class__", "_"),
        ("exec('1')", "("),
        ("x = eval", "\n"),
        ("class A", " A"),
        ("break", "\n"),
        ("x = 012", "12"),
        ("x = 1.real", "real"),
        ("x = 1._y", "_y"),
        ("f(x) = 1", " 1"),
        ("g(a=1, b)", ")"),
        ("  return x", "  return x"),
        ("if x:\n    return y", "return y"),
        ("x = 'a\n'", "\n'"),
        ("return x\n    return y", "    return y"),
    ],
)
def test_what_is_not(body: str, rest: str) -> None:
    """The text is refused right there."""
    left = refused(f"{HEAD}    {body}\n")
    assert left is not None
    assert left.rstrip("\n") == rest.rstrip("\n") or left.startswith(rest)


def test_other_engines_say_that_they_cannot() -> None:
    with pytest.raises(ModelError, match=r"llguidance|cannot"):
        make_engine("direct", VOCABULARY).compile(PROGRAM.grammar())
