"""Runs Python source in the sandbox: one function of it is called with values and arrays, and returns such."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from airtune.engine.sandbox.ended import Ended
from airtune.engine.sandbox.frames import pack, unpack
from airtune.engine.sandbox.limits import Limits
from airtune.engine.sandbox.plain import run_plain
from airtune.engine.sandbox.run import run_sandboxed

_FRAMES: Final = (Path(__file__).parent / "frames.py").read_text(encoding="utf-8")
# Its arguments: the descriptors of inputs and result. What the program does to this code only harms its own result.
_CALL: Final = """
def _call():
    import os, sys
    given, taken = map(int, sys.argv[1:])
    with os.fdopen(given, "rb") as file:
        inputs = unpack(file.read())
    source, name = inputs.pop("source"), inputs.pop("function")
    module = type(sys)("program")
    sys.modules["program"] = module
    exec(compile(source, "program.py", "exec"), module.__dict__)
    result = pack(getattr(module, name)(**inputs.pop("arguments"), **inputs))
    with os.fdopen(taken, "wb") as file:
        file.write(result)
_call()
"""


def run_python(
    source: str,
    inputs: Mapping[str, Any],
    *,
    function: str = "main",
    limits: Limits | None = None,
    readable: Sequence[str] = (),
    hidden: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
    walls: bool = True,
) -> tuple[Ended, dict[str, Any]]:
    """Call a function of a program in the sandbox, with this process's Python environment and an empty folder.

    Args:
        source: The program's text.
        inputs: The function's arguments by name: what JSON can hold, and NumPy arrays of numbers.
        function: Its name; it returns a mapping of the same kind.
        limits: Its bounds.
        readable: Files and folders that it may read.
        hidden: Files that it may not see, wherever they lie.
        environment: Of these variables it gets the harmless ones; by default of this process's.
        walls: False for a plain process, which can do whatever its user can; of its limits those of time, output and
            result hold. The call and what it returns are the same.

    Returns:
        How the run ended, and what the function returned; nothing if the run failed.

    Raises:
        SandboxError: If a layer of the sandbox is missing; the program has then not been run.

    Example: ``run_python("def main(n): return {'twice': 2 * n}", {"n": 4})`` gives ``{'twice': 8}`` beside the end.
    """
    arrays = {name: value for name, value in inputs.items() if hasattr(value, "dtype")}
    plain = {name: value for name, value in inputs.items() if name not in arrays}
    given = pack({"source": source, "function": function, "arguments": plain, **arrays})
    argv = [sys.executable, "-I", "-c", _FRAMES + _CALL]
    if walls:
        ended = run_sandboxed(
            [*argv, "3", "4"], limits=limits, environment=environment, readable=readable, hidden=hidden, inputs=given
        )  # fmt: skip
    else:
        ended = run_plain(argv, given, limits or Limits(), environment)
    if ended.kind is not None:
        return ended, {}
    try:
        return ended, unpack(ended.result)
    except ValueError as error:
        return replace(ended, kind="invalid result", reason=f"invalid result: {error}"), {}
