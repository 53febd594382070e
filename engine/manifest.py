"""What a study is: enough to tell whether it is the same one, and to say later how its results came about."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace

from airtune import grammars, models
from airtune.engine.types import Proposer, StoreError, Task
from airtune.grammars import SpaceError
from airtune.models import LanguageModel

# What can change a proposal; a model adds its own.
_PACKAGES = ("airtune", "ConfigSpace", "numpy", "optuna", "cmaes", "scipy", "smac")
# Instruction sets that numerical libraries choose their kernels by.
_INSTRUCTIONS = (
    "sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "asimd", "bf16", "sve",
)  # fmt: skip

# A study is resumed only where these are the same; versions may differ, and are stored.
IDENTITY = ("task", "space_hash", "proposer", "temperature", "seed", "model_hash", "schedule", "first",
            "sandbox", "noise")  # fmt: skip
IN_WORDS = {
    "space_hash": "search space", "model_hash": "language model", "first": "list of configurations to try first",
}  # fmt: skip


def study_manifest(
    task: Task,
    proposer: Proposer,
    seed: int,
    schedule: str | None = None,
    first: Sequence[Mapping[str, Any]] = (),
    sandbox: Mapping[str, Any] | None = None,
    noise: str | None = None,
) -> dict[str, Any]:
    """The manifest of a study, as JSON: no times, no paths of ours, so that equal studies have equal ones.

    Args:
        task: What is tuned.
        proposer: What proposes.
        seed: The study's seed.
        schedule: Which results a proposal sees, where that is not: all before it; see `evaluation.pool.Evaluation`.
        first: Configurations that are tried before anything is proposed.
        sandbox: What is said of the sandbox: its name under "sandbox", and its limits.
        noise: What is done to losses; see `evaluation.noise`.
    """
    model = language_model(proposer)
    described = None if model is None else model.manifest()
    space = space_json(task.space)
    script = getattr(task.objective, "program_script", None)  # of programs, for those who run one outside
    return {
        "task": task.name,
        "description": task.description,
        "metric": task.metric,
        "space": space,
        "space_hash": space_hash(space),
        "proposer": proposer.name,
        "temperature": _temperature(proposer),
        "seed": seed,
        **({} if schedule is None else {"schedule": schedule}),
        **({"first": json.loads(json.dumps([*first], default=_plain))} if first else {}),
        **(sandbox or {}),
        **({"program_script": script} if isinstance(script, str) else {}),
        **({} if noise is None else {"noise": noise}),
        "model": described,
        "model_hash": None if described is None else model_hash(described),
        "versions": study_versions(),
        "hardware": hardware(),
    }


def default_name(manifest: Mapping[str, Any]) -> str:
    """The name of a study that was not given one: what it is, so that another one has another."""
    model, schedule = manifest.get("model"), manifest.get("schedule")
    parts = [manifest["task"], manifest["proposer"], *([model["model"]] if model else [])]
    parts += [f"seed={manifest['seed']}", *([schedule.replace(" ", "-")] if schedule else [])]
    parts += [f"noise={manifest['noise']}"] if manifest.get("noise") else []
    return "/".join(map(str, parts))


def check_same_study(name: str, path: str, stored: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise a StoreError that names the field if the stored study is not the one that is about to go on."""
    for field in IDENTITY:
        if same(field, stored, now):
            continue
        shown = IN_WORDS.get(field, field)
        before, after = shown_entry(field, stored), shown_entry(field, now)
        raise StoreError(
            f"study {name!r} in {path!r} was begun with another {shown}: {before}, now {after}",
            value=after,
            allowed=f"the same {shown}: {before}",
            hint="use another file (path=) or another name (name=), or go back to what it was",
        )


def language_model(proposer: Proposer) -> LanguageModel | None:
    """The language model that a proposer asks, if it asks one."""
    model = getattr(_asking(proposer), "model", None)
    return model if isinstance(model, LanguageModel) else None


