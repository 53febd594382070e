"""No character ends a finished run: consoles that cannot encode it, and characters that a terminal obeys."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Folder

ASCII = {"PYTHONIOENCODING": "ascii"}
EVIL = "\u202eevil"
CHOICES = ["größe", "日本", EVIL, "a\x9bm"]


@pytest.fixture(scope="module")
def folder(new_folder: Callable[[], Folder]) -> Folder:
    """A folder with a space of words that ASCII lacks, and a finished study in it."""
    from ConfigSpace import Categorical, ConfigurationSpace

    made = new_folder()
    space = ConfigurationSpace(space={"schön": Categorical("schön", CHOICES)})
    space.to_json(made.path / "space.json")
    made.write("objective.py", "def loss(config):\n    return {'loss': 1.0, 'überschuss': 2.0}\n")
    options = ("--space", "space.json", "--objective", "objective:loss", "--proposer", "random")
    done = made.airtune("tune", *options, "--budget", "2", "--study-name", "studie ü", environment=ASCII)
    assert r"sch\xf6n" in done.out
    return made


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "airtune.sqlite"),
        ("show", "airtune.sqlite", "--trial", "1"),
        ("grammar", "space.json"),
        ("grammar", "space.json", "--sample", "4"),
        ("grammar", "space.json", "--emit", "gbnf"),
        ("grammar", "space.json", "--emit", "lark"),
        ("grammar", "space.json", "--emit", "json-schema", "--json"),
        ("replay", "airtune.sqlite"),
        ("export", "airtune.sqlite"),
        ("export", "airtune.sqlite", "--csv"),
        ("diff", "airtune.sqlite", "airtune.sqlite", "--json"),
        ("show", "airtune.sqlite", "--json"),
        ("tasks", "toy/"),
        ("models", "info", "pocket"),
        ("--help",),
    ],
)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_a_console_without_the_characters(folder: Folder, arguments: tuple[str, ...], encoding: str) -> None:
    ended = folder.airtune(*arguments, environment={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"})
    assert "\x9b" not in ended.out + ended.err
    assert "\u202e" not in ended.out + ended.err


def test_json_on_such_a_console_says_the_same(folder: Folder) -> None:
    """Spelled out as JSON escapes: `\\xf6` would be no JSON."""
    trials = folder.airtune(
        "show", "airtune.sqlite", "--study-name", "studie ü", "--json", environment=ASCII
    ).json
    assert {trial["config"]["schön"] for trial in trials["trials"]} <= set(CHOICES)
    assert trials["trials"][0]["info"] == {"überschuss": 2.0}
    schema = folder.airtune("grammar", "space.json", "--emit", "json-schema", environment=ASCII)
    assert "schön" in json.loads(schema.out)["properties"]


def test_an_error_on_such_a_console(folder: Folder) -> None:
    ended = folder.airtune("show", "nöwhere.sqlite", code=2, environment=ASCII)
    assert r"n\xf6where" in ended.err
    document = folder.airtune("show", "nöwhere.sqlite", "--json", code=2, environment=ASCII).json
    assert "nöwhere" in document["error"]["message"]


def test_a_table_is_as_wide_as_what_is_spelled_out(folder: Folder) -> None:
    """Measured before they are spelled out, cells would run out of their columns."""
    shown = folder.airtune("show", "airtune.sqlite", environment=ASCII).out.splitlines()
    heading = next(i for i, line in enumerate(shown) if r"sch\xf6n" in line)
    assert len({len(line) for line in shown[heading : heading + 4]}) == 1


@pytest.mark.parametrize("options", [(), ("--sample", "4"), ("--emit", "regex"), ("--emit", "gbnf"),
                                     ("--emit", "lark"), ("--emit", "json-schema"), ("--json",)])  # fmt: skip
def test_a_grammar_holds_nothing_that_a_terminal_obeys(folder: Folder, options: tuple[str, ...]) -> None:
    """A choice that turns the direction of writing round would read as another word."""
    shown = folder.call("grammar", "space.json", *options).out
    assert not re.search("[\u202e\x9b]", shown)
    assert r"\u202e" in shown
    assert "größe" in shown or "gbnf" in options  # which factors words


def test_what_is_spelled_out_is_the_same_grammar(folder: Folder) -> None:
    """The regular expression that is printed accepts the very texts; the samples decode to the very values."""
    from airtune.grammars import read_space, space_grammar

    pattern = folder.call("grammar", "space.json", "--emit", "regex").out.strip()
    exact = space_grammar(read_space(folder.path / "space.json"))
    for choice in CHOICES:
        assert re.fullmatch(pattern, exact.encode({"schön": choice})), choice
    drawn = {
        json.loads(line)["schön"]
        for line in folder.call("grammar", "space.json", "--sample", "4").out.splitlines()
    }
    assert drawn <= set(CHOICES)


@pytest.mark.parametrize("n", [5, 1000, 10**12])
def test_more_samples_than_there_are_configurations(folder: Folder, n: int) -> None:
    """A million draws of four configurations went on and on; all of them are what can be had."""
    ended = folder.call("grammar", "space.json", "--sample", str(n))
    assert sorted(json.loads(line)["schön"] for line in ended.out.splitlines()) == sorted(CHOICES)
    assert f"there are 4 configurations, which are fewer than {n}: all of them" in ended.err
    document = folder.call("grammar", "space.json", "--sample", str(n), "--json").json
    assert sorted(one["config"]["schön"] for one in document) == sorted(CHOICES)
