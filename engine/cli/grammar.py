"""`airtune grammar`: what a search space's exact grammar looks like, and samples of it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from airtune.engine.cli.options import Json
from airtune.engine.cli.output import (
    err,
    out,
    print_json,
    print_lines,
    print_table,
    printable_json,
    value_text,
    visible,
)

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace
    from ConfigSpace.hyperparameters import Hyperparameter

    from airtune.grammars import Axis, Grammar

Notation = Literal["regex", "lark", "gbnf", "json-schema"]
# How many configurations the summary draws as examples, and how many values of a choice it spells out.
EXAMPLES = 3
CHOICES = 8


def grammar(
    space: Annotated[
        Path,
        typer.Argument(
            help="A ConfigSpace search space as JSON; a program space, or the name of a shipped one.",
            metavar="SPACE.json|PROGRAMS.space",
        ),
    ],
    emit: Annotated[Notation | None, typer.Option(help="Print the grammar in this notation.")] = None,
    sample: Annotated[
        int | None, typer.Option(metavar="N", help="Draw N configurations, or programs, exactly uniformly.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the samples.")] = 0,
    exclude: Annotated[
        Path | None,
        typer.Option(metavar="FILE.jsonl", help="Configurations to leave out, one JSON object per line."),
    ] = None,
    json: Json = False,
) -> None:
    """Show the exact grammar of a search space or program space: a summary, a notation, or samples."""
    from airtune.grammars import AirtuneError, program_space, read_space, shipped_spaces, space_grammar

    if sample is not None and sample < 1:
        raise AirtuneError(f"--sample is {sample}", value=sample, allowed="1 or more", hint="give --sample 5")
    if emit is not None and sample is not None:
        raise AirtuneError("--emit and --sample were both given", allowed="one of them", hint="leave one out")
    if space.suffix == ".space" or (str(space) in shipped_spaces() and not space.exists()):
        built = program_space(space).grammar(_excluded(exclude))
    else:
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

    from airtune.grammars import SpaceError, read_file

    if path is None:
        return []
    try:
        lines = read_file(path).decode().split("\n")  # not splitlines: a value may hold U+2028
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

    if emit == "json-schema":
        text = dumps(built.json_schema(), indent=2, ensure_ascii=False)
        shown = printable_json(text)
    else:
        text = {"regex": built.regex, "lark": built.lark, "gbnf": built.gbnf}[emit]()
        shown = visible(text)  # its \x9b and \u202e are escapes of these notations, too
    if as_json:
        print_json({"notation": emit, "hash": built.hash, "text": text})
    else:
        sys.stdout.write(shown if shown.endswith("\n") else shown + "\n")


def _draw(built: Grammar, n: int, seed: int) -> Iterator[dict[str, Any]]:
    """N samples, none if the language is empty."""
    import numpy as np

    rng = np.random.default_rng(seed)
    return (built.sample(rng) for _ in range(n if built.count() else 0))


def _sample(built: Grammar, n: int, seed: int, as_json: bool) -> None:
    from airtune.grammars import GrammarError

    count = built.count()
    if not count:
        raise GrammarError("the space is exhausted: nothing is left to sample", value=0, hint="exclude less")
    drawn = _draw(built, n, seed)
    if n > count:
        err().print(f"there are {count} configurations, which are fewer than {n}: all of them, each once")
        drawn = (built.nth(rank) for rank in range(count))
    if as_json:
        print_json([{"text": built.encode(config), "config": config} for config in drawn])
        return
    for number, config in enumerate(drawn, 1):
        text = built.encode(config)
        program = f"# program {number} of {min(n, count)}\n{visible(text)}\n"
        sys.stdout.write(program if _of_programs(built) else printable_json(text) + "\n")


def _of_programs(built: Grammar) -> bool:
    from airtune.grammars.programs.lattice import ProgramLattice

    return isinstance(built.lattice, ProgramLattice)


def _summary(built: Grammar, seed: int, as_json: bool) -> None:
    """What the space holds: its parameters with their lattice, conditions, clauses, size, and examples."""
    lattice, space = built.lattice, built.space
    axes = dict(zip(lattice.names, lattice.axes, strict=True))
    described = {
        "conditions": [str(condition) for condition in space.conditions],
        "forbidden": [str(clause) for clause in space.forbidden_clauses],
    }
    examples = {"examples": [built.encode(config) for config in _draw(built, EXAMPLES, seed)]}
    if as_json:
        hyperparameters = [
            {"name": name, "values": axis.size, "first": axis.text(0), "last": axis.text(axis.size - 1)}
            for name, axis in axes.items()
        ]
        size = {"count": built.count(), "max_length": built.max_length}
        form = {"approximate": built.approximate, "hash": built.hash}
        limits = {"pocket": _beyond_pocket(space)}
        print_json({"hyperparameters": hyperparameters, **described, **size, **form, **examples, **limits})
        return
    rows = [
        (name, _kind(space[name]), f"{axis.size:,}", _lattice_text(axis), _default(space[name]))
        for name, axis in axes.items()
    ]
    print_table("LlrLL", ("hyperparameter", "kind", "values", "lattice", "default"), rows)
    most = " at most (over-approximated)" if built.approximate else ""
    size_lines = [f"{_big(built.count())} valid{most}", f"longest text: {built.max_length} bytes"]
    if _of_programs(built):
        examples = {"program": [line for text in examples["examples"][:1] for line in text.splitlines()]}
    for title, lines in {**described, **examples, "configurations": size_lines}.items():
        if lines:
            out().print(title, style="bold")
            print_lines(f"  {line}" for line in lines)
    beyond = _beyond_pocket(space)
    if beyond is not None:
        print_lines([f"{beyond}: a search needs another model, or a proposer without one (--proposer tpe)"])


def _beyond_pocket(space: ConfigurationSpace) -> str | None:
    """Why the bundled model cannot propose in the space; None if it can."""
    from airtune.grammars import SpaceError
    from airtune.models.registry import make_dialect

    try:
        make_dialect("pocket").grammar(space)
    except SpaceError as error:
        return error.message
    return None


def _default(hyperparameter: Hyperparameter[Any, Any]) -> str:
    value = hyperparameter.default_value
    return value_text(value.item() if hasattr(value, "item") else value)


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
