"""The language models of a replay: one that repeats what a transcript says, and the loading of real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from airtune.engine.replay.report import Options
from airtune.grammars import AirtuneError, Grammar
from airtune.models import Completion, Dialect, LanguageModel, ModelError, Problem, Request, load_model
from airtune.models.dialects.chat.dialect import ChatDialect
from airtune.models.dialects.chat.format import JSONFormat, read_messages
from airtune.models.registry import make_dialect

# Settings of a vLLM manifest that `load_model` takes.
_VLLM = (
    "block_size", "deterministic", "dtype", "enable_chunked_prefill", "enable_prefix_caching", "enforce_eager",
    "max_model_len", "max_num_batched_tokens", "max_num_seqs", "pipeline_parallel_size", "quantization",
    "structured_outputs", "tensor_parallel_size", "threads",
)  # fmt: skip


class NotRecordedError(AirtuneError):
    """A proposer asked for what the recording does not hold."""


class RecordedModel:
    """Answers with what a study's transcripts say, for one trial at a time (`recall`); loads nothing.

    Args:
        manifest: Of the model that was recorded.

    Raises:
        ModelError: If its dialect is not known.
    """

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        self._manifest = dict(manifest)
        self.name = str(manifest.get("model"))
        self.dialect: Dialect = make_dialect(str(manifest.get("dialect")))
        if isinstance(self.dialect, ChatDialect):
            self.dialect = _Untemplated(self.dialect)
        self._answers: dict[int, Mapping[str, Any]] = {}

    def recall(self, transcript: Mapping[str, Any]) -> None:
        """From now on, answer what this trial's transcript says."""
        rejected = [one for one in transcript.get("rejected", ()) if isinstance(one, Mapping)]
        samples = [one for one in transcript.get("samples", ()) if isinstance(one, Mapping)]
        queries = [one for one in transcript.get("queries", ()) if isinstance(one, Mapping)]
        self._answers = {}
        # A seed may have several entries, none of which says all: a sample that was turned down, or chosen.
        for one in (*samples, *queries, *rejected, transcript):
            if isinstance(one.get("seed"), int):
                self._answers[one["seed"]] = {**self._answers.get(one["seed"], {}), **one}
        if isinstance(self.dialect, _Untemplated):
            self.dialect.recorded = str(transcript.get("prompt"))

    def manifest(self) -> dict[str, Any]:
        """That of the model that was recorded."""
        return dict(self._manifest)

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """See `LanguageModel.generate`.

        Raises:
            NotRecordedError: If the transcript has no answer with a request's seed.
        """
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Completion:
        told = self._answers.get(request.seed)
        if told is None:
            raise NotRecordedError(
                f"no answer with the seed {request.seed} is recorded",
                value=request.seed,
                allowed=", ".join(map(str, self._answers)) or "none",
            )
        known = {field.name for field in fields(Completion)}
        values = {key: _tuple(value) for key, value in told.items() if key in known}
        if "logprob" in told and "logprobs" not in told:  # of a sample, only their sum is kept
            values["logprobs"] = None if told["logprob"] is None else (told["logprob"],)
        blank = {"token_ids": None, "logprobs": None, "prompt_tokens": None, "decode_steps": None}
        try:
            return Completion(**{"text": "", "finish_reason": "stop", **blank, **values})
        except TypeError as error:
            raise NotRecordedError(f"the answer cannot be read: {error}", value=told) from error


class _Untemplated:
    """The chat dialect where the tokenizer, whose template writes the prompt, is not at hand.

    What Airtune says is derived, message by message; the template's own words around it are taken as recorded.
    """

    def __init__(self, dialect: ChatDialect) -> None:
        self._dialect = dialect
        self.name, self.temperature = dialect.name, dialect.temperature
        self.recorded = ""

    def render(self, problem: Problem) -> str:
        """The recorded prompt if it says all that is derived, in that order; else what is derived."""
        plain = self._dialect.render(problem)
        if plain == self.recorded:
            return plain
        derived = self._dialect.bind(format=JSONFormat()).render(problem)
        at = 0
        for message in read_messages(derived):
            said = message["content"].strip()
            found = self.recorded.find(said, at)
            if found < 0:
                return derived if self.recorded.startswith("[{") else plain
            at = found + len(said)
        return self.recorded

    def grammar(self, space: Any, exclude: Sequence[Mapping[str, Any]] = ()) -> Grammar:
        """See `Dialect.grammar`."""
        return self._dialect.grammar(space, exclude)

    def parse(self, text: str, grammar: Grammar) -> dict[str, Any]:
        """See `Dialect.parse`."""
        return self._dialect.parse(text, grammar)


class Models:
    """Loads the models of recordings, one at a time: consecutive studies of one model share it."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._key = ""
        self._model: LanguageModel | None = None

    def of(self, manifest: Mapping[str, Any]) -> LanguageModel:
        """The model of a recording: at level 0 one that repeats what is recorded.

        Raises:
            ModelError: If it cannot be loaded.
        """
        if self._options.level == 0:
            return RecordedModel(manifest)
        key = repr([manifest.get(name) for name in ("model", "backend", "dialect", "settings")])
        if key != self._key or self._model is None:
            self._key, self._model = "", None  # two large models need not fit side by side
            chosen = self._options
            self._model = _loaded(manifest, chosen.model, chosen.backend, dict(chosen.settings))
            self._key = key
        return self._model


def _loaded(
    manifest: Mapping[str, Any], name: str | None, backend: str | None, settings: Mapping[str, Any]
) -> LanguageModel:
    """Load the model of a recording, with the settings that it had.

    Args:
        manifest: Of the model that was recorded.
        name: Its name or directory here, if that is another.
        backend: Another backend; the settings of the recorded one are then not used.
        settings: Settings that replace recorded ones.

    Raises:
        ModelError: If it cannot be loaded here, or must not be: a model behind a server.
    """
    recorded, told = str(manifest.get("backend")), dict(manifest.get("settings") or {})
    if (backend or recorded) == "openai":
        raise ModelError(
            f"model {manifest.get('model')!r} is behind a server, which a replay does not ask again",
            value=recorded,
            allowed="level 0 for such studies",
            hint="airtune replay --level 0 checks them against the recorded replies",
        )
    kept = told if backend in (None, recorded) else {}
    if recorded == "vllm":  # its manifest says how vLLM resolved all of them, and more
        kept = {key: value for key, value in kept.items() if key in _VLLM and value is not None}
    called = name or str(manifest.get("model"))
    try:
        return load_model(
            called, backend or recorded, dialect=str(manifest.get("dialect")), **{**kept, **settings}
        )
    except ModelError as error:
        raise ModelError(
            f"the recorded model {called!r} cannot be loaded here: {error.message}",
            value=called,
            allowed=error.allowed,
            hint="name it with --model (and --device, --dtype: level 3), or use --level 0, which needs no model",
        ) from error


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
