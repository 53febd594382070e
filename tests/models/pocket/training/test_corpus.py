"""Tables of algorithms trained to the end: batched training, spaces, files, and that a kill changes nothing."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from airtune.models.pocket.training.algorithms import HELD_OUT
from airtune.models.pocket.training.corpus import building, shards
from airtune.models.pocket.training.corpus.__main__ import main
from airtune.models.pocket.training.corpus.building import FAMILIES, build, build_table, held_out
from airtune.models.pocket.training.corpus.drawing import (
    INACTIVE,
    config_of,
    draw_codes,
    has_default,
    space_of,
)
from airtune.models.pocket.training.corpus.networks import Length, train
from airtune.models.pocket.training.corpus.problems import losses, make_problem
from airtune.models.pocket.training.corpus.stepping import USUAL, coefficients, update

SMALL = (300, 320)
TINY = {
    name: replace(FAMILIES[name], rows=SMALL, cost=cost, length=Length("fixed", 3), short=None)
    for name, cost in (("bayes", 0.01), ("discriminant", 0.02), ("torch_adam", 0.7))
}


@pytest.mark.parametrize("regression", [False, True])
def test_a_network_in_a_stack_is_trained_as_it_would_be_alone(regression: bool) -> None:
    """To 1e-4 of a probability after five epochs: products of other shapes are rounded otherwise."""
    problem = make_problem(3, regression, SMALL)
    shared = {
        "depth": 2,
        "dropout": 0.3,
        "clip": 0.5,
        "weight_decay": 1e-2,
        "schedule": "cosine",
        "warmup": 0.1,
    }
    configs: list[dict[str, Any]] = [
        {**shared, "width": 64, "batch_size": 16},
        {**shared, "width": 9, "batch_size": 200, "optimizer": "adamw"},
        {**shared, "width": 24, "batch_size": 33, "optimizer": "rmsprop", "dropout": 0.0},
        {"width": 20, "optimizer": "sgd", "momentum": 0.9, "nesterov": True, "learning_rate": 0.05},
        {"width": 30, "optimizer": "sgd", "activation": "logistic", "alpha": 0.1, "depth": 3},
        {"width": 11, "optimizer": "sgd", "activation": "logistic", "learning_rate": 0.1, "depth": 3},
        {"depth": 2, "width1": 12, "width2": 5, "dropout2": 0.2, "label_smoothing": 0.1},
    ]
    together = train(problem, configs, Length("short", 5), 7)
    spread = 0.0
    for i, config in enumerate(configs):
        alone = train(problem, [config], Length("short", 5), 7)
        np.testing.assert_allclose(alone.valid[0], together.valid[i], atol=1e-4)
        np.testing.assert_allclose(alone.test[0], together.test[i], atol=1e-4)
        spread = max(spread, float(np.abs(alone.valid[0] - together.valid[0]).max()))
    assert spread > 0.01  # they do differ from each other


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        (lambda w: torch.optim.SGD(w, 0.1, weight_decay=0.1), {"optimizer": "sgd"}),
        (lambda w: torch.optim.SGD(w, 0.1, momentum=0.8), {"optimizer": "sgd", "momentum": 0.8}),
        (
            lambda w: torch.optim.SGD(w, 0.1, momentum=0.8, nesterov=True),
            {"optimizer": "sgd", "momentum": 0.8, "nesterov": True},
        ),
        (lambda w: torch.optim.Adam(w, 0.1, (0.7, 0.9), weight_decay=0.1), {"beta1": 0.7, "beta2": 0.9}),
        (lambda w: torch.optim.AdamW(w, 0.1, weight_decay=0.1), {"optimizer": "adamw"}),
        (lambda w: torch.optim.RMSprop(w, 0.1), {"optimizer": "rmsprop"}),
    ],
)
def test_steps_are_those_of_pytorch(optimizer: Any, words: dict[str, Any]) -> None:
    torch.manual_seed(0)
    theirs = torch.nn.Parameter(torch.randn(1, 6))
    reference = optimizer([theirs])
    config = {**USUAL, **words, "weight_decay": reference.param_groups[0]["weight_decay"]}
    state = [theirs.detach().clone(), torch.zeros(1, 6), torch.zeros(1, 6)]
    c = coefficients([config], torch.tensor([32]))
    for step in range(1, 8):
        gradient = torch.randn(1, 6)
        theirs.grad = gradient.clone()
        reference.step()
        update(state, gradient, torch.tensor([[0.1]]), torch.tensor([[float(step)]]), c)
    torch.testing.assert_close(state[0], theirs.detach(), atol=2e-5, rtol=1e-4)


def test_trainings_end_where_people_end_them() -> None:
    """A small rate needs more than a short training; early stopping keeps the best state; what diverges has failed."""
    problem = make_problem(4, False, SMALL)
    config = {"learning_rate": 3e-4, "width": 32}

    def loss(length: Length, **more: Any) -> float:
        out = train(problem, [{**config, **more}], length, 0)
        return losses("log_loss", problem.y[1], out.valid[0])

    assert loss(Length("early", 150)) < loss(Length("short", 3)) - 0.02
    assert loss(Length("early", 150)) <= min(loss(Length("fixed", e)) for e in (1, 20, 150)) + 1e-6
    assert loss(Length("plateau", 60)) == pytest.approx(loss(Length("fixed", 60)), abs=0.05)
    regression = make_problem(4, True, SMALL)
    diverged = train(regression, [{"optimizer": "sgd", "learning_rate": 1e6}], Length("fixed", 5), 0)
    assert losses("mse", regression.y[1], diverged.valid[0]) == math.inf


@pytest.mark.parametrize("regression", [False, True])
def test_data_sets_are_functions_of_their_seed(regression: bool) -> None:
    one, same, other = (make_problem(seed, regression) for seed in (8, 8, 9))
    for a, b in zip((*one.x, *one.y), (*same.x, *same.y), strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.facts == same.facts != other.facts
    assert [len(y) for y in one.y] == one.facts["rows"]
    if regression:
        assert one.y[0].mean() == pytest.approx(0, abs=1e-6)
        assert one.y[0].std() == pytest.approx(1, abs=1e-3)
    else:
        assert all(set(y) == set(range(one.classes)) for y in one.y)


@pytest.mark.parametrize("name", FAMILIES)
def test_spaces_hold_their_configurations(name: str) -> None:
    """Values in their ranges, inactive exactly where the condition says so, the default first where there is one."""
    family = FAMILIES[name]
    rng = np.random.default_rng(0)
    problem = make_problem(1, family.tasks == "r", SMALL)
    for turn in range(25):
        params = space_of(family, problem, family.short is not None and turn % 4 == 0, rng)
        names = [p.name for p in params]
        assert len(set(names)) == len(names)
        codes = draw_codes(params, 30, rng)
        for i, row in enumerate(codes):
            default = i == 0 and has_default(params)
            config = config_of(params, row, default)
            for p, code in zip(params, row, strict=True):
                active = p.only is None or config.get(p.only[0], object()) in p.only[1]
                assert (code != INACTIVE) == active == (p.name in config)
                if not active:
                    continue
                value = config[p.name]
                assert value in p.choices if p.kind in "CO" else p.lower <= value <= p.upper
                if default:
                    assert value == (
                        p.choices[int(p.default)] if p.kind in "CO" else pytest.approx(p.default)
                    )


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_can_be_trained(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a small data set, a few configurations: most can be fitted, and not all to the same loss."""
    monkeypatch.setattr(building, "CONFIGURATIONS", 6)
    family = replace(FAMILIES[name], rows=SMALL)
    tables = [build_table(name, family, index) for index in range(3)]
    for table in tables:
        assert np.isfinite(table.valid).mean() > 0.4
        assert (np.isfinite(table.valid) == np.isfinite(table.test)).all()
    assert max(len(np.unique(table.valid)) for table in tables) > 1


