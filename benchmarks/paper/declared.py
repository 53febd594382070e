"""The declared plans in words: what `airtune bench paper --plan` prints, and docs/project/preregistration.md holds."""

from __future__ import annotations

from collections.abc import Sequence

from airtune.benchmarks.paper.plans import MODELS, PAPER
from airtune.benchmarks.paper.protocol import Arm, Claim, Part


def plans_markdown(parts: Sequence[Part]) -> str:
    """The plans of some parts as Markdown."""
    head = f"Language models, where an arm names no others: {_listed(MODELS)}. The paper is {PAPER}."
    return "\n\n".join([head, *(_part(part) for part in parts)]) + "\n"


def _part(part: Part) -> str:
    lines = [
        f"### `{part.name}`: {part.title}",
        "",
        f"- **Question**: {part.question}",
        f"- **The paper**: {part.paper} {'; '.join(map(_claim, part.claims))}.",
        "- **Models**: of those above the ones that speak chat." if part.speech == "chat" else "",
        *(_arm(arm, part) for arm in part.arms),
        f"- **Lead**: `{part.lead}` of the first model in the first arm." if part.name != "validity" else "",
        f"- **Success**: {part.success}.",
        f"- **Tests**: {part.tests}.",
        f"- **Departs from the paper**: {part.departs}" if part.departs else "",
    ]
    return "\n".join(line for i, line in enumerate(lines) if line or i == 1)


def _claim(claim: Claim) -> str:
    if claim.low is None:
        return f"{claim.words} (no figure; {claim.source})"
    if claim.low == 0 and not claim.unit:
        return f"{claim.words}: none told ({claim.source})"
    high = f" to {claim.high:g}" if claim.high is not None else ""
    return f"{claim.words} {claim.low:g}{high}{f' {claim.unit}' if claim.unit else ''} ({claim.source})"


def _arm(arm: Arm, part: Part) -> str:
    noise = f", noise {arm.noise}" if arm.noise else ""
    models = f", models {_listed(arm.models)}" if arm.models else ""
    what = "prompts" if part.name == "validity" else "methods"
    looks = ", ".join(map(str, arm.looks))
    return (
        f"- **Arm {arm.name}**: suite `{arm.suite}`, {arm.budget} evaluations (looked at after {looks}), "
        f"{arm.seeds} seed{'s' if arm.seeds > 1 else ''}{models}{noise}; {what} {_listed(arm.methods)}"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
