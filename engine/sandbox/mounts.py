"""What of the machine a program in the sandbox sees: the system, a Python environment, the folder it is run in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from airtune.engine.sandbox.limits import SandboxError

SCRATCH, SHARED = "/scratch", "/dev/shm"
# Of /etc what programs are linked and told the time by; no names of users, no keys.
_SETTINGS = (
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    "localtime",
    "timezone",
    "nsswitch.conf",
)
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
_USERS = "root:x:0:0::/:/bin/false\nnobody:x:65534:65534:nobody:/scratch:/bin/false\n"
_GROUPS = "root:x:0:\nnogroup:x:65534:\n"
# A study file says so in its header (SQLite's application id: see storage.database); others are in use where these lie.
_HEADER, _APPLICATION_AT, _APPLICATION = b"SQLite format 3\0", 68, b"AirT"
_BESIDE = ("-wal", "-shm", "-journal")
MOST_ENTRIES = 1000  # of the folder that a program is run in


@dataclass(frozen=True, slots=True)
class View:
    """What is seen.

    Attributes:
        options: bubblewrap's, in order.
        readable: Paths that may be read.
        contents: Texts that bubblewrap reads from descriptors: (path inside, text).
    """

    options: tuple[str, ...]
    readable: tuple[str, ...]
    contents: tuple[tuple[str, str], ...] = (("/etc/passwd", _USERS), ("/etc/group", _GROUPS))


def view(
    program: str, folder: Path | None, readable: Sequence[str], hidden: Iterable[str], scratch_bytes: int
) -> View:
    """What a program sees.

    Args:
        program: Its path.
        folder: Where it runs: all in there that is no study file and has no dot in front can be read. None: nothing.
        readable: Further files and folders, whole.
        hidden: Files not to be seen wherever they lie, with SQLite's files beside them.
        scratch_bytes: Size of the scratch folder, and of /dev/shm.

    Raises:
        SandboxError: If the folder is none to run a program in.
    """
    concealed = {str(Path(path + end).resolve()) for path in hidden for end in ("", *_BESIDE)}
    chosen = [str(Path(path).resolve()) for path in readable]
    for given, path in zip(readable, chosen, strict=True):
        if not os.path.exists(path):
            raise SandboxError(
                f"{given!r}, which the sandbox is to show, does not exist", value=given,
                allowed="files and folders that exist", hint="correct the path",
            )  # fmt: skip
    bound = {sys.base_prefix, *environments(program), *chosen}
    if folder is not None:
        bound.update(_entries(folder, concealed))
    bound = {
        path for path in bound if path not in concealed and not _in_system(path) and os.path.exists(path)
    }
    # bubblewrap would close a folder that it makes to all but its owner, where it is closed outside.
    options: list[str] = ["--perms", "0755", "--dir", "/etc"]
    seen: list[str] = []
    for path in (path for path in _SYSTEM if os.path.exists(path)):
        if path.count("/") > 1:
            options += ["--perms", "0755", "--dir", os.path.dirname(path)]
        if os.path.islink(path):
            options += ["--symlink", os.readlink(path), path]
        else:
            options += ["--ro-bind", path, path]
            seen.append(path)
    for name in _SETTINGS:
        if os.path.exists(path := f"/etc/{name}"):
            options += ["--ro-bind", os.path.realpath(path), path]
            seen.append(path)
    options += ["--proc", "/proc", "--dev", "/dev"]
    for path in (SCRATCH, SHARED):
        options += ["--perms", "1777", "--size", str(scratch_bytes), "--tmpfs", path]
    above = {str(parent) for path in (*bound, f"{folder or ''}/.") for parent in Path(path).parents[:-1]}
    for path in sorted(path for path in above if not _below(path, (*bound, *_SYSTEM))):
        options += ["--perms", "0755", "--dir", path]
    for path in sorted(bound):
        options += ["--ro-bind", path, path]
    inside = sorted(path for path in concealed if _below(path, bound) and os.path.exists(path))
    for path in inside:
        options += ["--ro-bind", "/dev/null", path]
    if not any(path.startswith("/tmp/") for path in (*bound, f"{folder}/")):
        options += ["--symlink", SCRATCH, "/tmp"]
    seen += [
        *sorted(bound),
        *([] if folder is None else [str(folder)]),
        "/proc",
        "/dev",
        "/etc/passwd",
        "/etc/group",
    ]
    return View(tuple(options), tuple(seen))


def environments(program: str) -> Iterator[str]:
    """The folders of the Python environment that a program belongs to, or the program alone."""
    prefix = Path(program).parent.parent
    if prefix == Path(sys.prefix):
        yield from (sys.prefix, sys.base_prefix)
        yield from (path for path in sys.path if Path(path).name in ("site-packages", "dist-packages"))
        return
    if (settings := prefix / "pyvenv.cfg").is_file():
        yield str(prefix)
        for line in settings.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "home" and _is_python(base := Path(value.strip()).parent):
                yield str(base)
    elif _is_python(prefix):
        yield str(prefix)
    else:
        yield program
    real = Path(program).resolve()
    if _is_python(real.parent.parent):
        yield str(real.parent.parent)


def find_program(name: str, path: str) -> str:
    """The absolute path of a program: a path as it is, a name from the folders in `path`; else unchanged."""
    found = shutil.which(name, path=path) or name
    if os.sep not in found:
        return found
    if re.fullmatch(r"python[\d.]*", os.path.basename(found)) and Path(found).read_bytes()[:2] == b"#!":
        return _behind(found, os.getcwd())
    return os.path.abspath(found)


@lru_cache(maxsize=16)
def _behind(script: str, folder: str) -> str:
    """The interpreter that a script called python stands for in a folder, such as pyenv's; it knows where that is."""
    ask = [script, "-I", "-S", "-c", "import sys; print(sys.executable)"]
    said = subprocess.run(ask, capture_output=True, text=True, check=False, cwd=folder).stdout.strip()
    return said if os.path.isfile(said) else os.path.abspath(script)


