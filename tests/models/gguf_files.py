"""GGUF files made here: a tiny random Llama with its tokenizer, and ones with single things wrong."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from airtune.models.tiny import FAMILIES, chat_tokenizer

WIDTH, LAYERS, HEADS = 64, 2, 4


def write_gguf(
    path: Path, *, leave_out: tuple[str, ...] = (), architecture: str = "llama", without: str = "",
    kind: str = "Q4_1", size: int = 600, **fields: Any,
) -> Path:  # fmt: skip
    """A random Llama of two layers with a tokenizer of Qwen's form.

    Args:
        path: The file.
        leave_out: Fields that it lacks.
        architecture: What it says that it is.
        without: A tensor that it lacks.
        kind: The format of its matrices.
        size: Tokens of its vocabulary, about.
        fields: Integers that replace its own: block_count=10**9.
    """
    tokenizer = chat_tokenizer("qwen", size)
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    special = {t.content for t in tokenizer.added_tokens_decoder.values()}
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    writer = gguf.GGUFWriter(path, architecture)
    numbers = {
        "context_length": 4096, "embedding_length": WIDTH, "block_count": LAYERS, "feed_forward_length": 2 * WIDTH,
        "attention.head_count": HEADS, "attention.head_count_kv": 2, "rope.dimension_count": WIDTH // HEADS,
        "vocab_size": len(tokens), **fields,
    }  # fmt: skip
    for key, number in numbers.items():
        writer.add_uint32(f"{architecture}.{key}", number)
    writer.add_float32(f"{architecture}.attention.layer_norm_rms_epsilon", 1e-5)
    eos = tokenizer.eos_token_id
    more = {
        "general.name": lambda key: writer.add_string(key, "Tiny"),
        "general.license": lambda key: writer.add_string(key, "apache-2.0"),
        "tokenizer.ggml.model": lambda key: writer.add_string(key, "gpt2"),
        "tokenizer.ggml.pre": lambda key: writer.add_string(key, "smollm"),
        "tokenizer.ggml.tokens": lambda key: writer.add_array(key, tokens),
        "tokenizer.ggml.token_type": lambda key: writer.add_array(
            key, [3 if t in special else 1 for t in tokens]
        ),
        "tokenizer.ggml.merges": lambda key: writer.add_array(key, merges),
        "tokenizer.ggml.bos_token_id": lambda key: writer.add_uint32(key, eos),
        "tokenizer.ggml.eos_token_id": lambda key: writer.add_uint32(key, eos),
        "tokenizer.chat_template": lambda key: writer.add_string(key, FAMILIES["qwen"].template),
    }
    for key, add in more.items():
        if key not in leave_out:
            add(key)
    rng = np.random.default_rng(0)
    quantized = gguf.GGMLQuantizationType[kind]

    def matrix(name: str, *shape: int) -> None:
        values = rng.normal(scale=0.3, size=shape).astype(np.float32)
        if name != without:
            writer.add_tensor(name, gguf.quants.quantize(values, quantized), raw_dtype=quantized)

    matrix("token_embd.weight", len(tokens), WIDTH)
    for i in range(LAYERS):
        for name, rows, columns in (
            ("attn_q", WIDTH, WIDTH), ("attn_k", WIDTH // 2, WIDTH), ("attn_v", WIDTH // 2, WIDTH),
            ("attn_output", WIDTH, WIDTH), ("ffn_gate", 2 * WIDTH, WIDTH), ("ffn_up", 2 * WIDTH, WIDTH),
            ("ffn_down", WIDTH, 2 * WIDTH),
        ):  # fmt: skip
            matrix(f"blk.{i}.{name}.weight", rows, columns)
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{i}.{name}.weight", np.ones(WIDTH, np.float32))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def text(words: str | bytes) -> bytes:
    """A text as the format has it."""
    raw = words.encode() if isinstance(words, str) else words
    return struct.pack("<Q", len(raw)) + raw


def header(fields: bytes = b"", *, count: int = 0, tensors: int = 0, version: int = 3) -> bytes:
    """The beginning of a file, and whatever follows it."""
    return b"GGUF" + struct.pack("<IQQ", version, tensors, count) + fields
