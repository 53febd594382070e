"""Tiny random checkpoints with real tokenizers: for tests and audits, where no trained model is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

# Llama 3's split: contractions, words, runs of up to three digits, punctuation, white space.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_WORDS = (
    "learning_rate weight_decay max_depth min_samples_leaf n_estimators dropout momentum optimizer adam sgd "
    "rmsprop kernel rbf linear poly sigmoid gamma degree alpha activation relu tanh hidden_layer_sizes "
    "batch_size true false null subsample colsample_bytree criterion gini entropy trial validation error "
    "best failed timeout lower better"
).split()


def byte_tokenizer() -> Any:
    """A fast tokenizer with one token per byte, `<pad>` and `</s>`: it can spell anything."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<pad>": 0, "</s>": 1, **{piece: i + 2 for i, piece in enumerate(alphabet)}}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="</s>")


def bpe_tokenizer(size: int = 4096) -> Any:
    """A byte-level BPE tokenizer of up to `size` tokens, trained on made-up trials; digits as in Llama 3."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    rng = np.random.default_rng(0)
    lines = [f" {n} {n:02d} {n:03d}" for n in range(1000)]
    for _ in range(1500):
        names = rng.choice(_WORDS, size=4, replace=False)
        numbers = (f"{x:.3g}" for x in 10 ** rng.uniform(-5, 4, size=3))
        pairs = [f'"{name}": {number}' for name, number in zip(names, numbers, strict=False)]
        lines.append(f'{{{", ".join(pairs)}, "{names[3]}": "{rng.choice(_WORDS)}"}} -> {rng.random():.4f}')
        lines.append(f'{{{",".join(pairs).replace(": ", ":")},"{names[3]}":"{rng.choice(_WORDS)}"}}')
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<pad>", "</s>"], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    backend.train_from_iterator(lines, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="</s>")


def save_random_llama(
    path: str | Path,
    tokenizer: Any,
    *,
    seed: int = 0,
    width: int = 48,
    layers: int = 2,
    context: int = 2048,
    padding: int = 7,
    spread: float = 0.3,
) -> Path:
    """Write a random Llama checkpoint with its tokenizer.

    Args:
        path: The directory to write.
        tokenizer: A fast tokenizer.
        seed: Seed of the weights.
        width: Model width; four heads.
        layers: Number of layers.
        context: Longest sequence.
        padding: Columns of the logits beyond the tokenizer, as real checkpoints have them.
        spread: Standard deviation of the weights: large enough that the logits differ visibly.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    directory = Path(path)
    config = LlamaConfig(
        vocab_size=len(tokenizer) + padding, hidden_size=width, intermediate_size=2 * width,
        num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=context, initializer_range=spread,
        tie_word_embeddings=False, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):  # the caller's random state stays as it was
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory
