"""What is emitted means the same to Python `re`, llguidance, xgrammar and outlines_core."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import ConfigSpace as CS
import numpy as np
import pytest
import xgrammar as xgr
from llguidance import LLMatcher, LLTokenizer
from outlines_core import Guide, Index, Vocabulary

from airtune.grammars import (
    EnumeratedAxis,
    Grammar,
    GrammarError,
    Lattice,
    Notation,
    SpaceError,
    canonical_lattice,
    emit,
    lattice_grammar,
    space_from_json,
)
from tests.grammars.strategies import mutations, seeded_space

GOLDEN = Path(__file__).parent / "golden"
EOS = 256
Walk = Callable[[np.random.Generator], bytes]
Check = Callable[[bytes], bool]


@pytest.fixture(scope="module")
def ll_tokenizer() -> LLTokenizer:
    return LLTokenizer("byte")


@pytest.fixture(scope="module")
def xg_compiler() -> xgr.GrammarCompiler:
    vocabulary = [bytes([i]) for i in range(256)] + [b"<eos>"]
    info = xgr.TokenizerInfo(vocabulary, xgr.VocabType.RAW, vocab_size=257, stop_token_ids=[EOS])
    return xgr.GrammarCompiler(info)


def _llguidance(tokenizer: LLTokenizer, compiled: str) -> tuple[Walk, Check]:
    def matcher() -> LLMatcher:
        made = LLMatcher(tokenizer, compiled, log_level=0)
        assert not made.is_error(), made.get_error()
        return made

    def walk(rng: np.random.Generator) -> bytes:
        m, out = matcher(), bytearray()
        while not m.is_stopped():
            mask = np.frombuffer(m.compute_bitmask(), dtype=np.uint8)
            allowed = np.flatnonzero(np.unpackbits(mask, bitorder="little"))
            token = int(rng.choice(allowed))
            if token >= 256:
                break
            assert m.consume_token(token)
            out.append(token)
        assert m.is_accepting()
        return bytes(out)

    def check(text: bytes) -> bool:
        m = matcher()
        return all(m.consume_token(byte) for byte in text) and m.is_accepting()

    return walk, check


def _xgrammar(compiler: xgr.GrammarCompiler, grammar: xgr.Grammar) -> tuple[Walk, Check]:
    compiled = compiler.compile_grammar(grammar)
    mask = xgr.allocate_token_bitmask(1, 257)

    def walk(rng: np.random.Generator) -> bytes:
        m, out = xgr.GrammarMatcher(compiled), bytearray()
        while True:
            m.fill_next_token_bitmask(mask)
            bits = np.unpackbits(mask.numpy().view(np.uint8).reshape(-1), bitorder="little")[:257]
            token = int(rng.choice(np.flatnonzero(bits)))
            assert m.accept_token(token)
            if token == EOS:
                return bytes(out)
            out.append(token)

    def check(text: bytes) -> bool:
        m = xgr.GrammarMatcher(compiled)
        return all(m.accept_token(byte) for byte in text) and m.accept_token(EOS)

    return walk, check


def _outlines(regex: str) -> tuple[Walk, Check]:
    vocabulary = Vocabulary(EOS, {bytes([i]): [i] for i in range(256)})
    index = Index(regex, vocabulary)

    def walk(rng: np.random.Generator) -> bytes:
        guide, out = Guide(index), bytearray()
        while True:
            token = int(rng.choice(sorted(guide.get_tokens())))
            if token == EOS:
                return bytes(out)
            guide.advance(token, return_tokens=False)
            out.append(token)

    def check(text: bytes) -> bool:
        guide = Guide(index)
        return guide.accepts_tokens([*text]) and _finishes(guide, text)

    return walk, check


def _finishes(guide: Guide, text: bytes) -> bool:
    for byte in text:
        guide.advance(byte, return_tokens=False)
    return EOS in guide.get_tokens()


def _agree(grammar: Grammar, walk: Walk, check: Check, rng: np.random.Generator, tried: list[str]) -> None:
    for _ in range(4):
        assert grammar.accepts(walk(rng).decode())
    texts = [grammar.encode(grammar.sample(rng)) for _ in range(4)]
    near = [bad for text in texts[:2] for bad in mutations(text, rng, 6)]
    for text in [*texts, *tried, *near]:
        assert check(text.encode()) == grammar.accepts(text), text


@pytest.mark.parametrize("seed", range(8))
def test_engines_agree_with_the_automaton(
    seed: int, ll_tokenizer: LLTokenizer, xg_compiler: xgr.GrammarCompiler
) -> None:
    rng = np.random.default_rng(seed)
    lattice = canonical_lattice(seeded_space(seed, max_size=6, min_count=12))
    base = lattice_grammar(lattice)
    tried = [base.sample(rng) for _ in range(4)]
    texts = [base.encode(config) for config in tried]
    grammar = lattice_grammar(lattice, tried)
    regex = grammar.regex()
    for compiled in (LLMatcher.grammar_from_lark(grammar.lark()), LLMatcher.grammar_from_regex(regex)):
        _agree(grammar, *_llguidance(ll_tokenizer, compiled), rng, texts)
    for built in (xgr.Grammar.from_ebnf(grammar.gbnf()), xgr.Grammar.from_regex(regex)):
        _agree(grammar, *_xgrammar(xg_compiler, built), rng, texts)
    if base.count() < 2000 or len(base.regex()) < 300:
        _agree(base, *_outlines(base.regex()), rng, [])


def test_lark_where_the_expression_is_too_large(
    ll_tokenizer: LLTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emit, "REGEX_BUDGET", 10)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        lattice = canonical_lattice(seeded_space(seed, max_size=6, min_count=12))
        tried = [lattice_grammar(lattice).sample(rng) for _ in range(4)]
        texts = [lattice_grammar(lattice).encode(config) for config in tried]
        grammar = lattice_grammar(lattice, tried)
        with pytest.raises(GrammarError, match="too large"):
            grammar.regex()
        _agree(grammar, *_llguidance(ll_tokenizer, LLMatcher.grammar_from_lark(grammar.lark())), rng, texts)


def _bare() -> Lattice:
    space = CS.ConfigurationSpace({"x": (0.0, 1.0), "k": ["p", "q"], "c": 5})
    space.add(CS.EqualsCondition(space["x"], space["k"], "q"))
    axes = {
        "x": EnumeratedAxis([(f"a{i:03}", i / 999) for i in range(1000)], ordered=True),
        "k": EnumeratedAxis([("b0", "p"), ("b1", "q")]),
        "c": EnumeratedAxis([("c", 5)]),
    }
    return Lattice(space, axes, Notation.bare(silent=frozenset({"c"})))


def test_bare_notation(ll_tokenizer: LLTokenizer, xg_compiler: xgr.GrammarCompiler) -> None:
    lattice = _bare()
    grammar = lattice_grammar(lattice, [{"k": "q", "x": 0.5001, "c": 5}])
    assert grammar.count() == 1000
    assert grammar.decode("b1a372") == {"c": 5, "k": "q", "x": 372 / 999}
    assert grammar.encode({"c": 5, "k": "p"}) == "b0"
    assert not grammar.accepts("b1a500")
    assert not grammar.accepts("b0a372")
    assert grammar.max_length == 6
    rng = np.random.default_rng(0)
    lark = LLMatcher.grammar_from_lark(grammar.lark())
    _agree(grammar, *_llguidance(ll_tokenizer, lark), rng, ["b1a500"])
    _agree(grammar, *_xgrammar(xg_compiler, xgr.Grammar.from_ebnf(grammar.gbnf())), rng, ["b1a500"])
    assert re.fullmatch(grammar.regex(), "b1a501")
    assert not re.fullmatch(grammar.regex(), "b1a500")


def test_ambiguous_notations_are_refused() -> None:
    space = CS.ConfigurationSpace({"n": (1, 20)})
    with pytest.raises(SpaceError, match="ambiguous"):
        Lattice(space, dict(zip(("n",), canonical_lattice(space).axes, strict=True)), Notation.bare())
    with pytest.raises(SpaceError, match="cannot be silent"):
        Lattice(
            space,
            dict(zip(("n",), canonical_lattice(space).axes, strict=True)),
            Notation(silent=frozenset("n")),
        )


GOLDEN_SPACE = """{
  "hyperparameters": [
    {"type": "categorical", "name": "kernel", "choices": ["linear", "rbf", "po\\"ly/ü"]},
    {"type": "uniform_float", "name": "C", "lower": 0.0009765625, "upper": 1024.0, "log": true},
    {"type": "uniform_float", "name": "gamma x", "lower": -0.5, "upper": 1.25},
    {"type": "uniform_int", "name": "degree", "lower": 2, "upper": 15},
    {"type": "constant", "name": "tol", "value": 0.001}
  ],
  "conditions": [
    {"type": "IN", "child": "gamma x", "parent": "kernel", "values": ["rbf", "po\\"ly/ü"]},
    {"type": "EQ", "child": "degree", "parent": "kernel", "value": "po\\"ly/ü"}
  ],
  "forbiddens": [
    {"type": "AND", "clauses": [
      {"type": "EQUALS", "name": "degree", "value": 7},
      {"type": "CLAUSE_LT", "name": "gamma x", "value": 0.25}]}
  ]
}"""


def _golden_texts() -> dict[str, str]:
    space = space_from_json(GOLDEN_SPACE)
    tried = [
        {"kernel": "linear", "C": 1.0, "tol": 0.001},
        {"kernel": "rbf", "C": 0.5, "gamma x": 0.1, "tol": 0.001},
    ]
    grammar = lattice_grammar(canonical_lattice(space), tried)
    return {
        "svm.regex": grammar.regex() + "\n",
        "svm.lark": grammar.lark(),
        "svm.gbnf": grammar.gbnf(),
        "svm.schema.json": json.dumps(grammar.json_schema(), indent=1, ensure_ascii=False) + "\n",
        "svm.hash": grammar.hash + "\n",
    }


@pytest.mark.parametrize("name", ["svm.regex", "svm.lark", "svm.gbnf", "svm.schema.json", "svm.hash"])
def test_golden(name: str) -> None:
    """Rewrite after an intended change with `python -m tests.grammars.test_emitters`."""
    assert _golden_texts()[name] == (GOLDEN / name).read_text(encoding="utf-8")


def test_texts_do_not_depend_on_the_hash_seed() -> None:
    """Compared with each other, not with stored hashes: NumPy's logarithms differ between processors in the last bit,
    and so do the bounds of random spaces.
    """
    code = (
        "import numpy as np, hashlib; from airtune.benchmarks.measures.spaces import random_space\n"
        "from airtune.grammars import space_grammar\n"
        "for seed in range(4):\n"
        "    rng = np.random.default_rng(seed); space = random_space(rng, max_size=5, min_count=9)\n"
        "    grammar = space_grammar(space, [space_grammar(space).sample(rng) for _ in range(3)])\n"
        "    all = grammar.hash + grammar.regex() + grammar.lark() + grammar.gbnf()\n"
        "    print(hashlib.sha256(all.encode()).hexdigest())\n"
    )
    first, second = (
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "12345")
    )
    assert len(set(first.split())) == 4
    assert first == second


def test_json_schema_says_it_does_not_enforce() -> None:
    schema = lattice_grammar(canonical_lattice(space_from_json(GOLDEN_SPACE))).json_schema()
    assert "does not enforce" in schema["description"]
    assert "degree == 7" in schema["description"]
    assert schema["required"] == ["C", "kernel", "tol"]
    assert schema["properties"]["degree"]["maximum"] == 15


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for file, content in _golden_texts().items():
        (GOLDEN / file).write_text(content, encoding="utf-8")
