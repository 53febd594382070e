"""A model, its backend, its dialect and their settings in one word, for lists on the command line.

The form is [BACKEND:]NAME[+SETTING=VALUE...][@DIALECT[+SETTING=VALUE...]]. For example: pocket;
vllm:pocket+deterministic=strict; ./llama-3-8b@chat+history=turns+reasoning=on;
openai:gpt-x+server=openai+record=answers.jsonl; replay:answers.jsonl.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from airtune.models.names import locate
from airtune.models.registry import (
    BACKENDS,
    DIALECTS,
    WITHOUT_WEIGHTS,
    load_model,
    make_dialect,
    require_settings,
    spoken_dialect,
)
from airtune.models.types import LanguageModel, ModelError

_NOT_SHOWN = {
    "record",
    "base_url",
    "prices",
    "concurrency",
    "timeout_s",
    "max_retries",
    "max_wait_s",
    "api_key_env",
}
_FORM = "[BACKEND:]NAME[+SETTING=VALUE...][@DIALECT[+SETTING=VALUE...]]"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What `load_model` is told.

    Attributes:
        name: A registry name, a directory, a hub id, a recording, or a server's name of a model.
        backend: A key of BACKENDS, or None for the default.
        dialect: A dialect with its settings, or None for what the model says.
        settings: Of the backend.
    """

    name: str
    backend: str | None = None
    dialect: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def _check_settings(self) -> None:
        if self.backend == "llama_cpp":
            from airtune.models.backends.llama_cpp.backend import LlamaCppModel as Model
        else:
            from airtune.models.backends.transformers import TransformersModel as Model  # type: ignore[assignment]

        require_settings(Model, {key: value for key, value in self.settings.items() if key != "record"})

    def but(self, backend: str | None = None, dialect: str | None = None) -> ModelSpec:
        """The same with a backend and a dialect that were given apart.

        Raises:
            ModelError: If it names another one itself.
        """
        for what, own, given in (("backend", self.backend, backend), ("dialect", self.dialect, dialect)):
            if own is not None and given is not None and own != given:
                raise ModelError(
                    f"two {what}s are given: {own!r} with the model's name, and {given!r}",
                    value=given,
                    allowed=own,
                    hint=f"leave one of them out: the model's name may be {self.name!r} alone",
                )
        return replace(self, backend=self.backend or backend, dialect=self.dialect or dialect)

    @property
    def label(self) -> str:
        """A short name for tables: no folders, and of the settings those that may change what is proposed."""
        name = self.name.rstrip("/").rpartition("/")[2]
        given = [f"{key}={value}" for key, value in self.settings.items() if key not in _NOT_SHOWN]
        plain, *more = (self.dialect or "").split("+")
        given += more or ([plain] if plain else [])
        return (
            (f"{self.backend}:" if self.backend else "") + name + (f" ({', '.join(given)})" if given else "")
        )

    @property
    def spoken(self) -> str:
        """The dialect it speaks, without its settings.

        Raises:
            ModelError: If there is no such model.
        """
        if self.dialect is None and self.backend in (None, "transformers", "llama_cpp", "vllm", "uniform"):
            return spoken_dialect(self.name).partition("+")[0]
        return (self.dialect or self.load().dialect.name).partition("+")[0]

    def load(self, **more: Any) -> LanguageModel:
        """The model.

        Args:
            more: Settings beside its own, which they override.

        Raises:
            ModelError: See `load_model`.
        """
        given = {"dialect": self.dialect, **self.settings, **more}
        if wrong := {"name_or_path", "backend"} & given.keys():
            raise ModelError(
                f"{wrong.pop()} is no setting of a backend",
                value=sorted(given),
                hint="the model is named so: BACKEND:NAME",
            )
        return load_model(self.name, self.backend, **given)

    def check(self) -> None:
        """Refuse what can be seen to be wrong without loading weights.

        Raises:
            ModelError: If there is no such model, dialect or setting of it, or its backend is not installed.
        """
        if self.dialect is not None:
            make_dialect(self.dialect)
        if self.backend == "vllm":
            from airtune.models.backends.vllm.start import require_vllm

            require_vllm()
        if self.backend == "llama_cpp":
            from airtune.models.backends.llama_cpp.library import library

            library()
        if self.backend in (None, "transformers", "llama_cpp", "vllm") and self.name not in WITHOUT_WEIGHTS:
            locate(self.name)
            if self.settings and self.backend != "vllm":  # which passes others on
                self._check_settings()
        elif "record" not in self.settings:  # which would begin the file
            self.load()


def parse_spec(text: str) -> ModelSpec:
    """The parts of a model's one word.

    >>> parse_spec("vllm:pocket+dtype=bfloat16@chat+history=turns").dialect
    'chat+history=turns'

    Raises:
        ModelError: If it names no model, or gives a setting twice.
    """
    dialects = "|".join(map(re.escape, DIALECTS))
    whole = re.fullmatch(rf"(?s)(.*?)(?:@((?:{dialects})(?:\+.*)?))?", text)
    model, dialect = whole.groups() if whole else (text, None)
    if dialect is None:
        _require_no_misspelt_dialect(model)
    backend, colon, rest = model.partition(":")
    if not colon or backend not in BACKENDS:
        backend, rest = "", model
    name, *pairs = re.split(r"\+(?=[a-z_]+=)", rest)
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key in settings:
            raise ModelError(f"setting {key!r} is given twice in {text!r}", value=text, allowed=_FORM)
        settings[key] = _value(value)
    if not name:
        raise ModelError(
            f"{text!r} names no model",
            value=text,
            allowed=_FORM,
            hint="for example pocket, vllm:pocket or replay:answers.jsonl",
        )
    return ModelSpec(name, backend or None, dialect, settings)


def _require_no_misspelt_dialect(model: str) -> None:
    """What follows an "@" is part of the name where it is no dialect's; one that is nearly so is a slip."""
    name, at, given = model.rpartition("@")
    word = given.partition("+")[0]
    if at and name and difflib.get_close_matches(word.lower(), DIALECTS) and not Path(model).exists():
        raise ModelError.unknown("dialect", word, DIALECTS)


def _value(text: str) -> Any:
    """A number, true, false or null as JSON has them; any other text as it is."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(found, str | list) else found