def test_an_interrupted_run_writes_the_bytes_of_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "CONFIGURATIONS", 6)
    build(tmp_path / "whole", rounds=2, families=TINY)
    original, calls = building.build_table, Counter[str]()

    def killed(name: str, family: Any, index: int) -> shards.Table:
        calls["all"] += 1
        if calls["all"] in (2, 4, 5):
            raise KeyboardInterrupt
        return original(name, family, index)

    monkeypatch.setattr(building, "build_table", killed)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            build(tmp_path / "parts", rounds=2, families=TINY)
    build(tmp_path / "parts", rounds=2, families=TINY)
    names = sorted(p.name for p in (tmp_path / "whole").glob("*.npz"))
    assert names == [f"round0{r}-{tier}.npz" for r in (0, 1) for tier in ("cheap", "dear")]
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    assert list((tmp_path / "parts" / "parts").iterdir()) == []
    assert calls["all"] == 2 * (4 + 4 + 1) + 3  # nothing that was there was made again


def test_a_shard_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "CONFIGURATIONS", 8)
    tables = [
        build_table(name, TINY.get(name, FAMILIES[name]), i)
        for name in ("bayes", "svc_kernels")
        for i in (0, 1)
    ]
    shards.write(tables, tmp_path / "x.npz")
    for table, read in zip(tables, shards.read(tmp_path / "x.npz"), strict=True):
        for field in shards.Table.__slots__:
            if field != "params":
                np.testing.assert_array_equal(getattr(table, field), getattr(read, field))
        # a default that is not there is NaN, which equals nothing
        assert repr(table.params) == repr(read.params)
        assert len(table.valid) == len(table.test) == len(table.seconds) == len(table.codes)
        assert (
            (shards.positions(read) >= 0) & (shards.positions(read) <= 1) | (read.codes == INACTIVE)
        ).all()
    shards.seconds_file(tmp_path / "x.npz").unlink()
    assert all(len(t.seconds) == 0 and len(t.valid) for t in shards.read(tmp_path / "x.npz"))


def test_what_is_held_out_is_always_the_same() -> None:
    """Algorithms (those of `unseen`, too), families, a seventh of the other tables (700: 3 standard errors are .04)."""
    assert {held_out(f.algorithm, f.algorithm, 0) for f in FAMILIES.values() if f.algorithm in HELD_OUT} == {
        "algorithm"
    }
    assert set(HELD_OUT) < {f.algorithm for f in FAMILIES.values()}
    families = {n for n, f in FAMILIES.items() if held_out(n, f.algorithm, 0) == "family"}
    assert families == {"ridge", "sgd_log", "boosting_or_linear", "lightgbm_early", "tabular_sgd"}
    kept = [held_out("xgboost", "xgboost", i) for i in range(700)]
    assert kept.count("table") / 700 == pytest.approx(1 / 7, abs=0.04)
    assert set(kept) == {"table", None}


def test_the_command_stops_when_its_time_is_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--out", str(tmp_path), "--hours", "0", "--rounds", "1"])
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["spent_hours"] == 0
    assert said["missing_hours"] > 0.1
    assert list(tmp_path.glob("*.npz")) == []
