"""The llama_cpp backend: what is kept of prompts, the tokenizer, distributions, and what is refused."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace, Float

from airtune.engine import Job, Task, Trial, load_proposer
from airtune.grammars import space_grammar
from airtune.models import Completion, ModelError, Problem, Request, load_model, model_info
from airtune.models.backends.gguf_header import GGUFError
from airtune.models.dialects.chat.format import format_of, special_texts
from airtune.models.masks.vocabulary import vocabulary_of
from airtune.models.tiny import bpe_tokenizer, chat_tokenizer, save_random_llama
from tests.models.exact import path_logprob, text_probabilities
from tests.models.gguf_files import write_gguf
from tests.models.tiny_gguf import save_gguf

pytest.importorskip("llama_cpp")
from airtune.models.backends.llama_cpp import library
from airtune.models.backends.llama_cpp.decoder import PrefixCache

pytestmark = pytest.mark.llama_cpp

TALK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "<|im_end|> 0.125 λ"}]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = chat_tokenizer("llama3", 1500)
    return save_random_llama(tmp_path_factory.mktemp("llama3"), tokenizer, width=64, context=4096)


@pytest.fixture(scope="module")
def gguf(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_gguf(checkpoint, tmp_path_factory.mktemp("gguf") / "m.gguf")


def task() -> Task:
    space = ConfigurationSpace(
        {"C": Float("C", (1e-3, 1e3), log=True), "n": (1, 30), "kernel": ["rbf", "poly"]}
    )
    return Task("svm", space, lambda c: 0.0, metric="error", description="An SVM.")


def study(model: Any, trials: list[Trial], until: int) -> list[Completion]:
    """Go on with a study whose losses are made up; the transcripts of its proposals."""
    said = []
    while len(trials) < until:
        job = Job(task(), tuple(trials), (), seed=len(trials))
        load_proposer("lm", model=model).propose([job])
        assert job.proposal is not None
        said.append(job.proposal.transcript)
        trials.append(Trial(len(trials), job.proposal.config, "told", 1.0 / (1 + len(trials))))
    return said  # type: ignore[return-value]


def bits(transcripts: Any) -> list[Any]:
    return [{**one, "model": None} for one in transcripts]


def test_a_study_is_the_same_whatever_the_cache_holds(gguf: Path) -> None:
    """Kept, not kept, evicted in between, and resumed by another process's model: to the last bit.

    The cache must have been used: a prompt that is read whole again costs more forward passes.
    """
    whole = study(load_model(gguf, "llama_cpp"), [], 8)
    assert bits(study(load_model(gguf, "llama_cpp", prefix_cache=0), [], 8)) == bits(whole)
    trials: list[Trial] = []
    resumed = study(load_model(gguf, "llama_cpp"), trials, 4)
    resumed += study(load_model(gguf, "llama_cpp"), trials, 8)
    assert bits(resumed) == bits(whole)
    evicting: Any = load_model(gguf, "llama_cpp")
    trials, said = [], []
    for n in range(1, 9):
        said += study(evicting, trials, n)
        if n % 2:
            evicting.decoder._cache._states.clear()
    assert bits(said) == bits(whole)


def test_of_the_next_prompt_only_the_new_end_is_read(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = load_model(gguf, "llama_cpp")
    grammar = space_grammar(task().space)
    read: list[int] = []
    forward = library.Context._forward
    monkeypatch.setattr(
        library.Context, "_forward", lambda self, tokens: read.append(len(tokens)) or forward(self, tokens)
    )
    forced = len(model.engine.compile(grammar).forced())

    def reads(prompt: str) -> tuple[int, list[int]]:
        read.clear()
        (answer,) = model.generate([Request(prompt, grammar, 0)])
        assert read[-answer.decode_steps - 1] == 1 + forced  # the prompt's last token starts the answer
        return answer.prompt_tokens - 1, read[: len(read) - answer.decode_steps - 1]

    length, first = reads(" 0.125" * 200)
    whole = length // 64 - 1
    assert first == [64] * whole + [length - 64 * whole]  # the last pass has a block and what is left
    longer, then = reads(" 0.125" * 200 + " 7")
    assert then == [longer - 64 * whole]


def test_long_prompts_in_one_batch(gguf: Path) -> None:
    """To the bit as alone, with and without what is kept: none restored as another's, or short of a token."""
    grammar = space_grammar(task().space)
    prompts = [" 0.125" * n + end for n in (60, 100, 150) for end in ("", " 7", "\nAnswer:")] + ["a"]
    requests = [Request(prompt, grammar, n) for n, prompt in enumerate([*prompts, *prompts[:4]])]
    model = load_model(gguf, "llama_cpp")
    together = model.generate(requests)
    assert model.generate(requests) == together
    assert [
        load_model(gguf, "llama_cpp", prefix_cache=0).generate([one])[0] for one in requests[::5]
    ] == together[::5]
    assert load_model(gguf, "llama_cpp").generate(requests[::-1])[::-1] == together


