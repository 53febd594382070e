"""A program as a script that runs outside: the harness's own code around it, so that it gives the same loss."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

PROGRAM = "{program}"  # stands for the source code in the script of a harness


@dataclass(frozen=True, slots=True)
class Loading:
    """How a script loads the data that programs learn.

    Attributes:
        source: Functions, as source code that needs nothing before it.
        call: An expression that gives features and targets for training, for validation, and for testing if there are.
    """

    source: str
    call: str


def loading_with_airtune(what: str, imports: str, read: str) -> Loading:
    """Data that scripts read by Airtune's own code, since it is long.

    Args:
        what: The environment variable AIRTUNE_DATA names: for the script's reader.
        imports: A line that imports what is needed.
        read: An expression that gives `ProgramData`; `os` is there.
    """
    return Loading(_WITH_AIRTUNE.format(what=what, imports=imports, read=read), "read_data()")


def harness_script(
    loading: Loading, threads: Sequence[str], seed: int, score: Callable[..., Any], scored: Callable[..., Any]
) -> str:
    """The script of a harness, with `PROGRAM` where a program belongs.

    Args:
        loading: See there.
        threads: Environment variables that are set to 1 where they are not set.
        seed: Of every program.
        score: (predictions, targets) -> loss; its source goes into the script.
        scored: (predictions, targets by name, score) -> losses by name; its source, too.
    """
    ours = "\n\n".join(
        textwrap.dedent(source)
        for source in (loading.source, inspect.getsource(score), inspect.getsource(scored))
    )
    return _SCRIPT.format(
        program=PROGRAM,
        threads=", ".join(f'"{name}"' for name in threads),
        ours=ours.rstrip("\n"),
        call=loading.call,
        seed=seed,
        score=score.__name__,
        scored=scored.__name__,
    )


_WITH_AIRTUNE = '''\
def read_data() -> list[Any]:
    """The study's data, in parts. Needs Airtune; the environment variable AIRTUNE_DATA names {what}."""
    {imports}

    data = {read}
    return [part for part in (data.train, data.validation, data.test) if part is not None]
'''
_SCRIPT = """\
from __future__ import annotations

import os

for name in ({threads}):
    os.environ.setdefault(name, "1")  # with more threads, the last bits of sums would be others

# ---- The program


{program}

# ---- What it was evaluated with: the data, their split, the seed and the score


{ours}


if __name__ == "__main__":
    import json

    import numpy

    train, *held = {call}
    test_x = numpy.concatenate([x for x, _ in held])
    train_x, train_y, test_x = map(numpy.ascontiguousarray, (*train, test_x))
    predicted = numpy.asarray(fit_predict(train_x=train_x, train_y=train_y, test_x=test_x, seed={seed}))
    if predicted.shape != (len(test_x),):
        raise SystemExit(f"{{len(test_x)}} predictions were expected, not an array of shape {{predicted.shape}}")
    targets = dict(zip(("loss", "test_loss"), (y for _, y in held)))
    print(json.dumps({scored}(predicted.astype(numpy.float64), targets, {score})))
"""
