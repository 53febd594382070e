"""What a model is loaded by: its backend and its dialect, each by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from airtune.models.names import dialect_name, locate
from airtune.models.types import Dialect, LanguageModel, ModelError

BACKENDS = ("transformers", "llama_cpp", "vllm", "openai", "scripted", "uniform", "replay")
WITHOUT_WEIGHTS = ("scripted", "uniform")  # names of models that are backends of themselves
DIALECTS = {
    "chat": ("airtune.models.dialects.chat.dialect", "ChatDialect"),
    "code": ("airtune.models.dialects.code.dialect", "CodeDialect"),
    "pocket": ("airtune.models.dialects.pocket.dialect", "PocketDialect"),
}


OF_WEIGHTS = ("alphabet",)  # settings that weights have learnt: nobody has to name them


def _of_checkpoint(given: str | None, own: str) -> str:
    """The dialect that is asked for, with what the checkpoint's own, if it is the same one, says of its weights."""
    if given is None:
        return own
    (asked, *settings), (plain, *learnt) = given.split("+"), own.split("+")
    named = {setting.partition("=")[0] for setting in settings}
    kept = [s for s in learnt if s.partition("=")[0] in OF_WEIGHTS and s.partition("=")[0] not in named]
    return "+".join([given, *kept]) if asked == plain else given


def make_dialect(name: str) -> Dialect:
    """The dialect called `name`, with its settings if it has any: "chat+history=turns+reasoning=on".

    Raises:
        ModelError: If there is none, or it has no such setting.
    """
    plain, *given = name.split("+")
    if plain not in DIALECTS:
        raise ModelError.unknown("dialect", plain, DIALECTS)
    module, cls = DIALECTS[plain]
    made: Any = getattr(import_module(module), cls)
    settings = dict(setting.partition("=")[::2] for setting in given)
    if len(settings) < len(given):
        raise ModelError(
            f"a setting is given twice in {name!r}",
            value=name,
            allowed="chat, chat+history=turns, pocket+names=hidden, ...",
            hint="leave one of them out",
        )
    dialect: Dialect = made.configured(settings)
    return dialect


def spoken_dialect(name: str | Path) -> str:
    """The dialect of a model that is named: what its checkpoint asks for; "chat" of one without weights.

    Raises:
        ModelError: If there is no such model here.
    """
    return "chat" if str(name) in WITHOUT_WEIGHTS else dialect_name(locate(name))


def load_model(
    name_or_path: str | Path,
    backend: str | None = None,
    *,
    dialect: str | None = None,
    record: str | Path | None = None,
    **settings: Any,
) -> LanguageModel:
    """Load a model.

    Args:
        name_or_path: A registry name ("pocket"), a directory, or a hub id found in the local cache. For
            `llama_cpp`: a GGUF file too, or a directory that holds one. For the
            `replay` backend: a JSONL file of recorded completions. For `openai`: the model's name on the
            server. For `scripted`: any name. For `uniform`: that, or the model whose dialect it speaks.
        backend: "transformers" (default), "llama_cpp", "vllm", "openai", "scripted", "uniform" or "replay".
        dialect: A dialect's name, with settings if need be: "chat+history=turns+reasoning=on". By default
            what the checkpoint, or the recording, says, else "chat".
        record: A file to which every answer is appended, for the `replay` backend; what is in it already is
            not asked again.
        settings: Settings of the backend, for example dtype="float32", device="cpu",
            mask_engine="llguidance".

    Raises:
        ModelError: If the model, backend, dialect or a setting is unknown, or the checkpoint cannot be used.
    """
    backend = backend or (str(name_or_path) if str(name_or_path) in WITHOUT_WEIGHTS else "transformers")
    if backend not in BACKENDS:
        raise ModelError.unknown("backend", backend, BACKENDS)
    for key, text in (("dialect", dialect), ("record", record)):
        if not isinstance(text, str | Path | None):
            raise ModelError(f"{key}={text!r} is no text", value=text, allowed="a text")
    model = _load(name_or_path, backend, dialect, settings)
    # In a recording, what was thought is part of what was recorded.
    if backend != "replay" and getattr(model.dialect, "reasoning", "off") == "on":
        from airtune.models.dialects.chat.reasoning import with_reasoning

        model = with_reasoning(model)
    if record is None:
        return model
    from airtune.models.backends.replay import RecordingModel

    return RecordingModel(model, record)


