"""Objectives of program spaces: a program learns in the sandbox and returns predictions, which are scored out here.

The harness owns the seed, the split and the score. A program is given the training rows, their targets and the features
of the rows that are held out; of those the targets stay in this process.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airtune.engine.evaluation.answer import log_output
from airtune.engine.evaluation.result import TrialFailed
from airtune.engine.types import Task, TaskError
from airtune.models.environment import users_environment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from airtune.engine.evaluation.program_script import Loading
    from airtune.engine.evaluation.sandboxes import CommandSandbox
    from airtune.grammars import FreeProgram, ProgramSpace

    Part = tuple[NDArray[Any], NDArray[Any]]

FUNCTION = "fit_predict"  # what a program defines, with these arguments:
ARGUMENTS = ("train_x", "train_y", "test_x", "seed")
SEED = 1  # of every program: a configuration has one loss
# What is called: a program may return whatever it likes, and the frames that it is sent in want names.
_ANSWER = "answer_of_the_program"
_CALLS = f"\n\ndef {_ANSWER}(**given):\n    return {{'predicted': {FUNCTION}(**given)}}\n"
# As many threads as the user's environment says; else one, so that sums have the same bits whatever else runs.
_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True, slots=True)
class Score:
    """How predictions are scored.

    Attributes:
        words: What the loss is.
        loss: (predictions, targets) -> loss; both of shape (rows,).
    """

    words: str
    loss: Callable[[NDArray[np.float64], NDArray[Any]], float]


# The code of these and of `scored` also goes into scripts that run outside.
def mean_squared_error(predicted: NDArray[np.float64], y: NDArray[Any]) -> float:
    """The mean of squared differences."""
    return float(((predicted - y) ** 2).mean())


def mean_absolute_error(predicted: NDArray[np.float64], y: NDArray[Any]) -> float:
    """The mean of absolute differences."""
    return float(abs(predicted - y).mean())


def error_rate(predicted: NDArray[np.float64], y: NDArray[Any]) -> float:
    """The share of wrong classes."""
    return float((predicted != y).mean())


SCORES: Mapping[str, Score] = {
    "mse": Score("mean squared error", mean_squared_error),
    "mae": Score("mean absolute error", mean_absolute_error),
    "error": Score("error rate", error_rate),
}


def scored(
    predicted: NDArray[np.float64], targets: Mapping[str, NDArray[Any]], loss: Callable[..., float]
) -> dict[str, float]:
    """The loss of each part of the held-out rows, whose predictions follow each other."""
    losses, place = {}, 0
    for name, y in targets.items():
        losses[name] = loss(predicted[place : place + len(y)], y)
        place += len(y)
    return losses


@dataclass(frozen=True, slots=True, eq=False)
class ProgramData:
    """What programs learn, in parts; features of shape (rows, ...) and targets of shape (rows,).

    Attributes:
        train: Features and targets that programs are given.
        validation: The features are given, the targets are what the loss is computed with.
        test: The same, for the loss that nothing is chosen by; None if there is none.
        score: A key of `SCORES`; of "error" the targets are the numbers of classes.
    """

    train: Part
    validation: Part
    test: Part | None
    score: str


@dataclass(frozen=True, slots=True)
class Harness:
    """Runs a program's source where it can harm nothing, and scores its predictions. Picklable.

    Attributes:
        data: The data, or a function of a module that loads them, in the process that evaluates.
        sandbox: Where programs run; an `airtune.engine.Sandbox`.
        script: A script that does the same outside, for `airtune export --program`; None if there is none.
    """

    data: ProgramData | Callable[[], ProgramData]
    sandbox: CommandSandbox
    script: str | None = None

    def __call__(self, source: str) -> dict[str, float]:
        """{"loss": on the validation part, "test_loss": on the test part, if there is one}.

        Raises:
            TrialFailed: If the program does not end well, or what it returns are no predictions.
            SandboxError: If a layer of the sandbox is missing; the program has then not been run.
        """
        import numpy as np

        data = self.data() if callable(self.data) else self.data
        held = {"loss": data.validation, **({} if data.test is None else {"test_loss": data.test})}
        train_x, train_y = data.train
        test_x = np.concatenate([x for x, _ in held.values()])
        given = dict(zip(ARGUMENTS, (train_x, train_y, test_x, SEED), strict=True))
        ran, returned = self.sandbox.call(
            source + _CALLS, _ANSWER, given, {**_THREADS, **users_environment()}
        )
        log_output((ran.out + ran.err).decode("utf-8", "replace"))
        if ran.reason is not None:
            raise TrialFailed(ran.reason)
        predicted = _predictions(returned.get("predicted"), len(test_x))
        with np.errstate(all="ignore"):  # what is too large becomes infinite, and that is no loss
            return scored(predicted, {name: y for name, (_, y) in held.items()}, SCORES[data.score].loss)


def _predictions(returned: object, rows: int) -> NDArray[np.float64]:
    import numpy as np

    try:
        found = np.asarray(returned)
    except ValueError:  # lists of several lengths
        found = np.empty(0, dtype=object)
    if found.shape != (rows,) or found.dtype.kind not in "biuf":
        kind = "something else" if found.dtype.kind not in "biuf" else f"an array of shape {found.shape}"
        raise TrialFailed(f"invalid result: {rows} predictions were expected, shape ({rows},), not {kind}")
    return found.astype(np.float64)


@dataclass(frozen=True, slots=True)
class ProgramObjective:
    """Evaluates configurations that are programs: each is a program, which is run and scored.

    Attributes:
        programs: The program space, or free programs.
        harness: Runs and scores.
    """

    programs: ProgramSpace | FreeProgram
    harness: Harness

    @property
    def sandbox(self) -> CommandSandbox:
        """Where programs run."""
        return self.harness.sandbox

    @property
    def program_script(self) -> str | None:
        """The script of its `Harness`: the study's manifest keeps it."""
        return self.harness.script

    def in_sandbox(self, sandbox: CommandSandbox | None) -> ProgramObjective:
        """The same in another sandbox; None is the explicit choice of none."""
        chosen = self.sandbox.without_walls() if sandbox is None else sandbox
        return replace(self, harness=replace(self.harness, sandbox=chosen))

    def __call__(self, config: Mapping[str, Any]) -> dict[str, float]:
        """See `Harness`."""
        return self.harness(self.programs.render(config))


