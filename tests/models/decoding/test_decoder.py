"""What makes the mask loop fast changes nothing: heads, draws of many rows, random numbers, caches with room."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ConfigSpace import ConfigurationSpace
from transformers.cache_utils import DynamicLayer

from airtune.models import ModelError, Problem, Request, load_model
from airtune.models.backends.transformers import TransformersModel
from airtune.models.decoding.heads import Attention, Head
from airtune.models.decoding.kv_cache import PreallocatedLayer, preallocated
from airtune.models.decoding.row import Row
from airtune.models.decoding.sampling import draw, draw_batch
from airtune.models.dialects.chat.dialect import ChatDialect
from airtune.models.dialects.pocket.dialect import PocketDialect
from airtune.models.masks.base import make_engine


def by_search(
    scores: np.ndarray[Any, Any], ids: Any, temperature: float, uniform: float
) -> tuple[int, float]:
    """One draw, written down another way: a search in the distribution function of one row."""
    scores = scores.astype(np.float64)
    if temperature == 0:
        return int(ids[scores.argmax()]), 0.0
    weights = np.exp((scores - scores.max()) / temperature)
    reach = np.cumsum(weights)
    at = min(int(np.searchsorted(reach, uniform * reach[-1], side="right")), len(ids) - 1)
    return int(ids[at]), float(np.log(weights[at] / reach[-1]))


def test_many_rows_are_drawn_as_each_alone() -> None:
    """To the last bit: the other rows must not show in its log-probabilities."""
    rng = np.random.default_rng(0)
    for k in (1, 2, 7, 1000):
        logits = (rng.standard_normal((40, k)) * 8).astype(np.float32)
        ids = np.sort(rng.choice(5000, k, replace=False))
        temperatures = [(0.0, 0.3, 0.7, 1.0)[i % 4] for i in range(40)]
        uniforms = [0.0, float(np.nextafter(1, 0)), *rng.random(38)]
        drawn = draw_batch(logits, ids, temperatures, uniforms)
        wide = np.full(5000, 99.0, dtype=np.float32)
        for line, temperature, uniform, mine in zip(logits, temperatures, uniforms, drawn, strict=True):
            wide[ids] = line
            assert mine == draw(wide, ids, temperature, uniform) == by_search(line, ids, temperature, uniform)


def test_a_row_of_no_numbers_is_not_drawn() -> None:
    logits = np.array([[0.0, 1.0], [np.nan, 1.0]])
    with pytest.raises(ModelError, match="nan"):
        draw_batch(logits, np.array([3, 4]), [1.0, 1.0], [0.5, 0.5])


def test_random_numbers_are_those_drawn_one_by_one(byte_checkpoint: Path) -> None:
    model = TransformersModel(byte_checkpoint, dialect=ChatDialect())
    grammar = ChatDialect().grammar(ConfigurationSpace({"n": (1, 9)}))
    generator = torch.Generator().manual_seed(17)
    alone = [float(torch.rand((), generator=generator, dtype=torch.float64)) for _ in range(50)]
    matcher = make_engine("llguidance", model.vocabulary).compile(grammar)
    row = Row(Request("x", grammar, 17), [1], matcher, torch.Generator().manual_seed(17), 9)
    assert [row.uniform() for _ in range(50)] == alone


@pytest.mark.parametrize(
    "kind", ["LlamaForCausalLM", "Qwen3ForCausalLM", "Gemma2ForCausalLM", "GraniteForCausalLM"]
)
def test_logits_of_the_tokens_asked_for(kind: str) -> None:
    """Neighbours, scattered ones, most of all; also where the head scales or caps what it gives."""
    import transformers

    cls = getattr(transformers, kind)
    config = cls.config_class(
        vocab_size=60, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=64, pad_token_id=0, initializer_range=0.5,
        final_logit_softcapping=2.0, logits_scaling=3.0,
    )  # fmt: skip
    torch.manual_seed(0)
    model = cls(config).eval()
    ids = torch.tensor([[5, 6, 7, 8], [9, 3, 2, 1]])
    columns = [np.array([10, 11, 12]), np.array([3, 30, 59]), np.arange(60), np.array([3, 30, 59])]
    with torch.inference_mode():
        whole = model(input_ids=ids).logits[:, 2:].reshape(4, 60).numpy()
        head = Head(model)
        states = head.states(torch.tensor([2, 3]), input_ids=ids)
        lines = head.logits(states.reshape(4, -1), columns)
        (last,) = {tuple(head.states(1, input_ids=ids).shape[:2])}
        groups = list(head.groups(states.reshape(4, -1), columns))
    assert last == (2, 1)
    for line, every, wanted in zip(lines, whole, columns, strict=True):
        assert line == pytest.approx(every[wanted], abs=1e-5)
    assert [rows for rows, _, _ in groups] == [[0], [1, 3], [2]]


def test_a_cache_with_room_holds_what_a_growing_one_holds() -> None:
    torch.manual_seed(0)

    def columns(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.randn(2, 3, n, 4), torch.randn(2, 3, n, 5)

    plain = DynamicLayer()
    plain.update(*columns(7))
    roomy = preallocated(plain)
    assert isinstance(roomy, PreallocatedLayer)
    read = plain.keys, plain.values
    kept = [part.clone() for part in read]
    for n in (1, 2, 3, 1, 20, 4):
        new = columns(n)
        for one, other in zip(roomy.update(*new), plain.update(*new), strict=True):
            assert torch.equal(one, other)
        assert roomy.get_seq_length() == plain.get_seq_length()
        assert roomy.get_mask_sizes(2) == plain.get_mask_sizes(2)
    assert all(map(torch.equal, read, kept))  # what was read before is not written into


@pytest.mark.parametrize("count", [1, 5])
def test_a_proposal_of_pocket_builds_no_automaton(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is left once the trials are excluded: that alone cost as much as a forward pass."""
    model, dialect = load_model("pocket"), PocketDialect()
    space = ConfigurationSpace({"C": (0.1, 1.0), "gamma": (0.1, 1.0), "kernel": ["rbf", "linear"]})
    tried = [dialect.grammar(space).nth(i) for i in range(20)]
    grammar = dialect.grammar(space, tried)

    def refused(*_: object) -> None:
        raise AssertionError("the automaton was built")

    monkeypatch.setattr("airtune.grammars.grammar.subtract", refused)
    prompt = dialect.render(Problem("p", "", space, "loss"))
    answers = model.generate([Request(prompt, grammar, seed) for seed in range(count)])
    for answer in answers:
        assert dialect.parse(answer.text, grammar) not in tried


