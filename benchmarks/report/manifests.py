"""What a study was, and the commands that do it again."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ConfigSpace import ConfigurationSpace

from airtune.engine.evaluation.commands import command_objective
from airtune.engine.types import TaskError

if TYPE_CHECKING:
    from airtune.benchmarks.running.plan import Plan

BUNDLED = ("toy/", "sklearn/", "hpobench/", "original/", "dev/", "unseen/", "moved/")


def comparison_commands(path: Path, plan: Plan) -> list[str]:
    """The commands that make the comparison again, and look into it."""
    command = ["airtune", "bench", plan.suite, "--proposers", ",".join(plan.methods)]
    if any("lm" in method for method in plan.methods):
        command += ["--models", plan.model]
    command += ["--noise", plan.noise] if plan.noise else []
    command += ["--budget", str(plan.budget), "--seeds", str(plan.seeds), "--out", "again"]
    return [
        _lines(command),
        "airtune report again",
        shlex.join(["airtune", "export", path.name, "--no-times", "-o", "studies.jsonl"]),
    ]


def study_commands(
    name: str, manifest: Mapping[str, Any], trials: int, *, of_programs: bool = False
) -> list[str]:
    """The commands that make the study again, and give what tells whether it is the same.

    Words in capitals stand for files of the user's own that the study does not know.
    """
    task, proposer = str(manifest["task"]), str(manifest["proposer"])
    command = ["airtune", "tune"]
    if task.startswith(BUNDLED):
        command.append(task)
    elif of_programs:
        command += _of_programs(task, manifest)
    elif " " in task or "{" in task:
        command += ["--space", "space.json", "--command", task]
    else:
        command += ["--space", "space.json", "--objective", task]
    command += ["--proposer", proposer]
    command += ["--noise", str(manifest["noise"])] if manifest.get("noise") else []
    command += ["--sandbox", "none"] if manifest.get("sandbox") == "none" else []
    model = manifest.get("model")
    if model:
        command += ["--model", str(model.get("model"))]
        if model.get("backend") not in (None, "transformers"):
            command += ["--backend", str(model["backend"])]
        if str(model.get("dialect")).startswith("code"):
            command += ["--dialect", str(model["dialect"])]
        if manifest.get("temperature") is not None:
            command += ["--temperature", str(manifest["temperature"])]
    command += ["--seed", str(manifest["seed"]), "--budget", str(trials)]
    schedule = str(manifest.get("schedule") or "")
    if schedule.startswith("batches of "):
        command += ["--jobs", schedule.removeprefix("batches of ")]
    elif schedule:  # whose results came in an order that no command repeats
        command.append("--async")
    command += ["--study", "again.airtune", "--study-name", name]
    return [_lines(command), "airtune export again.airtune --no-times | sha256sum"]


def _of_programs(task: str, manifest: Mapping[str, Any]) -> list[str]:
    """The options of a study over programs with data, or with a harness, of the user's own."""
    space, _, data = task.rpartition("/")
    if manifest.get("program_script") and re.fullmatch(r".*-[0-9a-f]{8}", data):
        score = str(manifest["metric"]).removeprefix("validation ")
        return ["--program-space", space, "--data", "FILE", "--target", "COLUMN", "--score", score]
    return ["--program-space", "FILE.space", "--command" if "{program}" in task else "--objective", task]


def configuration_command(task: str, config: Mapping[str, Any], space: ConfigurationSpace) -> str:
    """A configuration as a command line: the study's own command with it filled in, or an option for each value."""
    words = [
        w for name, v in config.items() for w in (f"--{name}", v if isinstance(v, str) else json.dumps(v))
    ]
    if " " in task or "{" in task:
        with contextlib.suppress(TaskError):  # a name of a Python objective may look like a command
            words = command_objective(task, space).argv(dict(config))
    return shlex.join(words)


def _lines(command: Sequence[str]) -> str:
    """A command line for a shell, broken before options so that it fits a narrow page."""
    words = [shlex.quote(word) for word in command]
    lines = [""]
    for i, word in enumerate(words):
        ahead = " ".join(words[i : i + 2]) if word.startswith("--") else word
        if word.startswith("--") and len(lines[-1]) + len(ahead) > 64:
            lines.append("   ")
        lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return " \\\n".join(lines)


def manifest_parts(manifests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the studies' manifests say of models and versions, and the first of them whole."""
    models: dict[str, Any] = {}
    versions: dict[str, set[str]] = {}
    for manifest in manifests:
        model = manifest.get("model")
        if model:
            models.setdefault(str(manifest.get("model_hash")), model)
        for part in (manifest.get("versions") or {}, (model or {}).get("versions") or {}):
            for package, version in part.items():
                versions.setdefault(str(package), set()).add(str(version))
    return {
        "models": [
            {
                "name": str(model.get("model")),
                "hash": key,
                "facts": [
                    (k, v) for k, v in model.items() if k not in {"files", "versions", "settings"} and v
                ],
                "settings": sorted((model.get("settings") or {}).items()),
                "files": sorted((model.get("files") or {}).items()),
            }
            for key, model in models.items()
        ],
        "versions": [(package, ", ".join(sorted(found))) for package, found in sorted(versions.items())],
        "first": json.dumps(manifests[0], indent=1, ensure_ascii=False) if manifests else "",
    }
