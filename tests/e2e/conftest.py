"""Runs the command line as a user does: in its own process, in an empty folder."""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SPACE = {
    "name": None,
    "hyperparameters": [
        {
            "type": "uniform_float",
            "name": "x",
            "lower": 0.0,
            "upper": 1.0,
            "default_value": 0.5,
            "log": False,
        },
        {"type": "uniform_int", "name": "n", "lower": 1, "upper": 64, "default_value": 8, "log": True},
    ],
    "conditions": [],
    "forbiddens": [],
    "python_module_version": "1.2.2",
    "format_version": 0.4,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        return json.loads(self.out)


class Folder:
    """An empty folder with a search space in it, and the command line run there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write("space.json", json.dumps(SPACE))

    def write(self, name: str, text: str) -> Path:
        """Put a file into the folder."""
        file = self.path / name
        file.write_text(text, encoding="utf-8")
        return file

    def command(self, *arguments: str) -> list[str]:
        """The command line as a list: the installed script, of the interpreter that runs the tests."""
        return [str(Path(sys.executable).parent / "airtune"), *arguments]

    def environment(self, **more: str) -> dict[str, str]:
        """This process's environment without what would change the output."""
        dropped = {"AIRTUNE_DEBUG", "COLUMNS", "PYTHONHASHSEED", "FORCE_COLOR", "NO_COLOR"}
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        return {**kept, "TERM": "dumb", **more}

    def airtune(
        self, *arguments: str, code: int | None = 0, environment: Mapping[str, str] | None = None
    ) -> Outcome:
        """Run `airtune ARGUMENTS` to its end and check its exit code (None: any)."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.path,
            env=self.environment(**(environment or {})),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding=(environment or {}).get("PYTHONIOENCODING", "utf-8"),
            errors="replace",  # exports are UTF-8 whatever the console is
            timeout=240,
            check=False,
        )
        outcome = Outcome(done.returncode, done.stdout, done.stderr)
        assert code is None or outcome.code == code, f"exit code {outcome.code}\n{outcome.out}\n{outcome.err}"
        return outcome

    def call(self, *arguments: str, code: int = 0) -> Outcome:
        """Run the command line within this process, for what is not about processes: quicker."""
        from airtune.engine.cli.app import main

        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
        with (
            self._own_imports(),
            contextlib.chdir(self.path),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as exited,
        ):
            main(arguments)
        out.flush()
        err.flush()
        shown = [stream.buffer.getvalue().decode() for stream in (out, err)]
        outcome = Outcome(int(str(exited.value.code)), *shown)
        assert outcome.code == code, f"exit code {outcome.code}\n{outcome.out}\n{outcome.err}"
        return outcome

    @contextlib.contextmanager
    def _own_imports(self) -> Iterator[None]:
        """Forget afterwards what was imported from here: the next folder may have a module of that name."""
        path = list(sys.path)
        try:
            yield
        finally:
            sys.path[:] = path
            for name, module in list(sys.modules.items()):
                if str(getattr(module, "__file__", None) or "").startswith(str(self.path)):
                    del sys.modules[name]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `airtune ARGUMENTS` in a process group of its own, its output piped."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.path,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def start_evaluating(self, *arguments: str) -> subprocess.Popen[str]:
        """As `start`, but return when the program that is tuned writes to "began", a fifo."""
        os.mkfifo(self.path / "began")
        fifo = os.open(self.path / "began", os.O_RDONLY | os.O_NONBLOCK)
        try:
            process = self.start(*arguments)
            if not select.select([fifo], [], [], 240)[0]:
                os.killpg(process.pid, signal.SIGKILL)
                pytest.fail(f"no evaluation began: {process.communicate()}")
            return process
        finally:
            os.close(fifo)


@pytest.fixture(scope="session")
def new_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Folder]:
    """Makes folders that outlive a test."""
    return lambda: Folder(tmp_path_factory.mktemp("folder"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty folder to run the command line in."""
    return Folder(tmp_path)
