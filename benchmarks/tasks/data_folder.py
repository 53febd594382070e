"""Where the data of tasks lie that need some: in the folder that `--data` or the variable AIRTUNE_DATA names.

No data are part of Airtune. Each file is known by its SHA-256, so that a task's losses mean the same everywhere.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from airtune.engine.types import TaskError
from airtune.grammars import read_file

DATA_VARIABLE = "AIRTUNE_DATA"


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file that a family of tasks needs.

    Attributes:
        family: The tasks' family, and the name of the folder that the file lies in.
        name: The file's.
        sha256: Of its content.
        words: What it is and where it is from.
    """

    family: str
    name: str
    sha256: str
    words: str

    def find(self, folder: Path | None = None) -> Path:
        """The file's path in a folder, or in that of the environment, or there in a folder of the family's name.

        Raises:
            TaskError: If there is no folder, or no such file in it.
        """
        text = os.environ.get(DATA_VARIABLE, "")
        wanted = f"DIR/{self.name}, or DIR/{self.family}/{self.name}: {self.words}; SHA-256 {self.sha256}"
        if folder is None and not text:
            raise TaskError(
                f"the tasks {self.family}/* need data, and no folder was given",
                value=DATA_VARIABLE,
                allowed=f"--data DIR, or the environment variable {DATA_VARIABLE}=DIR",
                hint=f"put there {wanted}",
            )
        given = Path(text) if folder is None else folder
        for path in (given / self.name, given / self.family / self.name):
            if path.is_file():
                return path.absolute()
        raise TaskError(
            f"{str(given)!r} has no {self.name!r}, which the tasks {self.family}/* need",
            value=str(given),
            allowed=f"a folder DIR (--data, or {DATA_VARIABLE}) with the file",
            hint=f"put there {wanted}",
        )

    def read(self, path: Path) -> bytes:
        """The file's content.

        Raises:
            TaskError: If it cannot be read, or is another one.
        """
        try:
            content = read_file(path)
        except OSError as error:
            raise TaskError(
                f"{str(path)!r} cannot be read: {error}", value=str(path), allowed=self.words, hint="restore the file"
            ) from error  # fmt: skip
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise TaskError(
                f"{str(path)!r} is not the file that the tasks {self.family}/* are defined on: its SHA-256 differs",
                value=found,
                allowed=self.sha256,
                hint=f"restore the file: {self.words}",
            )
        return content