def _load(
    name_or_path: str | Path, backend: str, dialect: str | None, settings: Mapping[str, Any]
) -> LanguageModel:
    if backend == "scripted":
        from airtune.models.backends.scripted import ScriptedModel

        require_settings(ScriptedModel, settings)
        return ScriptedModel(name=str(name_or_path), dialect=make_dialect(dialect or "chat"), **settings)
    if backend == "uniform":
        from airtune.models.backends.uniform import UniformModel

        require_settings(UniformModel, settings)
        return UniformModel(dialect=make_dialect(_of_checkpoint(dialect, spoken_dialect(name_or_path))))
    if backend == "replay":
        from airtune.models.backends.recording import read_recording
        from airtune.models.backends.replay import ReplayModel

        require_settings(ReplayModel, settings)
        found = read_recording(name_or_path)
        spoken = dialect or (found.model["dialect"] if found.model else "chat")
        return ReplayModel(found, dialect=make_dialect(spoken), name=str(name_or_path))
    if backend == "openai":
        from airtune.models.backends.openai.backend import OpenAIModel

        require_settings(OpenAIModel, settings)
        return OpenAIModel(str(name_or_path), dialect=make_dialect(dialect or "chat"), **settings)
    path = locate(name_or_path)
    model: Any
    if backend == "llama_cpp":
        from airtune.models.backends.llama_cpp.backend import LlamaCppModel as model
    elif backend == "vllm":
        from airtune.models.backends.vllm.backend import VLLMModel as model
    else:
        from airtune.models.backends.transformers import TransformersModel as model
    require_settings(model, settings)
    speaks = make_dialect(_of_checkpoint(dialect, dialect_name(path)))
    loaded: LanguageModel = model(path, name=str(name_or_path), dialect=speaks, **settings)
    return loaded


_OURS = ("dialect", "name")  # keyword arguments that are no settings
_WORDS: dict[Any, str] = {
    bool: "true or false", int: "a whole number", float: "a number", str: "a text", NoneType: "null",
    Mapping: "a JSON object",
}  # fmt: skip


def require_settings(model: Any, settings: Mapping[str, Any]) -> None:
    """Refuse settings that a backend does not have, and values of another type than it takes.

    A text where a truth value belongs would be taken for true, be it "False".

    Args:
        model: The backend's class.
        settings: By name.

    Raises:
        ModelError: Naming the first such setting.
    """
    parameters = inspect.signature(model).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in _OURS]
    others = any(p.kind is p.VAR_KEYWORD for p in parameters)  # which are passed on
    own = {p.name for p in parameters} - {*known}
    hints = get_type_hints(model.__init__)
    for key, value in settings.items():
        if key not in known:
            if others and key not in own:
                continue
            raise ModelError.unknown(f"setting of the {model.backend} backend", key, known)
        types = get_args(hints[key]) or (hints[key],)
        types = (hints[key],) if get_origin(hints[key]) in (Callable, Mapping) else types
        kinds = [get_origin(one) or one for one in types]
        if not any(_is(value, kind) for kind in kinds):
            raise ModelError(
                f"the setting {key} of the {model.backend} backend cannot be {value!r}",
                value=value,
                allowed=", ".join(_WORDS[kind] for kind in kinds if kind in _WORDS) or None,
                hint=f"write {key}={str(value).lower()}"
                if bool in kinds and str(value) in ("True", "False")
                else None,
            )


def _is(value: object, kind: Any) -> bool:
    if isinstance(value, bool) and kind in (int, float):
        return False
    return isinstance(value, (int, float) if kind is float else kind)
