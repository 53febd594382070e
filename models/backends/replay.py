"""A model that records what it answers, and the `replay` backend, which has nothing but a recording.

A replay presents itself as the recorded model, so that a study replayed from it is the same study, byte for byte,
without weights, network or key.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from airtune.models.backends.recording import (
    Recording,
    key_of,
    model_record,
    read_recording,
    record,
    to_lines,
)
from airtune.models.dialects.chat.dialect import ChatDialect
from airtune.models.dialects.chat.format import JSONFormat
from airtune.models.masks.base import require_some
from airtune.models.types import Completion, Dialect, LanguageModel, ModelError, Request


class RecordingModel:
    """Passes requests on to a model and keeps what it answered; what it has, it does not ask for again.

    Args:
        model: The model that answers.
        path: A file to which every answer is appended at once, and which is read first: an interrupted
            comparison, or the same one again, asks (and pays) only for what is missing.

    Raises:
        ModelError: If the file cannot be read or written, or holds another model's answers.
    """

    def __init__(self, model: LanguageModel, path: str | Path) -> None:
        self._model, self._path = model, Path(path).absolute()  # the objective may go to another folder
        self._file: tuple[int, int] | None = None  # which one it is, since it was first written to
        self._recording = read_recording(self._path, repair=True) if self._path.exists() else Recording()
        self._recording.require_same_model(model_record(model))
        if self._recording.model is None:
            self._append([model_record(model)])

    @property
    def name(self) -> str:
        """The name of the model that answers."""
        return self._model.name

    @property
    def dialect(self) -> Dialect:
        """The dialect of the model that answers."""
        return self._model.dialect

    def manifest(self) -> dict[str, Any]:
        """The manifest of the model that answers."""
        return self._model.manifest()

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """See `LanguageModel.generate`. What was answered of a batch that failed is kept too."""
        asked = list({key_of(r): r for r in requests if self._recording.get(r) is None}.values())
        if asked:
            try:
                self._keep(zip(asked, self._model.generate(asked), strict=True))
            except ModelError as error:
                self._keep((r, c) for r, c in error.answered if isinstance(r, Request) and r in asked)
                raise
        found = [self._recording.get(request) for request in requests]
        return [completion for completion in found if completion is not None]

    def _keep(self, answered: Iterable[tuple[Request, Completion]]) -> None:
        self._append([record(r, c) for r, c in answered if self._recording.add(r, c)])

    def _append(self, entries: Sequence[Mapping[str, Any]]) -> None:
        if not entries:
            return
        try:
            # One write per call, at the end of the file: several processes may share it.
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                found = os.fstat(handle)
                before, self._file = self._file, (found.st_dev, found.st_ino)
                if before not in (None, self._file):
                    # It was moved or removed: what follows is a recording of its own.
                    if found.st_size:
                        raise ModelError(
                            f"the recording {str(self._path)!r} was replaced by another file while it was written to",
                            value=str(self._path),
                            allowed="a recording that stays where it is",
                            hint="move that file away, and run the same command again",
                        )
                    entries = [model_record(self._model), *entries]
                os.write(handle, to_lines(entries).encode())
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise ModelError.unwritable(self._path, error, "choose another file to record into") from error


class ReplayModel:
    """Answers recorded requests with their recorded completions, bit for bit, on any machine.

    Args:
        records: See `Recording`.
        dialect: The dialect that the recorded model spoke.
        name: What the user called it; where the recording names its model, that name counts.

    Raises:
        ModelError: See `Recording`; or if the dialect is not the recorded one.
    """

    backend = "replay"

    def __init__(
        self,
        records: Iterable[Mapping[str, Any]] | Recording,
        *,
        dialect: Dialect,
        name: str = "replay",
    ) -> None:
        self._recording = records if isinstance(records, Recording) else Recording(records)
        model = self._recording.model
        self.name = name if model is None else str(model["model"])
        if model is not None and model["format"] == "JSONFormat" and isinstance(dialect, ChatDialect):
            dialect = dialect.bind(format=JSONFormat())  # prompts as the server was sent them
        self.dialect = dialect
        if model is not None and model["dialect"] != dialect.name:
            raise ModelError(
                f"the recording is of the dialect {model['dialect']!r}, not of {dialect.name!r}",
                value=dialect.name,
                allowed=str(model["dialect"]),
                hint="leave the dialect out: the recording names its own",
            )

    def manifest(self) -> dict[str, Any]:
        """The recorded model's; where none was recorded, the hash of the answers stands for the weights."""
        if self._recording.model is not None:
            return dict(self._recording.model["manifest"])
        return {
            "model": self.name,
            "backend": self.backend,
            "dialect": self.dialect.name,
            "files": {"records": self._recording.digest()},
            "versions": {},
            "settings": {},
        }

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """See `LanguageModel.generate`.

        Raises:
            ModelError: If a request was not recorded.
        """
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Completion:
        require_some(request.grammar)
        found = self._recording.get(request)
        if found is None:
            raise ModelError(
                f"this request was not recorded (seed {request.seed}, temperature {request.temperature}, "
                f"grammar {request.grammar.hash[:12]}, prompt of {len(request.prompt)} characters)",
                value=key_of(request),
                allowed=f"{len(self._recording)} recorded requests",
                hint="prompt, grammar, seed and temperature must all be those of the recording",
            )
        return found
