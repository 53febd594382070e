"""llama.cpp in process, through the C functions that llama-cpp-python binds: quiet, and with errors in our words.

Weights are read once; a context is what has been read so far (keys and values), in one buffer that all sequences share.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airtune.models.environment import set_where_missing
from airtune.models.types import ModelError

SEQUENCES = 64  # answers that are open at once; more wait
_ERROR = 4  # of llama.cpp's log levels
# Flash attention goes through the cells in their order, so those of others in between change no bit. (Without it sums
# are made in lanes, by the cells' numbers.) Its keys and values are float16, whatever is asked for.
_FLASH, _FLOAT16 = 1, 1

_said: list[str] = []  # what llama.cpp complained of since it was last called


@cache
def library() -> Any:
    """The C functions, told to keep quiet.

    Raises:
        ModelError: If llama-cpp-python is not installed, or cannot be loaded.
    """
    set_where_missing({"GGML_NO_BACKTRACE": "1"})  # where it aborts it would start a debugger on this process
    try:
        from llama_cpp import llama_cpp
    except (ImportError, OSError, RuntimeError) as error:
        raise ModelError(
            f"backend 'llama_cpp' needs llama-cpp-python, which cannot be loaded here ({error})",
            value="llama_cpp",
            hint="pip install 'airtune[llama-cpp]' (built from source: it needs a C++ compiler and CMake; "
            "CMAKE_ARGS sets build options)",
        ) from error
    llama_cpp.llama_log_set(_heard(llama_cpp), ctypes.c_void_p())
    llama_cpp.llama_backend_init()
    return llama_cpp


def built_for() -> str:
    """What the library was built for, such as "CPU : AVX2 = 1 | REPACK = 1"."""
    return str(library().llama_print_system_info().decode().strip(" |"))


@cache  # kept for as long as the process: llama.cpp holds a pointer to it
def _heard(llama_cpp: Any) -> Any:
    def hear(level: int, text: bytes, _: Any) -> None:
        if level == _ERROR:
            _said.append(text.decode("utf-8", errors="replace").strip())

    return llama_cpp.llama_log_callback(hear)


def _complaint() -> str:
    return f" (llama.cpp: {_said[0]})" if _said else ""


class Weights:
    """A GGUF file that llama.cpp has read.

    Args:
        path: The file.

    Raises:
        ModelError: If llama.cpp cannot read it, or it is no decoder whose past can be kept and cut.
    """

    def __init__(self, path: Path) -> None:
        self._pointer: Any = None
        self._lib = lib = library()
        parameters = lib.llama_model_default_params()
        parameters.n_gpu_layers = 0
        # Weights packed for AMX stay out: GCC 12 compiles llama.cpp so that its tiles are set up from what lies on the
        # stack, and it ends the process or, worse, computes nonsense. What else is packed goes with them.
        parameters.use_extra_bufts = "AMX" not in built_for()
        _said.clear()
        self._pointer = lib.llama_model_load_from_file(str(path).encode(), parameters)
        if not self._pointer:
            raise ModelError(
                f"{path} cannot be read by llama.cpp{_complaint()}",
                value=str(path),
                allowed="a whole GGUF file of an architecture that this version of llama.cpp knows",
                hint="copy the file again (airtune models verify), or update llama-cpp-python",
            )
        refused = {
            "an encoder": lib.llama_model_has_encoder,
            "a recurrent model": lib.llama_model_is_recurrent,
            "a hybrid of attention and recurrence": lib.llama_model_is_hybrid,
        }
        for what, is_it in refused.items():
            if is_it(self._pointer):
                raise ModelError(
                    f"{path} is {what}, which this backend cannot run",
                    value=str(path),
                    allowed="decoders whose layers are all attention",
                )
        self.vocabulary: Any = lib.llama_model_get_vocab(self._pointer)
        self.width: int = lib.llama_vocab_n_tokens(self.vocabulary)
        self.context: int = lib.llama_model_n_ctx_train(self._pointer)
        self.count: int = lib.llama_model_n_params(self._pointer)

    def __del__(self) -> None:
        if self._pointer:
            self._lib.llama_model_free(self._pointer)

    def text_of(self, key: str) -> str | None:
        """A text among the file's metadata, or None."""
        size = 1 << 12
        while True:
            buffer = ctypes.create_string_buffer(size)
            found = self._lib.llama_model_meta_val_str(self._pointer, key.encode(), buffer, size)
            if found < size:
                return None if found < 0 else buffer.value.decode("utf-8", errors="replace")
            size = found + 1

    def new_context(self, **settings: int) -> Any:
        """A pointer to a new context, or None; see `Context`."""
        parameters = self._lib.llama_context_default_params()
        for name, value in settings.items():
            setattr(parameters, name, value)
        _said.clear()
        return self._lib.llama_init_from_model(self._pointer, parameters)


