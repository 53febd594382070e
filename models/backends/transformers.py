"""The `transformers` backend: any local checkpoint, with a batched mask loop of our own.

The loop itself is `airtune.models.decoding.decoder`.

What is promised: the same list of requests gives the same bits (same machine, threads, dtype, versions). A
row's random numbers depend on its own seed alone, one uniform per drawn token. In another batch the matrix
products may round otherwise, so log-probabilities may differ in the last bits (about 1e-6 in float32) and a
token id may differ only where a draw falls on such an edge. With `deterministic` every row is a batch of its own.
Prompts of models above 100 million weights are read in blocks, which a search's next prompt finds read: the size of
the blocks is a setting that decides last bits, the room for them is not (`airtune.models.decoding.prefix_cache`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from airtune.models.backends.checkpoint import (
    broken_checkpoint,
    checkpoint_manifest,
    load_weights,
    require_weights,
)
from airtune.models.backends.determinism import read_mode, torch_threads
from airtune.models.backends.mask_loop import MaskLoopModel
from airtune.models.backends.prompts import PromptTokenizer
from airtune.models.backends.threads import SMALL_MODEL, check_threads, thread_count
from airtune.models.decoding.decoder import Decoder
from airtune.models.decoding.prefix_cache import PrefixCache, check_tokens
from airtune.models.decoding.row import Row
from airtune.models.environment import set_where_missing
from airtune.models.masks.base import engine_for
from airtune.models.masks.vocabulary import vocabulary_of
from airtune.models.offline import stay_offline
from airtune.models.types import Dialect, ModelError

if TYPE_CHECKING:
    from airtune.models.inspection.distribution import Logits

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class TransformersModel(MaskLoopModel):
    """A local Hugging Face checkpoint.

    Args:
        path: A directory with config.json, tokenizer.json and *.safetensors or a GGUF file; or a GGUF file. A GGUF
            file is de-quantised when it is loaded.
        name: What the user called it.
        dialect: The dialect it speaks.
        dtype: "float32" (default), "bfloat16" or "float16".
        device: A torch device, for example "cpu" or "cuda:0".
        mask_engine: "llguidance", "xgrammar", "outlines_core", or, where every value of the dialect is one token of
            the vocabulary, as for `pocket`, "direct". None: "direct" where it can be, otherwise "llguidance".
        fast_forward: Append tokens that are forced as bytes in the tokenizer's own spelling. False forces a
            token only where the mask leaves no other, so that sampling has exactly the plain masked distribution.
        threads: Threads of a forward pass on the CPU; they decide the last bits. None: see
            `airtune.models.backends.threads.thread_count`.
        max_batch_tokens: Prompt tokens (padding included) in one forward pass of the prefill.
        prefix_block: Prompts are read in blocks of so many tokens; they decide the last bits. 0 reads prompts whole.
            None: 64, and 0 for models of up to 100 million weights, which read them faster whole, and for those
            with layers of another kind than full attention.
        prefix_cache: Room for blocks that have been read, in bytes or as "256MiB"; 0 keeps none. It changes no answer,
            and so is no part of the manifest. None: 1 GiB.
        deterministic: "strict" (or True) generates each answer by itself, so that it cannot depend on others, tests
            that on the loaded model, and refuses one that fails; "warn" only says so; "off" (default) is faster.

    Raises:
        ModelError: If the directory holds no usable checkpoint, a setting is not known, or the self-test fails.
    """

    backend = "transformers"

    def __init__(
        self,
        path: str | Path,
        *,
        dialect: Dialect,
        name: str | None = None,
        dtype: str = "float32",
        device: str = "cpu",
        mask_engine: str | None = None,
        fast_forward: bool = True,
        threads: int | None = None,
        max_batch_tokens: int = 16_384,
        prefix_block: int | None = None,
        prefix_cache: int | str | None = None,
        deterministic: str | bool = "off",
    ) -> None:
        self.path = Path(path)
        self.name = name or str(path)
        if dtype not in DTYPES:
            raise ModelError(f"unknown dtype {dtype!r}", value=dtype, allowed=", ".join(DTYPES))
        self.deterministic = read_mode(deterministic)
        check_threads(threads)
        check_tokens("max_batch_tokens", max_batch_tokens, 1)
        gguf = require_weights(self.path)
        stay_offline()
        set_where_missing({"TOKENIZERS_PARALLELISM": "false"})
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.prompts = PromptTokenizer(self.path)
        self.tokenizer = self.prompts.tokenizer
        try:
            self.model = load_weights(self.path, gguf, DTYPES[dtype])
        except ModelError:
            raise
        except Exception as error:  # the library raises half a dozen unrelated types for a broken checkpoint
            raise broken_checkpoint(self.path, error) from error
        try:
            self.model = self.model.to(device).eval()
        except (RuntimeError, AssertionError) as error:
            raise ModelError(
                f"device {device!r} cannot be used: {error}", value=device, allowed="cpu"
            ) from error
        self.device = torch.device(device)
        from airtune.models.decoding.grouped_attention import group_queries

        group_queries(self.model)
        threads = thread_count(threads, self.model.num_parameters() <= SMALL_MODEL)
        self.vocabulary = vocabulary_of(self.tokenizer, self.model.get_output_embeddings().weight.shape[0])
        mask_engine = mask_engine or engine_for(dialect, self.vocabulary)
        self.prefixes = PrefixCache.of(self.model, prefix_block, prefix_cache)
        self.settings = {
            "dtype": dtype,
            "device": device,
            "mask_engine": mask_engine,
            "fast_forward": fast_forward,
            "threads": threads,
            "max_batch_tokens": max_batch_tokens,
            "prefix_block": 0 if self.prefixes is None else self.prefixes.block,
            "deterministic": self.deterministic,
        }
        self.fast_forward = fast_forward
        self.threads = threads
        config = self.model.config.get_text_config()
        self.context = int(getattr(config, "max_position_embeddings", 0) or 1 << 30)
        self.decoder = Decoder(
            self.model,
            fast_forward=fast_forward,
            max_batch_tokens=max_batch_tokens,
            prefixes=self.prefixes,
        )
        self._start(dialect, mask_engine)

    def _pinned(self) -> dict[str, Any]:
        return checkpoint_manifest(self.path)

    def _complete(self, rows: Sequence[Row]) -> None:
        with torch.inference_mode(), torch_threads(self.threads):
            self.decoder.complete(rows, alone=self.deterministic != "off")

    def _after(self, prompt: list[int]) -> Logits:
        from airtune.models.inspection.tree_logits import TreeLogits

        with torch.inference_mode(), torch_threads(self.threads):
            after_prompt = TreeLogits(self.model, prompt, self.device, self.prefixes)

        def logits(prefixes: Sequence[tuple[int, ...]], columns: Sequence[Any]) -> list[Any]:
            with torch_threads(self.threads):
                return after_prompt(prefixes, columns)

        return logits