@dataclass(frozen=True, slots=True)
class SourceObjective:
    """Calls an objective of source code with the program of a configuration.

    Attributes:
        programs: The program space.
        objective: `source -> loss`, the user's own; it runs what it likes.
    """

    programs: ProgramSpace
    objective: Callable[[str], Any]

    def __call__(self, config: Mapping[str, Any]) -> Any:
        """What the objective returns."""
        return self.objective(self.programs.render(config))


def program_task(
    name: str,
    programs: ProgramSpace | FreeProgram,
    data: ProgramData | Callable[[], ProgramData],
    sandbox: CommandSandbox,
    *,
    metric: str,
    description: str = "",
    loading: Loading | None = None,
    score: str | None = None,
) -> Task:
    """The task of finding the program whose predictions are best.

    Args:
        name: Of the task.
        programs: What may be written. Its programs define ``fit_predict(train_x, train_y, test_x, seed)``.
        data: See `Harness`.
        sandbox: See `Harness`.
        metric: What the loss is.
        description: What is predicted, in words, for the model to read.
        loading: How a script outside loads the same data; None if none can be made.
        score: Of `loading`: the key of `SCORES`.

    Raises:
        TaskError: If the programs define no such function.
    """
    check_function(programs.render(programs.default()))
    script = None
    if loading is not None and score is not None:
        from airtune.engine.evaluation.program_script import harness_script

        script = harness_script(loading, [*_THREADS], SEED, SCORES[score].loss, scored)
    harness = Harness(data, sandbox, script)
    return Task(name, programs.space, ProgramObjective(programs, harness), metric, description)


def check_function(source: str) -> None:
    """Refuse source code that does not define ``fit_predict(train_x, train_y, test_x, seed)``.

    Raises:
        TaskError: If it does not, or is no Python.
    """
    wanted = f"def {FUNCTION}({', '.join(ARGUMENTS)})"
    try:
        defined = [one for one in ast.parse(source).body if isinstance(one, ast.FunctionDef)]
    except SyntaxError as error:
        raise TaskError(
            f"the default program of the program space is no Python: {error}",
            value=source,
            allowed=f"programs that define {wanted}",
            hint="airtune grammar FILE.space shows a program",
        ) from error
    for one in defined:
        named = [argument.arg for argument in (*one.args.posonlyargs, *one.args.args, *one.args.kwonlyargs)]
        if one.name == FUNCTION and set(ARGUMENTS) <= set(named) and not one.args.posonlyargs:
            return
    raise TaskError(
        f"the default program of the program space does not define {wanted}",
        value=[one.name for one in defined],
        allowed=f"programs that define {wanted} at the top, and return a prediction for each row of test_x",
        hint="change the space (of free programs: the signature), or use a harness of your own, for spaces: "
        "--command 'python harness.py {program}'",
    )
