"""`airtune show STUDY --trial N --density`: the distribution of the answer that proposed a trial."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airtune.engine.cli.output import (
    config_text,
    encodable,
    print_json,
    print_lines,
    print_table,
    value_text,
)

if TYPE_CHECKING:
    from airtune.engine import StudyFile
    from airtune.engine.replay.inspect import TrialInspection
    from airtune.models.inspection.marginals import Density, Pair

_BLOCKS, _ASCII_BLOCKS = "▁▂▃▄▅▆▇█", "_.:-=+*#"
_SPARKS = 32
_LIKELIEST = 5


def show_density(
    file: StudyFile,
    name: str | None,
    number: int | None,
    *,
    output: Path | None,
    model: str | None,
    budget: int | None,
    as_json: bool,
) -> None:
    """Print the summary or the numbers, and write the figure.

    Args:
        file: The study file.
        name: The study; None for the only one.
        number: The trial; None is refused.
        output: The PNG file; None for one named after file and trial, none at all with `as_json`.
        model: Where the model is here, if not under its recorded name.
        budget: Prefixes of answers that may be read for one distribution; None for the default.
        as_json: Print the numbers as JSON.

    Raises:
        AirtuneError: See `airtune.engine.replay.inspect.Inspector`; or if the figure cannot be written.
    """
    from airtune.engine.replay.inspect import Inspector
    from airtune.grammars import AirtuneError
    from airtune.models.inspection.marginals import BUDGET

    if number is None:
        raise AirtuneError(
            "--density is about one trial", allowed="--trial N with it",
            hint=f"airtune show {file.path} lists the trials",
        )  # fmt: skip
    view = Inspector(file, name, model, BUDGET if budget is None else budget).inspect(number)
    if output is None and not as_json:
        output = Path(f"{Path(str(file.path)).stem}-trial-{number}-density.png")
    if output is not None:
        _save(view, output)
    if as_json:
        print_json(_document(view) | {"figure": None if output is None else str(output)})
        return
    _print(view)
    print_lines([f"figure: {output}"])


def _save(view: TrialInspection, output: Path) -> None:
    from airtune.benchmarks.report.density_figure import density_figure
    from airtune.benchmarks.report.style import save
    from airtune.grammars import AirtuneError

    if output.suffix.lower() != ".png":
        raise AirtuneError(
            f"{str(output)!r} is no PNG file", value=str(output), allowed="FILE.png", hint="choose --out"
        )
    try:
        save(lambda: density_figure(view), output)
    except OSError as error:
        raise AirtuneError.unwritable(output, error, "choose another --out") from error


def _print(view: TrialInspection) -> None:
    from airtune.grammars.errors import counted

    found = view.densities
    lines = [
        f"trial {view.trial.number} of study {view.study!r}: the distribution of {view.model}'s answer "
        f"after {counted(len(view.tried), 'trial')}, at temperature {view.temperature:g}",
        f"  answer         {config_text(view.answer)}",
    ]
    if dict(view.answer) != dict(view.trial.config):
        lines.append(f"  {view.origin} chose {config_text(view.trial.config)}")
    elif view.origin != "lm":
        lines.append(
            f"  {view.origin} chose it among several answers; the distribution is that of one answer"
        )
    print_lines(lines)
    headings = (
        "hyperparameter", "distribution", "bits", "answer", "its mass", "rank",
        "density, low to high; or the likeliest",
    )  # fmt: skip
    print_table("LlrrrrL", headings, [_row(view, density) for density in found.univariate])
    marginal = sum(density.marginal for density in found.univariate)
    print_lines(
        [
            f"exact, nothing sampled: {marginal} of {len(found.univariate)} distributions are marginal, the others "
            "are conditional on the values before them in the answer",
            f"{found.opened} prefixes of answers were read, at most {found.budget} for one distribution "
            "(--density-budget: a larger one makes more of them marginal)",
            *(f"not drawn, for want of budget: {a} with {b}" for a, b in found.missing),
        ]
    )


def _row(view: TrialInspection, density: Density) -> tuple[str, ...]:
    kind = ["marginal" if density.marginal else f"given {len(density.given)}"]
    kind += [f"{density.inactive:.0%} inactive"] if density.inactive >= 0.005 else []
    kind += [f"{density.unresolved:.1%} not resolved"] if density.unresolved >= 0.0005 else []
    answered = "-" if density.name not in view.answer else value_text(view.answer[density.name])
    size = view.densities.grammar.lattice.axes[density.level].size
    chosen = ("-", "-")
    if density.chosen is not None:
        chosen = (f"{density.of(density.chosen):.2g}", f"{density.rank} of {size}")
    return density.name, ", ".join(kind), f"{density.entropy:.2f}", answered, *chosen, _shape(view, density)


def _shape(view: TrialInspection, density: Density) -> str:
    """A line of blocks for a number; for choices, those that are likeliest."""
    from airtune.models.inspection.bins import Bins

    bins = Bins(view.densities.grammar, density.level, _SPARKS)
    if bins.labels is not None:
        ranked = sorted(zip(density.mass, _values(view, density), strict=True), key=lambda pair: -pair[0])
        rest = f", {len(ranked) - _LIKELIEST} more" if len(ranked) > _LIKELIEST else ""
        return ", ".join(f"{value} {mass:.2g}" for mass, value in ranked[:_LIKELIEST]) + rest
    height = bins.masses(density.indices, density.mass) / (bins.edges[1:] - bins.edges[:-1])
    peak = height.max(initial=0.0) or 1.0
    blocks = _BLOCKS if encodable(_BLOCKS) else _ASCII_BLOCKS
    return "".join(blocks[min(7, int(8 * value / peak))] for value in height)


def _values(view: TrialInspection, density: Density) -> list[Any]:
    axis = view.densities.grammar.lattice.axes[density.level]
    return [axis.value(int(index)) for index in density.indices]


def _document(view: TrialInspection) -> dict[str, Any]:
    """All the numbers."""
    found = view.densities
    univariate = [
        {
            **_conditions(density), "name": density.name, "entropy_bits": density.entropy,
            "answer": None if density.chosen is None else {
                "value": view.answer[density.name], "mass": density.of(density.chosen), "rank": density.rank
            },
            "values": _values(view, density), "mass": density.mass.tolist(),
        }
        for density in found.univariate
    ]  # fmt: skip
    pairs = [
        {
            **_conditions(pair), "first": _binned(view, pair.first), "second": _binned(view, pair.second),
            "mass": pair.mass.tolist(),
        }
        for pair in found.pairs
    ]  # fmt: skip
    return {
        "study": view.study, "trial": view.trial.number, "model": view.model, "temperature": view.temperature,
        "answer": dict(view.answer), "config": dict(view.trial.config), "budget": found.budget,
        "opened": found.opened, "densities": univariate, "pairs": pairs,
        "missing_pairs": [list(pair) for pair in found.missing],
    }  # fmt: skip


def _binned(view: TrialInspection, name: str) -> Mapping[str, Any]:
    from airtune.models.inspection.bins import Bins
    from airtune.models.inspection.marginals import BINS

    lattice = view.densities.grammar.lattice
    level = lattice.names.index(name)
    starts = Bins(view.densities.grammar, level, BINS).starts
    return {"name": name, "bins_start_at": [lattice.axes[level].value(int(index)) for index in starts]}


def _conditions(part: Density | Pair) -> dict[str, Any]:
    return {
        "distribution": "conditional" if part.given else "marginal", "given": dict(part.given),
        "inactive": part.inactive, "unresolved": part.unresolved,
    }  # fmt: skip
