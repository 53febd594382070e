"""The `transformers` backend: any local checkpoint, with a batched mask loop of our own.

One round of the loop is one forward pass for all rows that are still open. A row brings the token it drew
last and whatever the grammar forces after it, so forced tokens cost no round of their own; rows with fewer
tokens are padded on the left, and every position that is padding is masked for good. Prompts that are equal
are encoded once.

What is promised: the same list of requests gives the same bits (same machine, threads, dtype, versions). A
row's random numbers depend on its own seed alone, one uniform per drawn token. In another batch the matrix
products may round otherwise, so log-probabilities may differ in the last bits (about 1e-6 in float32) and a
token id may differ only where a draw falls on such an edge. With `deterministic` every row is a batch of its own.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airtune.grammars import Grammar
from airtune.models.base import Completion, Dialect, ModelError, Request, TextRequest
from airtune.models.branching import ANSWERS, Branch, Branches
from airtune.models.checkpoint import checkpoint_manifest, require_safetensors
from airtune.models.density import TokenLaw
from airtune.models.determinism import read_mode, require_deterministic
from airtune.models.free_text import FreeMatcher
from airtune.models.masks import Matcher, engine_for, make_engine
from airtune.models.offline import stay_offline
from airtune.models.packed import PackedLogits
from airtune.models.prompts import PromptTokenizer, answer_limit
from airtune.models.sampling import draw
from airtune.models.threads import torch_threads
from airtune.models.vocabulary import vocabulary_of

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SMALL_MODEL = 100_000_000


@dataclass(slots=True)
class _Row:
    """One open request.

    Attributes:
        request: What was asked.
        matcher: Follows the answer through the grammar.
        generator: The row's own random numbers.
        limit: Cap on generated tokens.
        token_ids: The answer so far.
        logprobs: One per token.
        next_ids: Tokens taken since the last forward pass.
        steps: Forward passes after the prefill.
        position: Tokens the model has read (prompt included): the next position id.
    """

    request: Request | TextRequest
    matcher: Matcher | FreeMatcher
    generator: torch.Generator
    limit: int
    position: int
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    next_ids: list[int] = field(default_factory=list)
    steps: int = 0

    def take(self, token: int, logprob: float) -> None:
        self.matcher.advance(token)
        self.token_ids.append(token)
        self.logprobs.append(logprob)
        self.next_ids.append(token)

    def take_forced(self, canonical: bool) -> None:
        """Take all tokens that the grammar forces from here."""
        while (room := self.limit - len(self.token_ids)) > 0 and (
            forced := self.matcher.forced(canonical=canonical)
        ):
            for token in forced[:room]:
                self.take(token, 0.0)

    def draw(self, logits: Any) -> None:
        """Take one token drawn from `logits` (width,) under the mask."""
        uniform = float(torch.rand((), generator=self.generator, dtype=torch.float64))
        try:
            token, logprob = draw(logits, self.matcher.allowed(), self.request.temperature, uniform)
        except FloatingPointError as error:
            raise ModelError(
                f"the model's logits are not numbers: {error}",
                hint="the weights are damaged (airtune models verify), or try dtype='float32'",
            ) from error
        self.take(token, logprob)

    def read(self, line: int, answer: int) -> Branch:
        """What is new since the last forward pass, which counts as read from here on."""
        branch = Branch(line, answer, self.next_ids, self.position)
        self.position += len(self.next_ids)
        self.steps += 1
        self.next_ids = []
        return branch

    @property
    def done(self) -> bool:
        return self.matcher.finished or len(self.token_ids) >= self.limit


class TransformersModel:
    """A local Hugging Face checkpoint.

    Args:
        path: A directory with config.json, tokenizer.json and *.safetensors.
        name: What the user called it.
        dialect: The dialect it speaks.
        dtype: "float32" (default), "bfloat16" or "float16".
        device: A torch device, for example "cpu" or "cuda:0".
        mask_engine: "llguidance", "xgrammar", "outlines_core", or, where every value of the dialect is one token of
            the vocabulary, as for `pocket`, "direct". None: "direct" where it can be, otherwise "llguidance".
        fast_forward: Append tokens that are forced as bytes in the tokenizer's own spelling. False forces a
            token only where the mask leaves no other, so that sampling has exactly the plain masked law.
        threads: Threads of a forward pass on the CPU; they decide the last bits. None: 1 for models of up to
            100 million weights (more only makes those slower, and one thread gives the same bits on any
            number of cores), torch's own choice above.
        max_batch_tokens: Prompt tokens (padding included) in one forward pass of the prefill.
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
        deterministic: str | bool = "off",
    ) -> None:
        self.path = Path(path)
        self.name = name or str(path)
        if dtype not in DTYPES:
            raise ModelError(f"unknown dtype {dtype!r}", value=dtype, allowed=", ".join(DTYPES))
        self.deterministic = read_mode(deterministic)
        require_safetensors(self.path)
        stay_offline()
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.prompts = PromptTokenizer(self.path)
        self.tokenizer = self.prompts.tokenizer
        try:
            self.model = AutoModelForCausalLM.from_pretrained(
                self.path, dtype=DTYPES[dtype], local_files_only=True, use_safetensors=True
            )
        except Exception as error:  # the library raises half a dozen unrelated types for a broken checkpoint
            raise ModelError(
                f"{self.path} is not a checkpoint that transformers can load: {error}",
                value=str(self.path),
                hint="config.json, tokenizer.json and *.safetensors must belong together: copy all of them",
            ) from error
        try:
            self.model = self.model.to(device).eval()
        except (RuntimeError, AssertionError) as error:
            raise ModelError(
                f"device {device!r} cannot be used: {error}", value=device, allowed="cpu"
            ) from error
        self.device = torch.device(device)
        if threads is None:
            threads = 1 if self.model.num_parameters() <= SMALL_MODEL else torch.get_num_threads()
        if threads < 1:
            raise ModelError("threads must be 1 or more", value=threads, allowed="1, 2, ...")
        self.vocabulary = vocabulary_of(self.tokenizer, self.model.get_output_embeddings().weight.shape[0])
        mask_engine = mask_engine or engine_for(dialect, self.vocabulary)
        self.settings = {
            "dtype": dtype,
            "device": device,
            "mask_engine": mask_engine,
            "fast_forward": fast_forward,
            "threads": threads,
            "max_batch_tokens": max_batch_tokens,
            "deterministic": self.deterministic,
        }
        self.fast_forward = fast_forward
        self.threads = threads
        self.max_batch_tokens = max_batch_tokens
        config = self.model.config.get_text_config()
        self.context = int(getattr(config, "max_position_embeddings", 0) or 1 << 30)
        kinds = getattr(config, "layer_types", None)
        self._sliding = (
            "sliding_attention" in kinds if kinds else bool(getattr(config, "sliding_window", None))
        )
        # Masks of our own need attention that takes them, in every layer.
        self._branching = (
            not self._sliding
            and set(kinds or ["full_attention"]) == {"full_attention"}
            and getattr(config, "_attn_implementation", None) in ("sdpa", "eager")
        )
        self.engine = make_engine(mask_engine, self.vocabulary)
        self._ends = frozenset([*self.vocabulary.eos_ids, *self.prompts.turn_ends])
        self.dialect = self.prompts.bind(dialect, self.context - 1)  # one place is for the end of the answer
        self.self_test = require_deterministic(self, self.deterministic)

    def manifest(self) -> dict[str, Any]:
        """Hashes of weights, tokenizer and config; versions; dtype, device, threads and settings; the self-test."""
        tested = {} if self.self_test is None else {"self_test": self.self_test.json()}
        return {
            "model": self.name,
            "backend": self.backend,
            "dialect": self.dialect.name,
            **checkpoint_manifest(self.path),
            "settings": dict(self.settings),
            **tested,
        }

    def count_tokens(self, prompt: str) -> int:
        """Length of a prompt in tokens."""
        return self.prompts.count(prompt)

    def _encode(self, prompt: str) -> list[int]:
        return self.prompts.encode(prompt)

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """See `LanguageModel.generate`. One call is one batch."""
        if not requests:
            return []
        encoded = self.prompts.encode_all(request.prompt for request in requests)
        rows = [self._open(request, len(encoded[request.prompt])) for request in requests]
        for row in rows:  # an answer may start with forced tokens, or consist of them
            row.take_forced(self.fast_forward)
        live = [row for row in rows if not row.done]
        self._complete(live, encoded)
        return [self._completion(row, len(encoded[row.request.prompt])) for row in rows]

    def answer_law(self, prompt: str, grammar: Grammar, temperature: float = 1.0) -> TokenLaw:
        """See `TransparentModel.answer_law`. The prompt is read here, once."""
        ids = self._encode(prompt)
        self._open(
            Request(prompt, grammar, seed=0, temperature=temperature), len(ids)
        )  # raises as `generate` would
        with torch.inference_mode(), torch_threads(self.threads):
            packed = PackedLogits(self.model, ids, self.device)

        def logits(prefixes: Sequence[tuple[int, ...]], columns: Sequence[Any]) -> list[Any]:
            with torch_threads(self.threads):
                return packed(prefixes, columns)

        return TokenLaw(grammar, temperature, self.engine, self.fast_forward, logits)

    def write(self, requests: Sequence[TextRequest]) -> list[Completion]:
        """See `TextWriter.write`. One call is one batch."""
        if not requests:
            return []
        encoded = self.prompts.encode_all(request.prompt for request in requests)
        rows, matchers = [], []
        for request in requests:
            matcher = FreeMatcher(self.vocabulary, self._ends, request.stop)
            matchers.append(matcher)
            rows.append(self._row(request, matcher, len(encoded[request.prompt])))
        self._complete(rows, encoded)
        return [
            replace(self._completion(row, len(encoded[row.request.prompt])), text=matcher.text)
            for row, matcher in zip(rows, matchers, strict=True)
        ]

    def _open(self, request: Request, prompt_tokens: int) -> _Row:
        return self._row(request, self.engine.compile(request.grammar), prompt_tokens)

    def _row(
        self, request: Request | TextRequest, matcher: Matcher | FreeMatcher, prompt_tokens: int
    ) -> _Row:
        """An open row, once it is certain that it can be answered."""
        limit = answer_limit(request, prompt_tokens, self.context)
        generator = torch.Generator(device="cpu").manual_seed(request.seed)
        return _Row(request, matcher, generator, limit, position=prompt_tokens)

    def _completion(self, row: _Row, prompt_tokens: int) -> Completion:
        return Completion(
            text=self.vocabulary.text(row.token_ids),
            token_ids=tuple(row.token_ids),
            logprobs=tuple(row.logprobs),
            finish_reason="stop" if row.matcher.finished else "length",
            prompt_tokens=prompt_tokens,
            decode_steps=row.steps,
        )

    def _complete(self, rows: list[_Row], encoded: dict[str, list[int]]) -> None:
        """Fill in the answers of open rows, in batches that do not change them.

        Rows that bring different numbers of tokens to a step have padding between their tokens. A sliding window
        counts places in the cache, padding included, and would see fewer tokens: such a model's rows go alone.
        """
        alone = self._sliding or self.deterministic != "off"
        batches = [[row] for row in rows] if alone else [list(rows)] if rows else []
        with torch.inference_mode(), torch_threads(self.threads):
            for batch in batches:
                self._decode(batch, encoded)

    def _decode(self, rows: list[_Row], encoded: dict[str, list[int]]) -> None:
        """Fill in the answers of open rows."""
        prefixes = [(*encoded[row.request.prompt], *row.token_ids) for row in rows]
        if self._branching and len(set(prefixes)) < len(rows):
            self._decode_branches(rows, prefixes)
            return
        logits, cache, seen = self._prefill(prefixes)
        for row in rows:
            row.position += len(row.next_ids)
            row.next_ids = []
        while True:
            for row, line in zip(rows, logits, strict=True):
                row.draw(line)
                row.take_forced(self.fast_forward)
            keep = [i for i, row in enumerate(rows) if not row.done]
            if not keep:
                return
            if len(keep) < len(rows):
                index = torch.tensor(keep, device=self.device)
                cache.batch_select_indices(index)
                seen = seen[index]
                rows = [rows[i] for i in keep]
            logits, seen = self._step(rows, cache, seen)

    def _decode_branches(self, rows: list[_Row], prefixes: list[tuple[int, ...]]) -> None:
        """The same where rows share prompts, which are then kept once: see `airtune.models.branching`."""
        count: Counter[tuple[int, ...]] = Counter()
        places: list[tuple[tuple[int, ...], int]] = []
        for prefix in prefixes:
            places.append((prefix, count[prefix] // ANSWERS))
            count[prefix] += 1
        line_of = {place: i for i, place in enumerate(dict.fromkeys(places))}
        lines = [line_of[place] for place in places]
        logits, cache, seen = self._prefill([prefix for prefix, _ in line_of])
        branches = Branches(self.model, cache, seen)
        logits = logits[lines]
        for row in rows:
            row.position += len(row.next_ids)
            row.next_ids = []
        left = list(range(len(rows)))
        while True:
            for i, line in zip(left, logits, strict=True):
                rows[i].draw(line)
                rows[i].take_forced(self.fast_forward)
            left = [i for i in left if not rows[i].done]
            if not left:
                return
            logits = branches.read([rows[i].read(lines[i], i) for i in left])

    def _step(self, rows: list[_Row], cache: Any, seen: Tensor) -> tuple[Any, Tensor]:
        """Read every row's new tokens: logits (rows, width) after the last, and the grown attention mask."""
        width = max(len(row.next_ids) for row in rows)
        ids = np.zeros((len(rows), width), dtype=np.int64)
        real = np.zeros((len(rows), width), dtype=np.int64)
        positions = np.zeros((len(rows), width), dtype=np.int64)
        for i, row in enumerate(rows):
            n = len(row.next_ids)
            ids[i, width - n :] = row.next_ids
            real[i, width - n :] = 1
            positions[i, width - n :] = np.arange(row.position, row.position + n)
            row.position += n
            row.steps += 1
            row.next_ids = []
        return self._forward(ids, real, positions, cache, seen)

    def _forward(self, ids: Any, real: Any, positions: Any, cache: Any, seen: Tensor) -> tuple[Any, Tensor]:
        seen = torch.cat([seen, torch.from_numpy(real).to(self.device)], dim=1)
        output = self.model(
            input_ids=torch.from_numpy(ids).to(self.device),
            attention_mask=seen,
            position_ids=torch.from_numpy(positions).to(self.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1].float().cpu().numpy(), seen

    def _prefill(self, prefixes: list[tuple[int, ...]]) -> tuple[Any, Any, Tensor]:
        """Read every row's prompt and forced start, equal ones once.

        Returns:
            Logits (rows, width) after each prefix, the key-value cache, the attention mask (rows, longest).
        """
        from transformers import DynamicCache

        unique = list(dict.fromkeys(prefixes))
        longest = max(map(len, unique))
        ids = np.zeros((len(unique), longest), dtype=np.int64)
        real = np.zeros((len(unique), longest), dtype=np.int64)
        for i, prefix in enumerate(unique):
            ids[i, longest - len(prefix) :] = prefix
            real[i, longest - len(prefix) :] = 1
        positions = np.maximum(real.cumsum(axis=1) - 1, 0)
        chunk = max(1, self.max_batch_tokens // longest)
        logits, masks, caches = [], [], []
        for start in range(0, len(unique), chunk):
            part = slice(start, start + chunk)
            cache = DynamicCache(config=self.model.config)
            empty = torch.zeros((len(ids[part]), 0), dtype=torch.int64, device=self.device)
            lines, mask = self._forward(ids[part], real[part], positions[part], cache, empty)
            logits.append(lines)
            masks.append(mask)
            caches.append(cache)
        cache = caches[0]
        for layer, *others in zip(*(c.layers for c in caches), strict=True):
            layer.keys = torch.cat([layer.keys, *(other.keys for other in others)])
            layer.values = torch.cat([layer.values, *(other.values for other in others)])
        line_of = {prefix: i for i, prefix in enumerate(unique)}
        order = [line_of[prefix] for prefix in prefixes]
        if len(unique) == len(prefixes):
            return np.concatenate(logits), cache, torch.cat(masks)
        index = torch.tensor(order, device=self.device)
        cache.batch_select_indices(index)
        return np.concatenate(logits)[order], cache, torch.cat(masks)[index]
