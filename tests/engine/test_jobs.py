"""Several trials at a time: in batches it does not matter which ends first; without, the file tells what was seen."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import Evaluation, Event, Finished, Job, StoreError, Study, StudyFile, Task, load_proposer
from airtune.engine.replay.derive import replay
from airtune.engine.replay.report import Options
from airtune.grammars import AirtuneError
from airtune.models import load_model

JOBS = 3
Export = Callable[..., str]


class Recording:
    """Random search that keeps the numbers of what it was shown."""

    name = "recording"

    def __init__(self) -> None:
        self.calls: list[tuple[list[int], list[int]]] = []
        self.random = load_proposer("random")

    def propose(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            assert all(trial.loss is None and not trial.info for trial in job.pending)
            self.calls.append(
                ([trial.number for trial in job.history], [trial.number for trial in job.pending])
            )
        self.random.propose(jobs)


def in_turn(folder: Path, sign: int) -> Callable[[dict[str, Any]], float]:
    """An objective that ends only once JOBS evaluations run at the same time, and then in the order of sign * x.

    Those of one x end in the order of their texts.
    """
    folder.mkdir()

    def turn(path: Path) -> tuple[float, str]:
        return sign * float(json.loads(path.name)["x"]), path.name

    def objective(config: dict[str, Any]) -> float:
        mine = folder / json.dumps(config)
        mine.touch()
        while len(together := sorted(folder.iterdir(), key=turn)) < JOBS:
            os.sched_yield()
        for before in together[: together.index(mine)]:
            while before.read_text() != "done":
                os.sched_yield()
        if mine == together[-1]:
            for path in together:
                path.unlink()
        else:
            mine.write_text("done")
        return float(config["x"]) ** 2

    return objective


def test_a_batch_runs_at_the_same_time_and_its_order_of_ending_changes_nothing(
    tmp_path: Path, space: ConfigurationSpace, export: Export
) -> None:
    texts, orders = [], []
    for sign in (1, -1):
        path, ended = tmp_path / f"{sign}.sqlite", list[int]()
        task = Task("t", space, in_turn(tmp_path / f"{sign}", sign))
        proposer = load_proposer("lm", model=load_model("scripted"))

        def on_event(event: Event, ended: list[int] = ended) -> None:
            if isinstance(event, Finished):
                ended.append(event.trial.number)

        with Study(
            task, proposer, path=path, seed=4, evaluation=Evaluation(jobs=JOBS, timeout_s=300)
        ) as study:
            result = study.run(3 * JOBS, on_event)
        assert [trial.status for trial in result.trials] == ["told"] * 9
        texts.append(export(path))
        orders.append(ended)
        for level in (0, 1):
            report = replay(path, options=Options(level))
            assert report.holds, report.json()
            assert report.studies[0].checked == 9
    assert orders[0] != orders[1]
    assert texts[0] == texts[1]


def test_what_a_batch_sees(task: Task, tmp_path: Path) -> None:
    recording = Recording()
    path = tmp_path / "s.sqlite"
    with Study(task, recording, path=path, evaluation=Evaluation(jobs=3)) as study:
        study.run(4)
        study.run(8)
    seen = [
        ([], []), ([], [0]), ([], [0, 1]),
        ([0, 1, 2], []), ([0, 1, 2], [3]), ([0, 1, 2], [3, 4]),
        ([0, 1, 2, 3, 4, 5], []), ([0, 1, 2, 3, 4, 5], [6]),
    ]  # fmt: skip
    assert recording.calls == seen
    with StudyFile(path, readonly=True) as file:
        assert [list(one.pending or ()) for one in file.records(file.get().name)] == [p for _, p in seen]


def test_a_larger_budget_goes_on_as_if_it_had_been_there_from_the_start(
    task: Task, tmp_path: Path, export: Export
) -> None:
    """A batch that the budget cut is completed first: its trials do not see each other's results."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    with Study(task, "tpe", path=whole, evaluation=Evaluation(jobs=4)) as study:
        study.run(14)
    for budget in (1, 6, 9, 14):
        with Study(task, "tpe", path=parts, evaluation=Evaluation(jobs=4)) as study:
            study.run(budget)
    assert export(parts) == export(whole)


def test_trials_without_results_are_evaluated_first_at_the_same_time(task: Task, tmp_path: Path) -> None:
    recording = Recording()
    path = tmp_path / "s.sqlite"
    with Study(task, recording, path=path, evaluation=Evaluation(jobs=3)) as study:
        for _ in range(3):
            study.ask()
        study.tell(1, 0.5)
    with Study(task, recording, path=path, evaluation=Evaluation(jobs=3)) as study:
        study.run(6)
        assert [trial.status for trial in study.trials] == ["told"] * 6
    assert recording.calls[3:] == [([0, 1, 2], []), ([0, 1, 2], [3]), ([0, 1, 2], [3, 4])]


def test_a_batch_does_not_begin_before_the_one_before_has_ended(task: Task) -> None:
    with Study(task, "random", evaluation=Evaluation(jobs=2)) as study:
        first, second = study.ask(), study.ask()
        study.tell(second, 1.0)
        with pytest.raises(AirtuneError, match="begins a batch") as raised:
            study.ask()
        assert raised.value.value == [0]
        study.tell(first, 2.0)
        assert study.ask().number == 2


