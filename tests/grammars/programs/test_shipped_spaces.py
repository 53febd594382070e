"""The program spaces that are shipped: their programs parse, have the promised function, pass mypy, and run."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from check_program_spaces import CLASSES, draws, failure, table
from ConfigSpace import ConfigurationSpace

from airtune.engine.manifest import space_hash, space_json
from airtune.grammars import (
    ProgramSpace,
    SpaceError,
    program_space,
    programs_of,
    shipped_spaces,
    space_from_json,
    space_grammar,
)

NAMES = shipped_spaces()
SPACES: dict[str, ProgramSpace] = {}


@pytest.fixture(params=NAMES)
def space(request: pytest.FixtureRequest) -> ProgramSpace:
    if request.param not in SPACES:
        SPACES[request.param] = program_space(request.param)
    return SPACES[request.param]


def name_of(space: ProgramSpace) -> str:
    return next(name for name, one in SPACES.items() if one is space)


def some(space: ProgramSpace, n: int) -> list[str]:
    """The default program, and draws of both kinds."""
    drawn = [config for how in ("choices", "programs") for config in islice(draws(space, 5, how), n)]
    return [space.render(config) for config in [space.default(), *drawn]]


def test_programs_parse_and_have_the_function(space: ProgramSpace) -> None:
    for source in some(space, 40):
        assert space.render(space.decode(source)) == source
        functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
        assert functions[-1].name == "fit_predict"
        arguments = [argument.arg for argument in functions[-1].args.args]
        assert arguments == ["train_x", "train_y", "test_x", "seed"]


def test_the_search_space_has_as_many_configurations(space: ProgramSpace) -> None:
    assert space_grammar(space.space).count() == space.count() > 10_000


def test_the_search_space_knows_its_programs(space: ProgramSpace) -> None:
    """Also after a study file: in ConfigSpace's JSON, without the program space's file."""
    again = space_from_json(json.dumps(space_json(space.space)))
    programs = programs_of(again)
    assert programs is not None
    assert programs is programs_of(again)
    assert programs.rules == space.rules
    assert programs.grammar().hash == space.grammar().hash
    assert space_hash(space_json(programs.space)) == space_hash(space_json(space.space))


def test_a_space_of_no_programs_or_a_changed_one() -> None:
    assert programs_of(ConfigurationSpace({"n": (1, 5)})) is None
    described = json.loads(json.dumps(space_json(program_space("tiny").space)))
    for hyperparameter in described["hyperparameters"]:
        if hyperparameter["name"] == "neighbors":
            hyperparameter["upper"] = 40
    with pytest.raises(SpaceError, match="rules of another program space"):
        programs_of(space_from_json(json.dumps(described)))
    for hyperparameter in described["hyperparameters"]:
        hyperparameter["meta"] = "program_space"
    assert programs_of(space_from_json(json.dumps(described))) is None
    for hyperparameter in described["hyperparameters"]:
        hyperparameter["meta"] = {"program_space": [{"rule": "choice"}]}
    with pytest.raises(SpaceError, match="rules of programs that cannot be read"):
        programs_of(space_from_json(json.dumps(described)))


def test_programs_run(space: ProgramSpace) -> None:
    """On a table of 60 rows; the predictions are finite, one for each row of the test."""
    for number, source in enumerate(some(space, 3)):
        assert failure(source, number, name_of(space)) is None, source


@pytest.mark.parametrize("name", ["images", "tabular_classification", "tabular_regression"])
def test_shapes_of_networks_fit(name: str) -> None:
    """A network that a program builds gives one row for each: by torch's meta device, without numbers."""
    data, programs, seen = table(0, name), program_space(name), 0
    given = {"train_x": data.train[0], "train_y": data.train[1], "test_x": data.validation[0], "seed": 1}
    for source in some(programs, 60):
        module = ast.parse(source)
        function = module.body.pop()
        assert isinstance(function, ast.FunctionDef)
        lines = [ast.unparse(line) for line in function.body]
        first = [n for n, line in enumerate(lines) if ", layers = " in line]
        last = [n for n, line in enumerate(lines) if line.startswith("model = nn.Sequential")]
        if not last:
            continue  # an estimator of scikit-learn
        names: dict[str, Any] = {**given, "torch": torch}
        exec("\n".join([ast.unparse(module), *lines[: first[0]]]), names)
        with torch.device("meta"):
            exec("\n".join(lines[first[0] : last[0] + 1]), names)
            made = names["model"](torch.empty(5, *names["train_x"].shape[1:]))
        assert made.device.type == "meta"
        assert made.shape == (5, 1 if name == "tabular_regression" else CLASSES), source
        seen += 1
    assert seen > 30


def test_a_program_does_the_same_again(space: ProgramSpace) -> None:
    """With the same seed: it must depend on nothing else."""
    source, made = some(space, 1)[1], []
    data = table(0, name_of(space))
    for _ in range(2):
        defined: dict[str, Any] = {}
        exec(compile(source, "program", "exec"), defined)
        made.append(defined["fit_predict"](*data.train, data.validation[0], 7))
    np.testing.assert_array_equal(*made)


@pytest.mark.slow
def test_programs_pass_mypy(tmp_path: Path) -> None:
    """And one with a wrong name does not: the check sees into the functions."""
    settings = tmp_path / "mypy.ini"
    settings.write_text(
        "[mypy]\ncheck_untyped_defs = True\nignore_missing_imports = True\n"
        "[mypy-torch.*]\nfollow_imports = skip\n"  # its types alone take minutes
    )
    good = []
    for name in NAMES:
        for number, source in enumerate(some(program_space(name), 15)):
            good.append(tmp_path / f"{name}_{number}.py")
            good[-1].write_text(source)
    bad = tmp_path / "bad.py"
    bad.write_text(some(program_space("tiny"), 1)[0].replace("predict(test_x)", "predict(tset_x)"))
    command = [sys.executable, "-m", "mypy", "--config-file", settings, "--cache-dir", tmp_path / "cache"]
    here = {"cwd": tmp_path, "env": {**os.environ, "MYPYPATH": ""}}
    done = subprocess.run([*command, *good, bad], capture_output=True, text=True, timeout=280, **here)  # type: ignore[call-overload]
    errors = [line for line in done.stdout.splitlines() if " error: " in line]
    assert len(errors) == 1, done.stdout + done.stderr
    assert errors[0].startswith("bad.py:")
    assert 'Name "tset_x" is not defined' in errors[0]