def model_hash(manifest: Mapping[str, Any]) -> str:
    """What tells one model from another: its files' hashes and its dialect; without files its settings."""
    what = {key: manifest.get(key) for key in ("files", "dialect", "backend")}
    if manifest.get("files"):
        del what["backend"]
    else:
        what["settings"] = manifest.get("settings")
    return _hash(what)


def space_json(space: ConfigurationSpace) -> dict[str, Any]:
    """The space in ConfigSpace's own JSON form, without what differs between equal spaces."""
    whole: dict[str, Any] = space.to_serialized_dict()
    kept = {
        key: value for key, value in whole.items() if key not in {"python_module_version", "name", "meta"}
    }
    plain: dict[str, Any] = json.loads(json.dumps(kept, default=_plain))
    return plain


def space_hash(described: Mapping[str, Any]) -> str:
    """SHA-256 of a space in the form of `space_json`."""
    return _hash(described)


def stored_space(manifest: Mapping[str, Any]) -> ConfigurationSpace:
    """The search space of a manifest.

    Raises:
        ValueError: If it is not the one that its hash belongs to.
    """
    from airtune.grammars import space_from_json

    try:
        space = space_from_json(json.dumps(manifest["space"]))
        found = space_hash(space_json(space))
    except SpaceError as error:
        raise ValueError(f"its search space cannot be rebuilt: {error!r}") from error
    if found != manifest["space_hash"]:
        raise ValueError("its search space is not the one that its hash belongs to")
    return space


def study_versions() -> dict[str, str]:
    """Versions of Python and of the packages that proposals depend on, of those that are installed."""
    found = {"python": platform.python_version(), "airtune source": _source_hash()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@lru_cache(maxsize=1)
def _source_hash() -> str:
    """What tells two states of Airtune's own code apart that have one version: all that proposals are made by."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for folder in (
        Path(next(iter(grammars.__path__))),
        Path(next(iter(models.__path__))),
        here / "proposers",
    ):
        for file in sorted(folder.rglob("*.py")):
            digest.update(f"{folder.name}/{file.relative_to(folder).as_posix()}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=1)
def hardware() -> dict[str, str]:
    """What of this machine can change the last bits of a sum: its processor and what that is able to do.

    Of an accelerator the model's own manifest tells.
    """
    found = {"machine": platform.machine(), "processor": platform.processor()}
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return found
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    flags = set(told.get("flags", told.get("Features", "")).split())
    return {
        "machine": found["machine"],
        "processor": told.get("model name", found["processor"]),
        "instructions": " ".join(flag for flag in _INSTRUCTIONS if flag in flags),
    }


def _asking(proposer: Proposer) -> object:
    """The part of a proposer that asks a language model: X of default+X, lm of lm+gp, lm+self and hybrid."""
    part: object = proposer
    while (inner := getattr(part, "inner", getattr(part, "lm", None))) is not None:
        part = inner
    return part


def _temperature(proposer: Proposer) -> float | None:
    temperature = getattr(_asking(proposer), "temperature", None)
    return None if temperature is None else float(temperature)


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, allow_nan=False, default=_plain)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _plain(value: object) -> object:
    """NumPy's scalars as Python's; whatever else a choice may be, by its repr."""
    return value.item() if hasattr(value, "item") else repr(value)


def same(field: str, stored: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a field is the same; who does not say what to try first goes on with what was said."""
    if field == "sandbox":
        return (stored.get(field) or "none") == (now.get(field) or "none")
    return stored.get(field) == now.get(field) or (field == "first" and now.get(field) is None)


def shown_entry(field: str, manifest: Mapping[str, Any]) -> str:
    """An entry of a manifest in a few words."""
    if field == "model_hash" and manifest.get("model"):
        return f"{manifest['model'].get('model', 'unnamed')!r} ({str(manifest[field])[:12]})"
    if field == "schedule":
        return str(manifest.get(field) or "one trial at a time")
    if field in ("sandbox", "noise"):
        return str(manifest.get(field) or "none")
    if field == "first":
        shown = json.dumps(manifest.get(field) or "none")
        return shown if len(shown) <= 80 else f"{shown[:77]}..."
    return repr(manifest.get(field))[:60] if field != "space_hash" else str(manifest.get(field))[:12]
