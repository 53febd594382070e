"""Studies beside one that is about to begin from zero, which its user may not have meant to begin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airtune.engine.manifest import IDENTITY, IN_WORDS, default_name, same, shown_entry
from airtune.engine.storage.study_file import StudyRecord
from airtune.engine.types import OtherStudiesError
from airtune.grammars.errors import counted

# What may be changed on the way without a thought of beginning anew: not the task, nor the seed.
_CHANGED = ("proposer", "model_hash", "temperature", "schedule", "first")


def check_others(path: str, studies: Iterable[StudyRecord], now: Mapping[str, Any]) -> None:
    """Raise an OtherStudiesError if a study that is about to begin has others of its task, space and seed beside it."""
    others = tuple(
        one
        for one in studies
        if one.trials
        and "comparison" not in one.manifest
        and all(same(field, one.manifest, now) for field in IDENTITY if field not in _CHANGED)
    )
    if not others:
        return
    said = "; ".join(
        f"{counted(one.trials, 'trial')} under {_difference(one.manifest, now)}" for one in others
    )
    raised = OtherStudiesError(
        f"the study would begin from zero: of {now['task']!r}, {path!r} has {said}",
        value=[one.name for one in others],
        allowed="to go on with those trials, or to say that a new study begins",
        hint="go back to what it was, or say new=True",
    )
    raised.others, raised.now = others, now
    raise raised


def differing(stored: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The fields that make a study another one than `now`, less those that follow from another one's difference."""
    fields = [field for field in IDENTITY if not same(field, stored, now)]
    follows = {"temperature"} if "model_hash" in fields else set()
    if "proposer" in fields and None in (stored.get("model_hash"), now.get("model_hash")):
        follows |= {"model_hash", "temperature"}
    return [field for field in fields if field not in follows]


def _difference(stored: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    return (
        " and ".join(
            f"another {IN_WORDS.get(field, field)} ({shown_entry(field, stored)}, now {shown_entry(field, now)})"
            for field in differing(stored, now)
        )
        or f"another name ({default_name(now)!r} has none)"
    )
