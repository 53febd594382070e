"""Noise on losses: what it is, that it depends on seed and trial alone, and that the true loss is kept."""

from __future__ import annotations

import json
import sqlite3
import statistics
from contextlib import closing
from pathlib import Path

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import Evaluation, Study, StudyFile, Task, export_jsonl
from airtune.engine.evaluation.noise import TRUE_LOSS, read_noise, true_loss
from airtune.engine.evaluation.outcome import Outcome
from airtune.engine.replay.derive import replay
from airtune.engine.replay.report import Options
from airtune.engine.types import StoreError, Trial
from airtune.grammars import AirtuneError

SPACE = ConfigurationSpace({"x": (0.0, 1.0)})


def _loss(config: dict[str, float]) -> dict[str, float]:
    if config["x"] > 0.9:
        raise ValueError("too large")
    return {"loss": 1.0 + config["x"], "test_loss": 2.0}


TASK = Task("mine", SPACE, _loss)


def test_a_factor_is_uniform_on_its_range() -> None:
    noise = read_noise("U(0.9, 1.1)")
    factors = [noise.on(2.0, 7, number) / 2.0 for number in range(4000)]
    assert 0.9 <= min(factors) < 0.901
    assert 1.099 < max(factors) <= 1.1
    assert statistics.mean(factors) == pytest.approx(1.0, abs=0.005)
    assert statistics.stdev(factors) == pytest.approx(0.2 / 12**0.5, rel=0.05)


def test_a_deviation_is_added() -> None:
    added = [read_noise("0.25").on(3.0, 7, number) - 3.0 for number in range(4000)]
    assert statistics.mean(added) == pytest.approx(0.0, abs=0.02)
    assert statistics.stdev(added) == pytest.approx(0.25, rel=0.05)


def test_it_depends_on_seed_and_trial() -> None:
    noise = read_noise("U(0.5,2)")
    drawn = {noise.on(1.0, seed, number) for seed in range(5) for number in range(5)}
    assert len(drawn) == 25
    assert noise.on(1.0, 3, 4) == noise.on(1.0, 3, 4)


@pytest.mark.parametrize(
    "text",
    ["", "U(1.1,0.9)", "U(0,1)", "U(1,1)", "U(1,inf)", "-0.1", "0", "nan", "inf", "N(0,1)", "U(1)", "U(a,b)"],
)
def test_what_is_no_noise_is_refused(text: str) -> None:
    with pytest.raises(AirtuneError, match="noise") as error:
        read_noise(text)
    assert error.value.value == text
    assert error.value.allowed
    assert error.value.hint
    with pytest.raises(AirtuneError, match="noise"):
        Evaluation(noise=text)


def test_a_failure_stays_and_an_overflow_is_one() -> None:
    failed = Outcome(reason="it broke")
    assert read_noise("U(0.9,1.1)").outcome(failed, 0, 0) is failed
    over = read_noise("U(10,20)").outcome(Outcome(1e308), 0, 0)
    assert (over.loss, over.info) == (None, {TRUE_LOSS: 1e308})
    assert over.reason == "the loss with its noise is not finite"


def test_what_the_objective_calls_so_is_kept() -> None:
    """Bug: its own `true_loss` was lost under the loss before the noise."""
    given = Outcome(2.0, {"true_loss": 1.5, "test_loss": 3.0})
    seen = read_noise("U(0.9,1.1)").outcome(given, 0, 0)
    assert seen.info == {"true_loss": 2.0, "own_true_loss": 1.5, "test_loss": 3.0}


def _study(
    path: Path, budget: int, noise: str | None = "U(0.9,1.1)", seed: int = 0
) -> list[tuple[float, float]]:
    with Study(TASK, "local", path=path, seed=seed, evaluation=Evaluation(noise=noise)) as study:
        study.run(budget)
        told = [trial for trial in study.trials if trial.status == "told"]
        assert all(trial.info["test_loss"] == 2.0 for trial in told)
        return [(trial.loss or 0.0, true_loss(trial) or 0.0) for trial in told]


def test_a_study_sees_the_noise_and_keeps_the_true_loss(tmp_path: Path) -> None:
    told = _study(tmp_path / "a.sqlite", 12)
    assert all(0.9 <= loss / true <= 1.1 and loss != true for loss, true in told)
    plain = [true for _, true in told]
    # the best that was seen is not the best there was
    assert sorted(plain) != [true for _, true in sorted(told)]


def test_resumed_it_is_the_same_study(tmp_path: Path) -> None:
    _study(tmp_path / "whole.sqlite", 12)
    for budget in (3, 4, 12):
        _study(tmp_path / "parts.sqlite", budget)
    texts = []
    for name in ("whole", "parts"):
        with StudyFile(tmp_path / f"{name}.sqlite", readonly=True) as file:
            texts.append("".join(export_jsonl(file, times=False, transcripts=True)))
    assert texts[0] == texts[1]
    assert json.loads(texts[0].splitlines()[0])["manifest"]["noise"] == "U(0.9,1.1)"


def test_another_noise_is_another_study(tmp_path: Path) -> None:
    path = tmp_path / "one.sqlite"
    with Study(TASK, "random", path=path, name="it", evaluation=Evaluation(noise="0.1")) as study:
        study.run(2)
    with pytest.raises(StoreError, match=r"another noise: 0\.1, now 0\.2"):
        Study(TASK, "random", path=path, name="it", evaluation=Evaluation(noise="0.2"))
    with pytest.raises(StoreError, match=r"another noise: 0\.1, now none"):
        Study(TASK, "random", path=path, name="it")
    assert Evaluation(noise=" U(0.9, 1.1) ") == Evaluation(noise="U(0.9,1.1)")  # the same, so it goes on
    with Study(TASK, "random", path=path, evaluation=Evaluation(noise="0.2")) as study:  # its own name
        assert study.name.endswith("noise=0.2")


def test_what_is_told_gets_none(tmp_path: Path) -> None:
    with Study(TASK, "random", path=tmp_path / "a.sqlite", evaluation=Evaluation(noise="0.1")) as study:
        assert study.tell(study.ask(), 1.5).loss == 1.5
        evaluated = study.evaluate(study.ask())
        assert evaluated.loss != evaluated.info[TRUE_LOSS]
    assert replay(tmp_path / "a.sqlite").holds


def test_replay_checks_the_noise(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    _study(path, 6)
    assert replay(path, options=Options(level=0)).holds
    with closing(sqlite3.connect(path)) as file:
        file.execute("UPDATE trials SET loss = loss + 0.001 WHERE number = 5")
        file.commit()
    (study,) = replay(path).studies
    assert study.diverging == {5}
    assert study.first is not None
    assert study.first.what == "loss with noise"


def test_what_a_file_says_of_noise_is_not_trusted(tmp_path: Path) -> None:
    assert [
        true_loss(Trial(0, {}, "told", 2.0, info={TRUE_LOSS: value}))
        for value in (1.5, "x", True, 10**400, None)
    ] == [1.5, 2.0, 2.0, 2.0, 2.0]
    path = tmp_path / "a.sqlite"
    _study(path, 3)
    with closing(sqlite3.connect(path)) as file:
        file.execute('UPDATE trials SET info = \'{"true_loss": "x"}\' WHERE number = 2')
        file.commit()
    assert [study.diverging for study in replay(path).studies] == [{2}]
    with closing(sqlite3.connect(path)) as file:
        file.execute("UPDATE studies SET manifest = json_set(manifest, '$.noise', 0.1)")
        file.commit()
    with pytest.raises(StoreError, match="noise"):
        replay(path)
