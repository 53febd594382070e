"""What a part found: lines of figures beside the paper's and the control's, verdicts, tables; as compact JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from airtune.benchmarks.analysis.statistics import Estimate
from airtune.benchmarks.paper.protocol import Claim, Protocol

Verdict = Literal["better", "equal", "worse", "no figure"]
Worth = Literal["better", "no clear difference", "worse", ""]
DIGITS = 6  # significant, of all figures: fewer bytes, and no last bits


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of the paper and ours.

    Attributes:
        arm: The comparison.
        method: The method, as tables call it.
        what: What the figure is.
        ours: Ours, with its interval.
        paper: The paper's figure, or its range; None where it gives none.
        source: Where it has it.
        verdict: Ours beside the paper's.
        unit: Of the figures.
        against: What the control is, in words; empty where there is none.
        control: The same figure of the control.
        worth: Whether the method is better than its control.
        p: Of that test, with Holm's correction unless it is the primary one; None where it was not tested.
        lead: Whether the first screen is about it.
        lower_is_better: Whether less is better.
    """

    arm: str
    method: str
    what: str
    ours: Estimate
    paper: tuple[float, float] | None = None
    source: str = ""
    verdict: Verdict = "no figure"
    unit: str = "%"
    against: str = ""
    control: Estimate | None = None
    worth: Worth = ""
    p: float | None = None
    lead: bool = False
    lower_is_better: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts: its title, heads and rows; what is in the first column are names."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What a part found.

    Attributes:
        verdict: Of the part, by its own criterion of success.
        answer: The same in a sentence.
        lines: Its figures.
        tables: More of them.
        notes: What else there is to say, a sentence each.
        data: What its own figure is drawn from.
    """

    verdict: Verdict
    answer: str
    lines: tuple[Line, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)


def judged(ours: Estimate, claim: Claim) -> Verdict:
    """Ours beside the paper's figure: equal where that is in our interval, or its range meets it."""
    if claim.low is None or math.isnan(ours.low):
        return "no figure"
    low, high = claim.low, claim.low if claim.high is None else claim.high
    if ours.low <= high and ours.high >= low:
        return "equal"
    return "better" if (ours.low > high) != claim.lower_is_better else "worse"


def of_claim(claim: Claim, ours: Estimate, **more: Any) -> Line:
    """A line of a claim and our figure."""
    paper = None if claim.low is None else (claim.low, claim.low if claim.high is None else claim.high)
    return Line(
        what=claim.words, ours=ours, paper=paper, source=claim.source, verdict=judged(ours, claim), unit=claim.unit,
        lower_is_better=claim.lower_is_better, **more,
    )  # fmt: skip


def result_json(protocol: Protocol, result: Result, provenance: Mapping[str, Any]) -> str:
    """All of it as a JSON document; the same for the same studies, whatever interrupted them."""
    part = asdict(protocol.part)
    document = {
        "part": part.pop("name"),
        "plan": part,
        "models": list(protocol.models),
        "departures": list(protocol.departures),
        "command": protocol.command,
        **asdict(result),
        "provenance": provenance,
    }
    return json.dumps(_compact(document), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _compact(value: Any) -> Any:
    if isinstance(value, float):
        return None if not math.isfinite(value) else float(f"{value:.{DIGITS}g}")
    if isinstance(value, Mapping):
        return {str(key): _compact(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_compact(one) for one in value]
    return value
