"""Would a test notice if a line were wrong? Mutation scores by mutmut, file by file.

    pip install mutmut==3.8.1
    python scripts/mutation.py --out DIR [FILE ...]      (resumes: mutants that have a verdict keep it)

mutmut derives module names from paths, which are not ours, so it works on a copy in which the packages lie below a
folder `airtune`. A file's mutants are killed by its own tests below; where it has more than `--sample`, so many are
drawn by `--seed`. What counts as killed is a test that fails: a mutant that times out, crashes the process or that no
test reaches has survived.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
PACKAGES = ("grammars", "models", "engine", "benchmarks")
# The tests whose task it is to hold a file; fast ones, since each mutant runs those of them that reach it.
TESTS: dict[str, list[str]] = {
    "grammars/automaton.py": ["tests/grammars/test_automaton.py", "tests/grammars/test_rules.py"],
    "grammars/rules.py": ["tests/grammars/test_rules.py"],
    "grammars/intervals.py": ["tests/grammars/test_intervals.py"],
    "engine/state.py": ["tests/engine/test_state.py"],
    "engine/study.py": ["tests/engine/test_study_loop.py", "tests/engine/test_study.py"],
    "engine/storage/study_file.py": [
        "tests/engine/storage/test_writing.py",
        "tests/engine/storage/test_study_file.py",
        "tests/engine/storage/test_schema.py",
    ],
    "engine/storage/lease.py": ["tests/engine/storage/test_lease.py", "tests/engine/storage/test_writing.py"],
    "engine/proposers/lm_gp/proposer.py": ["tests/engine/proposers/lm_gp"],
    "engine/proposers/lm_gp/gaussian_process.py": ["tests/engine/proposers/lm_gp"],
    "engine/proposers/lm_gp/candidates.py": ["tests/engine/proposers/lm_gp"],
    "benchmarks/analysis/statistics.py": ["tests/benchmarks/analysis"],
    "benchmarks/analysis/significance.py": ["tests/benchmarks/analysis"],
    "benchmarks/analysis/order_statistics.py": ["tests/benchmarks/analysis"],
}
KILLED, NO_TESTS = 1, 33  # mutmut's exit codes; all others but 0 (survived) are crashes and time limits


def make_copy(folder: Path, file: str, tests: list[str]) -> None:
    """Copy the packages and tests to where mutmut finds them under their names, and write its settings."""
    ignored = shutil.ignore_patterns("__pycache__")
    for package in PACKAGES:
        shutil.copytree(REPO / package, folder / "airtune" / package, ignore=ignored, dirs_exist_ok=True)
    shutil.copytree(REPO / "tests", folder / "tests", ignore=ignored, dirs_exist_ok=True)
    settings = {
        "source_paths": ["airtune"],
        "only_mutate": [f"airtune/{file}"],
        "also_copy": ["tests", "pyproject.toml"],
        "pytest_add_cli_args": [
            "-x",
            "-m",
            "not slow and not vllm",
            "-p",
            "no:cacheprovider",
            "--hypothesis-seed=0",
        ],
        "pytest_add_cli_args_test_selection": tests,
        "use_git_change_detection": False,
        "track_dependencies": False,
    }
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())
    text = (REPO / "pyproject.toml").read_text(encoding="utf-8")
    (folder / "pyproject.toml").write_text(f"{text}\n[tool.mutmut]\n{lines}\n", encoding="utf-8")


def mutmut(folder: Path, names: list[str]) -> None:
    """Run mutmut in the folder; its own verdict is not needed, its files are read afterwards."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", "1", *names]
    with (folder / "mutmut.txt").open("a", encoding="utf-8") as log:
        subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, check=False)


def verdicts(folder: Path, file: str) -> dict[str, int | None]:
    """Exit codes by mutant; None where it has not been tried."""
    meta = folder / "mutants" / "airtune" / f"{file}.meta"
    if not meta.exists():
        sys.exit(f"mutmut made no mutants of {file}: see {folder / 'mutmut.txt'}")
    codes: dict[str, int | None] = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
    return codes


def measure(out: Path, file: str, sample: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Try the file's mutants; what became of them, and the names of the survivors."""
    folder = out / file.removesuffix(".py").replace("/", "-")
    if not (folder / "mutants").exists():
        make_copy(folder, file, TESTS[file])
        mutmut(folder, ["no such mutant"])  # makes the mutants and times the tests, and tries none
    every = sorted(verdicts(folder, file))
    chosen = sorted(random.Random(seed).sample(every, min(sample, len(every))))
    codes = verdicts(folder, file)
    if left := [name for name in chosen if codes[name] is None]:
        mutmut(folder, left)
        codes = verdicts(folder, file)
    words = {KILLED: "killed", 0: "survived", NO_TESTS: "no test", None: "not tried"}
    found = Counter(words.get(codes[name], "crash or time limit") for name in chosen)
    return found, [name for name in chosen if codes[name] != KILLED]


def main() -> None:
    """Print a line per file, and the survivors below it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="all of the named ones by default")
    parser.add_argument("--out", type=Path, required=True, help="where the copies and verdicts are kept")
    parser.add_argument("--sample", type=int, default=150, help="mutants a file at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if unknown := [file for file in options.files if file not in TESTS]:
        parser.error(f"no tests are named for {unknown[0]!r}; there are: {', '.join(TESTS)}")
    for file in options.files or TESTS:
        found, survivors = measure(options.out.resolve(), file, options.sample, options.seed)
        tried = sum(found.values())
        print(
            f"{file}: {found['killed']} of {tried} killed ({100 * found['killed'] / tried:.0f} %) {dict(found)}"
        )
        print("".join(f"    {name}\n" for name in survivors), end="", flush=True)


if __name__ == "__main__":
    main()
