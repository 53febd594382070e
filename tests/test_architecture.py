"""The shape of the project: which room may import which, what importing costs, what the tools see."""

from __future__ import annotations

import ast
import graphlib
import importlib
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_socket import SocketBlockedError

REPO = Path(__file__).resolve().parents[1]
ROOMS = ("grammars", "models", "engine", "benchmarks")  # each may import those before it
HEAVY = ("torch", "transformers", "optuna", "sklearn", "scipy", "vllm")
# Models are trained and run with torch; these rooms' other modules may not even name it at import time.
TORCH = {"torch", "transformers", "vllm"}


# The rooms inside a package: left of a `>` may import what is right of it, beside each other they do not.
ORDER = {
    "models": "finetuning > pocket.training > archive > spec, tiny > registry, inventory > names > backends"
    " > dialects > inspection > decoding > masks > types, offline > environment",
    "engine": "cli > doctor > minimization > study > asking > replay, integrations > proposers > identity > storage,"
    " evaluation, sandbox > manifest > state > types, seeds",
    "benchmarks": "report > paper > measures > running > analysis > tasks",
}


def sources(room: str) -> list[Path]:
    return sorted(p for p in (REPO / room).rglob("*.py") if "__pycache__" not in p.parts)


def imported(node: ast.AST) -> set[str]:
    """The dotted names that one import statement loads."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
        return {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return set()


def anywhere(tree: ast.AST) -> set[str]:
    """The dotted names that a module imports, be it in a function."""
    return {name for node in ast.walk(tree) for name in imported(node)}


def rooms(names: set[str]) -> set[str]:
    return {m.group(1) for name in names if (m := re.match(r"airtune\.(\w+)", name)) and m.group(1) in ROOMS}


def at_import_time(tree: ast.Module) -> set[str]:
    """The dotted names that importing a module loads: not those in functions or under TYPE_CHECKING."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                visit(other)
            return
        found.update(imported(node))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree)
    return found


def run_python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.parametrize("room", ROOMS)
def test_imports_never_point_upward(room: str) -> None:
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    files = sources(room)
    assert files
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if room == "engine" and path.parent.name == "cli":
            # Where everything is put together: it may import the upper room, but only inside functions.
            named = rooms(at_import_time(tree))
        else:
            named = rooms(anywhere(tree))
        assert named <= allowed, f"{path.relative_to(REPO)} imports {sorted(named - allowed)}"


@pytest.mark.parametrize("package", ORDER)
def test_rooms_inside_a_package_import_one_way(package: str) -> None:
    """Also in functions, where an import that runs back would only be found when it is called."""
    rank = {
        name.strip(): place
        for place, beside in enumerate(ORDER[package].split(">"))
        for name in beside.split(",")
    }

    def room_of(module: str) -> str | None:
        inside = module.removeprefix(f"airtune.{package}.")
        return (
            next((one for one in rank if f"{inside}.".startswith(f"{one}.")), None)
            if inside != module
            else None
        )

    back = []
    for path in sources(package):
        module = "airtune." + ".".join(path.relative_to(REPO).with_suffix("").parts)
        home = room_of(module)
        assert home is not None or path.name == "__init__.py", f"{module} is in no room: {ORDER[package]}"
        for name in anywhere(ast.parse(path.read_text(encoding="utf-8"))):
            other = room_of(name)
            if home is not None and other not in (None, home) and rank[home] >= rank[str(other)]:
                back.append(f"{module} imports {name}")
    assert back == []


def test_modules_do_not_import_each_other() -> None:
    """No circles among modules, imports inside functions included; a package stands for its `__init__`."""
    modules = {
        "airtune." + ".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__"): path
        for package in ROOMS
        for path in sources(package)
    }
    uses = {
        name: {
            other
            for other in anywhere(ast.parse(path.read_text(encoding="utf-8")))
            if other in modules and other != name and not name.startswith(f"{other}.")
        }
        for name, path in modules.items()
        if path.name != "__init__.py"  # which name what they gather
    }
    sorter = graphlib.TopologicalSorter(uses)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise AssertionError(" <- ".join(error.args[1])) from error


@pytest.mark.parametrize("room", ["grammars", "engine", "benchmarks"])
def test_no_room_but_models_names_torch(room: str) -> None:
    for path in sources(room):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        # They measure our mask loop against transformers' own, or train networks, inside their functions.
        tasks = path.is_relative_to(REPO / "benchmarks/tasks")
        rivals = path.name in ("speed.py", "real_speed.py") or tasks
        names = at_import_time(tree) if rivals else anywhere(tree)
        named = {name.split(".")[0] for name in names}
        assert not named & TORCH, f"{path.relative_to(REPO)} imports {sorted(named & TORCH)}"


@pytest.mark.parametrize("room", ["grammars", "models", "engine", "engine.cli.app"])
def test_importing_is_light(room: str) -> None:
    heavy = [name for name in HEAVY if not (room in {"grammars", "models"} and name == "scipy")]
    code = f"import sys, airtune.{room}; print([n for n in {heavy!r} if n in sys.modules])"
    assert run_python(code).stdout.strip() == "[]"


