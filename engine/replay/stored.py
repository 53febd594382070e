"""A stored study as what its proposals were made from: for every trial the task, the history and the seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NoReturn

from airtune.engine.manifest import stored_space
from airtune.engine.state import StudyState
from airtune.engine.storage.study_file import StudyFile, StudyRecord, TrialRecord
from airtune.engine.types import Job, StoreError, Task
from airtune.grammars import AirtuneError, Grammar
from airtune.models import Completion, Dialect, LanguageModel, ModelError, Problem, Request, load_model
from airtune.models.dialects.chat.dialect import ChatDialect
from airtune.models.dialects.chat.format import JSONFormat, read_messages
from airtune.models.registry import make_dialect


@dataclass(slots=True)
class StoredStudy:
    """One study, read to be replayed; nothing in it is trusted.

    Attributes:
        state: Its trials, and the task, rebuilt from the manifest; its objective must not be called.
        manifest: What it is.
        records: Its trials by number.
        transcripts: How they were proposed, by number.
    """

    state: StudyState
    manifest: Mapping[str, Any]
    records: dict[int, TrialRecord]
    transcripts: dict[int, dict[str, Any]]

    @property
    def name(self) -> str:
        """Its name in the file."""
        return self.state.name

    @property
    def model(self) -> Mapping[str, Any] | None:
        """The manifest of its language model, if it has one."""
        return self.manifest.get("model")

    def missing(self, number: int) -> int | None:
        """The first trial before `number` that the file does not have, or None."""
        first = self.state.first_missing
        return first if first < number else None

    def job(self, number: int) -> Job:
        """What the proposer was given for trial `number`; all trials before it must be there."""
        return self.state.job(number, self.records[number].pending)


def stored_batch(record: StudyRecord) -> Sequence[str]:
    """The studies that a study's model was asked for together with it, as its manifest says."""
    comparison = record.manifest.get("comparison")
    batch = comparison.get("batch") if isinstance(comparison, Mapping) else None
    if isinstance(batch, list) and record.name in batch:
        return [str(name) for name in batch]
    return [record.name]


def read_study(file: StudyFile, record: StudyRecord, tasks: dict[str, Task]) -> StoredStudy:
    """Read a study.

    Args:
        file: Its file.
        record: From `file.studies(verify=False)`.
        tasks: Those rebuilt so far; equal tasks share their space, whose grammar is then built once.

    Raises:
        StoreError: If its rows cannot be read, or its manifest is not that of a study.
    """
    task = _task(record, tasks)
    records = file.records(record.name, verify=False)
    state = StudyState(record.name, task, int(record.manifest["seed"]))
    return StoredStudy(
        state.resumed((one.trial, one.text) for one in records),
        record.manifest,
        {one.trial.number: one for one in records},
        file.transcripts(record.name, verify=False),
    )


def _task(record: StudyRecord, tasks: dict[str, Task]) -> Task:
    manifest = record.manifest
    try:
        if not isinstance(manifest["seed"], int) or not isinstance(manifest["proposer"], str):
            raise TypeError("seed or proposer is of the wrong type")
        key = repr([manifest[name] for name in ("task", "description", "metric", "space_hash")])
        if key not in tasks:
            tasks[key] = Task(
                manifest["task"], stored_space(manifest), _never, manifest["metric"], manifest["description"]
            )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"study {record.name!r} cannot be replayed: its manifest does not describe it ({error!r})",
            value=sorted(manifest),
            allowed="a manifest as Airtune writes it",
            hint="nothing can be derived without it",
        ) from error
    return tasks[key]


def _never(config: Mapping[str, Any]) -> NoReturn:
    raise AssertionError("a replay evaluates nothing")


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
            text = message["content"].strip()
            found = self.recorded.find(text, at)
            if found < 0:
                return derived if self.recorded.startswith("[{") else plain
            at = found + len(text)
        return self.recorded

    def grammar(self, space: Any, exclude: Sequence[Mapping[str, Any]] = ()) -> Grammar:
        """See `Dialect.grammar`."""
        return self._dialect.grammar(space, exclude)

    def parse(self, text: str, grammar: Grammar) -> dict[str, Any]:
        """See `Dialect.parse`."""
        return self._dialect.parse(text, grammar)


class RecordedModels:
    """The models of recordings, loaded one at a time: consecutive studies of one model share it.

    Args:
        repeat: Whether they repeat what is recorded, and nothing is loaded.
        name: The model's name or directory here, if that is another.
        backend: Another backend; the settings of the recorded one are then not used.
        settings: Settings that replace recorded ones.
    """

    def __init__(
        self,
        repeat: bool,
        name: str | None = None,
        backend: str | None = None,
        settings: Mapping[str, Any] = {},
    ) -> None:
        self._repeat = repeat
        self._instead = (name, backend, settings)
        self._key = ""
        self._model: LanguageModel | None = None

    def of(self, manifest: Mapping[str, Any]) -> LanguageModel:
        """The model of a recording, from its manifest.

        Raises:
            ModelError: If it cannot be loaded.
        """
        if self._repeat:
            return RecordedModel(manifest)
        key = repr([manifest.get(name) for name in ("model", "backend", "dialect", "settings")])
        if key != self._key or self._model is None:
            self._key, self._model = "", None  # two large models need not fit side by side
            self._model = _loaded(manifest, *self._instead)
            self._key = key
        return self._model


def _loaded(
    manifest: Mapping[str, Any], name: str | None, backend: str | None, settings: Mapping[str, Any]
) -> LanguageModel:
    """Load the model of a recording, with the settings that it had; see `RecordedModels`.

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
            hint="name it with model= (and its settings: level=3), or use level=0, which needs no model",
        ) from error


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
