"""What objectives and evaluations know of a sandbox; `engine.sandbox.command.Sandbox` is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Ran(Protocol):
    """How a command ended in a sandbox: what it printed, and the reason if it failed."""

    @property
    def reason(self) -> str | None:
        """Why it failed, or None."""

    @property
    def out(self) -> bytes:
        """Its standard output."""

    @property
    def err(self) -> bytes:
        """Its standard error."""


class CommandSandbox(Protocol):
    """Where commands and programs run that nobody vouches for; `airtune.engine.Sandbox` is one."""

    @property
    def walls(self) -> bool:
        """False for one that is none, by its user's choice."""

    def check(self) -> None:
        """Raise an AirtuneError if it cannot be had on this machine."""

    def hiding(self, *paths: str) -> CommandSandbox:
        """The same, in which these files cannot be seen."""

    def without_walls(self) -> CommandSandbox:
        """The explicit choice of none: programs run as plain processes."""

    def described(self) -> dict[str, Any]:
        """What a study's manifest says of it."""

    def run(self, argv: Sequence[str], environment: Mapping[str, str], timeout_s: float | None) -> Ran:
        """Run a command in it."""

    def call(
        self, source: str, function: str, inputs: Mapping[str, Any], environment: Mapping[str, str]
    ) -> tuple[Ran, dict[str, Any]]:
        """Call a function of a program's source in it: how that ended, and what it returned."""


class RunsOthersCode(Protocol):
    """An objective whose configurations are run by programs: those can be put into a sandbox."""

    @property
    def sandbox(self) -> CommandSandbox | None:
        """Where they run where nothing else is chosen."""

    def __call__(self, config: dict[str, Any]) -> Any:
        """The loss, as of any objective."""

    def in_sandbox(self, sandbox: CommandSandbox | None) -> RunsOthersCode:
        """The same objective in another one, or outside of any."""
