"""The `vllm` backend: vLLM in this process, for GPU servers; its structured outputs apply our grammars.

All requests of one call are given to vLLM at once. Each has a seed of its own, and its log-probabilities are of the
distribution that vLLM drew from: masked, renormalised, at the request's temperature. vLLM's word that an answer is
complete is not taken: an answer counts if it ended by itself and our own parser accepts it. Any other is asked for
again with a seed for the next attempt, a few times, and kept in the completion's details.

What is promised: the same list of requests gives the same bits (same machine, versions, settings). In another batch,
or with another history in the prefix cache, the last bits may differ, and with them now and then a token; with
`deterministic` they do not, which is tried on the loaded model before it is used.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import torch

from airtune.grammars import Grammar
from airtune.models.backends.checkpoint import checkpoint_manifest, require_safetensors, weights_count
from airtune.models.backends.determinism import read_mode, require_deterministic, torch_threads
from airtune.models.backends.prompts import PromptTokenizer, answer_limit
from airtune.models.backends.threads import SMALL_MODEL, check_threads, thread_count
from airtune.models.backends.vllm.lora import Adapter
from airtune.models.backends.vllm.start import (
    check_engine_settings,
    engine_manifest,
    require_vllm,
    start_engine,
)
from airtune.models.masks.base import require_spellable
from airtune.models.masks.llguidance import PLAIN_MASKS
from airtune.models.masks.vocabulary import Vocabulary, vocabulary_of
from airtune.models.types import Completion, Dialect, ModelError, Request, TextRequest

DTYPES = ("auto", "float32", "bfloat16", "float16")
STRUCTURED_OUTPUTS = ("guidance", "xgrammar")
ATTEMPTS = 4
MIN_TEMPERATURE = 0.01  # vLLM silently raises what lies between 0 and this
_ANY_TEXT = PLAIN_MASKS + "start: TEXT{end}\nTEXT: /(?s:.*)/\n"


class VLLMModel:
    """A local checkpoint, run by vLLM.

    Args:
        path: A directory with config.json, tokenizer.json and *.safetensors.
        name: What the user called it.
        dialect: The dialect it speaks.
        dtype: "float32", "bfloat16", "float16", or "auto" for what vLLM chooses: what the checkpoint says, but
            half of that for float32. None: "float32" for models of up to 100 million weights, as the transformers
            backend, else "auto".
        threads: Torch's threads on a CPU. None: see `airtune.models.backends.threads.thread_count`.
        structured_outputs: What makes the masks: "guidance" (llguidance, default) or "xgrammar".
        deterministic: "strict" (or True) starts vLLM such that answers do not depend on the batch, tests that on the
            loaded model and refuses one that fails; "warn" only says so; "off" (default).
        lora: A directory with a LoRA adapter as safetensors, which all requests use.
        engine: Settings that are passed to vLLM as they are (`start.ENGINE_SETTINGS`), for example
            tensor_parallel_size, quantization, max_model_len, gpu_memory_utilization.

    Raises:
        ModelError: If vLLM or the checkpoint cannot be used, a setting is not known, or the self-test fails.
    """

    backend = "vllm"

    def __init__(
        self,
        path: str | Path,
        *,
        dialect: Dialect,
        name: str | None = None,
        dtype: str | None = None,
        threads: int | None = None,
        structured_outputs: str = "guidance",
        deterministic: str | bool = "off",
        lora: str | Path | None = None,
        **engine: Any,
    ) -> None:
        self.path = Path(path)
        self.name = name or str(path)
        self.version = require_vllm()
        check_engine_settings(engine)
        self.deterministic = read_mode(deterministic)
        for kind, value, known in (
            ("dtype", dtype, (None, *DTYPES)),
            ("structured_outputs", structured_outputs, STRUCTURED_OUTPUTS),
        ):
            if value not in known:
                raise ModelError.unknown(kind, value, [k for k in known if k])
        if engine.get("load_format") != "dummy":
            require_safetensors(self.path)
        small = 0 < weights_count(self.path) <= SMALL_MODEL
        check_threads(threads)
        self.threads = thread_count(threads, small)
        self.structured_outputs = structured_outputs
        self.adapter = None if lora is None else Adapter(Path(lora))
        self.llm = start_engine(
            self.path,
            {**engine, **(self.adapter.settings(engine) if self.adapter else {})},
            dtype=dtype or ("float32" if small else "auto"),
            structured_outputs=structured_outputs,
            deterministic=self.deterministic != "off",
            threads=self.threads,
        )
        self._compile_in_order()
        self._ids = count()
        self.prompts = PromptTokenizer(self.path)
        config = self.llm.llm_engine.model_config
        self.vocabulary = vocabulary_of(self.prompts.tokenizer, int(config.get_vocab_size()))
        self.context = int(config.max_model_len)
        self.dialect = self.prompts.bind(dialect, self.context - 1)  # one place is for the end of the answer
        self.self_test = require_deterministic(self, self.deterministic)

    def _compile_in_order(self) -> None:
        """Have grammars compiled when a request is added, not beside: the first batch is then the same every time."""
        core = getattr(self.llm.llm_engine.engine_core, "engine_core", None)
        manager: Any = getattr(core, "structured_output_manager", None)
        self._in_order = hasattr(manager, "_use_async_grammar_compilation")
        if self._in_order:
            manager._use_async_grammar_compilation = False

    def manifest(self) -> dict[str, Any]:
        """Hashes of weights, tokenizer, config and adapter; versions; settings as vLLM resolved them; the self-test."""
        pinned = checkpoint_manifest(self.path)
        if self.adapter:
            pinned["files"] |= self.adapter.hashes()
        pinned["versions"]["vllm"] = self.version
        settings = {
            "structured_outputs": self.structured_outputs, "deterministic": self.deterministic,
            "threads": self.threads, "grammars_in_order": self._in_order, **engine_manifest(self.llm),
        }  # fmt: skip
        return {
            "model": self.name, "backend": self.backend, "dialect": self.dialect.name, **pinned,
            "settings": settings, **({} if self.self_test is None else {"self_test": self.self_test.json()}),
        }  # fmt: skip

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """See `LanguageModel.generate`. One call is one batch; answers that are no good are asked for again."""
        encoded = self.prompts.encode_all(request.prompt for request in requests)
        asked = []
        for request in requests:
            ids = encoded[request.prompt]
            limit = answer_limit(request, len(ids), self.context)
            require_spellable(request.grammar, self.vocabulary)
            asked.append((ids, self._params(request, limit, self._grammar_text(request.grammar))))
        done: list[Completion | None] = [None] * len(requests)
        rejected: list[list[dict[str, Any]]] = [[] for _ in requests]
        waiting = list(range(len(requests)))
        for attempt in range(ATTEMPTS):
            if not waiting:
                break
            if attempt:
                for i in waiting:
                    asked[i][1].seed = next_seed(requests[i].seed, attempt)
            for i, output in zip(waiting, self._run([asked[i] for i in waiting]), strict=True):
                answer = completion(requests[i], output, self.vocabulary)
                if usable(requests[i], answer):
                    details = {"rejected_by_backend": rejected[i]} if rejected[i] else {}
                    done[i] = replace(answer, details=details)
                else:
                    told = {"text": answer.text, "finish_reason": answer.finish_reason}
                    rejected[i].append({"seed": asked[i][1].seed, **told})
            waiting = [i for i in waiting if done[i] is None]
        for i in waiting:
            last = rejected[i][-1]
            raise ModelError(
                f"vLLM gave no usable answer in {ATTEMPTS} attempts; the last one was {last['text']!r}, ended with "
                f"{last['finish_reason']!r}",
                value=last["text"],
                allowed="an answer that ended by itself and is in the grammar's language",
                hint="try structured_outputs=xgrammar (or guidance), and report it with the study's manifest",
            )
        return [answer for answer in done if answer is not None]

    def write(self, requests: Sequence[TextRequest]) -> list[Completion]:
        """See `TextWriter.write`. One call is one batch."""
        encoded = self.prompts.encode_all(request.prompt for request in requests)
        # The tokenizer's own end is allowed in any grammar; other ends of a turn must be named in it.
        ends = sorted(set(self.prompts.turn_ends) - set(self.vocabulary.eos_ids))
        free = "root ::= [\\u0001-\\U0010ffff]*\n"
        if self.structured_outputs == "guidance":
            closing = f" ({' | '.join(f'<[{end}]>' for end in ends)})?" if ends else ""
            free = _ANY_TEXT.replace("{end}", closing)
        asked = []
        for request in requests:
            ids = encoded[request.prompt]
            limit = answer_limit(request, len(ids), self.context)
            asked.append((ids, self._params(request, limit, free, ends)))
        return [
            completion(request, output, self.vocabulary)
            for request, output in zip(requests, self._run(asked), strict=True)
        ]

    def _grammar_text(self, grammar: Grammar) -> str:
        return PLAIN_MASKS + grammar.lark() if self.structured_outputs == "guidance" else grammar.gbnf()

    def _params(
        self, request: Request | TextRequest, limit: int, grammar: str, ends: Sequence[int] = ()
    ) -> Any:
        """The request as vLLM's sampling parameters."""
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        if 0 < request.temperature < MIN_TEMPERATURE:
            raise ModelError(
                f"vLLM cannot sample at temperature {request.temperature}",
                value=request.temperature,
                allowed=f"0 (greedy), or {MIN_TEMPERATURE} and more",
            )
        stop = list(request.stop) if isinstance(request, TextRequest) else []
        return SamplingParams(
            temperature=request.temperature, seed=request.seed, max_tokens=limit, logprobs=0, stop=stop,
            stop_token_ids=list(ends), detokenize=bool(stop),
            structured_outputs=StructuredOutputsParams(grammar=grammar),
        )  # fmt: skip

    def _run(self, asked: Sequence[tuple[list[int], Any]]) -> list[Any]:
        """Have vLLM generate; its outputs in the order asked."""
        engine = self.llm.llm_engine
        outputs: dict[str, Any] = {}
        names = [f"answer {next(self._ids)}" for _ in asked]
        lora = {"lora_request": self.adapter.request()} if self.adapter else {}
        filler = self._add_filler() if asked and self.deterministic != "off" else None
        with torch_threads(self.threads), torch.random.fork_rng(devices=[]):
            try:
                for name, (ids, params) in zip(names, asked, strict=True):
                    engine.add_request(name, {"prompt_token_ids": ids}, params, **lora)
                while len(outputs) < len(asked):
                    for output in engine.step():
                        if output.finished and output.request_id == filler:
                            filler = self._add_filler()
                        elif output.finished:
                            outputs[output.request_id] = output
            except Exception as error:
                raise ModelError(
                    f"vLLM failed: {type(error).__name__}: {error}",
                    hint="VLLM_LOGGING_LEVEL=INFO shows what it did",
                ) from error
            finally:  # what is left of an interrupted call must not run beside the next one
                with suppress(Exception):  # an engine that has died cannot be told, and has said so above
                    engine.abort_request([n for n in (*names, filler) if n is not None and n not in outputs])
        return [outputs[name] for name in names]

    def _add_filler(self) -> str:
        """Add a request that keeps the batch from ever having a single row: that one is multiplied otherwise."""
        from vllm import SamplingParams

        name = f"filler {next(self._ids)}"
        params = SamplingParams(temperature=0, max_tokens=self.context - 1, ignore_eos=True, detokenize=False)
        self.llm.llm_engine.add_request(name, {"prompt_token_ids": [self.vocabulary.eos_ids[0]]}, params)
        return name


