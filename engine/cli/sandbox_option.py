"""`airtune tune --sandbox`: where a command runs that nobody vouches for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from airtune.engine.sandbox.command import Sandbox

KINDS = ("bubblewrap", "none")
SANDBOX_HELP = (
    "Run the command where it can harm nothing (bubblewrap, seccomp, Landlock), or is refused: no network, only "
    "this folder to read, a scratch folder to write to. --sandbox none says that it is wanted without."
)
SANDBOX_SETTING_HELP = (
    "Of the sandbox: read=FOLDER (data), memory=8G, scratch=2G, processes=64, cpu=SECONDS; may be repeated."
)


def with_kind(args: Sequence[str]) -> list[str]:
    """The arguments with "bubblewrap" behind each --sandbox that has no value.

    >>> with_kind(["--sandbox", "--budget", "3"])
    ['--sandbox', 'bubblewrap', '--budget', '3']
    >>> with_kind(["--sandbox", "none"])
    ['--sandbox', 'none']
    """
    found: list[str] = []
    for word, after in zip(args, [*args[1:], "-"], strict=True):
        found += [word, *([KINDS[0]] if word == "--sandbox" and after.startswith("-") else [])]
    return found


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
    from airtune.engine.sandbox.command import Sandbox
    from airtune.engine.sandbox.limits import Limits, SandboxError, read_settings

    if kind not in (None, *KINDS):
        raise SandboxError(
            f"sandbox {kind!r} is not known", value=kind, allowed="--sandbox, or --sandbox none", hint="--sandbox"
        )  # fmt: skip
    if kind is not None and command is None:
        raise SandboxError(
            "only commands run in the sandbox", value=kind, allowed="--sandbox with --command",
            hint="put the objective into a program that prints the loss: --command 'python train.py --lr {lr}'",
        )  # fmt: skip
    if settings and kind != KINDS[0]:
        raise SandboxError(
            "--sandbox-setting was given without a sandbox", value=settings[0], allowed="with --sandbox",
            hint="add --sandbox",
        )  # fmt: skip
    if kind in (None, "none"):
        return None if kind is None else "none"
    limits, readable = read_settings(settings, Limits() if timeout_s is None else Limits(time_s=timeout_s))
    made = Sandbox(limits, readable)
    made.check()
    return made
