"""`airtune show STUDY --trial N --density`: what the model believed when it proposed a trial."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airtune.engine.cli.output import config_text, out, print_json, print_lines, unwritable, value_text

if TYPE_CHECKING:
    from airtune.engine import StudyFile
    from airtune.engine.replay.inspect import TrialInspection
    from airtune.models.inspection.marginals import Density, Pair

_BLOCKS = "▁▂▃▄▅▆▇█"
_SPARKS = 32
_LIKELIEST = 5


def check_density(density: bool, options: Mapping[str, object]) -> None:
    """Raise an AirtuneError if one of the options that belong to --density was given without it."""
    from airtune.grammars import AirtuneError

    for option, value in options.items():
        if value is not None and not density:
            raise AirtuneError(
                f"{option} has no effect without --density", value=str(value), allowed=f"--density with {option}",
                hint=f"leave {option} out, or add --density",
            )  # fmt: skip


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
        budget: Beginnings of answers that may be opened; None for the default.
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
        raise unwritable(output, error, "--out") from error


def _print(view: TrialInspection) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    head = [
        f"trial {view.trial.number} of study {view.study!r}: what {view.model} believed, "
        f"after {len(view.tried)} trials, at temperature {view.temperature:g}",
        f"  it said        {config_text(view.answer)}",
    ]
    if dict(view.answer) != dict(view.trial.config):
        head.append(f"  {view.origin} chose {config_text(view.trial.config)}")
    elif view.origin != "lm":
        head.append(f"  {view.origin} chose it among several answers; the law below is that of one answer")
    print_lines(head)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("hyperparameter", overflow="fold")
    table.add_column("law")
    for heading in ("bits", "said", "its mass", "rank"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("density, low to high; or the likeliest", overflow="fold")
    for density in view.densities.univariate:
        answered = view.answer.get(density.name)
        rank = "-" if density.rank is None else f"{density.rank} of {_size(view, density)}"
        mass = "-" if density.chosen is None else f"{density.of(density.chosen):.2g}"
        shown = "-" if answered is None else value_text(answered)
        kind = _kind(density)
        row = (density.name, kind, f"{density.entropy:.2f}", shown, mass, rank, _shape(view, density))
        table.add_row(*map(escape, row))
    out().print(table)
    marginal = sum(density.marginal for density in view.densities.univariate)
    lines = [
        f"exact, nothing sampled: {marginal} of {len(view.densities.univariate)} laws are marginal, the others "
        "given what the proposal said before",
        f"{view.densities.opened} beginnings of answers were opened, at most {view.densities.budget} for one law "
        "(--density-budget: a larger one makes more of them marginal)",
    ]
    lines += [f"not drawn, for want of budget: {a} with {b}" for a, b in view.densities.missing]
    print_lines(lines)


def _kind(density: Density) -> str:
    parts = ["marginal" if density.marginal else f"given {len(density.given)}"]
    parts += [f"{density.inactive:.0%} inactive"] if density.inactive >= 0.005 else []
    parts += [f"{density.unresolved:.1%} not resolved"] if density.unresolved >= 0.0005 else []
    return ", ".join(parts)


def _size(view: TrialInspection, density: Density) -> int:
    return view.densities.grammar.lattice.axes[density.level].size


def _values(view: TrialInspection, density: Density) -> list[Any]:
    axis = view.densities.grammar.lattice.axes[density.level]
    return [axis.value(int(index)) for index in density.indices]


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
    return "".join(_BLOCKS[min(7, int(8 * value / peak))] for value in height)


def _document(view: TrialInspection) -> dict[str, Any]:
    """All the numbers."""
    densities = view.densities
    return {
        "study": view.study,
        "trial": view.trial.number,
        "model": view.model,
        "temperature": view.temperature,
        "said": dict(view.answer),
        "config": dict(view.trial.config),
        "budget": densities.budget,
        "opened": densities.opened,
        "densities": [_density(view, density) for density in densities.univariate],
        "pairs": [_pair(view, pair) for pair in densities.pairs],
        "missing_pairs": [list(pair) for pair in densities.missing],
    }


def _density(view: TrialInspection, density: Density) -> Mapping[str, Any]:
    return {
        **_what(density),
        "name": density.name,
        "entropy_bits": density.entropy,
        "said": None
        if density.chosen is None
        else {"value": view.answer[density.name], "mass": density.of(density.chosen), "rank": density.rank},
        "values": _values(view, density),
        "mass": density.mass.tolist(),
    }


def _pair(view: TrialInspection, pair: Pair) -> Mapping[str, Any]:
    from airtune.models.inspection.bins import Bins
    from airtune.models.inspection.marginals import BINS

    levels = {density.name: density.level for density in view.densities.univariate}
    axes = {}
    for side, name in (("first", pair.first), ("second", pair.second)):
        bins, axis = (
            Bins(view.densities.grammar, levels[name], BINS),
            view.densities.grammar.lattice.axes[levels[name]],
        )
        axes[side] = {"name": name, "bins_start_at": [axis.value(int(index)) for index in bins.starts]}
    return {**_what(pair), **axes, "mass": pair.mass.tolist()}


def _what(part: Density | Pair) -> dict[str, Any]:
    return {
        "law": "conditional" if part.given else "marginal",
        "given": dict(part.given),
        "inactive": part.inactive,
        "unresolved": part.unresolved,
    }
