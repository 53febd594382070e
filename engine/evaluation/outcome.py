"""What became of one evaluation. Light: worker processes import this and hardly anything else of the engine."""

from __future__ import annotations

import copy
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from traceback import format_exception, print_exception, walk_tb
from types import FrameType
from typing import TYPE_CHECKING, Any

from airtune.engine.evaluation.result import TrialFailed, one_line, read_result

if TYPE_CHECKING:
    from airtune.engine.types import Trial

# A traceback or an output is kept up to its last so many characters.
LOG_LENGTH = 8000


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one evaluation: a finite loss, or a reason why there is none.

    Attributes:
        loss: Finite, or None after a failure.
        info: Further values that the objective returned, all of them JSON.
        reason: Why it failed, one line, or None.
        log: Traceback and what was printed, as far as they are known, and notes on further values that were cut or
            left out; may be empty.
        seconds: How long the evaluation took.
    """

    loss: float | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None
    log: str = ""
    seconds: float = 0.0

    def told(self, trial: Trial, evaluation_s: float | None) -> Trial:
        """The trial with this result; it took `evaluation_s` seconds, if that is known."""
        return replace(
            trial,
            status="told" if self.reason is None else "failed",
            loss=self.loss,
            reason=self.reason,
            info=dict(self.info),
            evaluation_s=evaluation_s,
        )


def evaluate(objective: Callable[[dict[str, Any]], Any], config: Mapping[str, Any]) -> Outcome:
    """Call the objective in this process, with a copy of the configuration.

    Whatever it raises but an interrupt is the trial's failure.

    Raises:
        KeyboardInterrupt: If it was interrupted, even if the objective took no notice.
    """
    started = time.perf_counter()
    try:
        with _forks_ended(), _interrupts_kept():
            returned = objective(copy.deepcopy(dict(config)))
        loss, info, notes = read_result(returned)
    except BaseException as error:  # a Rust extension's panic, for one, is no Exception
        if is_interrupt(error):
            raise
        seconds = time.perf_counter() - started
        return Outcome(reason=reason_of(error), log=log_of(error), seconds=seconds)
    return Outcome(loss=loss, info=info, log=notes, seconds=time.perf_counter() - started)


@contextmanager
def _forks_ended() -> Iterator[None]:
    """End a process that the code within has forked and let come out here: it would go on with the search."""
    ours = os.getpid()
    code = 0
    try:
        yield
    except BaseException as error:
        if os.getpid() == ours:
            raise
        if isinstance(error, SystemExit) and isinstance(error.code, int | None):
            code = (error.code or 0) & 0xFF
        else:
            code = 1
            print_exception(error)
    finally:
        if os.getpid() != ours:
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):  # the objective may have closed or replaced it
                    stream.flush()
            os._exit(code)


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Raise an interrupt again that the code within has swallowed.

    Some training loops end early at Ctrl-C and return what they have, scikit-learn's MLPClassifier for one: its loss
    would pass for that of the whole training, and the search would go on. Handlers that do not raise
    KeyboardInterrupt are left to do what they do; other threads are never interrupted.

    Raises:
        KeyboardInterrupt: If there was one, however the code within ended.
    """
    swallowed = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal swallowed
        try:
            before[number](number, frame)
        except KeyboardInterrupt:
            swallowed = True
            raise

    here = threading.current_thread() is threading.main_thread()
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if here else {}
    before = {int(number): handler for number, handler in found.items() if callable(handler)}
    for number in before:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if swallowed:
            raise KeyboardInterrupt from None


def is_interrupt(error: BaseException) -> bool:
    """Whether an error is an interrupt, or a group of errors with one in it."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(is_interrupt, error.exceptions))
    return isinstance(error, KeyboardInterrupt)


def outcome_of(returned: object) -> Outcome:
    """What an objective returned, as an outcome: a failure where it is no result."""
    try:
        loss, info, notes = read_result(returned)
    except Exception as error:  # of the value's own methods, too
        return Outcome(reason=reason_of(error))
    return Outcome(loss, info, log=notes)


def reason_of(error: BaseException) -> str:
    """An exception as a reason: its type and message; a `TrialFailed` says it all itself."""
    try:
        message = str(error)
    except Exception:
        message = "(its message cannot be shown)"
    if isinstance(error, TrialFailed) and message.strip():
        return one_line(message)
    name = type(error).__name__
    return one_line(f"{name}: {message}" if message.strip() else name)


def log_of(error: BaseException) -> str:
    """The traceback, without this module's frames; none of a failure that Airtune has found: its reason says it all."""
    here = error.__traceback__
    while here is not None and here.tb_frame.f_code.co_filename == __file__:
        here = here.tb_next
    raised = next((frame.f_code.co_filename for frame, _ in reversed([*walk_tb(here)])), __file__)
    if isinstance(error, TrialFailed) and Path(raised).parent == Path(__file__).parent:
        return ""
    try:
        return "".join(format_exception(type(error), error, here))[-LOG_LENGTH:]
    except Exception:
        return type(error).__name__
