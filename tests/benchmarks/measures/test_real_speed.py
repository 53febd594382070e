"""`airtune bench speed --only real`: what it asks, and of which model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.benchmarks.measures import asking as asking_module
from airtune.benchmarks.measures import real_speed
from airtune.benchmarks.measures.asking import CLOCKS, Asking, InParts, compare, search_requests
from airtune.benchmarks.measures.real_speed import (
    against_server,
    batch_against_loop,
    left_out,
    measure_real,
    with_and_without_cache,
)
from airtune.benchmarks.measures.speed import on_clocks
from airtune.grammars import AirtuneError, space_grammar
from airtune.models import Completion, Request
from airtune.models.backends.transformers import TransformersModel
from airtune.models.dialects.chat.dialect import ChatDialect
from airtune.models.spec import parse_spec
from airtune.models.tiny import byte_tokenizer, chat_tokenizer, save_random_llama
from tests.models.tiny_gguf import save_gguf

TASK = "sklearn/svm/digits"


def test_each_request_has_a_trial_more() -> None:
    """And none may be proposed again: the same prompts over and over would all be found read."""
    requests = search_requests(ChatDialect(), TASK, 3, 4)
    rows = [sum(" -> " in line for line in request.prompt.splitlines()) - 1 for request in requests]
    assert rows == [3, 4, 5, 6]
    left = [request.grammar.count() for request in requests]
    assert [a - b for a, b in pairwise(left)] == [1, 1, 1]


def test_ours_against_ours(tmp_path: Path) -> None:
    """On both clocks, with the lengths of the answers; the other side keeps nothing."""
    path = save_random_llama(tmp_path / "m", byte_tokenizer(), context=8000)
    ratios = with_and_without_cache(parse_spec(str(path)), TASK, repeats=1)
    said = [
        ("10 trials", "processor"),
        ("10 trials", "wall"),
        ("30 trials", "processor"),
        ("30 trials", "wall"),
    ]
    for ratio, words in zip(ratios, said, strict=True):
        assert all(word in ratio.what for word in words)
        assert "tokens an answer" in ratio.what
        assert ratio.low <= ratio.ratio <= ratio.high


def test_each_side_has_its_own_clock() -> None:
    """A server's processor time is that of another process: read off ours, it would cost next to nothing."""
    ours, theirs = count(0, 1), count(0, 5)
    (ratio,) = on_clocks("a", list, list, 3, {"": (lambda: next(ours), lambda: next(theirs))})
    assert (ratio.ours_s, ratio.theirs_s, ratio.ratio) == (1, 5, 5)


def test_an_answer_of_a_server_has_its_length_in_its_usage() -> None:
    answer = Completion('{"a":1}', None, None, "stop", 5, None, {"usage": {"completion_tokens": 7}})
    grammar = space_grammar(ConfigurationSpace({"a": (1, 3)}))
    asking = Asking(lambda batch: [answer] * len(batch), [[Request("p", grammar, 0)] * 2] * 2)
    asking()
    assert asking.tokens == 7
    wrong = replace(answer, text='{"a":4}')
    with pytest.raises(AirtuneError, match="not in the grammar"):
        Asking(lambda batch: [wrong], [[Request("p", grammar, 0)]])()


def test_studies_in_one_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop asks other requests than the batch, whose prompts it would find read, and one at a time."""
    path = save_random_llama(tmp_path / "m", byte_tokenizer(), context=8000)
    monkeypatch.setattr(real_speed, "STUDIES", (2,))
    asked: list[list[Request]] = []
    generate = TransformersModel.generate

    def watched(self: TransformersModel, requests: Sequence[Request]) -> list[Completion]:
        asked.append(list(requests))
        return generate(self, requests)

    monkeypatch.setattr(TransformersModel, "generate", watched)
    ratios = batch_against_loop(parse_spec(str(path)), TASK, repeats=1)
    said = [f"a loop, {part}: {clock}" for part in ("whole", "decoding") for clock in CLOCKS]
    assert [words in ratio.what for words, ratio in zip(said, ratios, strict=True)] == [True] * 4
    assert all("2 x proposal" in ratio.what for ratio in ratios)
    # Each batch new, then its first tokens alone, then again with its prompts known.
    assert [len(batch) for batch in asked] == ([2] * 3 + [1] * 6) * 2
    assert [{one.max_tokens for one in batch} for batch in asked[:3]] == [{None}, {1}, {None}]
    assert asked[0] == asked[2]
    assert len({one.prompt for batch in asked for one in batch}) == 8


def test_decoding_is_what_is_left_without_the_first_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that is set by hand: 10 s to read a prompt that is new, 1 s a token, 4 s a request."""
    now, known = [0.0], set[str]()
    grammar = space_grammar(ConfigurationSpace({"a": (1, 3)}))

    def answered(batch: Sequence[Request]) -> list[Completion]:
        for one in batch:
            now[0] += 4 + (one.max_tokens or 7) + (0 if one.prompt in known else 10)
            known.add(one.prompt)
        return [Completion('{"a":1}', tuple(range(one.max_tokens or 7)), None, "stop", 5, 6) for one in batch]

    monkeypatch.setattr(asking_module, "CLOCKS", {"by hand": lambda: now[0]})
    batches = [[Request(name * 2, grammar, 0), Request(name, grammar, 0)] for name in "abcd"]
    whole, decoding = compare("x", InParts(answered, batches[:2]), InParts(answered, batches[2:]), 1)
    assert (whole.ours_s, decoding.ours_s, decoding.ratio) == (2 * 21, 2 * 6, 1)
    assert "x, decoding: by hand; 7 and 7 tokens" in decoding.what


def test_what_is_not_measured_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    lines = left_out("llama_cpp:some.gguf")
    assert len(lines) == 2
    assert "against_generate" in lines[0]
    assert "--model transformers:some.gguf" in lines[0]
    assert "vLLM" in lines[1]


def test_pocket_is_no_chat_model() -> None:
    with pytest.raises(AirtuneError, match="real chat model"):
        measure_real("pocket", TASK, 1)


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_against_llama_cpps_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a tiny model: the same prompts, tokens counted on both sides, samples of one prompt, no process left over."""
    for module in ("llama_cpp", "xllamacpp", "psutil"):
        pytest.importorskip(module)
    import psutil

    monkeypatch.setattr(real_speed, "TRIALS", (2,))
    monkeypatch.setattr(real_speed, "SAMPLES", 3)
    checkpoint = save_random_llama(tmp_path / "m", chat_tokenizer("llama3", 1500), width=64, context=4096)
    file = save_gguf(checkpoint, tmp_path / "m.gguf")
    ratios = against_server(parse_spec(f"llama_cpp:{file}"), TASK, repeats=1)
    words = ["1 x proposal", "1 x proposal", "3 x proposal", "3 x proposal"]
    assert [word in ratio.what for word, ratio in zip(words, ratios, strict=True)] == [True] * 4
    running = [child.cmdline() for child in psutil.Process().children()]
    assert not any("airtune.benchmarks.measures.llama_server" in line for line in running)
