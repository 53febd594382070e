"""A program in a few words: which labels are in it, in which order, and what is left out where there is no room."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from airtune.grammars import DecodeError, program_space

PROGRAMS = program_space(
    '''
    program: P = """{steps sep "/"};{model};{block: B * 0..2 sep ","}"""
    steps: S = subset log: "L" | trim: "T{tail: float}"
    tail: float = [0.1, 0.2]
    model: M = none: "-" | tree: "t({kind})" | empty: ""
    kind: K = small: "s{size: int}" | large: "l"
    size: int = 1 .. 99
    block: B = dense: "d" | skip: "s"
    '''
)


@pytest.mark.parametrize(
    ("source", "longest", "words"),
    [
        (";-;\n", 60, "block*0"),
        (";;\n", 60, "empty block*0"),
        ("L/T0.2;t(s7);d,s\n", 60, "log trim tail=0.2 tree small size=7 block*2 dense skip"),
        ("L/T0.2;t(s7);d,s\n", 53, "log trim tree small block*2 dense skip"),
        ("L/T0.2;t(s7);d,s\n", 37, "log trim tree small block*2 dense ..."),
        ("L/T0.2;t(s7);d,s\n", 31, "log trim tree small block*2 ..."),
        ("L/T0.2;t(s7);d,s\n", 30, "log trim tree block*2 ..."),
        ("L/T0.2;t(s7);d,s\n", 3, "..."),
    ],
)
def test_what_is_said(source: str, longest: int, words: str) -> None:
    """Numbers go first, then the innermost choices; what is kept stays in the order of the text."""
    assert PROGRAMS.outline(PROGRAMS.decode(source), longest) == words


def test_it_fits_and_differs_where_programs_do() -> None:
    programs, rng = program_space("images"), np.random.default_rng(0)
    drawn = [programs.sample(rng) for _ in range(40)]
    for longest in (3, 20, 60, 200):
        assert all(len(programs.outline(config, longest)) <= longest for config in drawn)
    assert len({programs.outline(config, 10_000) for config in drawn}) == 40


def test_a_configuration_of_another_space_is_refused() -> None:
    config: dict[str, Any] = {**PROGRAMS.default(), "model": "forest"}
    with pytest.raises(DecodeError):
        PROGRAMS.outline(config)


def test_the_structure_is_all_but_the_numbers() -> None:
    """A list of numbers is no choice between alternatives, and how often something comes is none of them."""
    assert PROGRAMS.structure == {"log", "trim", "model", "kind", "n_block", "block[1]", "block[2]"}
    assert PROGRAMS.structure | {"tail", "size"} == set(PROGRAMS.space)