def test_importtime_of_the_engine_shows_no_torch() -> None:
    shown = run_python("import airtune.engine", "-X", "importtime").stderr
    assert "airtune.engine" in shown
    assert not re.search(r"\|\s+(torch|transformers|optuna|sklearn|scipy)\b", shown)


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("airtune.engine", ["Study", "Task", "Trial", "Proposal", "Proposer", "minimize", "load_proposer"]),
        ("airtune.benchmarks", ["get_task", "task_names"]),
        ("airtune.grammars", ["space_grammar", "Grammar", "AirtuneError"]),
        ("airtune.models", ["load_model", "list_models", "model_info", "verify_model"]),
        ("airtune.engine.cli.app", ["main"]),
    ],
)
def test_the_public_names_can_be_imported(module: str, names: list[str]) -> None:
    loaded = importlib.import_module(module)
    missing = [name for name in names if not hasattr(loaded, name)]
    assert not missing


def test_every_module_says_what_it_is_first() -> None:
    for room in ROOMS:
        for path in sources(room):
            assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path.relative_to(REPO)


def test_every_package_is_installed() -> None:
    """A package that pyproject.toml does not list is missing from the wheel without a word."""
    import tomllib

    listed = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        "airtune." + ".".join(init.parent.relative_to(REPO).parts)
        for room in ROOMS
        for init in (REPO / room).rglob("__init__.py")
    }
    assert set(listed) == found


def test_ruff_sees_the_packages() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--show-files", "."]
    shown = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True).stdout
    seen = {Path(line) for line in shown.splitlines()}
    for room in (*ROOMS, "scripts"):
        missing = set(sources(room)) - seen
        assert not missing


def test_mypy_is_pointed_at_every_package(tmp_path: Path) -> None:
    """`.ci/types` names every room, through a link that makes mypy find more than nothing."""
    script = (REPO / ".ci" / "types").read_text()
    for room in ROOMS:
        assert f"-p airtune.{room}" in script
    code = (
        "import sys; from mypy.modulefinder import FindModuleCache, SearchPaths\n"
        "from mypy.fscache import FileSystemCache\n"
        "from mypy.options import Options\n"
        "options = Options(); options.namespace_packages = True; options.explicit_package_bases = True\n"
        "paths = SearchPaths((), (sys.argv[1],), (), ())\n"
        "found = FindModuleCache(paths, FileSystemCache(), options).find_modules_recursive('airtune')\n"
        "print(sum(source.path is not None and source.path.endswith('.py') for source in found))"
    )
    (tmp_path / "airtune").symlink_to(REPO)
    shown = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(shown.stdout) >= sum(len(sources(room)) for room in ROOMS)


def test_the_readme_and_ci_run_the_same_commands() -> None:
    readme = (REPO / "README.md").read_text(encoding="utf-8")
    ci = (REPO / ".ci" / "run").read_text(encoding="utf-8")
    test_command = re.search(r"^TEST_COMMAND='(.+)'$", ci, re.MULTILINE)
    assert test_command is not None
    lines = [line.strip() for line in readme.splitlines()]
    assert any(
        line.endswith(f"&& {test_command.group(1)}") or line == test_command.group(1) for line in lines
    )
    assert any("pip install -c constraints.txt -e '.[dev]'" in line for line in lines)
    assert "install -q -c constraints.txt -e '.[dev]'" in ci
    assert any("airtune tune sklearn/svm/digits --budget 10" in line for line in lines)
    assert "airtune tune sklearn/svm/digits --budget" in ci


def test_contributing_and_ci_run_the_same_tests_on_a_real_model() -> None:
    ci = (REPO / ".ci" / "run").read_text(encoding="utf-8")
    command = re.search(r"^REAL_COMMAND='(.+)'$", ci, re.MULTILINE)
    assert command is not None
    table = (REPO / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert f"AIRTUNE_REAL_MODEL=FILE {command.group(1)}`" in table
    assert re.search(r"pip install -c constraints\.txt -e '\.\[dev,real\]'", table)
    assert "install -q -c constraints.txt -e '.[real]'" in ci


def test_constraints_pin_every_dependency() -> None:
    import tomllib

    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]
    text = (REPO / "constraints.txt").read_text()
    pinned = {normal(line.split("==")[0]) for line in text.splitlines() if line and not line.startswith("#")}
    names = {normal(re.split(r"[\[<>=!~ ]", requirement)[0]) for requirement in wanted} - {"airtune"}
    assert names <= pinned
    assert "+" not in text.split("\n", 3)[3]  # no local tags: they exist on one index only


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_tests_have_no_network() -> None:
    with pytest.raises(SocketBlockedError), pytest.warns(UserWarning, match="tried to use socket"):
        socket.socket(socket.AF_INET, socket.SOCK_STREAM)