def _is_python(prefix: Path) -> bool:
    """Whether a folder is the root of a Python installation, and not one such as /home/x that has a bin by chance."""
    return any((prefix / "lib").glob("python3*/os.py"))


def _entries(folder: Path, concealed: set[str]) -> Iterator[str]:
    """What is shown of the folder that a program runs in."""
    home = Path(os.environ.get("HOME", "/nonexistent"))
    if folder == Path(folder.anchor) or folder in (home, *home.parents) or _in_system(str(folder)):
        raise SandboxError(
            f"the sandbox shows a program the folder that it is run in, and that is {str(folder)!r}",
            value=str(folder), allowed="a folder of the program's own", hint="put it into a folder, and cd there",
        )  # fmt: skip
    names = sorted(os.listdir(folder))
    shown = [name for name in names if not name.startswith(".")]
    if len(shown) > MOST_ENTRIES:
        raise SandboxError(
            f"the folder {str(folder)!r} has {len(shown)} entries", value=len(shown),
            allowed=f"at most {MOST_ENTRIES} in the folder that a program is run in",
            hint="put the data into a folder inside of it",
        )  # fmt: skip
    for name in shown:
        path = folder / name
        base = next((name.removesuffix(end) for end in _BESIDE if name.endswith(end)), name)
        in_use = any(f"{base}{end}" in names for end in _BESIDE) and base in names
        whole = str(path.resolve())
        if in_use or whole in concealed or not path.exists() or _is_study(path):
            continue
        if path.is_symlink() and not Path(whole).is_relative_to(folder):
            continue  # what it points to was not said to be readable
        yield str(path)


def _is_study(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            start = file.read(_APPLICATION_AT + len(_APPLICATION))
    except OSError:
        return False
    return start.startswith(_HEADER) and start.endswith(_APPLICATION)


def _in_system(path: str) -> bool:
    return _below(path, ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/nix/store", "/gnu/store"))


def _below(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)
