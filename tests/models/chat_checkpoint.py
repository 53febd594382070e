"""Tiny random checkpoints of the families of instruction-tuned models, each in its own architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airtune.models.tiny import FAMILIES, chat_tokenizer, config_sizes, save_random


def save_random_chat_model(
    path: str | Path, family: str, *, tokenizer: Any = None, seed: int = 0, size: int = 4096,
    width: int = 48, layers: int = 2, context: int = 4096, padding: int = 7, spread: float = 0.3,
) -> Path:  # fmt: skip
    """Write a random checkpoint of one of `FAMILIES`, in its architecture, with its tokenizer and template.

    Args:
        path: The directory to write.
        family: "llama3", "qwen" (Qwen 3) or "gemma" (Gemma 3, text).
        tokenizer: Its tokenizer; None trains `chat_tokenizer(family, size)`.
        seed: Seed of the weights.
        size: Tokens of the vocabulary.
        width: As in `save_random_llama`, as are the others.
        layers: See there.
        context: See there.
        padding: See there.
        spread: See there.
    """
    import transformers

    made = chat_tokenizer(family, size) if tokenizer is None else tokenizer
    sizes = config_sizes(made, width, layers, context, padding, spread)
    turn_end = made.convert_tokens_to_ids(FAMILIES[family].turn_end)
    ends = sorted({made.eos_token_id, turn_end})
    sizes |= {"bos_token_id": made.bos_token_id, "eos_token_id": ends if len(ends) > 1 else ends[0]}
    if family == "llama3":
        rope = {"rope_type": "default", "rope_theta": 500_000.0}
        config = transformers.LlamaConfig(**sizes, rope_parameters=rope)
        return save_random(Path(path), transformers.LlamaForCausalLM, config, made, seed)
    if family == "qwen":
        config = transformers.Qwen3Config(**sizes, head_dim=width // 4)
        return save_random(Path(path), transformers.Qwen3ForCausalLM, config, made, seed)
    # One layer of each kind: a sliding window shorter than most prompts, and full attention.
    kinds = ["sliding_attention" if i % 2 == 0 else "full_attention" for i in range(layers)]
    # As in all of its checkpoints. Its embeddings are scaled up; the wider they spread, the more the last token
    # would say itself again.
    sizes |= {"tie_word_embeddings": True, "initializer_range": spread / 4}
    config = transformers.Gemma3TextConfig(
        **sizes, head_dim=width // 4, query_pre_attn_scalar=width // 4, sliding_window=64, layer_types=kinds
    )
    return save_random(Path(path), transformers.Gemma3ForCausalLM, config, made, seed)
