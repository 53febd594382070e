"""Task names `hpobench/{model}/{data set}[@option,...]`, and fidelity suffixes, which sklearn tasks share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from airtune.benchmarks.tasks.hpobench.data import DATASETS
from airtune.benchmarks.tasks.hpobench.models import Protocol
from airtune.benchmarks.tasks.hpobench.spaces import FIDELITIES, SPACES, Fidelity
from airtune.engine.types import TaskError


@dataclass(frozen=True, slots=True)
class TaskName:
    """An hpobench task's name, in parts.

    Attributes:
        model: A key of `SPACES`.
        dataset: A key of `DATASETS`.
        fidelity: The value of the model's fidelity; 0 where it has none.
        protocol: Which rows the model is fitted on.
        live: Whether every evaluation is to be computed, on the continuous space.
    """

    model: str
    dataset: str
    fidelity: int
    protocol: Protocol = "clean"
    live: bool = False

    def __str__(self) -> str:
        fidelity = FIDELITIES[self.model]
        options = []
        if fidelity is not None and self.fidelity != fidelity.full:
            options.append(f"{fidelity.name}={self.fidelity}")
        options += ["published"] * (self.protocol == "published") + ["live"] * self.live
        return f"hpobench/{self.model}/{self.dataset}" + ("@" + ",".join(options) if options else "")


def full_fidelity(model: str) -> int:
    """The value of a model's fidelity that is no reduction; 0 where it has none."""
    fidelity = FIDELITIES[model]
    return fidelity.full if fidelity is not None else 0


def read_fidelity(name: str, fidelity: Fidelity, text: str, others: Sequence[str] = ()) -> int:
    """The value in a suffix such as "trees=64".

    Args:
        name: The task's name, for the error.
        fidelity: What the suffix may set.
        text: The suffix.
        others: Further options that would be allowed in its place.

    Raises:
        TaskError: If it is anything else.
    """
    match = re.fullmatch(rf"{fidelity.name}=([1-9][0-9]{{0,5}})", text)
    if match is None or not fidelity.lowest <= int(match[1]) <= fidelity.full:
        number = f"{fidelity.name}=N with N from {fidelity.lowest} to {fidelity.full}"
        raise TaskError(
            f"task {name!r}: bad fidelity {text!r}",
            value=text,
            allowed=", ".join([number, *others]),
            hint=f"for example {name.partition('@')[0]}@{fidelity.name}={fidelity.lowest}",
        )
    return int(match[1])


def parse_name(name: str) -> TaskName:
    """Take a task's name apart. Options may come in any order; `str` of the result has them in the usual one.

    Raises:
        TaskError: If it is not the name of an hpobench task.
    """
    base, _, suffix = name.partition("@")
    first, *rest = base.split("/")
    if first != "hpobench" or len(rest) != 2:
        raise TaskError(
            f"task {name!r}: not an hpobench task",
            value=name,
            allowed="hpobench/MODEL/DATA, with or without @OPTION,OPTION",
            hint="for example hpobench/svm/credit-g",
        )
    model, dataset = rest
    for what, part, known in (("model", model, SPACES), ("data set", dataset, DATASETS)):
        if part not in known:
            raise TaskError.unknown(what, part, known, where=f"task {name!r}")
    fidelity = FIDELITIES[model]
    value, seen = full_fidelity(model), set()
    for option in suffix.split(",") if "@" in name else []:
        kind = option if option in ("published", "live") else "fidelity"
        if kind in seen:
            raise TaskError(
                f"task {name!r}: {kind} is given twice", value=suffix, hint="leave one of them out"
            )
        seen.add(kind)
        if kind != "fidelity":
            continue
        if fidelity is None:
            raise TaskError(
                f"task {name!r}: unknown option {option!r}; {model} has no fidelity",
                value=option,
                allowed="published, live",
                hint=f"use {base!r}, or {base + '@published'!r}",
            )
        value = read_fidelity(name, fidelity, option, ("published", "live"))
    return TaskName(model, dataset, value, "published" if "published" in seen else "clean", "live" in seen)
