"""Special tokens of prompts: one beginning where the tokenizer has one, and never an end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaTokenizerFast, PreTrainedTokenizerFast

from airtune.models.backends.prompts import PromptTokenizer
from airtune.models.dialects.chat.format import format_of

WORDS = ["<unk>", "<s>", "</s>", "<lang>", "user", "assistant", "hello", ":", "Answer", "a", "so"]
BOS, EOS, LANG = 1, 2, 3
TALK = "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }} {% endfor %}"
ASK = "{% if add_generation_prompt %}assistant :{% endif %}"


def _tokenizer(path: Path, ends: str | None, template: str | None = None) -> PromptTokenizer:
    """A tokenizer of words whose post-processor writes `ends` around a text, saved and loaded again."""
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
    )
    core.add_special_tokens(["<s>", "</s>", "<lang>"])
    if ends is not None:
        specials = [(token, WORDS.index(token)) for token in ("<s>", "</s>", "<lang>")]
        core.post_processor = processors.TemplateProcessing(single=ends, special_tokens=specials)
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    made.chat_template = template
    made.save_pretrained(path)
    return PromptTokenizer(path)


@pytest.mark.parametrize(
    ("ends", "lead"),
    [
        (None, []), ("$A", []), ("$A </s>", []), ("<s> $A", [BOS]), ("<s> $A </s>", [BOS]),
        ("<lang> $A </s>", [LANG]), ("<s> <lang> $A </s> <lang>", [BOS, LANG]),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "template",
    [None, TALK + ASK, "{{ bos_token }}" + TALK + ASK, "{{ bos_token }}" + TALK + "{{ eos_token }}"],
    ids=["plain", "template", "template with bos", "template that ends"],
)
def test_one_beginning_and_no_end(
    tmp_path: Path, ends: str | None, lead: list[int], template: str | None
) -> None:
    """A post-processor that appends the end of sequence ended plain prompts; the model then had nothing to say."""
    prompts = _tokenizer(tmp_path, ends, template)
    style = format_of(prompts.tokenizer)
    first = style.render([{"role": "user", "content": "hello"}])
    for text in (first, style.conclude(first, "so", "hello")):
        ids = prompts.encode(text)
        assert ids[-1] != EOS
        written = [BOS] if template and "bos_token" in template else []
        assert ids[: len(lead)] == lead
        assert ids.count(BOS) == (1 if BOS in lead or written else 0)
        assert prompts.count(text) == len(ids)
        assert prompts.encode_all([text]) == {text: ids}


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize("begin", [False, True])
def test_flags_of_a_tokenizer(tmp_path: Path, begin: bool, end: bool) -> None:
    """add_eos_token is meant for training."""
    vocabulary: Any = {"<unk>": 0, "<s>": 1, "</s>": 2, "\u2581": 3, "a": 4, "\u2581a": 5}
    made = LlamaTokenizerFast(
        vocab=vocabulary, merges=[("\u2581", "a")], add_bos_token=begin, add_eos_token=end
    )
    made.save_pretrained(tmp_path)
    ids = PromptTokenizer(tmp_path).encode("a a")
    assert ids[-1] != EOS
    assert ids.count(BOS) == int(begin)
    assert ids[0] == (BOS if begin else ids[0])


def test_prompts_are_neither_cut_nor_padded(tmp_path: Path) -> None:
    """A tokenizer.json keeps how texts were cut and padded in training: models were shown eight tokens of a prompt."""
    plain = _tokenizer(tmp_path / "plain", "<s> $A").encode("hello : hello a so a so")
    core = PromptTokenizer(tmp_path / "plain").tokenizer
    core.backend_tokenizer.enable_truncation(4)
    core.backend_tokenizer.enable_padding(direction="left", pad_id=BOS, pad_token="<s>", length=16)
    core.backend_tokenizer.save(str(tmp_path / "plain" / "tokenizer.json"))
    assert PromptTokenizer(tmp_path / "plain").encode("hello : hello a so a so") == plain
    assert len(plain) == 8
