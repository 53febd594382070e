"""Which study it is: the same one that goes on, or another one beside it that its user may not have meant to begin."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from airtune.engine.storage.study_file import StudyRecord
from airtune.engine.types import StoreError

# A study is resumed only where these are the same; versions may differ, and are stored.
IDENTITY = ("task", "space_hash", "proposer", "temperature", "seed", "model_hash", "schedule", "first")
# What may be changed on the way without a thought of beginning anew: not the task, nor the seed.
_CHANGED = ("proposer", "model_hash", "temperature", "schedule", "first")
_WORDS = {
    "space_hash": "search space", "model_hash": "language model", "first": "list of configurations to try first",
}  # fmt: skip


class OtherStudiesError(StoreError):
    """A new study would begin from zero beside others of the same task, which may be what was meant.

    Attributes:
        others: Those.
        now: The manifest of the study that would begin.
    """

    others: tuple[StudyRecord, ...] = ()
    now: Mapping[str, Any] = {}


def default_name(manifest: Mapping[str, Any]) -> str:
    """The name of a study that was not given one: what it is, so that another one has another."""
    model, schedule = manifest.get("model"), manifest.get("schedule")
    parts = [manifest["task"], manifest["proposer"], *([model["model"]] if model else [])]
    parts += [f"seed={manifest['seed']}", *([schedule.replace(" ", "-")] if schedule else [])]
    return "/".join(map(str, parts))


def check_same_study(name: str, path: str, stored: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise a StoreError that names the field if the stored study is not the one that is about to go on."""
    for field in IDENTITY:
        if _same(field, stored, now):
            continue
        # Of lm+gp and hybrid, earlier versions did not store which model they asked.
        if field in ("model_hash", "temperature") and stored.get(field) is None:
            continue
        shown = _WORDS.get(field, field)
        before, after = _shown(field, stored), _shown(field, now)
        raise StoreError(
            f"study {name!r} in {path!r} was begun with another {shown}: {before}, now {after}",
            value=after,
            allowed=f"the same {shown}: {before}",
            hint="use another file (path=) or another name (name=), or go back to what it was",
        )


def check_others(path: str, studies: Iterable[StudyRecord], now: Mapping[str, Any]) -> None:
    """Raise an OtherStudiesError if a study that is about to begin has others of its task, space and seed beside it."""
    others = tuple(
        one
        for one in studies
        if trial_count(one)
        and "comparison" not in one.manifest
        and all(_same(field, one.manifest, now) for field in IDENTITY if field not in _CHANGED)
    )
    if not others:
        return
    said = "; ".join(f"{_trials(trial_count(one))} under {_difference(one.manifest, now)}" for one in others)
    raised = OtherStudiesError(
        f"the study would begin from zero: of {now['task']!r}, {path!r} has {said}",
        value=[one.name for one in others],
        allowed="to go on with those trials, or to say that a new study begins",
        hint="go back to what it was, or say new=True",
    )
    raised.others, raised.now = others, now
    raise raised


def trial_count(study: StudyRecord) -> int:
    """How many trials it has, those without a result included."""
    return study.asked + study.told + study.failed


def differing(stored: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The fields that make a study another one than `now`, less those that follow from another one's difference."""
    fields = [field for field in IDENTITY if not _same(field, stored, now)]
    if "proposer" in fields and None in (stored.get("model_hash"), now.get("model_hash")):
        return [field for field in fields if field not in ("model_hash", "temperature")]
    return fields


def _same(field: str, stored: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a field is the same; who does not say what to try first goes on with what was said."""
    return stored.get(field) == now.get(field) or (field == "first" and now.get(field) is None)


def _difference(stored: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    return (
        " and ".join(
            f"another {_WORDS.get(field, field)} ({_shown(field, stored)}, now {_shown(field, now)})"
            for field in differing(stored, now)
        )
        or f"another name ({default_name(now)!r} has none)"
    )


def _trials(count: int) -> str:
    return "1 trial" if count == 1 else f"{count} trials"


def _shown(field: str, manifest: Mapping[str, Any]) -> str:
    if field == "model_hash" and manifest.get("model"):
        return f"{manifest['model'].get('model', 'unnamed')!r} ({str(manifest[field])[:12]})"
    if field == "schedule":
        return str(manifest.get(field) or "one trial at a time")
    if field == "first":
        shown = json.dumps(manifest.get(field) or "none")
        return shown if len(shown) <= 80 else f"{shown[:77]}..."
    return repr(manifest.get(field))[:60] if field != "space_hash" else str(manifest.get(field))[:12]
