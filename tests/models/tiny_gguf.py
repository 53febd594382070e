"""Tiny random models as GGUF files, made of the checkpoints of `airtune.models.tiny`: the same weights, rounded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # llama.cpp's kinds of tokens


def save_gguf(
    checkpoint: Path,
    file: Path,
    *,
    precision: str = "Q4_1",
    architecture: str = "llama",
    begins: bool = False,
) -> Path:
    """Write the GGUF file of a Llama checkpoint with a byte-level BPE tokenizer.

    Args:
        checkpoint: Its directory.
        file: The file to write.
        precision: Of its matrices: "F32", "Q8_0", "Q4_1", ...; their rows must be of whole blocks of 32.
        architecture: What the file says it is.
        begins: Whether it says that texts begin with the beginning of sequence, and end with its end.
    """
    import gguf
    from safetensors.numpy import load_file

    config = json.loads((checkpoint / "config.json").read_text())
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base((config.get("rope_parameters") or {}).get("rope_theta", 10_000.0))
    _add_tokenizer(writer, checkpoint, config)
    writer.add_add_bos_token(begins)
    writer.add_add_eos_token(begins)
    for name, tensor in load_file(checkpoint / "model.safetensors").items():
        name, tensor = _renamed(name, tensor, config)
        kind = gguf.GGMLQuantizationType[precision if tensor.ndim > 1 else "F32"]
        writer.add_tensor(name, gguf.quantize(tensor, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _add_tokenizer(writer: Any, checkpoint: Path, config: dict[str, Any]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    added = {one["id"]: one["special"] for one in state["added_tokens"]}
    pieces = {i: piece for piece, i in tokenizer.get_vocab().items()}
    tokens = [pieces.get(i, f"[PAD{i}]") for i in range(config["vocab_size"])]
    kinds = [
        UNUSED if i not in pieces else NORMAL if i not in added else CONTROL if added[i] else USER_DEFINED
        for i in range(len(tokens))
    ]
    writer.add_tokenizer_model("gpt2")
    # How text is split before the merges: runs of up to three digits, as `bpe_tokenizer` does.
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(
        [pair if isinstance(pair, str) else " ".join(pair) for pair in state["model"]["merges"]]
    )
    writer.add_eos_token_id(tokenizer.eos_token_id)
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _renamed(name: str, tensor: np.ndarray[Any, Any], config: dict[str, Any]) -> tuple[str, Any]:
    for ours, theirs in (
        ("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("lm_head", "output"),
        ("model.layers", "blk"), ("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"), ("self_attn.o_proj", "attn_output"), ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down"), ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
    ):  # fmt: skip
        name = name.replace(ours, theirs)
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    for part, count in heads.items():
        if f".{part}." in name:  # rotary pairs side by side, where transformers has them half a head apart
            rows, columns = tensor.shape
            tensor = (
                tensor.reshape(count, 2, rows // count // 2, columns).swapaxes(1, 2).reshape(rows, columns)
            )
    return name, np.ascontiguousarray(tensor.astype(np.float32))
