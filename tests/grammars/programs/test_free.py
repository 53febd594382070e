"""Free programs: what is refused, their normal form, their search space; texts of the grammar are in tests of masks."""

from __future__ import annotations

import ast
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import Configuration

from airtune.engine.manifest import space_hash, space_json, stored_space
from airtune.grammars import (
    DecodeError,
    FreeProgram,
    GrammarError,
    SpaceError,
    canonical_grammar,
    free_program,
    space_from_json,
    violation,
)

PROGRAM = FreeProgram("f(x, y)", ("math", "numpy.linalg"), 100)
SOURCE = "def f(x, y):\n    import math\n    return math.sqrt(x)\n"


def test_the_normal_form() -> None:
    """White space, comments, quotes and brackets that change nothing are no part of a program."""
    written = "def f(x,y):\n  import math # as ever\n\n  return (math.sqrt( x ))\n"
    assert PROGRAM.decode(written) == {"source": SOURCE} == PROGRAM.decode(SOURCE)
    assert PROGRAM.render({"source": SOURCE}) == SOURCE
    assert PROGRAM.accepts(written)
    with pytest.raises(DecodeError, match="normal form"):
        PROGRAM.render({"source": written})


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def f(x, y):\n    return (x", "does not parse: '[(]' was never closed in line 2"),
        ("def f(x, y):\n    break\n    return x", "does not parse: 'break' outside loop in line 2"),
        ("def f(x, y):\n    return g(a=1, a=2)", "does not parse: keyword argument repeated"),
        ("def f(x, y):\n    return '\x00'", "does not parse"),
        ("def f(x, y):\n    return " + "(" * 300 + ")" * 300, "does not parse"),
        ("", "not one function of the signature"),
        ("def g(x, y):\n    return x", "not one function of the signature"),
        ("def f(x, y=1):\n    return x", "not one function of the signature"),
        ("def f(x, y) -> int:\n    return x", "not one function of the signature"),
        ("@g\ndef f(x, y):\n    return x", "not one function of the signature"),
        ("import math\ndef f(x, y):\n    return x", "not one function of the signature"),
        ("def f(x, y):\n    return x\nf(1, 2)", "not one function of the signature"),
        ("def f(x, y):\n    import os\n    return x", "line 2 imports 'os', which is not allowed"),
        ("def f(x, y):\n    import math, os.path\n    return x", "line 2 imports 'os.path'"),
        ("def f(x, y):\n    import mathematics\n    return x", "line 2 imports 'mathematics'"),
        ("def f(x, y):\n    import numpy\n    return x", "line 2 imports 'numpy'"),
        ("def f(x, y):\n    from os import path\n    return x", "line 2 imports 'os'"),
        ("def f(x, y):\n    from . import math\n    return x", "line 2 imports '.'"),
        ("def f(x, y):\n    from .math import pi\n    return x", "line 2 imports '.math'"),
        ("def f(x, y):\n    from math import __loader__\n    return x", "uses '__loader__'"),
        ("def f(x, y):\n    import math as __name__\n    return x", "uses '__name__'"),
        ("def f(x, y):\n    return __import__('os')", "line 2 uses '__import__'"),
        ("def f(x, y):\n    return x.__class__", "line 2 uses '__class__'"),
        ("def f(x, y):\n    return exec('x')", "line 2 uses 'exec'"),
        ("def f(x, y):\n    g = open\n    return g", "line 2 uses 'open'"),
        ("def f(x, y):\n    return getattr(x, 'a')", "line 2 uses 'getattr'"),
        ("def f(x, y):\n    def __g__():\n        pass\n    return x", "uses '__g__'"),
        ("def f(x, y):\n    class A:\n        pass\n    return x", "has ClassDef"),
        (
            "def f(x, y):\n    try:\n        pass\n    except E as __e__:\n        pass\n    return x",
            "uses '__e__'",
        ),
        ("def f(x, y):\n    global a\n    return x", "has Global"),
        ("def f(x, y):\n    return g(__a=1)", "uses '__a'"),
        ("def f(x, y):\n    match x:\n        case __a:\n            pass\n    return x", "uses '__a'"),
        (
            "def f(x, y):\n    match x:\n        case A(__class__=c):\n            return c",
            "uses '__class__'",
        ),
        ("def f(x, y):\n    match x:\n        case [*__a]:\n            pass\n    return x", "uses '__a'"),
        ("def f(x, y):\n    match x:\n        case {**__a}:\n            pass\n    return x", "uses '__a'"),
    ],
)
def test_what_is_no_free_program(source: str, said: str) -> None:
    with pytest.raises(DecodeError, match=said):
        PROGRAM.decode(source)
    assert not PROGRAM.accepts(source)


@pytest.mark.parametrize(
    "body",
    ["import math.a as b", "from math import pi, e", "import numpy.linalg", "from numpy.linalg import norm",
     "model.eval()", "re.compile(x)", "x._hidden = 1", "def g(a):\n        return a", "f'{x}'"],
)  # fmt: skip
def test_what_is_one(body: str) -> None:
    """Attributes of a forbidden function's name are others' own; below an allowed module all is allowed."""
    assert PROGRAM.accepts(f"def f(x, y):\n    {body}\n    return x\n")


def test_without_imports_nothing_is_imported() -> None:
    with pytest.raises(DecodeError, match="imports 'math'") as refused:
        FreeProgram("f(x)").decode("def f(x):\n    import math\n    return x")
    assert refused.value.allowed == "no import at all"


