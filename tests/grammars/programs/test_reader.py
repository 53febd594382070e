"""The format of program spaces: what is read, and errors that say where, what was expected, and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airtune.grammars import AirtuneError, GrammarError, SpaceError, program_space, shipped_spaces
from airtune.grammars.programs import (
    Alternative,
    Choice,
    Hole,
    Levels,
    Number,
    ProgramSpace,
    Subset,
    read_rules,
    read_template,
)

SPACE = """
# a comment; white space is free
program: Program = '''
    x = {{1}}   # no comment of the file
    {step * 0..2 default 1}
    y = f({arg: Arg sep ", "})
    '''
step: Step depth 2 = | none: "pass" | again: "g({step}, {n: int})"   arg: Arg = subset a: "1" | b: "b={n}"
n: int = 1 .. 9 log default 3
"""


def test_a_file_and_the_builder_are_the_same() -> None:
    rules = read_rules(SPACE)
    by_hand = (
        Choice(
            "program",
            "Program",
            (
                Alternative(
                    "1",
                    (
                        "x = {1}   # no comment of the file",
                        Hole("step", low=0, high=2, default=1, alone=True),
                        "\ny = f(",
                        Hole("arg", "Arg", separator=", "),
                        ")",
                    ),
                ),
            ),
        ),
        Choice(
            "step",
            "Step",
            (Alternative("none", ("pass",)), Alternative("again", read_template("g({step}, {n: int})"))),
            depth=2,
        ),
        Subset("arg", "Arg", (Alternative("a", ("1",)), Alternative("b", read_template("b={n}")))),
        Number("n", "int", 1, 9, log=True, default=3),
    )
    assert rules == by_hand
    assert ProgramSpace(rules).grammar().hash == ProgramSpace(by_hand).grammar().hash


def test_numbers_keep_their_kind() -> None:
    rules = read_rules('p: P = "{a}{b}"  a: float = -1 .. 1e1 default 0.5  b: int = [1, 2, 4] default 2')
    assert rules[1] == Number("a", "float", -1, 10.0, default=0.5)
    assert rules[2] == Levels("b", "int", (1, 2, 4), 2)
    assert isinstance(rules[2].values[0], int)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1, column 1: expected a name, found the end"),
        ("p: P", "line 1, column 5: expected '=' or 'depth', found the end"),
        ('p: P = "a" |', "line 1, column 13: expected a name or a text in quotes, found the end"),
        ('p P = "a"', "line 1, column 3: expected ':', found 'P'"),
        ('p: P = "a"\n\nq: Q = 1 ... 2', "line 3, column 12: expected a number, found '.'"),
        ('p: P = "a\n"', "line 1, column 8: expected "),
        ('p: P = "f({q: })"\nq: Q = "a"', "line 1, column 14: expected a type, found the end"),
        ("p: P = '''\n  a\n  b({q *})'''\nq: Q = 'a'", "line 3, column 9: expected a whole number, found the end"),
        ("p: P = '''\n  a\n  b({1q})'''", "line 3, column 6: expected a name, found '1q'"),
        ("p: P = 'a {'", "line 1, column 8: a brace '{' has no partner"),
        ("p: P = 'a {b'\nb: B = 'x}'", "line 1, column 8: a brace '{' has no partner"),
        ("p: P = '{b} '\nb: P = subset", "line 2, column 14: expected '|' or a name or a text in quotes"),
        ("p: P = '{b} '\nb: B depth 2 = subset 'x' | 'y'", "line 2, column 1: 'b' is a subset, and has a depth"),
    ],
)  # fmt: skip
def test_errors_of_the_format(text: str, said: str) -> None:
    with pytest.raises(SpaceError) as caught:
        read_rules(text)
    assert str(caught.value).startswith(said)
    assert caught.value.allowed
    assert caught.value.hint


P = 'p: P = "{q}" | "other"\n'


def long_chain(length: int) -> str:
    return "\n".join([f'r{i}: P = "({{r{i + 1}}})"' for i in range(length)] + [f'r{length}: P = "a" | "b"'])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (P + 'w: P = "x"', "line 1, column 10: unknown rule 'q'"),
        ('p: P = "{neighbor}"  neighbors: P = "a" | "b"', "did you mean 'neighbors'?"),
        ('p: P = "f({q: A})"\nq: B = "a" | "b"', "line 1, column 12: this hole takes a A, and 'q' is a B"),
        ('p: P = q | "c"\nq: B = "a" | "b"', "line 1, column 8: 'p' is a P, and its alternative 'q' a B"),
        (P + 'q: P = "a"\nq: P = "b"', "line 3, column 1: 'q' is given twice"),
        (P + 'q: P = "a"\nr: P = "b"', "line 3, column 1: 'r' is never used"),
        (P + 'q: P = a: "x{r}"\nr: P = "(" | "[{q}]"', "rules lead in a circle without bound: q -> r -> q"),
        (P + 'q: P depth 2 = "({q})"', "'p' leaves nothing open"),
        ('p: P depth 2 = "({p})"', "no program is finite"),
        ('p: P = "f({n})"  n: int = 5 .. 1', "line 1, column 18: 'n': the lower bound 5 is not below"),
        ('p: P = "f({n})"  n: int = 1 .. 5 default 6', "'n' cannot be 6"),
        ('p: P = "f({n})"  n: float = 0 .. 5 log', "a log scale cannot start at 0"),
        ('p: P = "f({n})"  n: int = 1 .. 5.5', "'n' is an int, and 5.5 is none"),
        ('p: P = "f({n})"  n: Width = 1 .. 5', "the number 'n' has the type 'Width'"),
        ('p: P = "f({n})"  n: int = [1, 4, 2]', "the list 'n' does not ascend"),
        ('p: P = "f({n})"  n: int = [1, 4] default 2', "'n' cannot be 2"),
        ('p: P = "{q * 3..2}"  q: P = "a" | "b"', "'q' is repeated 3..2 times"),
        ('p: P = "{q * 0..999999999}"  q: P = "a"', "0 <= low <= default <= high <= 400"),
        ('p: P = "f({n})"  n: float = [1, 1e999]', "line 1, column 18: 'n' cannot be inf"),
        ('p: P = "a\0" | "b"', "line 1, column 8: the code has a NUL character"),
        ('p: P = "a | "b"', "close the quotes"),
        ('p: P depth ' + "9" * 5000 + ' = "a"', "line 1, column 12: a number has 5,000 digits"),
        ('p: P = "{q * 0..' + "9" * 5000 + '}"', "line 1, column 10: a number has 5,000 digits"),
        ('p: P = "a" | "' + "x" * 200_000 + '"', "this program space has 200,015 characters"),
        ('p: P = "{q * 0..0}"  q: P = "a" | "b"', "'q' is repeated 0..0 times"),
        ('p: P = "{q * 1..2 default 3}"  q: P = "a" | "b"', "'q' is repeated 1..2 times, 3 by default"),
        ('p: P = "a" | a: "b"', "'p' has two alternatives 'a'"),
        ('p: P depth 0 = "a" | "b"', "the depth of 'p' is 0"),
        ("p: P = 'a\t' | 'b'", "'p' has the character '\\t'"),
        ('n: int = 1 .. 5', "a program space begins with a choice"),
        ('p: P = "only this"', "the program 'p' leaves nothing open"),
        ('p: P = "{q * 9..9}"  q: P depth 9 = "a" | "({q}{q})"', "more than 400 places of decision"),
        ('p: P depth 12 = "a" | "({p})"', "more than 10 decisions within each other"),
        (long_chain(400), "nested too deeply"),
        ('p: P = "{q * 0..14}"  q: P = "({r * 0..14})" r: P = "x" | "y"', "needs more than 8,000 states"),
    ],
)  # fmt: skip
def test_errors_of_the_rules(text: str, said: str) -> None:
    with pytest.raises(AirtuneError) as caught:
        program_space(text)
    assert said in str(caught.value)
    assert caught.value.allowed
    assert caught.value.hint


def doubled(last: str) -> str:
    """Thirty rules, each with the next one twice."""
    rules = [f'r{i}: P = "{{r{i + 1}}}{{r{i + 1}}}"' for i in range(30)]
    return "\n".join(['p: P = "x{r0}" | "o"', *rules, f"r30: P = {last}"])


def entangled(depth: int) -> str:
    """Rules within each other of which none ends: as many ways to find that out as the depth to the power of six."""
    rules = [
        f"q{i}: P depth {depth} = '{{q{(i + 1) % 6}}}{{q{(i + 2) % 6}}}' | 'x{{q{(i + 3) % 6}}}'"
        for i in range(6)
    ]
    return "\n".join(["p: P = 'x{q0}' | 'o'", *rules])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (doubled('""'), "more than 200,000 characters of code"),
        (doubled('"a"'), "more than 200,000 characters of code"),
        (entangled(9), "more than 200,000 characters of code"),
        ('p: P = "{q * 1..300}"  q: P = "' + "x" * 1000 + '"', "more than 200,000 characters of code"),
        ("p: P = " + " | ".join(f"'x{i}'" for i in range(1000)), "it takes too long to find out"),
    ],
)
def test_what_would_take_too_long_is_refused_at_once(text: str, said: str) -> None:
    """Bug: rules that decide nothing were written out without end; pairs were counted once all were there."""
    with pytest.raises(GrammarError, match=said):
        program_space(text)


def test_a_subset_of_as_many_as_there_may_be() -> None:
    """Bug: half a minute, then refused, as the same pairs of states were looked at behind each of them."""
    space = program_space("p: P = '[{s}]'  s: S = subset " + " | ".join(f"'x{i:03d}'" for i in range(400)))
    assert space.count() == 2**400


def test_lines_that_end_as_on_windows(tmp_path: Path) -> None:
    file = tmp_path / "mine.space"
    file.write_bytes(b"\xef\xbb\xbf" + SPACE.encode().replace(b"\n", b"\r\n"))
    assert program_space(file).rules == read_rules(SPACE)


@pytest.mark.parametrize(
    ("text", "twice"),
    [
        ('p: P = "{n}{s}"  n: int = [1, 12, 123] s: S = "3" | "23"', "123\n"),
        ('p: P = one: "f({a})" | two: "f(x)"  a: A = "x" | "y"', "f(x)\n"),
        ('p: P = "{a}{b}"  a: A = "x" | "xy"  b: B = "yz" | "z"', "xyz\n"),
        ('p: P = "{n}{m}"  n: int = 1 .. 12  m: int = 1 .. 12', "111\n"),
        ('p: P = "{a * 1..2}"  a: A = "x" | "xx"', "xx\n"),
        ('p: P = "{a}"  a: P = one: "" | two: ""', "\n"),
        ('p: P = "{a * 0..2}"  a: A = ""', "\n"),
        ('p: P = "{e}"  e: P depth 3 = "x" | "{e} + {e}"', "x + x + x\n"),
    ],
)
def test_ambiguous_spaces_are_refused_with_an_example(text: str, twice: str) -> None:
    with pytest.raises(GrammarError, match="two configurations write the same program") as caught:
        program_space(text)
    assert caught.value.value == twice


def test_a_search_for_two_derivations_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airtune.grammars.programs.ambiguity.PAIR_BUDGET", 3)
    with pytest.raises(GrammarError, match="takes too long"):
        program_space('p: P = "{a * 1..4}"  a: A = "xy{n}" | "z"  n: int = 1 .. 100')


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "mine.space"
    file.write_text('p: P = "größe({n})"\nn: int = 1 .. 5', encoding="utf-8")
    space = program_space(file)
    assert space.decode("größe(3)\n") == {"n": 3}
    assert program_space(str(file)).count() == 5
    with pytest.raises(SpaceError, match=re.escape("cannot read the program space")):
        program_space(tmp_path / "other.space")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SpaceError, match="cannot read the program space"):
        program_space(file)


def test_names_of_shipped_spaces() -> None:
    assert "tiny" in shipped_spaces()
    assert program_space("tiny").count() == 2 * (len_of_alpha() + 30 * 2)
    with pytest.raises(SpaceError, match="unknown program space 'tinny'") as caught:
        program_space("tinny")
    assert caught.value.hint == "did you mean 'tiny'?"


def len_of_alpha() -> int:
    """1e-3 to 1e3 with three digits: 900 in each of six decades, and the upper bound."""
    return 6 * 900 + 1
