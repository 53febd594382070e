"""`airtune grammar`: what a search space's exact grammar looks like, and samples of it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from airtune.engine.cli.output import out, print_json, value_text

if TYPE_CHECKING:
    from ConfigSpace.hyperparameters import Hyperparameter

    from airtune.grammars import Axis, Grammar

Notation = Literal["regex", "lark", "gbnf", "json-schema"]
# How many configurations the summary draws as examples, and how many values of a choice it spells out.
EXAMPLES = 3
CHOICES = 8


def grammar(
    space: Path = typer.Argument(..., help="A ConfigSpace search space as JSON.", metavar="SPACE.json"),
    emit: Notation | None = typer.Option(None, "--emit", help="Print the grammar in this notation."),
    sample: int | None = typer.Option(
        None, "--sample", metavar="N", help="Draw N configurations, exactly uniformly."
    ),
    seed: int = typer.Option(0, "--seed", help="Seed of the samples."),
    exclude: Path | None = typer.Option(
        None, "--exclude", metavar="FILE.jsonl", help="Configurations to leave out, one JSON object per line."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Show the exact grammar of a search space: a summary, a notation, or samples."""
    from airtune.grammars import AirtuneError, read_space, space_grammar

    if sample is not None and sample < 1:
        raise AirtuneError(f"--sample is {sample}", value=sample, allowed="1 or more", hint="give --sample 5")
    if emit is not None and sample is not None:
        raise AirtuneError("--emit and --sample were both given", allowed="one of them", hint="leave one out")
    built = space_grammar(read_space(space), _excluded(exclude))
    if emit is not None:
        _emit(built, emit, json)
    elif sample is not None:
        _sample(built, sample, seed, json)
    else:
        _summary(built, seed, json)


def _excluded(path: Path | None) -> list[dict[str, Any]]:
    """The configurations of a JSON Lines file: plain ones, or trials as `airtune export` writes them."""
    from json import JSONDecodeError, loads

    from airtune.grammars import SpaceError

    if path is None:
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(
            f"{str(path)!r} cannot be read: {error}", value=str(path), hint="check --exclude"
        ) from error
    configs = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = loads(line)
        except JSONDecodeError as error:
            record = error
        if not isinstance(record, dict):
            raise SpaceError(
                f"line {number} of {str(path)!r} is not a JSON object",
                value=line[:80],
                allowed='a configuration per line, for example {"lr": 0.1}, or the lines of `airtune export`',
                hint="correct or remove the line",
            )
        if "config" in record and isinstance(record["config"], dict):
            configs.append(record["config"])
        elif "kind" not in record:  # an export's other lines (the study, its manifest) carry no configuration
            configs.append(record)
    return configs


def _emit(built: Grammar, emit: Notation, as_json: bool) -> None:
    from json import dumps

    texts = {"regex": built.regex, "lark": built.lark, "gbnf": built.gbnf}
    text = texts[emit]() if emit in texts else dumps(built.json_schema(), indent=2, ensure_ascii=False)
    if as_json:
        print_json({"notation": emit, "hash": built.hash, "text": text})
    else:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")


def _draw(built: Grammar, n: int, seed: int) -> list[dict[str, Any]]:
    """Up to n samples, none if the language is empty."""
    import numpy as np

    rng = np.random.default_rng(seed)
    return [built.sample(rng) for _ in range(n)] if built.count() else []


def _sample(built: Grammar, n: int, seed: int, as_json: bool) -> None:
    from airtune.grammars import GrammarError

    drawn = _draw(built, n, seed)
    if not drawn:
        raise GrammarError("the space is exhausted: nothing is left to sample", value=0, hint="exclude less")
    if as_json:
        print_json([{"text": built.encode(config), "config": config} for config in drawn])
        return
    for config in drawn:
        sys.stdout.write(built.encode(config) + "\n")


def _summary(built: Grammar, seed: int, as_json: bool) -> None:
    """What the space holds: its parameters with their lattice, conditions, clauses, size, and examples."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    lattice, space = built.lattice, built.space
    examples = [built.encode(config) for config in _draw(built, EXAMPLES, seed)]
    axes = dict(zip(lattice.names, lattice.axes, strict=True))
    conditions = [str(condition) for condition in space.conditions]
    forbidden = [str(clause) for clause in space.forbidden_clauses]
    if as_json:
        print_json(
            {
                "hyperparameters": [
                    {
                        "name": name,
                        "values": axis.size,
                        "first": axis.text(0),
                        "last": axis.text(axis.size - 1),
                    }
                    for name, axis in axes.items()
                ],
                "conditions": conditions,
                "forbidden": forbidden,
                "count": built.count(),
                "max_length": built.max_length,
                "approximate": built.approximate,
                "hash": built.hash,
                "examples": examples,
            }
        )
        return
    console = out()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("hyperparameter", overflow="fold")
    table.add_column("kind", no_wrap=True)
    table.add_column("values", justify="right", no_wrap=True)
    table.add_column("lattice", overflow="fold")
    table.add_column("default", overflow="fold")
    for name, axis in axes.items():
        default = space[name].default_value
        cells = (name, _kind(space[name]), f"{axis.size:,}", _lattice_text(axis), value_text(_plain(default)))
        table.add_row(*(escape(cell) for cell in cells))
    console.print(table)
    for title, lines in (("conditions", conditions), ("forbidden", forbidden), ("examples", examples)):
        if lines:
            console.print(title, style="bold")
            for line in lines:
                console.print(f"  {line}", markup=False, soft_wrap=True)
    count = built.count()
    console.print("configurations", style="bold")
    console.print(
        f"  {_big(count)} valid{' at most (over-approximated)' if built.approximate else ''}", markup=False
    )
    console.print(f"  longest text: {built.max_length} bytes", markup=False)


def _plain(value: Any) -> Any:
    """A numpy scalar as its Python value."""
    return value.item() if hasattr(value, "item") else value


def _kind(hyperparameter: Hyperparameter[Any, Any]) -> str:
    """What sort of hyperparameter it is, in a word or two: `log float`."""
    kind = type(hyperparameter).__name__.removesuffix("Hyperparameter")
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower().replace("uniform ", "")
    return f"log {words}" if getattr(hyperparameter, "log", False) else words


def _lattice_text(axis: Axis) -> str:
    """The first, second and last lattice points; all of them where they are few."""
    if axis.size <= CHOICES:
        return ", ".join(axis.text(i) for i in range(axis.size))
    return f"{axis.text(0)}, {axis.text(1)}, ..., {axis.text(axis.size - 1)}"


def _big(count: int) -> str:
    """A count of any size: exact while it can be read, then its magnitude too."""
    return f"{count:,}" if count < 10**15 else f"{count:,} (about 10^{len(str(count)) - 1})"