def test_what_the_cache_keeps() -> None:
    """Whole blocks; the least recently used goes first; never more bytes than there is room for."""
    cache = PrefixCache(capacity=100, block=4)
    one, two, three = tuple(range(8)), tuple(range(4)) + (9,) * 4, (7,) * 8
    for i, prefix in enumerate((one, two)):
        cache.keep(prefix, np.full(40, i, dtype=np.uint8))
    known, state = cache.find((*range(7), 99, 100))
    assert (known, state[0]) == (4, 0)  # type: ignore[index]
    assert cache.find((5, *one)) == (0, None)
    cache.find(one)
    cache.keep(three, np.full(40, 2, dtype=np.uint8))
    assert cache.bytes == 80
    assert [cache.find(prefix)[0] for prefix in (one, two, three)] == [8, 4, 8]
    cache.keep((*three, 1, 2, 3, 4), np.full(50, 3, dtype=np.uint8))  # says all that its beginning says
    assert cache.bytes == 90
    cache.keep(two, np.empty(101, dtype=np.uint8))
    assert cache.bytes == 90


def test_more_answers_than_sequences_and_cells(gguf: Path) -> None:
    """Those for which there is no room wait; it changes nothing."""
    grammar = space_grammar(task().space)
    requests = [Request(f"Tune {n % 3}:", grammar, n) for n in range(70)]
    narrow = load_model(gguf, "llama_cpp", context=256)
    assert narrow.generate(requests) == load_model(gguf, "llama_cpp").generate(requests)


def test_the_tokenizer_is_that_of_transformers(checkpoint: Path, gguf: Path) -> None:
    """Bytes of every token, ends, ids of prompts with special tokens in them, chat template, special texts."""
    model: Any = load_model(gguf, "llama_cpp")
    reference: Any = load_model(checkpoint)
    theirs = vocabulary_of(reference.tokenizer, model.vocabulary.width)
    assert model.vocabulary.tokens[: len(theirs.tokens)] == theirs.tokens
    assert set(model.vocabulary.tokens[len(theirs.tokens) :]) == {b""}
    assert model.vocabulary.eos_ids == theirs.eos_ids
    space = task().space
    prompt = model.dialect.render(Problem("svm", "λ <|eot_id|> 0.125", space, "loss"))
    assert prompt == reference.dialect.render(Problem("svm", "λ <|eot_id|> 0.125", space, "loss"))
    assert model.prompts.encode(prompt) == reference.prompts.encode(prompt)
    assert model.vocabulary.encode('{"C":1.25e-3} λ') == theirs.encode('{"C":1.25e-3} λ')
    assert model.dialect.format.render(TALK) == format_of(reference.tokenizer).render(TALK)
    assert set(special_texts(reference.tokenizer)) - {"<pad>"} <= set(model.dialect.special)


@pytest.mark.parametrize("begins", [False, True])
def test_prompts_begin_once_and_never_end(checkpoint: Path, tmp_path: Path, begins: bool) -> None:
    """A template that writes the end of sequence after the last message left the model with nothing to say.

    And a tokenizer whose model was let go read freed memory.
    """
    file = save_gguf(checkpoint, tmp_path / "m.gguf", begins=begins)
    prompts = load_model(file, "llama_cpp").prompts  # type: ignore[attr-defined]
    tokenizer = load_model(checkpoint).tokenizer  # type: ignore[attr-defined]
    bos, eos = tokenizer.bos_token, tokenizer.eos_token
    plain = prompts.encode("Tune C")
    assert plain.count(tokenizer.bos_token_id) == int(begins)
    for prompt in (
        f"Tune C{eos}",
        f"Tune C{eos}{eos}",
        *([f"{bos}Tune C", f"{bos}{bos}Tune C{eos}"] if begins else []),
    ):
        assert prompts.encode(prompt) == plain
    assert tokenizer.eos_token_id in prompts.encode(f"Tune{eos} C")


def test_answers_are_those_of_transformers(tmp_path: Path) -> None:
    """On the same weights in float32. llama.cpp keeps keys and values in float16, so nearly: a wrong position or
    scale, a mask that shows another's tokens or a prompt cut short moves log-probabilities by whole numbers.
    """
    tiny = save_random_llama(tmp_path / "m", chat_tokenizer("llama3"), width=64)
    file = save_gguf(tiny, tmp_path / "m.gguf", precision="F32")
    requests = [Request("Tune: " * (1 + n % 3 * 30), space_grammar(task().space), n) for n in range(12)]
    same = 0
    pairs = zip(
        load_model(file, "llama_cpp").generate(requests), load_model(tiny).generate(requests), strict=True
    )
    for one, other in pairs:
        if one.token_ids == other.token_ids:
            same += 1
            assert one.logprobs == pytest.approx(other.logprobs, abs=0.1)
    assert same >= 8


