"""`airtune show --trial N --density`: the stored proposal from the inside, or an error that says what to do."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace, EqualsCondition
from typer.testing import CliRunner, Result

from airtune.engine import Evaluation, Study, StudyFile, Task, load_proposer
from airtune.engine.cli.app import app
from airtune.engine.replay.inspect import Inspector, recorded_model
from airtune.engine.types import StoreError
from airtune.grammars import AirtuneError
from airtune.models import ModelError, load_model
from airtune.models.tiny import byte_tokenizer, save_random_llama

BUDGET = 60


def space() -> ConfigurationSpace:
    found = ConfigurationSpace({"k": ["p", "q"], "n": (1, 30), "u": (0.0, 1.0)})
    found.add(EqualsCondition(found["n"], found["k"], "p"))
    return found


def objective(config: dict[str, Any]) -> float:
    if config["k"] == "q" and config["u"] > 0.8:
        raise ValueError("too large")
    return float(config["u"] + config.get("n", 40) / 100)


def make(path: Path, proposer: str = "lm", model: Any = None, trials: int = 5) -> Path:
    model = load_model("scripted") if model is None else model
    asked = load_proposer(proposer, model=model) if "lm" in proposer else load_proposer(proposer)
    with Study(
        Task("t", space(), objective, "error"), asked, path=path, seed=3, evaluation=Evaluation(isolate=False)
    ) as study:
        study.run(trials)
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("inside") / "s.sqlite")


def airtune(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_every_proposal_is_seen_from_the_inside(study: Path) -> None:
    with StudyFile(study, readonly=True) as file:
        inspector = Inspector(file, budget=BUDGET)
        records, transcripts = file.records(file.get().name), file.transcripts(file.get().name)
        assert inspector.numbers == [0, 1, 2, 3, 4]
        for number in inspector.numbers:
            view = inspector.inspect(number)
            assert view.answer == view.trial.config == records[number].trial.config
            assert [trial.number for trial in view.tried] == list(range(number))
            assert {density.name for density in view.densities.univariate} >= set(view.answer)
            for density in view.densities.univariate:
                assert density.mass.sum() + density.inactive + density.unresolved == pytest.approx(
                    1, abs=1e-9
                )
                assert density.marginal or set(density.given) < set(view.answer)
            # What the model drew first has the probability that was recorded for it: bytes have one spelling each.
            first = next(d for d in view.densities.univariate if d.name == "k")
            drawn = next(value for value in transcripts[number]["logprobs"] if value != 0.0)
            assert first.of(first.chosen) == pytest.approx(math.exp(drawn), abs=1e-9)


def test_a_model_that_thinks_first(tmp_path: Path) -> None:
    """Its answer was drawn after its thought: the distribution is that of the prompt with the thought in it."""
    path = make(tmp_path / "s.sqlite", model=load_model("scripted", dialect="chat+reasoning=on"), trials=2)
    with StudyFile(path, readonly=True) as file:
        view = Inspector(file, budget=8).inspect(1)
        drawn = next(v for v in file.transcripts(file.get().name)[1]["logprobs"] if v != 0.0)
        assert view.densities.univariate[0].of(view.densities.univariate[0].chosen) == pytest.approx(
            math.exp(drawn), abs=1e-9
        )


def test_other_weights_are_refused(tmp_path: Path) -> None:
    """And the folder that the recorded files were moved to is taken."""
    weights = save_random_llama(tmp_path / "model", byte_tokenizer())
    path = make(tmp_path / "s.sqlite", model=load_model(weights), trials=2)
    kept = tmp_path / "kept"
    shutil.copytree(weights, kept)
    save_random_llama(weights, byte_tokenizer(), seed=1)
    with StudyFile(path, readonly=True) as file:
        with pytest.raises(ModelError, match=r"model\.safetensors \(recorded [0-9a-f]{12}, here") as caught:
            Inspector(file).inspect(1)
        assert "(model=)" in str(caught.value)
        shutil.rmtree(weights)
        with pytest.raises(ModelError, match="cannot be loaded here") as caught:
            Inspector(file).inspect(1)
        assert "model=" in str(caught.value)
        assert Inspector(file, model=str(kept), budget=8).inspect(1).answer


def test_what_has_no_inside(tmp_path: Path, study: Path) -> None:
    with StudyFile(make(tmp_path / "random.sqlite", "random", trials=1), readonly=True) as file:
        with pytest.raises(StoreError, match="asks no language model"):
            Inspector(file)
    with StudyFile(make(tmp_path / "default.sqlite", "default+lm", trials=2), readonly=True) as file:
        with pytest.raises(StoreError, match="proposed by 'default'"):
            Inspector(file).inspect(0)
        assert Inspector(file, budget=8).inspect(1).origin == "lm"
    with StudyFile(study, readonly=True) as file, pytest.raises(StoreError, match="never asked"):
        Inspector(file).inspect(99)
    with pytest.raises(ModelError, match="backend 'openai'"):
        recorded_model({"backend": "openai", "model": "m", "dialect": "chat"})


def test_a_history_that_was_altered_is_noticed(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The prompt derived from the file must be the one that was recorded: else another distribution would be shown."""
    from airtune.models.dialects.chat.dialect import ChatDialect

    render = ChatDialect.render
    monkeypatch.setattr(ChatDialect, "render", lambda self, problem: render(self, problem) + " ")
    with (
        StudyFile(study, readonly=True) as file,
        pytest.raises(StoreError, match="the prompt of trial 2") as caught,
    ):
        Inspector(file).inspect(2)
    assert "airtune replay" in str(caught.value)


def test_show_density(study: Path, tmp_path: Path) -> None:
    figure = tmp_path / "f.png"
    done = airtune("show", study, "--trial", 3, "--density", "--density-budget", BUDGET, "--out", figure)
    assert done.exit_code == 0, done.output
    assert figure.read_bytes().startswith(b"\x89PNG")
    for word in ("bits", "rank", "marginal", "exact, nothing sampled", str(figure)):
        assert word in done.output
    told = airtune("show", study, "--trial", 3, "--density", "--density-budget", BUDGET, "--json")
    document = json.loads(told.stdout)
    assert document["figure"] is None
    for density in document["densities"]:
        assert len(density["values"]) == len(density["mass"])
        assert sum(density["mass"]) + density["inactive"] + density["unresolved"] == pytest.approx(1)
        assert (density["distribution"] == "marginal") == (not density["given"])
    for pair in document["pairs"]:
        assert len(pair["mass"]) == len(pair["first"]["bins_start_at"])
        assert {len(row) for row in pair["mass"]} == {len(pair["second"]["bins_start_at"])}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--density",), "--trial N"),
        (("--trial", 1, "--out", "x.png"), "--out has no effect"),
        (("--trial", 1, "--density", "--out", "x.jpg", "--density-budget", 8), "no PNG file"),
        (("--trial", 1, "--density", "--out", "no/such/x.png", "--density-budget", 8), "cannot be written"),
    ],
)
def test_bad_options(study: Path, arguments: tuple[object, ...], said: str) -> None:
    done = airtune("show", study, *arguments)
    assert done.exit_code != 0
    assert isinstance(done.exception, AirtuneError | SystemExit)
    assert said in done.output + str(done.exception)
