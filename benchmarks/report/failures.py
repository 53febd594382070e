"""Failed trials by their reasons, and what failed programs have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airtune.benchmarks.analysis.programs import always_with
from airtune.engine.cli.output import value_text
from airtune.engine.storage.study_file import TrialRecord
from airtune.engine.types import Trial
from airtune.grammars import ProgramSpace


def failures_by_reason(records: list[TrialRecord], programs: ProgramSpace | None) -> list[dict[str, Any]]:
    """Failed trials by their reasons, the most frequent first, each with the output of its last trial."""
    groups: dict[str, list[TrialRecord]] = {}
    for record in records:
        if record.trial.status == "failed":
            groups.setdefault((record.trial.reason or "no reason").partition("\n")[0][:200], []).append(
                record
            )
    return [
        {
            "reason": reason,
            "count": len(of),
            "numbers": ", ".join(str(one.trial.number) for one in of[:20]) + (", …" if len(of) > 20 else ""),
            "last": of[-1].trial.number,
            "log": of[-1].log[-2000:].strip(),
            "common": ""
            if programs is None
            else _in_common([one.trial for one in records], [one.trial.number for one in of], programs),
        }
        for reason, of in sorted(groups.items(), key=lambda group: -len(group[1]))
    ]


def _in_common(trials: Sequence[Trial], numbers: Sequence[int], programs: ProgramSpace) -> str:
    """What all of some failed programs have, and no program with a loss, in words; empty if that is nothing."""
    failed = [trial for trial in trials if trial.number in set(numbers)]
    told = [trial for trial in trials if trial.loss is not None]
    found = always_with(failed, told, programs.structure)[:3]
    return ", ".join(f"{name} = {value_text(value)}" for name, value in found)
