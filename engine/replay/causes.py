"""What differs between the machine and model of a recording and those at hand, and what it means for a replay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airtune.engine.manifest import hardware, study_versions

_SETTINGS = {
    "dtype": "another dtype",
    "threads": "another number of threads",
    "prefix_block": "another block size",
    "device": "another device",
    "mask_engine": "another mask engine",
}
# A change of these is a change of the model itself: what it answers is then another model's answer.
OTHER_MODEL = ("other weights", "another tokenizer", "another model configuration")


@dataclass(frozen=True, slots=True)
class Difference:
    """One entry of a manifest that is not what it was.

    Attributes:
        cause: What that is, in words: "other weights".
        key: The entry: "model.files.model.safetensors".
        recorded: Its value in the recording.
        now: Its value here; None if there is none.
    """

    cause: str
    key: str
    recorded: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.cause}: {self.key} {_short(self.recorded)}, now {_short(self.now)}"


def differences(recorded: Mapping[str, Any], model: Mapping[str, Any] | None) -> list[Difference]:
    """How this machine and model differ from those of a study's manifest.

    Args:
        recorded: The study's manifest.
        model: The manifest of the model at hand; None compares packages and hardware only.
    """
    now: dict[str, Any] = {"versions": study_versions(), "hardware": hardware()}
    if model is not None:
        now["model"] = model
    return [
        Difference(cause, ".".join(key), before, after)
        # Not of a study without a model.
        for part in now
        if isinstance(recorded.get(part), Mapping)
        for key, before, after in _differing({part: recorded[part]}, {part: now[part]})
        if (cause := _cause(key)) is not None
    ]


def compared(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    """How two manifests differ, in whatever entry."""
    return [
        Difference(_cause(key) or f"another {key[0]}", ".".join(key), before, after)
        for key, before, after in _differing(a, b)
    ]


def explained(differing: Sequence[Difference]) -> str:
    """The differences as one cause: each kind once, with its first entry."""
    kinds: dict[str, list[Difference]] = {}
    for one in differing:
        kinds.setdefault(one.cause, []).append(one)
    texts = []
    for cause, ones in kinds.items():
        more = f" and {len(ones) - 1} more" if len(ones) > 1 else ""
        first = ones[0]
        texts.append(f"{cause} ({first.key} {_short(first.recorded)}, now {_short(first.now)}{more})")
    return "; ".join(texts)


def cause_of(
    trial: int,
    study: str,
    manifest: Mapping[str, Any],
    altered: Sequence[str],
    differing: Sequence[Difference],
    level: int,
) -> str:
    """Why a derived proposal diverges, as far as it can be told: edits that checksums show, then what differs.

    Args:
        trial: The first trial that diverges.
        study: Its study's name.
        manifest: That of the study.
        altered: Rows of the study that are not as they were written, in words: "trial 3".
        differing: What differs from the recorded machine and model.
        level: Of the replay.
    """
    own = {f"trial {trial}", f"the transcript of trial {trial}", f"the manifest of study {study!r}"}
    changed = [row for row in altered if row in own]
    before = [row for row in altered if row in {f"trial {i}" for i in range(trial)}]
    if changed:
        return f"{' and '.join(changed)}: changed after it was written (the checksum does not match)"
    if before:
        return (
            f"an edited history: {before[0]} was changed after it was written (the checksum does not match)"
        )
    if differing:
        return explained(differing)
    settings = (manifest.get("model") or {}).get("settings") or {}
    if level == 2 and settings.get("deterministic", "off") == "off":
        return (
            "the model was not run with deterministic=strict: its last bits depend on the company in a batch"
        )
    if level == 0 or manifest.get("model") is None:
        return "packages and hardware are the recorded ones: the history, the manifest or the proposal was edited"
    return (
        "weights, settings, packages and hardware are the recorded ones: the study file was edited, "
        "or this machine does not compute the same twice"
    )


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """The entries that are not the same in both, each with its two values; None where there is none."""
    before, after = dict(_leaves(a, ())), dict(_leaves(b, ()))
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            yield key, before.get(key), after.get(key)


def _leaves(value: Any, key: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, (*key, str(name)))
    else:
        yield key, value


def _cause(key: tuple[str, ...]) -> str | None:
    """What a change of the entry is, or None where it has no part in what is proposed."""
    if "versions" in key[:2]:
        return "other package versions"
    if "hardware" in key[:2]:
        return "other hardware"
    if key[:2] == ("model", "files"):
        file = key[-1]
        if file.endswith(".safetensors"):
            return "other weights"
        if file.startswith(
            ("tokenizer", "vocab", "merges", "special_tokens", "added_tokens", "chat_template")
        ):
            return "another tokenizer"
        return "another model configuration"
    if key[:2] == ("model", "settings"):
        return _SETTINGS.get(key[2] if len(key) > 2 else "", "other settings")
    if key[0] == "model":
        # The size is that of the files.
        unimportant = ((), ("model",), ("weights",), ("weights_bytes",))
        return None if key[1:] in unimportant else f"another {key[1]}"
    return None


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."
