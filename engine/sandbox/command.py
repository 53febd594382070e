"""The sandbox as commands are run in: what `Evaluation(sandbox=...)` and `airtune tune --sandbox` take."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from airtune.engine.sandbox.ended import Ended
from airtune.engine.sandbox.layers import require
from airtune.engine.sandbox.limits import Limits
from airtune.engine.sandbox.run import run_sandboxed


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Runs the commands of a study in the sandbox.

    A command sees the system, its Python environment, and the folder that the study is run in, all of them read-only;
    of the folder neither study files nor what begins with a dot. It may write to its scratch folder ($HOME, $TMPDIR),
    which is gone after the trial. It has no network and no GPU.

    Attributes:
        limits: Of each trial.
        readable: Further files and folders that it may read, such as data.
        hidden: Files that it may not see wherever they lie; a study adds its own.
    """

    limits: Limits = field(default_factory=Limits)
    readable: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise a SandboxError if a layer of the sandbox is missing on this machine."""
        require()

    def hiding(self, *paths: str) -> Sandbox:
        """The same, with further files hidden."""
        return replace(self, hidden=(*self.hidden, *paths))

    def described(self) -> dict[str, Any]:
        """What a study's manifest says of it; no paths."""
        return {"sandbox": "bubblewrap", "sandbox_limits": asdict(self.limits)}

    def run(self, argv: Sequence[str], environment: Mapping[str, str], timeout_s: float | None) -> Ended:
        """Run a command in the folder that this process is in.

        Raises:
            SandboxError: If a layer of the sandbox is missing; the command has then not been run.
        """
        limits = self.limits
        if timeout_s is not None and timeout_s < limits.time_s:
            limits = replace(limits, time_s=timeout_s)
        return run_sandboxed(
            argv,
            limits=limits,
            folder=os.getcwd(),
            environment=environment,
            readable=self.readable,
            hidden=self.hidden,
        )
