"""Runs parts of the paper: each arm by the runner of all comparisons, then what was found as `result.json`.

Everything is resumable: the same command does what is missing. `result.json` depends on the studies alone; what took
how long is in `times.json`.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from airtune.benchmarks.analysis.comparison import Run
from airtune.benchmarks.measures.validity import Search
from airtune.benchmarks.paper import validity
from airtune.benchmarks.paper.compared import Compared, label
from airtune.benchmarks.paper.plans import ALIASES, MODELS, PARTS
from airtune.benchmarks.paper.protocol import Options, Part, Protocol, protocol_of
from airtune.benchmarks.paper.results import Result, result_json
from airtune.benchmarks.running.plan import Plan, check_plan
from airtune.benchmarks.running.runner import Progress, make_folder, run_suite
from airtune.engine.manifest import hardware, model_hash
from airtune.engine.storage.study_file import COMPARISON_FILE, StudyFile
from airtune.grammars import AirtuneError, write_file
from airtune.models.spec import parse_spec

RESULT, TIMES = "result.json", "times.json"
STUDIES = "studies"  # the folder beside those of the parts
_NAME = 100  # characters of a suite in a folder's name: a suite may be a long list of tasks
# Which module finds out what a part's arms say; `validity` measures answers of its own.
EVALUATED_BY = {
    "table1": "against_random",
    "table5": "against_random",
    **{
        name: name for name in ("cot", "prompts", "noise", "hybrid", "toy", "models", "contamination", "code")
    },
    "noise-cifar10": "noise",
}


@dataclass(frozen=True, slots=True)
class Done:
    """A part that was run.

    Attributes:
        protocol: As what.
        folder: Its folder.
        result: What was found.
        arms: Its comparisons, by name.
        searches: Of `validity`, by model.
    """

    protocol: Protocol
    folder: Path
    result: Result
    arms: Mapping[str, Compared] = field(default_factory=dict)
    searches: Mapping[str, list[Search]] = field(default_factory=dict)


def chosen_parts(names: list[str]) -> list[Part]:
    """The parts of these names; all if there is none.

    Raises:
        AirtuneError: If one of them is no part.
    """
    plain = [ALIASES.get(name, name) for name in names]
    for name in plain:
        if name not in PARTS:
            raise AirtuneError.unknown("part of the paper", name, [*PARTS, *ALIASES])
    return [PARTS[name] for name in dict.fromkeys(plain or PARTS)]


def checked_protocols(parts: list[Part], options: Options, jobs: int) -> list[Protocol]:
    """The parts as they are run; what is wrong is refused before the first trial of the first of them."""
    for name, value in {"budget": options.budget, "seeds": options.seeds}.items():
        if value is not None and value < 1:
            raise AirtuneError(f"{name} must be 1 or more, not {value}", value=value, allowed="1, 2, ...")
    protocols = [protocol_of(part, MODELS, options) for part in parts]
    for protocol in protocols:
        _check(protocol, jobs)
    return protocols


def possible_protocols(options: Options, jobs: int, say: Callable[[str, str], None]) -> list[Protocol]:
    """All parts that can be run here; of each other one its name and the reason are said.

    Raises:
        AirtuneError: If none can be run.
    """
    found, refused = list[Protocol](), list[AirtuneError]()
    for part in PARTS.values():
        try:
            found += checked_protocols([part], options, jobs)
        except AirtuneError as error:
            say(part.name, error.message)
            refused.append(error)
    if not found:
        raise refused[0]
    return found


def _check(protocol: Protocol, jobs: int) -> None:
    for model in protocol.models if protocol.part.name == "validity" else ():
        parse_spec(model).check()
    for plan in protocol.plans().values() if protocol.part.name != "validity" else ():
        check_plan(plan, jobs)


def run_part(
    protocol: Protocol,
    folder: Path,
    *,
    jobs: int = 2,
    take_over: bool = False,
    on_progress: Callable[[str, Progress], None] | None = None,
    on_answers: Callable[[list[Search]], None] | None = None,
) -> Done:
    """Run what is missing of a part, and write what was found.

    Arms on the same tasks share a study file beside the folders of the parts, so what another part has run is not run
    again. What is found of a part depends on its own studies alone.

    Args:
        protocol: What to run.
        folder: Of the part; made if need be.
        jobs: Processes.
        take_over: See `run_suite`.
        on_progress: Called with the name of the arm that is run and how far it is.
        on_answers: Called with the searches of `validity` after each of their steps.
    """
    if protocol.part.name == "validity":
        searches, manifests = validity.measured(
            protocol, folder, None if on_answers is None else lambda s: on_answers(list(s))
        )
        done = Done(protocol, folder, validity.evaluate(protocol, searches), searches=searches)
        provenance = _provenance(manifests)
    else:
        arms = {}
        for arm in protocol.part.arms:
            plan = protocol.plans()[arm.name]
            where = folder.parent / STUDIES / studies_folder(plan)
            say = None if on_progress is None else _about(arm.name, on_progress)
            runs = run_suite(plan, where, jobs=jobs, take_over=take_over, on_progress=say)
            arms[arm.name] = Compared(arm, plan, tuple(runs), where)
        evaluate = import_module(f"airtune.benchmarks.paper.{EVALUATED_BY[protocol.part.name]}").evaluate
        done = Done(protocol, folder, evaluate(protocol, arms), arms)
        make_folder(folder)
        provenance = _provenance([manifest for one in arms.values() for manifest in _asked(one)])
        times = {one.arm.name: _times(one.runs) for one in arms.values()}
        write_file(folder / TIMES, (json.dumps(times, indent=1) + "\n").encode())
    write_file(folder / RESULT, result_json(protocol, done.result, provenance).encode())
    return done


def _about(arm: str, on_progress: Callable[[str, Progress], None]) -> Callable[[Progress], None]:
    return lambda progress: on_progress(arm, progress)


def studies_folder(plan: Plan) -> str:
    """The name of the folder of a comparison's studies: of its tasks, and of the noise on their losses.

    >>> studies_folder(Plan("moved/original-mlp", ("random",))), studies_folder(Plan("toy", (), noise="U(0.9,1.1)"))
    ('moved-original-mlp', 'toy-noise-U-0.9-1.1')
    """
    name = plan.suite if plan.noise is None else f"{plan.suite}-noise-{plan.noise}"
    plain = re.sub(r"[^A-Za-z0-9.@=]+", "-", name).strip("-")
    return (
        plain if len(plain) <= _NAME else f"{plain[:_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    )


def _asked(arm: Compared) -> list[Mapping[str, Any]]:
    """The manifests of the language models that an arm's studies asked."""
    with StudyFile(arm.folder / COMPARISON_FILE, readonly=True) as file:
        manifests = [study.manifest for study in file.studies(verify=False)]
    return [
        one["model"]
        for one in manifests
        if one["comparison"]["method"] in arm.plan.methods
        and one["comparison"]["seed"] < arm.plan.seeds
        and one.get("model")
    ]


def _provenance(manifests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a part was made with: commit, version, machine, models by hash."""
    models = {
        f"{model.get('backend')}:{model.get('model')} ({model.get('dialect')})": model_hash(model)
        for model in manifests
    }
    return {
        "version": version("airtune"),
        "commit": source_commit(),
        "machine": hardware(),
        "models": dict(sorted(models.items())),
    }


def source_commit() -> str | None:
    """The commit of the source, marked where files of it are changed; None where there is no repository."""
    here = Path(__file__).resolve().parent
    try:
        command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _times(runs: tuple[Run, ...]) -> dict[str, dict[str, float]]:
    """By method: seconds of all proposals, of one on average, and of all evaluations."""
    found: dict[str, list[tuple[float, float]]] = {}
    for run in runs:
        found.setdefault(label(run.method), []).extend(
            (t.proposal_s, t.evaluation_s or 0.0) for t in run.trials
        )
    return {
        method: {
            "proposing_s": round(sum(p for p, _ in pairs), 3),
            "proposal_s": round(sum(p for p, _ in pairs) / max(1, len(pairs)), 6),
            "evaluating_s": round(sum(e for _, e in pairs), 3),
        }
        for method, pairs in found.items()
    }