def test_asynchronous_trials_see_what_has_ended(tmp_path: Path) -> None:
    """One evaluation never ends before all others have: they do not wait for it, and the file tells what they saw."""
    space = ConfigurationSpace({"x": (0.0, 1.0)})
    mark = tmp_path / "first"
    others = tmp_path / "others"
    others.mkdir()

    def objective(config: dict[str, Any]) -> float:
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            (others / repr(config["x"])).touch()
            return float(config["x"])
        while len(list(others.iterdir())) < 7:
            os.sched_yield()
        return float(config["x"])

    path = tmp_path / "s.sqlite"
    proposer = load_proposer("lm", model=load_model("scripted"))
    with Study(
        Task("t", space, objective),
        proposer,
        path=path,
        evaluation=Evaluation(jobs=2, asynchronous=True, timeout_s=300),
    ) as study:
        result = study.run(8)
        assert study.name.endswith("/asynchronous")
    assert [trial.status for trial in result.trials] == ["told"] * 8
    with StudyFile(path, readonly=True) as file:
        (record,) = file.studies()
        pending = [one.pending for one in file.records(record.name)]
    assert record.manifest["schedule"] == "asynchronous"
    slow = next(iter(pending[2] or ()))  # of the first two, the one that took the mark
    assert slow in (0, 1)
    assert all(slow in (seen or ()) and len(seen or ()) == 1 for seen in pending[2:])
    for level in (0, 1):
        assert replay(path, options=Options(level)).holds


def test_no_two_workers_get_the_same_and_the_space_ends_the_study() -> None:
    small = ConfigurationSpace({"c": ["a", "b", "c", "d", "e"], "n": (1, 2)})
    for asynchronous in (False, True):
        with Study(
            Task("t", small, lambda config: config["n"]),
            "tpe",
            evaluation=Evaluation(jobs=4, asynchronous=asynchronous),
        ) as study:
            result = study.run(50)
        assert result.stopped == "space exhausted"
        assert len({(trial.config["c"], trial.config["n"]) for trial in result.trials}) == 10
        assert [trial.status for trial in result.trials] == ["told"] * 10


def test_a_crash_or_a_time_limit_takes_one_trial_of_a_batch(space: ConfigurationSpace) -> None:
    def objective(config: dict[str, Any]) -> float:
        if config["n"] % 3 == 0:
            os.kill(os.getpid(), 9)
        while config["n"] % 3 == 1:
            pass
        return 1.0

    with Study(Task("t", space, objective), "random", evaluation=Evaluation(jobs=3, timeout_s=2.0)) as study:
        result = study.run(9)
    ends = {0: "was killed by SIGKILL", 1: "timed out after 2 s", 2: ""}
    assert {trial.config["n"] % 3 for trial in result.trials} == {0, 1, 2}
    for trial in result.trials:
        assert ends[trial.config["n"] % 3] in (trial.reason or "")
        assert (trial.reason is None) == (trial.config["n"] % 3 == 2)


def test_a_worker_that_dies_with_nothing_to_do_costs_no_trial(space: ConfigurationSpace) -> None:
    def objective(config: dict[str, Any]) -> dict[str, Any]:
        return {"loss": 1.0, "pid": os.getpid()}

    with Study(Task("t", space, objective), "random", evaluation=Evaluation(isolate=True)) as study:
        pid = int(study.evaluate(study.ask()).info["pid"])
        os.kill(pid, 9)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        trial = study.evaluate(study.ask())
    assert trial.status == "told"
    assert trial.info["pid"] != pid


def test_workers_have_numbers(space: ConfigurationSpace, tmp_path: Path) -> None:
    def objective(config: dict[str, Any]) -> dict[str, Any]:
        (tmp_path / repr(config["x"])).touch()
        while len(list(tmp_path.iterdir())) < 2:
            os.sched_yield()
        return {"loss": 0.0, "worker": os.environ["AIRTUNE_WORKER"]}

    with Study(Task("t", space, objective), "random", evaluation=Evaluation(jobs=2, timeout_s=300)) as study:
        result = study.run(2)
    assert {trial.info["worker"] for trial in result.trials} == {"0", "1"}


def test_what_is_being_evaluated_when_a_proposal_fails_is_not_lost(task: Task) -> None:
    class Failing(Recording):
        def propose(self, jobs: Sequence[Job]) -> None:
            if len(self.calls) == 2:
                raise AirtuneError("the model is gone")
            super().propose(jobs)

    with Study(task, Failing(), evaluation=Evaluation(jobs=3)) as study:
        with pytest.raises(AirtuneError, match="the model is gone"):
            study.run(3)
        assert [trial.status for trial in study.trials] == ["told", "told"]


def test_another_schedule_is_another_study(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with Study(task, "random", path=path, evaluation=Evaluation(jobs=2)) as study:
        study.run(2)
    with pytest.raises(
        StoreError, match="begun with another schedule: batches of 2, now one trial at a time"
    ):
        Study(task, "random", path=path, name=study.name)
    with Study(task, "random", path=path, new=True) as other:  # without a name they are two
        assert other.trials == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"jobs": 0}, "jobs 0"),
        ({"jobs": True}, "jobs True"),
        ({"jobs": 2.5}, "jobs 2.5"),
        ({"jobs": 10**6}, "1 to 1024"),
        ({"jobs": 2, "isolate": False}, "cannot be in this process"),
    ],
)
def test_settings_that_cannot_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises(AirtuneError) as raised:
        Evaluation(**given)
    assert said in f"{raised.value}"
