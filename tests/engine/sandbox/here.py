"""Whether this machine has the sandbox."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airtune.engine.sandbox.layers import layers

NOBODY = 65534


def _may_become_nobody() -> bool:
    """False for the root of a user namespace that knows few users, where bubblewrap alone runs and the sandbox not."""
    users = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return os.geteuid() != 0 or any(
        int(first) <= NOBODY < int(first) + int(count) for first, _, count in users
    )


def _lacks() -> str:
    """Why the sandbox's tests cannot run here, or "".

    A sandbox that has all its layers and fails as a whole is a fault of ours: its tests then run, and fail.
    """
    missing = {
        one.name: f"sandbox {one.name}: {one.detail}; {one.fix}" for one in layers() if one.fix is not None
    }
    if set(missing) == {"whole"} and _may_become_nobody():
        return ""
    return next(iter(missing.values()), "")


LACKS = _lacks()
needs_sandbox = pytest.mark.skipif(bool(LACKS), reason=LACKS or "it is there")
