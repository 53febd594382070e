"""What every backend must do with a real model, SmolLM2-135M-Instruct, besides the contract: whole studies with it.

Few and short, as a proposal takes a second or more: a study of ten trials, which the other tests go on with.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from airtune.benchmarks import get_task
from airtune.engine import Job, Study, StudyFile, Task, export_jsonl, load_proposer
from airtune.engine.proposers.base import propose_one
from airtune.engine.replay.derive import replay
from airtune.engine.replay.report import Options
from airtune.grammars import program_space, space_grammar
from airtune.models import LanguageModel, Observation, Problem, Request, load_model
from airtune.models.dialects.chat.dialect import ChatDialect
from tests.contract.test_models import Cases
from tests.golden import check_golden

Loading = tuple[str, dict[str, Any]]  # what `load_model` is told

TASK, SEED, TRIALS = "sklearn/svm/digits", 3, 10
KILLED_AFTER, RESUMED_UNTIL = 3, 6
GOLDEN = Path(__file__).parent / "golden"

# Killed after a proposal is stored, before it is evaluated, by a signal that nothing can catch.
KILLED = f"""
import json, os, signal, sys
from airtune.benchmarks import get_task
from airtune.engine import Study
from airtune.models import load_model

path, (model, settings) = sys.argv[1], json.loads(sys.argv[2])
with Study(get_task({TASK!r}), "lm", model=load_model(model, **settings), path=path, seed={SEED}) as study:
    study.run({KILLED_AFTER})
    study.ask()
    os.kill(os.getpid(), signal.SIGKILL)