def test_the_search_space() -> None:
    """A configuration is one text; the canonical language knows it, and leaves it out once it was tried."""
    config = PROGRAM.decode(SOURCE)
    grammar = canonical_grammar(PROGRAM.space)
    text = grammar.encode(config)
    assert text == '{"source":' + json.dumps(SOURCE) + "}"
    assert grammar.decode(text) == config == grammar.snap(config)
    assert grammar.approximate is False
    assert violation(PROGRAM.space, config) is None
    assert dict(Configuration(PROGRAM.space, values=config)) == config
    assert violation(PROGRAM.space, {"source": "def f(x, y):\n  return 1"}) is not None
    assert dict(PROGRAM.space.get_default_configuration()) == PROGRAM.default()
    with pytest.raises(DecodeError):
        grammar.encode({"source": "import os"})
    with pytest.raises(DecodeError):
        grammar.decode('{"source":"import os"}')


def test_what_was_tried_is_refused() -> None:
    other = PROGRAM.decode("def f(x, y):\n    return 1")
    grammar = PROGRAM.grammar([other])
    assert grammar.decode(SOURCE) == {"source": SOURCE}
    for written in (other["source"], "def f(x, y):\n  return (1) # again"):
        assert not grammar.accepts(written)
        with pytest.raises(DecodeError, match="was tried already"):
            grammar.decode(written)
    assert len({grammar.hash, PROGRAM.grammar().hash, FreeProgram("f(x, y)").grammar().hash}) == 3
    assert grammar.hash == FreeProgram("f(x, y)", ("math", "numpy.linalg"), 100).grammar([other]).hash
    assert grammar.approximate
    for refused in (grammar.regex, grammar.gbnf, lambda: grammar.nth(0)):
        with pytest.raises(GrammarError, match="a free program cannot be"):
            refused()


def test_the_space_is_stored_and_sent_to_workers() -> None:
    described = space_json(PROGRAM.space)
    again = stored_space({"space": described, "space_hash": space_hash(described)})
    assert again.free_program == PROGRAM  # type: ignore[attr-defined]
    assert space_json(again) == described
    assert space_hash(space_json(FreeProgram("f(x, y)", ("math",), 100).space)) != space_hash(described)
    sent = pickle.loads(pickle.dumps(PROGRAM))
    assert sent == PROGRAM
    assert sent.render({"source": SOURCE}) == SOURCE


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"signature": "f(x)", "import": []}, "unknown setting of a free program 'import'"),
        ({"imports": []}, "there is no signature"),
        ({"signature": 3}, "signature cannot be 3"),
        ({"signature": "f(x)", "imports": "math"}, "imports cannot be 'math'"),
        ({"signature": "f(x)", "imports": [1]}, "imports cannot be"),
        ({"signature": "f(x)", "max_tokens": 1.5}, "max_tokens cannot be 1.5"),
        ({"signature": "f(x)", "max_tokens": 8}, "max_tokens cannot be 8"),
        ({"signature": "f(x)", "max_tokens": True}, "max_tokens cannot be True"),
    ],
)
def test_definitions_that_are_none(item: dict[str, Any], said: str, tmp_path: Path) -> None:
    """In a file, and in a study file that somebody has changed."""
    space = {"hyperparameters": [{"type": "free_program", "name": "source", **item}], "conditions": []}
    with pytest.raises(SpaceError, match=said):
        space_from_json(json.dumps(space))
    file = tmp_path / "a.free"
    file.write_text(
        "\n".join(f"{key} = {json.dumps(value)}" for key, value in item.items()), encoding="utf-8"
    )
    with pytest.raises(SpaceError, match=said) as refused:
        free_program(file)
    assert "a.free" in refused.value.message or "max_tokens" in refused.value.message


@pytest.mark.parametrize(
    "signature",
    [
        "f",
        "f(x",
        "f(x=1)",
        "f(*x)",
        "f(x: int)",
        "1(x)",
        "f(x,  y)",
        "f(x):\n import os\ndef g(y)",
        "f(x, x)",
        "f(x=" + "-" * 100_000 + "1)",
        "f(x=" + "1+" * 100_000 + "1)",
    ],
)
def test_signatures_that_are_none(signature: str) -> None:
    with pytest.raises(SpaceError, match="is not the signature of a function"):
        FreeProgram(signature)


@pytest.mark.parametrize("module", ["", "a b", "a;import os", ".a", "a.", "__main__", "a.__b__"])
def test_modules_that_are_none(module: str) -> None:
    with pytest.raises(SpaceError, match="is not the name of a module"):
        FreeProgram("f(x)", (module,))


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "taxi.free"
    file.write_text(
        'signature = "f(x, y)"\nimports = ["math", "numpy.linalg"]\nmax_tokens = 100\n', encoding="utf-8"
    )
    assert free_program(file) == PROGRAM
    file.write_text('signature = "f(x)', encoding="utf-8")
    with pytest.raises(SpaceError, match="cannot read the free program"):
        free_program(file)
    with pytest.raises(SpaceError, match=r"cannot read the free program(?s:.*)check the path"):
        free_program(tmp_path / "none.free")


def test_free_programs_stand_alone_in_a_space() -> None:
    described = space_json(PROGRAM.space)
    described["hyperparameters"].append({"type": "constant", "name": "c", "value": 1})
    with pytest.raises(SpaceError, match="a search space of its own"):
        space_from_json(json.dumps(described))


def test_ast_agrees() -> None:
    """The normal form means the same: its tree is that of what was written."""
    written = (
        "def f(x, y):\n    a = {'k': [i for i in x if i > 1]}\n    return lambda z: (a, y if z else -1)\n"
    )
    assert ast.dump(ast.parse(PROGRAM.decode(written)["source"])) == ast.dump(ast.parse(written))
