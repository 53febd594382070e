"""What an objective uses of the user's `__main__`, as that of the worker and of the processes that it starts there.

The script itself is never run again: where it has no guard, it would begin a search of its own. So an objective's
functions and classes are found by name (pickle asks for that) wherever they came from: a script with or without
`if __name__ == "__main__"`, `python -c`, standard input, a notebook.
"""

from __future__ import annotations

import io
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

# Run by `multiprocessing` (spawn, forkserver) as the main module of the processes that it starts.
_SCRIPT = """\
from airtune.engine.evaluation.main_module import restored
globals().update(restored(__file__))
"""


class _Main(ModuleType):
    """Written to a file only when a process is about to be started, which is when its `__file__` is asked for."""

    def __init__(self, pickled: bytes, folder: str, names: dict[str, Any]) -> None:
        super().__init__("__main__")
        self.__dict__.update(names)
        self.__dict__["__airtune__"] = (pickled, folder)

    def __getattr__(self, name: str) -> Any:
        if name != "__file__":
            raise AttributeError(f"module '__main__' has no attribute {name!r}", name=name, obj=self)
        pickled, folder = self.__airtune__
        script = Path(folder, "main.py")
        script.with_suffix(".pickle").write_bytes(pickled)
        script.write_text(_SCRIPT, encoding="utf-8")
        self.__file__ = str(script)
        return self.__file__


def load(pickled: bytes, folder: str | None) -> Any:
    """The objective that was sent; with a folder to write into, what it uses of `__main__` becomes this process's."""
    objective, names = _read(pickled)
    if folder is not None:
        sys.modules["__main__"] = _Main(pickled, folder, names)
    return objective


def restored(script: str) -> dict[str, Any]:
    """The names of `__main__` in a process that the objective started."""
    return _read(Path(script).with_suffix(".pickle").read_bytes())[1]


def _read(pickled: bytes) -> tuple[Any, dict[str, Any]]:
    unpickler = pickle.Unpickler(io.BytesIO(pickled))  # one, whose second object may be part of the first
    return unpickler.load(), unpickler.load()