"""


class RealModelContract:
    """To be mixed into a backend's contract; a subclass says how the model is loaded."""

    cases: ClassVar[Cases] = Cases(ChatDialect(), few=True)
    too_long: ClassVar[str] = " x" * 9000
    prompts: ClassVar[Path] = GOLDEN / "smollm2-prompts.json"
    level: ClassVar[int] = 1  # at which its studies are derived again

    @pytest.fixture(scope="class")
    @classmethod
    def loading(cls) -> Loading:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, loading: Loading) -> LanguageModel:
        return load_model(loading[0], **loading[1])

    @pytest.fixture(scope="class")
    @classmethod
    def study(cls, model: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("study") / "whole.sqlite"
        run(path, model)
        return path

    def test_a_study(self, study: Path) -> None:
        """Ten valid configurations, all different, and one of them better than guessing one of ten digits."""
        with StudyFile(study, readonly=True) as file:
            trials = file.trials(file.studies()[0].name)
        grammar = space_grammar(get_task(TASK).space)
        texts = [grammar.encode(trial.config) for trial in trials]
        assert len(set(texts)) == len(texts) == TRIALS
        assert all(grammar.accepts(text) for text in texts)
        assert min(trial.loss for trial in trials if trial.loss is not None) < 0.5

    def test_killed_and_resumed_it_is_the_same_study(
        self, model: LanguageModel, loading: Loading, study: Path, tmp_path: Path
    ) -> None:
        """By a model that has other prompts in its cache than the one that was killed."""
        path = tmp_path / "killed.sqlite"
        command = [sys.executable, "-c", KILLED, str(path), json.dumps(loading)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        run(path, model, RESUMED_UNTIL)
        assert exported(path) == exported(study, RESUMED_UNTIL)

    def test_a_replay_gives_the_same_bits(self, study: Path) -> None:
        """Level 1, by a model that is loaded anew."""
        report = replay(study)
        assert report.holds, report.json()
        assert report.agreement.same == report.agreement.tokens > 4 * TRIALS
        assert report.agreement.largest == 0.0

    def test_proposed_in_a_batch_as_alone(self, model: LanguageModel, study: Path) -> None:
        """Prompts of several lengths; of the log-probabilities only the last bits may differ."""
        task, proposer = get_task(TASK), load_proposer("lm", model=model)
        with StudyFile(study, readonly=True) as file:
            trials = file.trials(file.studies()[0].name)
        jobs = [Job(task, tuple(trials[:n]), (), seed=n) for n in (0, 2, 5)]
        proposer.propose(jobs)
        for job in jobs:
            alone = propose_one(proposer, task, job.history, (), job.seed)
            assert job.proposal is not None
            assert alone.config == job.proposal.config
            assert alone.transcript is not None
            assert job.proposal.transcript is not None
            assert alone.transcript["logprobs"] == pytest.approx(
                job.proposal.transcript["logprobs"], abs=1e-3
            )

    def test_golden_prompts(self, model: LanguageModel) -> None:
        """What the model is sent, in its own chat format: the same for all backends that read it.

        To accept a new wording, delete the files and run the tests twice; the first run writes them and fails.
        """
        prompts = [model.dialect.render(replace(problem(), observations=OBSERVATIONS[:n])) for n in (0, 3)]
        check_golden(self.prompts, in_lines(prompts))

    def test_a_study_of_programs_is_written_and_replayed(self, loading: Loading, tmp_path: Path) -> None:
        """The model writes source code under the grammar, and every byte of it is derived again."""
        programs, path = program_space("tiny"), tmp_path / "programs.sqlite"
        task = Task(
            "table", programs.space, lambda config: float(len(config)), description="Numbers of a table."
        )
        model = load_model(loading[0], **loading[1], dialect="code")
        with Study(task, "lm", model=model, path=path, seed=SEED) as study:
            trials = study.run(3).trials
        sources = [programs.render(trial.config) for trial in trials]
        assert [trial.status for trial in trials] == ["told"] * 3
        assert len(set(sources)) == 3
        with StudyFile(path, readonly=True) as file:
            written = list(file.transcripts(study.name).values())
        assert [one["text"] for one in written] == sources
        shown = json.dumps(sources[0])[1:-1]  # where a prompt is messages, they are stored as JSON
        assert all(sources[0] in one["prompt"] or shown in one["prompt"] for one in written[1:])
        report = replay(path, options=Options(self.level))
        assert report.holds, report.json()

    def test_golden_answers(self, model: LanguageModel) -> None:
        """What it says to these prompts, greedily and drawn; each backend has a precision and draws of its own.

        Another processor may round otherwise, and a draw on an edge then falls to the other side: that happens to one
        answer, or two, and not to all of them, as a wrong prompt, temperature or seed does.
        """
        prompts = json.loads(self.prompts.read_text(encoding="utf-8"))
        grammar = space_grammar(problem().space, [dict(one.config) for one in OBSERVATIONS])
        asked = [(0, 0.0), (1, 1.0), (2, 2.0), (3, 2.0)]
        requests = [Request(prompt, grammar, *how) for prompt in prompts for how in asked]
        answers = [answer.text for answer in model.generate(requests)]
        file = GOLDEN / f"smollm2-{model.manifest()['backend']}.json"
        if not file.is_file():
            check_golden(file, in_lines(answers))
        golden = json.loads(file.read_text(encoding="utf-8"))
        assert sum(a == b for a, b in zip(answers, golden, strict=True)) >= len(golden) - 2, answers


OBSERVATIONS = (
    Observation({"C": 1.0, "gamma": 0.01, "kernel": "rbf"}, 0.125),
    Observation({"C": 10.0, "gamma": 0.01, "kernel": "rbf"}, 0.0625),
    Observation({"C": 0.1, "degree": 3, "gamma": 0.001, "kernel": "poly"}, None, "failed", "no convergence"),
)


def problem() -> Problem:
    """A problem whose words do not change with the benchmarks'."""
    from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer

    space = ConfigurationSpace()
    kernel, degree = Categorical("kernel", ["rbf", "poly"]), Integer("degree", (2, 5))
    space.add(Float("C", (1e-3, 1e3), log=True), Float("gamma", (1e-4, 1.0), log=True), kernel, degree)
    space.add(EqualsCondition(degree, kernel, "poly"))
    return Problem("svm", "An SVM on images of digits.", space, "validation error", budget=10)


def run(path: Path, model: LanguageModel, trials: int = TRIALS) -> None:
    """Begin the study, or go on with it."""
    with Study(get_task(TASK), "lm", model=model, path=path, seed=SEED) as study:
        study.run(trials)


def exported(path: Path, trials: int = TRIALS) -> list[str]:
    """All that is known of the first trials of a study but for when they happened."""
    with StudyFile(path, readonly=True) as file:
        lines = list(export_jsonl(file, times=False, transcripts=True))
    return [line for line in lines if json.loads(line).get("number", 0) < trials]


def in_lines(texts: list[str]) -> str:
    """Texts as JSON, one a line."""
    return json.dumps(texts, indent=1, ensure_ascii=False) + "\n"
