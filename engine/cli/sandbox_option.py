"""`airtune tune --sandbox`: where a command or a program runs that nobody vouches for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from airtune.engine.cli.options import SANDBOXES

if TYPE_CHECKING:
    from airtune.engine.sandbox.command import Sandbox
    from airtune.engine.types import Task


def chosen_sandbox(
    kind: str | None, settings: Sequence[str], task: Task, timeout_s: float | None
) -> Sandbox | Literal["none"] | None:
    """The sandbox that the options describe, as `Evaluation` takes it; whatever it lacks is said before a study begins.

    Args:
        kind: Of --sandbox.
        settings: Of --sandbox-setting.
        task: What is evaluated. Programs of a program space run in the sandbox where nothing is said of it.
        timeout_s: Of --timeout: it is the sandbox's limit, too, and else there is the sandbox's own.

    Raises:
        AirtuneError: If they do not fit each other, or a layer of the sandbox is missing.
    """
    from airtune.engine.evaluation.pool import others_code

    runs = others_code(task.objective)
    own = None if runs is None else runs.sandbox
    if kind is None and not settings and (own is None or timeout_s is None):
        return None
    from airtune.engine.sandbox.command import Sandbox
    from airtune.engine.sandbox.limits import Limits, SandboxError, read_settings

    if kind not in (None, *SANDBOXES):
        raise SandboxError(
            f"sandbox {kind!r} is not known", value=kind, allowed="--sandbox, or --sandbox none", hint="--sandbox"
        )  # fmt: skip
    if kind is not None and runs is None:
        raise SandboxError(
            "only commands and programs run in the sandbox", value=kind,
            allowed="--sandbox with --command, or with programs",
            hint="put the objective into a program that prints the loss: --command 'python train.py --lr {lr}'",
        )  # fmt: skip
    if settings and kind != SANDBOXES[0] and (own is None or kind is not None):
        raise SandboxError(
            "--sandbox-setting was given without a sandbox", value=settings[0], allowed="with --sandbox",
            hint="add --sandbox",
        )  # fmt: skip
    if kind == "none":
        return "none"
    limits = own.limits if isinstance(own, Sandbox) else Limits()
    if timeout_s is not None:
        limits = replace(limits, time_s=timeout_s)
    limits, readable = read_settings(settings, limits)
    made = Sandbox(limits, readable)
    made.check()
    return made
