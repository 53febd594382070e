"""What commands and evaluations know of a sandbox; `engine.sandbox.command.Sandbox` is one."""

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
    """Where commands run that nobody vouches for; `airtune.engine.Sandbox` is one."""

    def check(self) -> None:
        """Raise an AirtuneError if it cannot be had on this machine."""

    def hiding(self, *paths: str) -> CommandSandbox:
        """The same, in which these files cannot be seen."""

    def described(self) -> dict[str, Any]:
        """What a study's manifest says of it."""

    def run(self, argv: Sequence[str], environment: Mapping[str, str], timeout_s: float | None) -> Ran:
        """Run a command in it."""
