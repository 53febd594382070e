"""A study that begins from zero beside others of its task says so, and asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import Evaluation, Study, StudyFile, Task, minimize
from airtune.engine.types import OtherStudiesError
from airtune.grammars import AirtuneError
from airtune.models import load_model


def begun(task: Task, path: Path, trials: int = 2, **options: Any) -> Study:
    with Study(task, options.pop("proposer", "random"), path=path, **options) as study:
        study.run(trials)
    return study


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.sqlite"


def names(path: Path) -> list[str]:
    with StudyFile(path, readonly=True) as file:
        return [record.name for record in file.studies()]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"evaluation": Evaluation(jobs=2)}, r"another schedule \(one trial at a time, now batches of 2\)"),
        ({"evaluation": Evaluation(asynchronous=True)}, r"another schedule \(.*, now asynchronous\)"),
        ({"proposer": "local"}, r"another proposer \('random', now 'local'\)"),
        ({"proposer": "lm", "model": load_model("pocket")}, r"another proposer \('random', now 'lm'\)"),
        (
            {"first": [{"x": 0.5, "n": 3, "c": "a"}], "proposer": "local"},
            r"another proposer .* and another list of configurations to try first \(\"none\", now \[{",
        ),
    ],
)
def test_another_study_of_the_same_task_is_asked_for(
    task: Task, path: Path, other: dict[str, Any], said: str
) -> None:
    """Another schedule, proposer, model or list began from zero without a word; the file stays as it was."""
    begun(task, path)
    with pytest.raises(OtherStudiesError, match=f"'bowl'.* has 2 trials under {said}") as raised:
        begun(task, path, **dict(other))
    assert "new=True" in str(raised.value)
    assert "--" not in str(raised.value)  # Python's words
    assert len(names(path)) == 1
    begun(task, path, new=True, **dict(other))
    begun(task, path, 3, **dict(other))  # and the same again goes on
    assert len(names(path)) == 2


def test_minimize_asks_too(path: Path) -> None:
    space = ConfigurationSpace({"x": (-1.0, 1.0)})

    def go(proposer: str, **options: Any) -> int:
        return len(
            minimize(lambda c: c["x"], space, budget=2, proposer=proposer, path=path, **options).trials
        )

    go("random")
    with pytest.raises(OtherStudiesError):
        go("local")
    assert go("local", new=True) == 2


@pytest.mark.parametrize("change", [{"seed": 1}, {"name": "mine"}])
def test_another_seed_or_name_says_it_already(task: Task, path: Path, change: dict[str, Any]) -> None:
    begun(task, path)
    begun(task, path, proposer="local", **change)
    assert len(names(path)) == 2


@pytest.mark.parametrize("kind", ["task", "space", "empty", "comparison"])
def test_what_could_not_go_on_is_no_choice(
    task: Task, path: Path, kind: str, space: ConfigurationSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {
        "task": Task("other", space, task.objective),
        "space": Task("bowl", ConfigurationSpace({"x": (0.0, 1.0)}), lambda config: 1.0),
    }.get(kind, task)
    if kind == "comparison":
        with StudyFile(path) as file:
            file.acquire("one")
            with Study(there, "random") as study:
                what = {"suite": "toy", "method": "random", "seed": 0}
                file.create("one", {**study.manifest, "comparison": what})
        with Study(there, "random", path=path, name="one") as study:
            study.run(2)
    elif kind == "empty":
        Study(there, "random", path=path).close()
    else:
        begun(there, path)
    begun(task, path, proposer="local")


def test_a_list_is_part_of_what_a_study_is(task: Task, path: Path, export: Callable[..., str]) -> None:
    first = [{"x": 0.5, "n": 3, "c": "a"}]
    begun(task, path, first=first)
    begun(task, path, 3)  # who says nothing goes on with what was said
    with pytest.raises(AirtuneError, match="another list of configurations"):
        begun(task, path, first=[{"x": 0.25, "n": 3, "c": "a"}])
    begun(task, path.with_name("none"))
    with pytest.raises(AirtuneError, match=r'another list of .*: "none", now'):
        begun(task, path.with_name("none"), first=first)