def completion(request: Request | TextRequest, output: Any, vocabulary: Vocabulary) -> Completion:
    """A finished output of vLLM as ours.

    Raises:
        ModelError: If the model's logits were no numbers.
    """
    made = output.outputs[0]
    ids = tuple(int(i) for i in made.token_ids)
    text = vocabulary.text(i for i in ids if i < len(vocabulary.tokens))
    reason = str(made.finish_reason)
    for stop in request.stop if isinstance(request, TextRequest) else ():
        if stop in text:
            text, reason = text.partition(stop)[0], "stop"
    told = [float(line[i].logprob) for i, line in zip(ids, made.logprobs or [], strict=True)]
    if any(map(math.isnan, told)):
        raise ModelError(
            "the model's logits are not numbers",
            hint="the weights are damaged (airtune models verify), or try dtype=float32",
        )
    if request.temperature == 0:  # what is certain has probability one; vLLM tells that at temperature 1
        told = [0.0] * len(ids)
    return Completion(
        text=text, token_ids=ids, logprobs=tuple(told), finish_reason=reason,
        prompt_tokens=len(output.prompt_token_ids), decode_steps=max(0, len(ids) - 1),
    )  # fmt: skip


def usable(request: Request, completion: Completion) -> bool:
    """Whether an answer is complete and in the language, or was cut where the request wanted it cut."""
    if completion.finish_reason == "length" and request.max_tokens is not None:
        return len(completion.token_ids or ()) >= request.max_tokens
    ended = completion.finish_reason == "stop" and completion.text != ""
    return ended and request.grammar.accepts(completion.text)


def next_seed(seed: int, attempt: int) -> int:
    """The seed of a further attempt at a request."""
    return int.from_bytes(hashlib.sha256(f"{seed} attempt {attempt}".encode()).digest()[:8], "big") >> 1
