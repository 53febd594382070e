"""The sandbox as commands and programs are run in: what `Evaluation(sandbox=...)` and `airtune tune --sandbox` take."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from airtune.engine.sandbox.ended import Ended
from airtune.engine.sandbox.layers import require
from airtune.engine.sandbox.limits import Limits
from airtune.engine.sandbox.python import run_python
from airtune.engine.sandbox.run import run_sandboxed


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Runs the commands, or the programs, of a study in the sandbox.

    A command sees the system, its Python environment, and the folder that the study is run in, all of them read-only;
    of the folder neither study files nor what begins with a dot. A program of a program space sees no folder but what
    is `readable`. They may write to their scratch folder ($HOME, $TMPDIR), which is gone after the trial. They have no
    network and no GPU.

    Attributes:
        limits: Of each trial.
        readable: Further files and folders that it may read, such as data.
        hidden: Files that it may not see wherever they lie; a study adds its own.
        walls: False is the explicit choice of plain processes, which can do whatever their user can.
    """

    limits: Limits = field(default_factory=Limits)
    readable: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    walls: bool = True

    def check(self) -> None:
        """Raise a SandboxError if a layer of the sandbox is missing on this machine."""
        if self.walls:
            require()

    def hiding(self, *paths: str) -> Sandbox:
        """The same, with further files hidden."""
        return replace(self, hidden=(*self.hidden, *paths))

    def without_walls(self) -> Sandbox:
        """The explicit choice of none."""
        return replace(self, walls=False)

    def described(self) -> dict[str, Any]:
        """What a study's manifest says of it; no paths."""
        if not self.walls:
            return {"sandbox": "none"}
        return {"sandbox": "bubblewrap", "sandbox_limits": asdict(self.limits)}

    def run(self, argv: Sequence[str], environment: Mapping[str, str], timeout_s: float | None) -> Ended:
        """Run a command in the folder that this process is in.

        Raises:
            SandboxError: If a layer of the sandbox is missing; the command has then not been run.
        """
        return run_sandboxed(
            argv,
            limits=self._within(timeout_s),
            folder=os.getcwd(),
            environment=environment,
            readable=self.readable,
            hidden=self.hidden,
        )

    def call(
        self, source: str, function: str, inputs: Mapping[str, Any], environment: Mapping[str, str]
    ) -> tuple[Ended, dict[str, Any]]:
        """Call a function of a program's source in an empty folder; see `run_python`.

        Raises:
            SandboxError: If a layer of the sandbox is missing; the program has then not been run.
        """
        return run_python(
            source,
            inputs,
            function=function,
            limits=self.limits,
            readable=self.readable,
            hidden=self.hidden,
            environment=environment,
            walls=self.walls,
        )

    def _within(self, timeout_s: float | None) -> Limits:
        if timeout_s is None or timeout_s >= self.limits.time_s:
            return self.limits
        return replace(self.limits, time_s=timeout_s)
