"""What SECURITY.md promises about the code itself: read from the source, so that it holds for what comes later, too."""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
ROOMS = ("grammars", "models", "engine", "benchmarks", "scripts")
# Where objects of this very run go from one of our processes to another, through a pipe of theirs; and the checkpoint
# of a training that is under way, read with weights_only.
PICKLES = {
    "engine/evaluation/worker.py": "the objective, from the process that started the worker",
    "engine/evaluation/workers.py": "the same, on the other side",
    "engine/evaluation/main_module.py": "the same, and in processes that the objective starts",
    "engine/integrations/ray/executor.py": "the same, through ray",
    "benchmarks/tasks/original/reader.py": "published tables, by an unpickler that refuses every name in them",
    "benchmarks/running/processes.py": "an error, to see whether it can be sent to the parent",
    "models/pocket/training/train.py": "torch.save of a training that is under way",
    "models/finetuning/train.py": "the same",
    "models/backends/threads.py": "nothing: joblib counts the cores there",
}
PICKLING = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "_pickle"}
# What runs text as a program, or has a shell read it.
RUNNING = {
    "eval",
    "exec",
    "compile",
    "os.system",
    "os.popen",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
}
# What may all the same, and why.
RUNS = {
    ("grammars/programs/free.py", "compile"): "nothing is run: it finds what parses and is no program",
    ("scripts/check_program_spaces.py", "compile"): "programs of the shipped spaces",
    ("scripts/check_program_spaces.py", "exec"): "the same",
}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call, with the dotted name of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


SOURCES = {
    path.relative_to(REPO).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for room in ROOMS
    for path in sorted((REPO / room).rglob("*.py"))
}


def keyword(call: ast.Call, name: str) -> str | None:
    return next((ast.unparse(one.value) for one in call.keywords if one.arg == name), None)


def test_pickles_stay_between_our_own_processes() -> None:
    """No file, pack or checkpoint is unpickled; the exceptions are named, and each still needs to be one."""
    using = set()
    for path, tree in SOURCES.items():
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            if {name.split(".")[0] for name in names} & PICKLING:
                using.add(path)
        for called, call in calls(tree):
            if called in ("torch.load", "torch.save"):
                using.add(path)
            if called == "torch.load":
                assert keyword(call, "weights_only") == "True", path
            if called.endswith(("np.load", "numpy.load")):
                assert keyword(call, "allow_pickle") in (None, "False"), path
            assert not called.endswith(("read_pickle", "yaml.load", "unsafe_load")), path
    assert using <= PICKLES.keys(), using - PICKLES.keys()


def test_no_text_is_run_and_no_shell_reads_any() -> None:
    """The exceptions are named, and each still needs to be one."""
    running = set()
    for path, tree in SOURCES.items():
        for called, call in calls(tree):
            if called in RUNNING:
                running.add((path, called))
            assert keyword(call, "shell") in (None, "False"), f"{path}:{call.lineno}: shell"
    assert running == RUNS.keys()


def test_no_code_of_a_checkpoint_is_trusted() -> None:
    for path, tree in SOURCES.items():
        for _, call in calls(tree):
            assert keyword(call, "trust_remote_code") in (None, "False"), f"{path}:{call.lineno}"
    named = [path for path in SOURCES if "trust_remote_code" in (REPO / path).read_text(encoding="utf-8")]
    assert all(path.startswith("models/backends/vllm/") for path in named)


def test_statements_take_values_as_parameters() -> None:
    """What is put into SQL as text are names of our own tables, columns and clauses, never a value."""
    ours = re.compile(
        r"APPLICATION_ID|self\._version|version|columns|table|column|kind|where|key|marks|how|chosen|changed|name"
        r"|', '\.join\(.+\)|' AND '\.join\(.+\)|.*COLUMNS.*"
    )
    for path, tree in SOURCES.items():
        for called, call in calls(tree):
            if not called.endswith((".execute", ".executemany", ".rows", ".executescript")) or not call.args:
                continue
            for part in ast.walk(call.args[0]):
                if isinstance(part, ast.FormattedValue):
                    text = ast.unparse(part.value)
                    assert ours.fullmatch(text), f"{path}:{call.lineno}: {text} in a statement"


def test_regular_expressions_do_not_repeat_repetitions() -> None:
    """(a+)+ and its like take exponential time on a text that almost matches."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import re._parser as parser  # type: ignore[import-not-found]

    def nested(parsed: object, inside: bool) -> bool:
        for op, value in parsed:  # type: ignore[attr-defined]
            if str(op) in ("MAX_REPEAT", "MIN_REPEAT"):
                unbounded = value[1] == parser.MAXREPEAT
                if (inside and unbounded) or nested(value[2], inside or unbounded):
                    return True
            elif str(op) == "SUBPATTERN":
                if nested(value[3], inside):
                    return True
            elif str(op) == "BRANCH" and any(nested(one, inside) for one in value[1]):
                return True
        return False

    assert nested(parser.parse("(?:a+b)*c"), False)
    assert not nested(parser.parse("a+b*(?:c|d)+"), False)
    seen = 0
    for path, tree in SOURCES.items():
        for called, call in calls(tree):
            literal = call.args[0] if re.fullmatch(r"re\.\w+", called) and call.args else None
            if isinstance(literal, ast.Constant) and isinstance(literal.value, str):
                seen += 1
                assert not nested(parser.parse(literal.value), False), (
                    f"{path}:{call.lineno}: {literal.value}"
                )
    assert seen > 10


def test_a_value_never_becomes_an_argument_of_its_own(tmp_path: Path) -> None:
    """Whatever a choice holds, the program gets it as it is: one argument, no shell, no second look at braces."""
    from ConfigSpace import ConfigurationSpace

    from airtune.engine import command_objective

    evil = [
        f"$(touch {tmp_path}/x)",
        "`id`",
        "a b; c",
        "{other}",
        "' --flag",
        "\n",
        "-rf",
        "*",
        "\\",
        '"',
        "%PATH%",
    ]
    space = ConfigurationSpace({"choice": evil, "other": ["secret"]})
    code = "import json, sys; print(json.dumps(dict(loss=0, argv=sys.argv[1:])))"
    objective = command_objective(f'{sys.executable} -c "{code}" --x={{choice}} {{choice}} {{other}}', space)
    for value in evil:
        got = objective({"choice": value, "other": "secret"})
        assert got["argv"] == [f"--x={value}", value, "secret"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["SECURITY.md"])
def test_the_commands_it_names_are_there(name: str) -> None:
    text = (REPO / name).read_text(encoding="utf-8")
    for path in re.findall(r"`(?:pytest|python -m pytest) ([^` ]+)", text):
        assert (REPO / path.partition("::")[0]).exists(), path