def test_the_distribution_is_the_one_that_is_drawn_from(gguf: Path) -> None:
    model: Any = load_model(gguf, "llama_cpp")
    grammar = space_grammar(ConfigurationSpace({"a": (1, 30), "k": ["x", "yy", "x2"]}), [{"a": 3, "k": "x"}])
    prompt = "Tune: " * 40
    shown = model.answer_distribution(prompt, grammar, 0.7)
    for answer in model.generate([Request(prompt, grammar, seed, 0.7) for seed in range(5)]):
        assert sum(answer.logprobs) == pytest.approx(path_logprob(shown, answer.token_ids), abs=1e-6)
    chances = text_probabilities(shown)  # more beginnings at once than there are sequences
    assert math.fsum(chances.values()) == pytest.approx(1)
    assert len(chances) == grammar.count() == 89


def test_a_distribution_where_there_is_little_room(gguf: Path) -> None:
    """Beginnings that do not fit are read in several passes."""
    grammar = space_grammar(ConfigurationSpace({"a": (1, 300)}))
    wide, narrow = (
        text_probabilities(
            load_model(gguf, "llama_cpp", context=n).answer_distribution(" 1" * 80, grammar, 1)
        )
        for n in (4096, 256)
    )
    assert narrow == pytest.approx(wide)


def test_nothing_is_printed_and_the_build_is_on_record(gguf: Path, capfd: pytest.CaptureFixture[str]) -> None:
    manifest = load_model(gguf, "llama_cpp", deterministic="strict").manifest()
    assert capfd.readouterr() == ("", "")
    assert manifest["settings"]["threads"] == 1  # of a small model
    assert "prefix_cache" not in manifest["settings"]  # a study goes on with another one
    assert manifest["self_test"]["passed"]
    assert "CPU" in manifest["versions"]["llama.cpp"]
    assert manifest["files"].keys() == {"m.gguf"}
    assert (manifest["weights"], manifest["weights_bytes"]) == (
        model_info(gguf).parameters,
        gguf.stat().st_size,
    )


@pytest.mark.parametrize(("built", "packed"), [("AVX512 = 1 | AMX_INT8 = 1", False), ("AVX2 = 1", True)])
def test_weights_are_not_packed_for_amx(
    built: str, packed: bool, gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: built by GCC 12 on a processor with AMX, llama.cpp ended the process, or answered nonsense."""
    asked = []
    lib = library.library()
    load = lib.llama_model_load_from_file

    def record(path: bytes, parameters: Any) -> Any:
        asked.append(parameters.use_extra_bufts)
        return load(path, parameters)

    monkeypatch.setattr(lib, "llama_print_system_info", lambda: f"CPU : {built} | REPACK = 1 | ".encode())
    monkeypatch.setattr(lib, "llama_model_load_from_file", record)
    library.Weights(gguf)
    assert asked == [packed]


@pytest.mark.parametrize(
    "settings",
    [
        {"threads": 0},
        {"threads": 1.5},
        {"prefix_block": 0},
        {"context": 255},
        {"prefix_cache": "1 MB"},
        {"threds": 1},
    ],
)
def test_bad_settings(gguf: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=next(iter(settings))):
        load_model(gguf, "llama_cpp", **settings)


def test_a_context_shorter_than_the_prompt(gguf: Path) -> None:
    model = load_model(gguf, "llama_cpp", context=256)
    with pytest.raises(ModelError, match="more than the model's context of 256"):
        model.generate([Request(" 1" * 300, space_grammar(task().space), 0)])


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_truncated_file(gguf: Path, tmp_path: Path, kept: float) -> None:
    """In the metadata, and in the weights."""
    data = gguf.read_bytes()
    (tmp_path / "cut.gguf").write_bytes(data[: int(kept * len(data))])
    with pytest.raises(ModelError, match=r"cut\.gguf"):
        load_model(tmp_path / "cut.gguf", "llama_cpp")


def test_what_is_no_model(checkpoint: Path, gguf: Path, tmp_path: Path) -> None:
    """A file without a template, or whose sizes are not those of its tensors, never gets to llama.cpp."""
    bare = save_random_llama(tmp_path / "bare", bpe_tokenizer(300), width=64)
    for file, words in (
        (save_gguf(checkpoint, tmp_path / "other.gguf", architecture="perceptron"), "perceptron"),
        (save_gguf(bare, tmp_path / "bare.gguf"), "no chat template"),
        (write_gguf(tmp_path / "large.gguf", feed_forward_length=1 << 30), "more than anything in it"),
    ):
        with pytest.raises(GGUFError, match=words):
            load_model(file, "llama_cpp")
    with pytest.raises(GGUFError, match="holds 3 GGUF files"):
        load_model(tmp_path, "llama_cpp")
    with pytest.raises(GGUFError, match="no folder with one"):
        load_model(checkpoint, "llama_cpp")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "text.gguf").write_text("hello")
    with pytest.raises(GGUFError, match=r"text\.gguf is refused"):
        load_model(tmp_path / "text", "llama_cpp")
    assert load_model(gguf.parent, "llama_cpp").manifest()["files"].keys() == {"m.gguf"}


def test_the_library_is_not_installed(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    library.library.cache_clear()
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load_model(gguf, "llama_cpp")
    assert "airtune[llama-cpp]" in str(caught.value.hint)
