"""The `llama_cpp` backend: a GGUF file at its own precision, on the CPU, in this process.

Masks, draws, seeds and log-probabilities are those of the other backends; llama.cpp gives the logits.

What is promised: the same list of requests gives the same bits (same machine, settings and build of llama.cpp),
whatever the prefix cache holds. In another batch a kernel may round otherwise, as in the `transformers` backend; with
`deterministic` every row is a batch of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from airtune.grammars import Grammar
from airtune.models.backends.checkpoint import sha256_of, versions
from airtune.models.backends.determinism import read_mode, require_deterministic
from airtune.models.backends.gguf_header import read_header
from airtune.models.backends.llama_cpp.decoder import BlockDecoder, PrefixCache
from airtune.models.backends.llama_cpp.library import Context, Weights, library
from airtune.models.backends.llama_cpp.tokenizer import Tokenizer
from airtune.models.backends.prompts import answer_limit
from airtune.models.decoding.free_text import FreeMatcher
from airtune.models.decoding.row import Row
from airtune.models.masks.base import Matcher, engine_for, make_engine
from airtune.models.offline import stay_offline
from airtune.models.types import AnswerDistribution, Completion, Dialect, ModelError, Request, TextRequest

CONTEXT = 8192  # tokens, at most, where the user names no number: its keys and values are set aside at once


class LlamaCppModel:
    """A GGUF file.

    Args:
        path: The file, or a directory that holds one.
        name: What the user called it.
        dialect: The dialect it speaks.
        mask_engine: As in the `transformers` backend, as is the next.
        fast_forward: See there.
        threads: Threads of a forward pass. On a machine whose cores are busy with other work more of them wait for
            each other; give the number of cores that are free.
        block: Tokens of one forward pass, at most; prompts are read and kept in blocks of it. It may change the last
            bits.
        context: Tokens that there is room for, prompts and answers of a batch together. None: the model's own
            context, up to 8192.
        prefix_cache_mb: Megabytes for keys and values of prompts that were read before; 0 keeps none. It changes no
            bit of an answer.
        deterministic: As in the `transformers` backend.

    Raises:
        ModelError: If llama-cpp-python is not installed, the file cannot be used, a setting is not known, or the
            self-test fails.
    """

    backend = "llama_cpp"

    def __init__(
        self,
        path: str | Path,
        *,
        dialect: Dialect,
        name: str | None = None,
        mask_engine: str | None = None,
        fast_forward: bool = True,
        threads: int = 1,
        block: int = 32,
        context: int | None = None,
        prefix_cache_mb: int = 512,
        deterministic: str | bool = "off",
    ) -> None:
        self.path = gguf_file(Path(path))
        self.name = name or str(path)
        self.deterministic = read_mode(deterministic)
        for key, value, least in (
            ("threads", threads, 1),
            ("block", block, 1),
            ("context", context, 256),
            ("prefix_cache_mb", prefix_cache_mb, 0),
        ):
            if value is not None and (type(value) is not int or value < least):
                raise ModelError(
                    f"{key} must be a whole number, {least} or more", value=value, allowed=f"{least}, ..."
                )
        stay_offline()  # chat templates are rendered by transformers
        weights = Weights(self.path)
        self.context = min(context or CONTEXT, weights.context)
        self.prompts = Tokenizer(weights)
        self.vocabulary = self.prompts.vocabulary
        mask_engine = mask_engine or engine_for(dialect, self.vocabulary)
        self.settings = {
            "mask_engine": mask_engine,
            "fast_forward": fast_forward,
            "threads": threads,
            "block": block,
            "context": self.context,
            "prefix_cache_mb": prefix_cache_mb,
            "deterministic": self.deterministic,
        }
        self.fast_forward = fast_forward
        self.decoder = BlockDecoder(
            Context(weights, cells=self.context, block=block, threads=threads),
            cells=self.context,
            block=block,
            cache=PrefixCache(prefix_cache_mb << 20, block),
            fast_forward=fast_forward,
        )
        self.engine = make_engine(mask_engine, self.vocabulary)
        self._ends = frozenset([*self.vocabulary.eos_ids, *self.prompts.turn_ends])
        self.dialect = self.prompts.bind(dialect, self.context - 1)  # one place is for the end of the answer
        self.self_test = require_deterministic(self, self.deterministic)

    def manifest(self) -> dict[str, Any]:
        """Hash of the file; versions, and what llama.cpp was built for; settings; the self-test."""
        tested = {} if self.self_test is None else {"self_test": self.self_test.json()}
        built = {
            "llama_cpp_python": metadata.version("llama_cpp_python"),
            "llama.cpp": library().llama_print_system_info().decode().strip(" |"),
        }
        return {
            "model": self.name,
            "backend": self.backend,
            "dialect": self.dialect.name,
            "files": {self.path.name: sha256_of(self.path)},
            "versions": {**versions(), **built},
            "settings": dict(self.settings),
            **tested,
        }

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """See `LanguageModel.generate`. One call is one batch, if there is room for it."""
        encoded = self.prompts.encode_all(request.prompt for request in requests)
        rows = [self._open(request, encoded[request.prompt]) for request in requests]
        for row in rows:  # an answer may start with forced tokens, or consist of them
            row.take_forced(self.fast_forward)
        self._complete([row for row in rows if not row.done])
        return [self._completion(row) for row in rows]

    def answer_distribution(
        self, prompt: str, grammar: Grammar, temperature: float = 1.0
    ) -> AnswerDistribution:
        """See `TransparentModel.answer_distribution`. The prompt is read here, once."""
        from airtune.models.inspection.distribution import TokenDistribution

        ids = self.prompts.encode(prompt)
        self._open(
            Request(prompt, grammar, seed=0, temperature=temperature), ids
        )  # raises as `generate` would
        state = self.decoder.after(ids)

        def logits(prefixes: Sequence[tuple[int, ...]], columns: Sequence[NDArray[Any]]) -> list[Any]:
            return self.decoder.branches(state, ids, prefixes, columns)

        return TokenDistribution(grammar, temperature, self.engine, self.fast_forward, logits)

    def write(self, requests: Sequence[TextRequest]) -> list[Completion]:
        """See `TextWriter.write`. One call is one batch, if there is room for it."""
        encoded = self.prompts.encode_all(request.prompt for request in requests)
        matchers = [FreeMatcher(self.vocabulary, self._ends, request.stop) for request in requests]
        rows = [
            self._row(request, matcher, encoded[request.prompt])
            for request, matcher in zip(requests, matchers, strict=True)
        ]
        self._complete(rows)
        return [
            replace(self._completion(row), text=matcher.text)
            for row, matcher in zip(rows, matchers, strict=True)
        ]

    def _open(self, request: Request, prompt: list[int]) -> Row:
        return self._row(request, self.engine.compile(request.grammar), prompt)

    def _row(self, request: Request | TextRequest, matcher: Matcher | FreeMatcher, prompt: list[int]) -> Row:
        """An open row, once it is certain that it can be answered."""
        limit = answer_limit(request, len(prompt), self.context)
        return Row(request, prompt, matcher, torch.Generator(device="cpu").manual_seed(request.seed), limit)

    def _complete(self, rows: Sequence[Row]) -> None:
        self.decoder.complete(rows, alone=self.deterministic != "off")

    def _completion(self, row: Row) -> Completion:
        return Completion(
            text=self.vocabulary.text(row.token_ids),
            token_ids=tuple(row.token_ids),
            logprobs=tuple(row.logprobs),
            finish_reason="stop" if row.matcher.finished else "length",
            prompt_tokens=len(row.prompt),
            decode_steps=row.steps,
        )


def gguf_file(path: Path) -> Path:
    """The GGUF file that a path names: itself, or the only one in a directory.

    Raises:
        ModelError: If there is none, or more than one.
    """
    found = sorted(path.glob("*.gguf")) if path.is_dir() else [path] if path.is_file() else []
    if len(found) != 1:
        raise ModelError(
            f"{path} holds {len(found) or 'no'} GGUF files" if path.is_dir() else f"there is no file {path}",
            value=str(path),
            allowed="a GGUF file, or a directory with exactly one",
            hint="name the file itself",
        )
    with found[0].open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelError(f"{found[0]} is not a GGUF file", value=str(found[0]), allowed="*.gguf")
    read_header(found[0])  # before llama.cpp does, which trusts what it reads
    return found[0]
