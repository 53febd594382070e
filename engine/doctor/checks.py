"""One thing that `airtune doctor` tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried.

    Attributes:
        name: What.
        status: "ok"; "missing" if it is optional and not here; "failed" if the main job needs it.
        detail: What was found.
        fix: What to do about it, or None.
    """

    name: str
    status: Literal["ok", "missing", "failed"]
    detail: str
    fix: str | None = None