def test_pocket_answers_the_same_under_a_general_engine() -> None:
    """To the bit, log-probabilities included."""
    dialect = PocketDialect()
    space = ConfigurationSpace({"C": (0.1, 1.0), "depth": (1, 3), "kernel": ["rbf", "linear"]})
    whole = dialect.grammar(space)
    prompt = dialect.render(Problem("p", "", space, "loss"))
    direct, general = load_model("pocket"), load_model("pocket", mask_engine="llguidance")
    engines = [model.manifest()["settings"]["mask_engine"] for model in (direct, general)]
    assert engines == ["direct", "llguidance"]
    requests = [
        Request(prompt, dialect.grammar(space, [whole.nth(i) for i in range(n)]), seed, 1.5)
        for seed, n in enumerate((0, 0, 1, 12, 30))
    ]
    assert general.generate(requests) == direct.generate(requests)


@pytest.mark.parametrize(
    ("config", "plain", "window"),
    [
        ({}, True, None),
        ({"sliding_window": 64}, True, 64),
        ({"sliding_window": 64, "use_sliding_window": False}, True, None),
        ({"sliding_window": 64, "layer_types": ["full_attention"]}, True, None),
        ({"sliding_window": 64, "layer_types": ["full_attention", "sliding_attention"]}, True, 64),
        ({"layer_types": ["full_attention", "linear_attention"]}, False, None),
        ({"_attn_implementation": "flash_attention_2"}, False, None),
    ],
)
def test_how_a_model_attends(config: dict[str, Any], plain: bool, window: int | None) -> None:
    """A window that is missed gives padded rows other answers; layers of another kind would see other answers."""
    config = {"_attn_implementation": "sdpa", **config}
    model = SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: SimpleNamespace(**config)))
    assert Attention.of(model) == Attention(plain, window)
