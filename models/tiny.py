"""Tiny random checkpoints with real tokenizers: for tests and audits, where no trained model is needed.

Besides plain Llamas, the three families of instruction-tuned models that are asked for most: Llama 3, Qwen 3 and
Gemma 3, each with its architecture, its way to split digits, its special tokens and a chat template of its form.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
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


@dataclass(frozen=True, slots=True)
class Family:
    """What tells the tokenizers of a family of models from others.

    Attributes:
        digits: The longest run of digits in one token.
        special: Its special tokens, "special" in tokenizer.json.
        added: More texts that are one token each, but not "special".
        begin: Written first, or None.
        end: Ends an answer, for the tokenizer (`eos_token`).
        turn_end: Ends the model's turn; in Gemma's checkpoints only generation_config.json says so.
        template: A chat template of the family's form.
    """

    digits: int
    special: tuple[str, ...]
    added: tuple[str, ...]
    begin: str | None
    end: str
    turn_end: str
    template: str


FAMILIES = {
    "llama3": Family(
        3, ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), (),
        "<|begin_of_text|>", "<|eot_id|>", "<|eot_id|>",
        "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
        "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
    ),
    "qwen": Family(
        1, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), ("<think>", "</think>"), None, "<|im_end|>", "<|im_end|>",
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n"
        "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}",
    ),
    "gemma": Family(
        1, ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"), ("<h1>", "\n\n"), "<bos>", "<eos>", "<end_of_turn>",
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
        "{{ raise_exception('System role not supported') }}{% endif %}{% for m in messages %}"
        "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
        "<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
        "{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
        "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
    ),
}  # fmt: skip


def bpe_tokenizer(size: int = 4096, *, digits: int = 3, corpus: Iterable[str] = ()) -> Any:
    """A byte-level BPE tokenizer of up to `size` tokens, trained on made-up trials and `corpus`.

    Args:
        size: Tokens, at most.
        digits: The longest run of digits in one token: 3 as in Llama 3, 1 as in Qwen.
        corpus: More lines to train on.
    """
    return _trained(size, digits, ("<pad>", "</s>"), corpus, pad_token="<pad>", eos_token="</s>")


def chat_tokenizer(family: str, size: int = 4096, corpus: Iterable[str] = ()) -> Any:
    """A tokenizer of one of `FAMILIES`: its digits, special tokens and chat template; `bpe_tokenizer`'s text."""
    one = FAMILIES[family]
    begin = {} if one.begin is None else {"bos_token": one.begin}
    made = _trained(
        size, one.digits, ("<pad>", *one.special), corpus, pad_token="<pad>", eos_token=one.end, **begin
    )
    made.add_tokens(list(one.added))
    made.chat_template = one.template
    return made


def _trained(size: int, digits: int, special: tuple[str, ...], corpus: Iterable[str], **names: str) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    split = _SPLIT.replace("{1,3}", f"{{1,{digits}}}")
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(special), show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    backend.train_from_iterator([*_made_up_lines(), *corpus], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


@lru_cache(maxsize=1)
def _made_up_lines() -> tuple[str, ...]:
    rng = np.random.default_rng(0)
    lines = [f" {n} {n:02d} {n:03d}" for n in range(1000)]
    for _ in range(1500):
        names = rng.choice(_WORDS, size=4, replace=False)
        numbers = (f"{x:.3g}" for x in 10 ** rng.uniform(-5, 4, size=3))
        pairs = [f'"{name}": {number}' for name, number in zip(names, numbers, strict=False)]
        lines.append(f'{{{", ".join(pairs)}, "{names[3]}": "{rng.choice(_WORDS)}"}} -> {rng.random():.4f}')
        lines.append(f'{{{",".join(pairs).replace(": ", ":")},"{names[3]}":"{rng.choice(_WORDS)}"}}')
    return tuple(lines)


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
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        **config_sizes(tokenizer, width, layers, context, padding, spread),
        bos_token_id=tokenizer.bos_token_id,
    )
    return save_random(Path(path), LlamaForCausalLM, config, tokenizer, seed)


def config_sizes(
    tokenizer: Any, width: int, layers: int, context: int, padding: int, spread: float
) -> dict[str, Any]:
    """Settings of a small configuration of transformers, as `save_random_llama` is told them."""
    return {
        "vocab_size": len(tokenizer) + padding, "hidden_size": width, "intermediate_size": 2 * width,
        "num_hidden_layers": layers, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": context, "initializer_range": spread, "tie_word_embeddings": False,
        "pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id,
    }  # fmt: skip


def save_random(path: Path, kind: Any, config: Any, tokenizer: Any, seed: int) -> Path:
    """Write a model of a class of transformers, its weights drawn by `seed`, with its tokenizer."""
    import torch
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    with torch.random.fork_rng(devices=[]):  # the caller's random state stays as it was
        torch.manual_seed(seed)
        model = kind(config)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
