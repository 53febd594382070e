"""The wheels of this very installation, fetched with pip where there is a network, for a machine that has none."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse

from airtune.models.archive.manifest import PackError

# So that a wheel built twice has the same bytes: the least date that zip archives know.
_EPOCH = {"SOURCE_DATE_EPOCH": "315532800"}


def wheels_of_airtune(to: Path, *, extras: Sequence[str] = (), constraints: Path | None = None) -> list[Path]:
    """Fetch the wheels of airtune and of all that it needs, for this Python and this platform.

    Args:
        to: The folder they go to.
        extras: Of airtune, for example "smac".
        constraints: A file of pinned versions; None pins what is installed here.

    Returns:
        The wheels, airtune's own among them.

    Raises:
        PackError: If pip is not here or cannot fetch them.
    """
    wanted = f"[{','.join(extras)}]" if extras else ""
    source = _source()
    if source is None:
        return download_wheels([f"airtune{wanted}=={metadata.version('airtune')}"], to, constraints)
    # Installed from a folder or a file: no registry has that one.
    pip("wheel", "--no-deps", "--wheel-dir", str(to), str(source))
    ours = next(to.glob("airtune-*.whl"))
    return download_wheels([f"airtune{wanted} @ {ours.resolve().as_uri()}"], to, constraints)


def download_wheels(requirements: Sequence[str], to: Path, constraints: Path | None = None) -> list[Path]:
    """Fetch the wheels of requirements and of all that they need; never anything that runs code to be built.

    Raises:
        PackError: If pip is not here or cannot fetch them.
    """
    with tempfile.TemporaryDirectory(prefix="airtune-pins-") as folder:
        if constraints is None:
            constraints = Path(folder) / "installed.txt"
            constraints.write_text("".join(f"{name}=={version}\n" for name, version in installed().items()))
        pip(
            "download",
            "--only-binary=:all:",
            "--dest",
            str(to),
            "--constraint",
            str(constraints),
            *requirements,
        )
    return sorted(to.glob("*.whl"))


def installed() -> Mapping[str, str]:
    """What is installed here, by name: version. Without airtune, and without what was built here."""
    found = {}
    for distribution in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"] or "").lower()
        if name and name != "airtune" and distribution.read_text("direct_url.json") is None:
            found[name] = distribution.version
    return dict(sorted(found.items()))


def _source() -> Path | None:
    """The folder or file that this airtune was installed from, if it is still there."""
    # In the folder of its sources airtune is found twice, once without this file.
    for distribution in metadata.distributions(name="airtune"):
        parts = urlparse(json.loads(distribution.read_text("direct_url.json") or "{}").get("url", ""))
        if parts.scheme == "file" and Path(unquote(parts.path)).exists():
            return Path(unquote(parts.path))
    return None


def pip(*arguments: str) -> None:
    """Run pip of this Python.

    Raises:
        PackError: With what it said.
    """
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **_EPOCH})
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in said if "error" in line.lower()] or said
        raise PackError(
            f"pip cannot {arguments[0]} the wheels: {errors[-1] if errors else f'exit code {done.returncode}'}",
            value=list(arguments),
            allowed="a machine that reaches a package index, with pip in this Python",
            hint=f"try it by hand: {' '.join(command)}",
        )
