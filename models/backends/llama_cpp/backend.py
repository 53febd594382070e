"""The `llama_cpp` backend: a GGUF file at its own precision, on the CPU, in this process.

Masks, draws, seeds and log-probabilities are those of the other backends; llama.cpp gives the logits.

What is promised: the same list of requests gives the same bits (same machine, settings and build of llama.cpp),
whatever the prefix cache holds. In another batch a kernel may round otherwise, as in the `transformers` backend; with
`deterministic` every row is a batch of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airtune.models.backends.checkpoint import sha256_of, versions, weights_size
from airtune.models.backends.determinism import read_mode
from airtune.models.backends.gguf import require_gguf
from airtune.models.backends.llama_cpp.decoder import ANSWERS, BlockDecoder, PrefixCache
from airtune.models.backends.llama_cpp.library import Context, Weights, built_for, library
from airtune.models.backends.llama_cpp.tokenizer import Tokenizer
from airtune.models.backends.mask_loop import MaskLoopModel
from airtune.models.backends.threads import SMALL_MODEL, check_threads, thread_count
from airtune.models.decoding.prefix_cache import BLOCK, check_tokens, read_room
from airtune.models.decoding.row import Row
from airtune.models.masks.base import engine_for
from airtune.models.offline import stay_offline
from airtune.models.types import Dialect

if TYPE_CHECKING:
    from airtune.models.inspection.distribution import Logits

CONTEXT = 8192  # tokens, at most, where the user names no number: its keys and values are set aside at once
LEAST_CONTEXT = 256


class LlamaCppModel(MaskLoopModel):
    """A GGUF file.

    Args:
        path: The file, or a directory that holds one.
        name: What the user called it.
        dialect: The dialect it speaks.
        mask_engine: As in the `transformers` backend, as is the next.
        fast_forward: See there.
        threads: Threads of a forward pass; they decide the last bits. None: see
            `airtune.models.backends.threads.thread_count`.
        prefix_block: Prompts are read and kept in blocks of so many tokens; they decide the last bits. None: 64.
        prefix_cache: Room for keys and values of prompts that have been read, in bytes or as "256MiB"; 0 keeps none.
            It changes no answer, and so is no part of the manifest. None: 1 GiB.
        context: Tokens that there is room for, prompts and answers of a batch together. None: the model's own
            context, up to 8192.
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
        threads: int | None = None,
        prefix_block: int | None = None,
        prefix_cache: int | str | None = None,
        context: int | None = None,
        deterministic: str | bool = "off",
    ) -> None:
        self.name = name or str(path)
        self.deterministic = read_mode(deterministic)
        check_threads(threads)
        block = BLOCK if prefix_block is None else prefix_block
        check_tokens("prefix_block", block, 1, "leave it out; prefix_cache=0 keeps nothing of what was read")
        room = read_room(prefix_cache)
        if context is not None:
            check_tokens("context", context, LEAST_CONTEXT)
        stay_offline()  # chat templates are rendered by transformers
        library()  # before a long header is read
        self.path = require_gguf(Path(path))
        weights = Weights(self.path)
        threads = thread_count(threads, weights.count <= SMALL_MODEL)
        self.context = min(context or CONTEXT, weights.context)
        self.prompts = Tokenizer(weights)
        self.vocabulary = self.prompts.vocabulary
        mask_engine = mask_engine or engine_for(dialect, self.vocabulary)
        self.settings = {
            "mask_engine": mask_engine,
            "fast_forward": fast_forward,
            "threads": threads,
            "prefix_block": block,
            "context": self.context,
            "deterministic": self.deterministic,
        }
        self.fast_forward = fast_forward
        self.decoder = BlockDecoder(
            Context(weights, cells=self.context, most=max(2 * block, ANSWERS), threads=threads),
            cells=self.context,
            block=block,
            cache=PrefixCache(room, block),
            fast_forward=fast_forward,
        )
        self._start(dialect, mask_engine)

    def _pinned(self) -> dict[str, Any]:
        """The file and its size; versions, and what llama.cpp was built for."""
        built = {
            "llama_cpp_python": metadata.version("llama_cpp_python"),
            "llama.cpp": built_for(),
        }
        return {
            "files": {self.path.name: sha256_of(self.path)},
            **weights_size(self.path),
            "versions": {**versions(), **built},
        }

    def _complete(self, rows: Sequence[Row]) -> None:
        self.decoder.complete(rows, alone=self.deterministic != "off")

    def _after(self, prompt: list[int]) -> Logits:
        return partial(self.decoder.branches, self.decoder.after(prompt), prompt)
