"""`airtune tune --sandbox`: where a command runs that nobody vouches for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from airtune.engine.cli.options import SANDBOXES

if TYPE_CHECKING:
    from airtune.engine.sandbox.command import Sandbox


def chosen_sandbox(
    kind: str | None, settings: Sequence[str], command: str | None, timeout_s: float | None
) -> Sandbox | Literal["none"] | None:
    """The sandbox that the options describe, as `Evaluation` takes it; whatever it lacks is said before a study begins.

    Args:
        kind: Of --sandbox.
        settings: Of --sandbox-setting.
        command: Of --command, if there is one.
        timeout_s: Of --timeout: it is the sandbox's limit, too, and else there is the sandbox's own.

    Raises:
        AirtuneError: If they do not fit each other, or a layer of the sandbox is missing.
    """
    if kind is None and not settings:
        return None
    from airtune.engine.sandbox.command import Sandbox
    from airtune.engine.sandbox.limits import Limits, SandboxError, read_settings

    if kind not in (None, *SANDBOXES):
        raise SandboxError(
            f"sandbox {kind!r} is not known", value=kind, allowed="--sandbox, or --sandbox none", hint="--sandbox"
        )  # fmt: skip
    if kind is not None and command is None:
        raise SandboxError(
            "only commands run in the sandbox", value=kind, allowed="--sandbox with --command",
            hint="put the objective into a program that prints the loss: --command 'python train.py --lr {lr}'",
        )  # fmt: skip
    if settings and kind != SANDBOXES[0]:
        raise SandboxError(
            "--sandbox-setting was given without a sandbox", value=settings[0], allowed="with --sandbox",
            hint="add --sandbox",
        )  # fmt: skip
    if kind == "none":
        return "none"
    limits, readable = read_settings(settings, Limits() if timeout_s is None else Limits(time_s=timeout_s))
    made = Sandbox(limits, readable)
    made.check()
    return made
