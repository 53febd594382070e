"""Options and arguments that several commands have: declared once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TAKE_OVER_HELP = (
    "Take the study from a process of another container or machine that has ended. If it lives, it can write no more, "
    "and what it evaluates is lost and evaluated again."
)
SANDBOXES = ("bubblewrap", "none")
SANDBOX_HELP = (
    "Run the command where it can harm nothing (bubblewrap, seccomp, Landlock), or is refused: no network, only "
    "this folder to read, a scratch folder to write to. Programs of a program space run there in any case. "
    "--sandbox none says that it is wanted without."
)
SANDBOX_SETTING_HELP = (
    "Of the sandbox: read=FOLDER (data), memory=8G, scratch=2G, processes=64, cpu=SECONDS; may be repeated."
)
NOISE_HELP = (
    "Noise on losses, by seed and trial: U(0.9,1.1) multiplies them, 0.02 adds a normal deviate of that standard "
    "deviation. The true loss is kept beside."
)
TASK_HELP = "A bundled task such as sklearn/svm/digits, or module:attribute with --space."
PROGRAMS_HELP = (
    "A program space, of which programs are searched: a file *.space, or one that ships, such as pipeline_regression. "
    "With --data; or with --command, whose {program} is the source code; or with --objective, called with it. Or a "
    "file *.free of free programs, with --data, for a model that writes code."
)
DATA_HELP = (
    "What programs learn: a table (*.csv) with --target, or arrays (*.npz). Of the tasks nyc_taxi/* and cifar10/*: the "
    "folder of their data. (default: the environment variable AIRTUNE_DATA)"
)
TARGET_HELP = "Of --data: the column to predict."
SCORE_HELP = "Of --data: mse, mae, or error, the share of wrong classes."
COMMAND_HELP = (
    "A command line to evaluate, with {name} for each hyperparameter; the last JSON on its standard "
    'output has "loss". "--bn {bn}" is a flag where bn is true and nothing where it is false or null; '
    'after an option a list is several words; "--bn={bn}" is JSON.'
)
PROPOSER_HELP = (
    "lm, lm+gp, lm+self, hybrid, random, uniform, local, tpe, gp, cmaes, smac, or default+ one of them. "
    "(default: default+lm+gp)"
)
DIALECT_HELP = (
    "How the model is talked to: pocket; chat with settings such as chat+history=turns+reasoning=on; or code, which "
    "writes programs. +names=hidden, of pocket and chat, tells the problem in neutral words. "
    "(default: what the model says)"
)
SETTING_HELP = (
    "A setting of the backend, for example dtype=bfloat16, base_url=http://127.0.0.1:8000/v1, "
    "record=FILE; may be repeated."
)
DETERMINISTIC_HELP = (
    "Answers that are the same bits in any batch; a model that a test at the start finds otherwise is "
    "refused (--model-setting deterministic=warn only says so)."
)
JOBS_HELP = (
    "Trials at a time, in batches: all of one are waited for, so that the study can be repeated bit for bit."
)
ASYNC_HELP = (
    "With --jobs: propose whenever a trial ends. Wastes no time; another run sees results in another order."
)
TRY_HELP = (
    "Configurations to try before anything is proposed: a JSON list of them, or one on each line. With default+, "
    "the default comes first all the same."
)
NEW_HELP = "Begin from trial 0, though the study file has trials of the task under another proposer, model or schedule."
KEEP_GOING_HELP = "Also where the first three trials fail for the same reason, which else ends the run."
TakeOver = Annotated[bool, typer.Option("--take-over", help=TAKE_OVER_HELP)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
JsonNotTables = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
ModelSettings = Annotated[
    list[str] | None,
    typer.Option("--model-setting", metavar="KEY=VALUE", help="A setting of the backend; may be repeated."),
]
STUDY_HELP = "A file written by airtune tune, or a folder written by airtune bench."
StudyFileArgument = Annotated[Path, typer.Argument(metavar="STUDY_FILE", help=STUDY_HELP)]
StudyName = Annotated[
    str | None, typer.Option("--study-name", metavar="NAME", help="One of the studies in it.")
]
DensityModel = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="MODEL", help="Of --density: where the study's model is now, if it was moved."
    ),
]
DensityBudget = Annotated[
    int | None,
    typer.Option(
        "--density-budget",
        metavar="N",
        min=1,
        help="Of --density: prefixes of answers that may be read for one distribution. (default: 4096)",
    ),
]


def check_density(density: bool, options: Mapping[str, object]) -> None:
    """Raise an AirtuneError if one of the options that belong to --density was given without it."""
    from airtune.grammars import AirtuneError

    for option, value in options.items():
        if value is not None and not density:
            raise AirtuneError(
                f"{option} has no effect without --density", value=str(value), allowed=f"--density with {option}",
                hint=f"leave {option} out, or add --density",
            )  # fmt: skip


def folder_of(output: Path | None, command: str) -> Path:
    """The folder of --out, which has to be given."""
    from airtune.grammars import AirtuneError

    if output is None:
        raise AirtuneError(
            "no folder for the results was given", allowed="--out DIR", hint=f"{command} --out results"
        )
    return output


def use_data(folder: Path | None) -> None:
    """Have the tasks find their data in the folder of --data, in the processes that are started, too."""
    from airtune.benchmarks.tasks.data_folder import DATA_VARIABLE

    if folder is not None:
        os.environ[DATA_VARIABLE] = str(folder.absolute())


def names_in(text: str | None) -> list[str]:
    """The names in a list with commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def with_kind(args: Sequence[str]) -> list[str]:
    """The arguments with "bubblewrap" behind each --sandbox that has no value.

    >>> with_kind(["--sandbox", "--budget", "3"])
    ['--sandbox', 'bubblewrap', '--budget', '3']
    >>> with_kind(["--sandbox", "none"])
    ['--sandbox', 'none']
    """
    found: list[str] = []
    for word, after in zip(args, [*args[1:], "-"], strict=True):
        found += [word, *([SANDBOXES[0]] if word == "--sandbox" and after.startswith("-") else [])]
    return found
