"""Training in stages: released weights are taken over as they are, and what came of them says from which."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ConfigSpace import ConfigurationSpace
from safetensors.torch import load_file

from airtune.models import Problem, Request, load_model
from airtune.models.dialects.pocket.codec import FIRST_SIZE, HEAD_ID
from airtune.models.dialects.pocket.words import MORE_TOKENS
from airtune.models.pocket.training.curriculum import split_tables
from airtune.models.pocket.training.net import Pocket
from airtune.models.pocket.training.release import sha256
from airtune.models.pocket.training.train import SMOKE, STAGES, Config, main, train, write_release

RELEASE = Path(__file__).parents[4] / "models" / "pocket" / "weights"


def test_released_weights_are_taken_over() -> None:
    """The rows are those of the release but for the rounding to bfloat16, and the body is the same bits."""
    stage = STAGES[-1]
    model = Pocket(stage.width, stage.layers, stage.heads, stage.hidden)
    model.load_release(RELEASE)
    released = load_file(RELEASE / "model.safetensors")
    for name, values in model.export(torch.float32).state_dict().items():
        was = released[name].float()
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            assert (values - was).norm() < 0.003 * was.norm()
        else:
            assert torch.equal(values, was)


def test_weights_of_the_first_alphabet_read_new_roles_as_unknown_ones(tmp_path: Path) -> None:
    model = Pocket(SMOKE.width, SMOKE.layers, SMOKE.heads, SMOKE.hidden)
    with torch.no_grad():
        model.more_in.fill_(7.0)  # never learnt
    write_release(model, replace(SMOKE, alphabet=1), tmp_path)
    model.load_release(tmp_path)
    rows = model.export(torch.float32).state_dict()["model.embed_tokens.weight"]
    for row, token in zip(rows[FIRST_SIZE:], MORE_TOKENS, strict=True):
        if token.startswith("<"):
            torch.testing.assert_close(row, rows[HEAD_ID["<?>"]])


def test_a_stage_begins_with_the_weights_before_it_and_names_them_by_their_hash(tmp_path: Path) -> None:
    training, _ = split_tables()
    first = replace(SMOKE, tokens=3e3, batch_tokens=800)
    model, _ = train(first, training, None)
    write_release(model, first, tmp_path / "first")
    # At a rate of nothing it ends where it began, so a beginning anywhere else would show.
    second = replace(first, seed=5, learning_rate=0.0, start=str(tmp_path / "first"))
    model, _ = train(second, training, None)
    write_release(model, second, tmp_path / "second")
    old, new = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "second"))
    for name, values in old.items():
        assert (new[name].float() - values.float()).norm() <= 0.01 * values.float().norm()
    run = json.loads((tmp_path / "second" / "training.json").read_text())
    assert run["start"] == sha256(tmp_path / "first" / "model.safetensors")
    assert str(tmp_path) not in json.dumps(run)


def test_a_share_of_the_weights_before_may_be_kept(tmp_path: Path) -> None:
    """What is released lies between a stage's beginning and its end, and the model itself is left as it is."""
    training, _ = split_tables()
    first = replace(SMOKE, tokens=3e3, batch_tokens=800)
    model, _ = train(first, training, None)
    write_release(model, first, tmp_path / "first")
    second = replace(first, seed=5, start=str(tmp_path / "first"))
    model, _ = train(second, training, None)
    released = {}
    for kept in (0.0, 0.25, 0.0):
        write_release(model, replace(second, kept=kept), tmp_path / str(kept))
        weights = load_file(tmp_path / str(kept) / "model.safetensors")
        assert all(torch.equal(weights[name], old) for name, old in released.get(kept, {}).items())
        released[kept] = weights
    begun = load_file(tmp_path / "first" / "model.safetensors")
    moved = 0.0
    for name, end in released[0.0].items():
        start, between = begun[name].float(), released[0.25][name].float()
        moved += float((end.float() - start).norm())
        mean = 0.25 * start + 0.75 * end.float()
        assert (between - mean).norm() <= 0.01 * end.float().norm()
    assert moved > 0.1


def test_what_comes_next_goes_on_from_the_shipped_weights_in_the_second_alphabet(tmp_path: Path) -> None:
    """One step: the release says which alphabet it reads, and its answers are configurations."""
    main(out=tmp_path, tokens=3e3, following=True)
    run = json.loads((tmp_path / "weights" / "training.json").read_text())
    assert run["start"] == sha256(RELEASE / "model.safetensors")
    model = load_model(tmp_path / "weights")
    assert model.dialect.name == "pocket"
    space = ConfigurationSpace({"optimizer": ["adam", "sgd"], "svm_C": (0.1, 10.0)})
    grammar = model.dialect.grammar(space)
    prompt = model.dialect.render(Problem("t", "", space, "loss"))
    assert "{adam}" in prompt
    (answer,) = model.generate([Request(prompt, grammar, 0)])
    assert set(model.dialect.parse(answer.text, grammar)) == set(space)
    begun, moved = (load_file(folder / "model.safetensors") for folder in (RELEASE, tmp_path / "weights"))
    name = "model.layers.0.self_attn.q_proj.weight"
    assert 0 < (begun[name].float() - moved[name].float()).norm() < 0.2 * begun[name].float().norm()


def test_the_shipped_weights_are_those_of_the_last_stage() -> None:
    run = json.loads((RELEASE / "training.json").read_text())
    assert replace(Config(**run), start=None) == STAGES[-1]  # what it does not name is as it was
    assert len(run["start"]) == 64


@pytest.mark.slow
def test_the_smoke_run_learns_and_says_so() -> None:
    """Bug: its only record was compared with itself, so that it always failed."""
    found = main(smoke=True)
    assert found["fell"]
    assert found["last_loss"] < 6.7 < found["first_loss"] < 6.92