@dataclass(frozen=True, slots=True)
class Token:
    """One token to read.

    Attributes:
        id: Its id.
        position: Its position.
        sequences: The sequences that it belongs to.
        wanted: Whether the logits after it are asked for.
    """

    id: int
    position: int
    sequences: tuple[int, ...]
    wanted: bool = False


class Context:
    """What has been read.

    Args:
        weights: The model.
        cells: Tokens that it has room for, those of all sequences together.
        most: Tokens of one forward pass, at most.
        threads: Of a forward pass.

    Raises:
        ModelError: If there is no memory for it.
    """

    def __init__(self, weights: Weights, *, cells: int, most: int, threads: int) -> None:
        self._lib, self._weights = library(), weights
        self._pointer: Any = weights.new_context(
            n_ctx=cells, n_batch=max(most, SEQUENCES), n_ubatch=most, n_seq_max=SEQUENCES, kv_unified=True,
            swa_full=True, n_threads=threads, n_threads_batch=threads, type_k=_FLOAT16, type_v=_FLOAT16,
            flash_attn_type=_FLASH, no_perf=True,
        )  # fmt: skip
        if not self._pointer:
            raise ModelError(
                f"llama.cpp cannot make a context of {cells} tokens{_complaint()}",
                value=cells,
                hint="give a smaller one: context=2048",
            )
        self._memory = self._lib.llama_get_memory(self._pointer)
        self._batch = self._lib.llama_batch_init(most, 0, SEQUENCES)

    def __del__(self) -> None:
        if getattr(self, "_pointer", None):
            if hasattr(self, "_batch"):
                self._lib.llama_batch_free(self._batch)
            self._lib.llama_free(self._pointer)

    def read(self, tokens: Sequence[Token], size: int) -> list[NDArray[np.float32]]:
        """Read tokens, `size` in a pass; the logits (width,) after those that they are wanted of.

        Raises:
            ModelError: If llama.cpp fails.
        """
        lines: list[NDArray[np.float32]] = []
        for start in range(0, len(tokens), size):
            lines += self._forward(tokens[start : start + size])
        return lines

    def _forward(self, tokens: Sequence[Token]) -> list[NDArray[np.float32]]:
        batch = self._batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.logits[i] = token.id, token.position, token.wanted
            batch.n_seq_id[i] = len(token.sequences)
            for j, sequence in enumerate(token.sequences):
                batch.seq_id[i][j] = sequence
        _said.clear()
        failed = self._lib.llama_decode(self._pointer, batch)
        if failed:
            raise ModelError(f"llama.cpp cannot go on: error {failed}{_complaint()}", value=failed)
        shape = (self._weights.width,)
        return [
            np.ctypeslib.as_array(self._lib.llama_get_logits_ith(self._pointer, i), shape).copy()
            for i, token in enumerate(tokens)
            if token.wanted
        ]

    def clear(self) -> None:
        """Forget all sequences."""
        self._lib.llama_memory_clear(self._memory, False)

    def branch(self, sequence: int, other: int) -> None:
        """Let another sequence begin as this one does; nothing is copied."""
        self._lib.llama_memory_seq_cp(self._memory, sequence, other, -1, -1)

    def save(self, sequence: int) -> NDArray[np.uint8]:
        """Keys and values of a sequence."""
        size = self._lib.llama_state_seq_get_size(self._pointer, sequence)
        state = np.empty(size, dtype=np.uint8)
        self._lib.llama_state_seq_get_data(self._pointer, _address(state), size, sequence)
        return state

    def restore(self, state: NDArray[np.uint8], sequence: int, length: int) -> None:
        """The first `length` tokens of what was saved, as a sequence.

        Raises:
            ModelError: If there is no room for them.
        """
        _said.clear()
        if not self._lib.llama_state_seq_set_data(self._pointer, _address(state), len(state), sequence):
            raise ModelError(f"llama.cpp cannot read its own state back{_complaint()}", value=len(state))
        self._lib.llama_memory_seq_rm(self._memory, sequence, length, -1)


def _address(state: NDArray[np.uint8]) -> Any:
    return state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
