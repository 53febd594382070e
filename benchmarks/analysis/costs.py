"""What a comparison's models took: tokens, seconds, money, and what they said that could not be used."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from airtune.benchmarks.analysis.table import Table
from airtune.engine.storage.opening import study_file
from airtune.engine.storage.study_file import StudyFile
from airtune.engine.storage.usage import study_usage


@dataclass(slots=True)
class Costs:
    """Sums over all studies of one method; None where a server did not tell.

    Attributes:
        method: The method.
        proposals: Trials.
        said: Those among them that the model was asked for (a default, or a fallback, costs nothing).
        prompt_tokens: Of all prompts, repeated attempts and thoughts included where they are known.
        answer_tokens: Generated tokens, those that the grammar forced and those of thoughts included.
        thought_tokens: Those of thoughts alone.
        seconds: Of proposing; those of a batch are shared out evenly.
        median_s: Their median over the proposals that the model was asked for; None where there is none.
        cost: Money, or None where no price is known.
        currency: Of `cost`.
        violations: Proposals that the study's own check refused.
        rejected: Answers that were turned down before one was accepted.
        repeats: Those of them that had been tried already.
        collisions: Trials whose configuration another seed of the method tried at the same number: how far the
            seeds are one search.
    """

    method: str
    proposals: int = 0
    said: int = 0
    prompt_tokens: int | None = 0
    answer_tokens: int | None = 0
    thought_tokens: int | None = 0
    seconds: float = 0.0
    median_s: float | None = None
    cost: float | None = 0.0
    currency: str = ""
    violations: int = 0
    rejected: int = 0
    repeats: int = 0
    collisions: int = 0

    def add(self, manifest: Mapping[str, Any], transcripts: Iterable[Mapping[str, Any]]) -> None:
        """Count a study's transcripts."""
        seen = list(transcripts)
        self.said += len(seen)
        for transcript in seen:
            answers = transcript.get("samples") or [transcript, *transcript.get("rejected", ())]
            for one in answers:
                thought = (one.get("details") or {}).get("thought")
                self.thought_tokens = _sum(self.thought_tokens, _length(thought) if thought else 0)
            self._reject(transcript)
        usage = study_usage(manifest, seen)
        if usage is None:
            for transcript in seen:
                self._count(transcript)
            return
        self.prompt_tokens = _sum(self.prompt_tokens, usage.prompt_tokens)
        self.answer_tokens = _sum(self.answer_tokens, usage.completion_tokens)
        self.cost, self.currency = _sum(self.cost, usage.cost), usage.currency or self.currency

    def _count(self, transcript: Mapping[str, Any]) -> None:
        """A local model's tokens; samples share one prompt, and how long each of them was is not kept."""
        for one in [transcript, *transcript.get("rejected", ())]:
            for phase in (one, (one.get("details") or {}).get("thought") or {}):
                self.prompt_tokens = _sum(self.prompt_tokens, phase.get("prompt_tokens", 0))
                self.answer_tokens = _sum(self.answer_tokens, _length(phase) if phase else 0)
        if transcript.get("samples"):
            self.answer_tokens = None
        if transcript.get("queries"):
            self.prompt_tokens = None

    def _reject(self, transcript: Mapping[str, Any]) -> None:
        """Answers that the proposer turned down, and those that the backend did before it."""
        details = transcript.get("details") or {}
        inner = [*details.get("rejected", ()), *details.get("rejected_by_backend", ())]
        rejected = [*transcript.get("rejected", ()), *inner]
        self.rejected += len(rejected)
        self.repeats += sum("tried" in str(one.get("reason")) for one in rejected if isinstance(one, Mapping))


def comparison_costs(
    path: Path, methods: tuple[str, ...], seeds: int | None = None, budget: int | None = None
) -> list[Costs]:
    """What every method took, in the order of `methods`.

    Args:
        path: The study file of a comparison, or its folder. It may hold more than is asked for here.
        methods: Those to look at.
        seeds: Their first so many seeds; None for all.
        budget: The first so many trials of each study; None for all. Violations are counted by study, not by trial.
    """
    made = {method: Costs(method) for method in methods}
    texts: dict[tuple[str, str, int, str], int] = {}
    seconds: dict[str, list[float]] = {method: [] for method in methods}
    with StudyFile(study_file(path), readonly=True) as file:
        for study in file.studies():
            what = study.manifest.get("comparison") or {}
            method = what.get("method")
            if method not in made or (seeds is not None and what["seed"] >= seeds):
                continue
            one = made[method]
            one.violations += study.violations
            last = math.inf if budget is None else budget
            transcripts = {i: said for i, said in file.transcripts(study.name).items() if i < last}
            for record in file.records(study.name):
                if record.trial.number >= last:
                    continue
                one.proposals += 1
                one.seconds += record.trial.proposal_s
                if record.trial.number in transcripts:
                    seconds[method].append(record.trial.proposal_s)
                key = (method, study.manifest["task"], record.trial.number, record.text)
                texts[key] = texts.get(key, 0) + 1
            one.add(study.manifest, transcripts.values())
    for method, took in seconds.items():
        made[method].median_s = median(took) if took else None
    for (method, *_), count in texts.items():
        made[method].collisions += count if count > 1 else 0
    return list(made.values())


def costs_table(costs: list[Costs], labels: Mapping[str, str]) -> Table:
    """The costs as a table, tokens and seconds per proposal that the model was asked for."""
    rows = []
    for one in costs:
        asked = max(1, one.said)
        rows.append(
            (
                labels.get(one.method, one.method),
                _each(one.prompt_tokens, asked) if one.said else "-",
                _each(one.answer_tokens, asked) if one.said else "-",
                _each(one.thought_tokens, asked) if one.said else "-",
                f"{one.seconds / max(1, one.proposals):.4f}",
                _money(one) if one.said else "-",
                str(one.violations),
                str(one.rejected),
                str(one.repeats),
                f"{100 * one.collisions / max(1, one.proposals):.1f}",
            )
        )
    columns = (
        "method", "prompt tokens", "answer tokens", "thought tokens", "seconds", "cost", "violations", "rejected",
        "repeats", "same %",
    )  # fmt: skip
    return Table.of_texts(
        "tokens and seconds per proposal; cost, violations, rejected answers and repeats in all",
        columns,
        rows,
    )


NOTES = (
    "Tokens: means over the proposals that the model was asked for. prompt tokens: of all its prompts, with reasoning "
    "of both phases; of a server, its own count, repeated attempts included. answer tokens: all that were generated, "
    "those that the grammar forced and those of thoughts included. ?: not told by the server, or not kept (the "
    "samples of lm+gp and lm+self that were not chosen, and the prompts by which lm+self asks for predictions).",
    "violations: proposals that the study's check refused, none of which is ever evaluated. rejected: answers that "
    "were turned down and asked again; repeats: those of them that had been tried already. same %: trials whose "
    "configuration another seed of the method tried at the same place. Language models behind one proposer share the "
    "seed of a study; all other methods have their own.",
)


def _length(one: Mapping[str, Any]) -> int | None:
    ids = one.get("token_ids")
    return None if ids is None else len(ids)


def _sum(a: Any, b: Any) -> Any:
    return None if a is None or b is None else a + b


def _each(total: int | None, count: int) -> str:
    return "?" if total is None else f"{total / count:.1f}"


def _money(one: Costs) -> str:
    if one.cost is None:
        return "?"
    return f"{one.cost:.4f} {one.currency}".rstrip() if one.cost and math.isfinite(one.cost) else "0"
