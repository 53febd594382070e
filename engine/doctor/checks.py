"""What works on this machine, tried rather than guessed, and what to install for more."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from airtune.grammars import Grammar

LIBRARIES = ("ConfigSpace", "llguidance", "optuna", "scikit-learn", "torch", "transformers")
MASK_ENGINES = ("llguidance", "xgrammar", "outlines_core")
OLDEST, TOO_NEW = (3, 11), (3, 14)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried.

    Attributes:
        name: What.
        status: "ok"; "missing" if it is optional and not here; "failed" if the main job needs it.
        detail: What was found.
        fix: What to do about it, or None.
    """

    name: str
    status: Literal["ok", "missing", "failed"]
    detail: str
    fix: str | None = None


def checks() -> Iterator[Check]:
    """Try everything, the cheap things first."""
    yield _python()
    yield _libraries()
    yield Check("cpu", "ok", f"{platform.machine()}, {_cores()} cores usable")
    yield _study_file()
    for engine in MASK_ENGINES:
        yield _mask_engine(engine)
    yield _attempt("model pocket", lambda: _proposal("cpu"), fix="pip install --force-reinstall airtune")
    yield _imported()
    yield _gpu()
    yield from _sandbox()
    yield _attempt("backend llama_cpp", _llama_cpp, fix="pip install 'airtune[llama-cpp]'", optional=True)
    yield _attempt(
        "backend vllm", _vllm, fix="pip install 'airtune[vllm]' on a machine with a GPU", optional=True
    )
    yield _attempt("backend openai", _openai, fix="pip install 'airtune[openai]'", optional=True)


def _attempt(name: str, test: Callable[[], str], *, fix: str, optional: bool = False) -> Check:
    """Run a test that answers what it found; whatever it raises is the finding."""
    from airtune.grammars import AirtuneError

    try:
        return Check(name, "ok", test())
    except AirtuneError as error:
        detail, fix = error.message, error.hint or fix
    except Exception as error:  # a broken installation can raise anything
        detail = f"{type(error).__name__}: {error}".splitlines()[0]
    return Check(name, "missing" if optional else "failed", detail, fix)


def _python() -> Check:
    version = platform.python_version()
    if OLDEST <= sys.version_info[:2] < TOO_NEW:
        return Check("python", "ok", f"{version} on {platform.system()}")
    return Check("python", "failed", version, "use Python 3.11, 3.12 or 3.13")


def _libraries() -> Check:
    found, lacking = [f"airtune {metadata.version('airtune')}"], []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lacking.append(name)
    if lacking:
        return Check("libraries", "failed", f"missing: {', '.join(lacking)}", "pip install airtune")
    return Check("libraries", "ok", ", ".join(found))


def _cores() -> int:
    """Cores that this process may use, which in a container are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _study_file() -> Check:
    """Write a study-like file here, in the write-ahead mode that study files use."""

    def test() -> str:
        with tempfile.TemporaryDirectory(prefix=".airtune-", dir=Path.cwd()) as folder:
            connection = sqlite3.connect(Path(folder) / "study.sqlite")
            try:
                mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
                connection.execute("CREATE TABLE t (x)")
                connection.commit()
            finally:
                connection.close()
        if mode != "wal":
            raise OSError(f"SQLite offers {mode!r} instead of a write-ahead log on this file system")
        return f"can be written in {Path.cwd()} (SQLite {sqlite3.sqlite_version}, write-ahead log)"

    return _attempt("study file", test, fix="give --study a path on a local, writable file system")


def _mask_engine(name: str) -> Check:
    """Let a model without weights answer under a small grammar, through this engine's masks."""

    def test() -> str:
        from airtune.models import Request, load_model

        grammar = _small_grammar()
        model = load_model("scripted", "scripted", mask_engine=name)
        answer = model.generate([Request("doctor", grammar, seed=1)])[0]
        return f"answers within the grammar: {answer.text}" if grammar.decode(answer.text) else "no answer"

    needed = name == "llguidance"
    fix = "pip install airtune" if needed else "pip install 'airtune[engines]'"
    return _attempt(f"mask engine {name}", test, fix=fix, optional=not needed)


def _small_grammar() -> Grammar:
    from ConfigSpace import ConfigurationSpace

    from airtune.grammars import space_grammar

    return space_grammar(ConfigurationSpace({"depth": (1, 9), "lr": (0.1, 1.0), "kernel": ["rbf", "linear"]}))


def _proposal(device: str) -> str:
    """Verify the bundled weights, load them, and let them propose once."""
    from airtune.models import Problem, Request, load_model, verify_model

    files = verify_model("pocket")
    model = load_model("pocket", device=device)
    space = _small_grammar().space
    grammar = model.dialect.grammar(space)
    prompt = model.dialect.render(Problem("doctor", "", space, "loss"))
    answer = model.generate([Request(prompt, grammar, seed=1)])[0]
    config = model.dialect.parse(answer.text, grammar)
    return f"{len(files)} files verified; proposes {config}"


def _imported() -> Check:
    """Hash every imported model again."""
    from airtune.models import ModelError, model_info, verify_model
    from airtune.models.names import imported_names, models_folder

    found, broken = [], []
    for name in imported_names():
        try:
            verify_model(name)
            found.append(f"{name} ({model_info(name).bytes / 1e6:,.0f} MB)")
        except ModelError as error:
            broken.append(error.message)
    folder = models_folder()
    if broken:
        return Check(
            "imported models", "failed", "; ".join(broken), f"remove it from {folder}, and import it again"
        )
    if found:
        return Check("imported models", "ok", f"{', '.join(found)}, all files as recorded, in {folder}")
    return Check("imported models", "missing", f"none in {folder}", "airtune models get smollm2")


def _gpu() -> Check:
    """Propose on the first NVIDIA GPU, if there is one."""
    tool = shutil.which("nvidia-smi")
    listed = None
    if tool is not None:
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=60, check=False)
    if listed is None or listed.returncode != 0 or not listed.stdout.strip():
        return Check("gpu", "missing", "none found; the bundled model needs none")
    name = listed.stdout.splitlines()[0].split(" (UUID")[0]
    fix = "install a CUDA build of torch: pip install --force-reinstall torch"
    return _attempt("gpu", lambda: f"{name}: {_proposal('cuda')}", fix=fix, optional=True)


def _sandbox() -> Iterator[Check]:
    """The layers that `airtune tune --sandbox` and programs need."""
    from airtune.engine.sandbox.layers import layers

    for layer in layers():
        yield Check(
            f"sandbox {layer.name}", "ok" if layer.fix is None else "missing", layer.detail, layer.fix or None
        )


def _llama_cpp() -> str:
    from airtune.models.backends.llama_cpp.library import library

    built = library().llama_print_system_info().decode().strip(" |")
    return f"llama-cpp-python {metadata.version('llama_cpp_python')}; {built}"


def _vllm() -> str:
    from airtune.models.backends.vllm.start import require_vllm

    return f"vLLM {require_vllm()}"


def _openai() -> str:
    """What is there for it; no server is asked, and no key or address is shown."""
    try:
        version = metadata.version("httpx2")
    except metadata.PackageNotFoundError:
        from airtune.grammars import AirtuneError

        raise AirtuneError("httpx2 is not installed") from None
    variables = ("OPENAI_BASE_URL", "OPENAI_API_KEY")
    said = ", ".join(f"{name} is {'set' if os.environ.get(name) else 'not set'}" for name in variables)
    return f"httpx2 {version}; {said}; stays on this machine without --allow-network"
