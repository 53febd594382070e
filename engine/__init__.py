"""airtune.engine: tasks, trials, proposers, studies and the study file.

Names are loaded when they are first used: the command line and the worker processes start without the rest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airtune.engine.evaluation.commands import command_objective
    from airtune.engine.evaluation.objectives import load_objective
    from airtune.engine.evaluation.pool import Evaluation
    from airtune.engine.evaluation.programs import Harness, ProgramData, program_task
    from airtune.engine.evaluation.result import TrialFailed
    from airtune.engine.minimization import minimize
    from airtune.engine.proposers import PROPOSERS, load_proposer
    from airtune.engine.sandbox.command import Sandbox
    from airtune.engine.sandbox.limits import Limits, SandboxError
    from airtune.engine.seeds import derive_seed
    from airtune.engine.state import StudyState
    from airtune.engine.storage.export import export_csv, export_jsonl
    from airtune.engine.storage.study_file import StudyFile
    from airtune.engine.study import Study
    from airtune.engine.types import (
        Asked,
        Event,
        Finished,
        Job,
        Proposal,
        Proposer,
        Proposing,
        Result,
        SpaceExhausted,
        Status,
        StoreError,
        StudyFileMoved,
        Task,
        TaskError,
        Trial,
    )

_HOME = {
    "Asked": "types",
    "Evaluation": "evaluation.pool",
    "Event": "types",
    "Finished": "types",
    "PROPOSERS": "proposers",
    "Harness": "evaluation.programs",
    "Job": "types",
    "ProgramData": "evaluation.programs",
    "Proposal": "types",
    "Proposer": "types",
    "Proposing": "types",
    "Limits": "sandbox.limits",
    "Result": "types",
    "Sandbox": "sandbox.command",
    "SandboxError": "sandbox.limits",
    "SpaceExhausted": "types",
    "Status": "types",
    "StoreError": "types",
    "Study": "study",
    "StudyState": "state",
    "StudyFile": "storage.study_file",
    "StudyFileMoved": "types",
    "Task": "types",
    "TaskError": "types",
    "Trial": "types",
    "TrialFailed": "evaluation.result",
    "command_objective": "evaluation.commands",
    "derive_seed": "seeds",
    "export_csv": "storage.export",
    "export_jsonl": "storage.export",
    "load_objective": "evaluation.objectives",
    "load_proposer": "proposers",
    "minimize": "minimization",
    "program_task": "evaluation.programs",
}

__all__ = [
    "PROPOSERS",
    "Asked",
    "Evaluation",
    "Event",
    "Finished",
    "Harness",
    "Job",
    "Limits",
    "ProgramData",
    "Proposal",
    "Proposer",
    "Proposing",
    "Result",
    "Sandbox",
    "SandboxError",
    "SpaceExhausted",
    "Status",
    "StoreError",
    "Study",
    "StudyFile",
    "StudyFileMoved",
    "StudyState",
    "Task",
    "TaskError",
    "Trial",
    "TrialFailed",
    "command_objective",
    "derive_seed",
    "export_csv",
    "export_jsonl",
    "load_objective",
    "load_proposer",
    "minimize",
    "program_task",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = found  # the next access finds it without coming here
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
