"""What a tokenizer's tokens write, and which forced bytes may become tokens."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from airtune.models import ModelError
from airtune.models.masks.vocabulary import Vocabulary, vocabulary_of
from airtune.models.tiny import bpe_tokenizer

TEXT = '{"größe":1.25e-3,"naïve 日本":true, "a_b":12345}\n'


def test_tokens_write_what_the_tokenizer_reads(vocabulary: Vocabulary) -> None:
    ids = vocabulary.encode(TEXT)
    assert vocabulary.text(ids) == TEXT
    assert vocabulary.byte_values >= set(TEXT.encode())


def test_special_tokens_write_nothing(vocabulary: Vocabulary) -> None:
    assert [i for i, token in enumerate(vocabulary.tokens) if not token] == [0, 1]
    assert vocabulary.eos_ids == (1,)


def test_sentencepiece_like() -> None:
    pieces = ["<unk>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), "\u2581", "a", "\u2581a", "1", "2"]
    backend = Tokenizer(
        models.BPE({p: i for i, p in enumerate(pieces)}, [("\u2581", "a")], unk_token="<unk>")
    )
    backend.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    found = vocabulary_of(
        PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", unk_token="<unk>"), 300
    )
    assert found.tokens[2 + 0xE9] == b"\xe9"
    assert found.tokens[pieces.index("\u2581a")] == b" a"
    assert found.tokens[0] == b""


def test_word_level() -> None:
    backend = Tokenizer(models.WordLevel({"<unk>": 0, "<eos>": 1, "a001": 2, "bC": 3}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split("x", "isolated")
    found = vocabulary_of(
        PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", unk_token="<unk>"), 8
    )
    assert found.tokens == (b"", b"", b"a001", b"bC")


def test_tokenizers_that_are_not_understood() -> None:
    backend = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1, "##b": 2}, unk_token="[UNK]"))
    backend.decoder = decoders.WordPiece()
    with pytest.raises(ModelError, match="decoder WordPiece"):
        vocabulary_of(PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="a"), 3)
    with pytest.raises(ModelError, match="not a fast tokenizer"):
        vocabulary_of(object(), 3)


def small(*tokens: str) -> Vocabulary:
    """Greedy longest match over a few tokens."""
    pieces = [t.encode() for t in tokens]

    def encode(text: str) -> list[int]:
        data, ids = text.encode(), []
        while data:
            best = max((p for p in pieces if data.startswith(p)), key=len)
            ids.append(1 + pieces.index(best))
            data = data[len(best) :]
        return ids

    return Vocabulary((b"", *pieces), (0,), 1 + len(pieces), encode)


def test_canonical_stops_where_a_token_could_reach_beyond() -> None:
    vocabulary = small("a", "b", "c", "ab", "bcd", "x", "xy")
    ids = {token: i for i, token in enumerate(vocabulary.tokens)}
    assert vocabulary.canonical([], b"xya") == [ids[b"xy"]]  # `a` could become `ab`
    assert vocabulary.canonical([], b"xyc") == [ids[b"xy"], ids[b"c"]]
    assert vocabulary.canonical([], b"abc") == []  # `bcd` could start inside `ab`
    assert vocabulary.canonical([ids[b"x"]], b"c") == [ids[b"c"]]
    assert vocabulary.canonical([ids[b"x"]], b"yc") == []  # the tokenizer would have written `xy`
    assert vocabulary.canonical([], b"") == []


def test_canonical_never_differs_from_the_whole_text() -> None:
    """Whatever follows, the tokenizer's encoding of the whole starts with the forced tokens."""
    tokenizer = bpe_tokenizer()
    vocabulary = vocabulary_of(tokenizer, len(tokenizer))
    starts = ['{"learning_rate":', '{"max_depth":1', '{"optimizer":"adam","gamma":0.', '{"größe":"日']
    ends = ["", "1", '"', "}", "e-5,", '"sgd"}', "0012345", " x", "rate_", "本", "learning"]
    for start in starts:
        forced = vocabulary.canonical([], start.encode())
        assert forced
        for end in ends:
            assert vocabulary.encode(start + end)[: len(forced)] == forced


def test_a_character_cut_in_two_is_left_for_later(vocabulary: Vocabulary) -> None:
    whole = '{"x":"日'.encode()
    forced = vocabulary.canonical([], whole[:-1])
    assert b"".join(vocabulary.tokens[i] for i in forced) in (whole[:-3], whole[:-4], whole[:-5], whole[:-6])
