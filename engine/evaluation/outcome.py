"""What became of one evaluation. Light: worker processes import this and hardly anything else of the engine."""

from __future__ import annotations

import json
import math
import numbers
import re
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airtune.engine.types import Trial

# Reasons are shown to the model and in tables: one line, no longer than this many characters.
REASON_LENGTH = 300
# A traceback or an output is kept up to its last so many characters.
LOG_LENGTH = 8000


class TrialFailed(Exception):
    """Raise it in an objective to fail the trial: its text, as it is, becomes the trial's reason."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one evaluation: a finite loss, or a reason why there is none.

    Attributes:
        loss: Finite, or None after a failure.
        info: Further values that the objective returned, all of them JSON.
        reason: Why it failed, one line, or None.
        log: Traceback and what was printed, as far as they are known; may be empty.
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


def one_line(text: str) -> str:
    """The text as a reason: one line, not too long, without memory addresses (they differ between runs)."""
    line = re.sub(r" at 0x[0-9a-fA-F]+", "", " ".join(text.encode("utf-8", "replace").decode().split()))
    return line if len(line) <= REASON_LENGTH else line[: REASON_LENGTH - 3] + "..."


def evaluate(objective: Callable[[dict[str, Any]], Any], config: Mapping[str, Any]) -> Outcome:
    """Call the objective in this process. Whatever it raises but an interrupt is the trial's failure.

    Raises:
        KeyboardInterrupt: If it was interrupted, even if the objective took no notice.
    """
    started = time.perf_counter()
    try:
        with _interrupts_kept():
            returned = objective(dict(config))
        loss, info = read_result(returned)
    except (Exception, SystemExit) as error:
        seconds = time.perf_counter() - started
        return Outcome(reason=reason_of(error), log=log_of(error), seconds=seconds)
    return Outcome(loss=loss, info=info, seconds=time.perf_counter() - started)


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


def outcome_of(returned: object) -> Outcome:
    """What an objective returned, as an outcome: a failure where it is no result."""
    try:
        loss, info = read_result(returned)
    except TrialFailed as error:
        return Outcome(reason=one_line(str(error)))
    return Outcome(loss, info)


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
    """The traceback, without the frames of this module."""
    here = error.__traceback__
    while here is not None and here.tb_frame.f_code.co_filename == __file__:
        here = here.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, here))[-LOG_LENGTH:]
    except Exception:
        return type(error).__name__


def read_result(returned: object) -> tuple[float, dict[str, Any]]:
    """What an objective returned as (loss, further values).

    Args:
        returned: A finite number (NumPy's and one-element tensors too), or a mapping with such a number under
            "loss"; its other values are kept if JSON can hold them (a NaN or infinity as text: "nan").

    Raises:
        TrialFailed: With the reason why this is no result.
    """
    if not isinstance(returned, Mapping):
        return _loss(returned, "objective returned "), {}
    if "loss" not in returned:
        keys = ", ".join(sorted(repr(key) for key in returned)) or "none"
        raise TrialFailed(f"objective returned a mapping without the key 'loss' (its keys: {keys})")
    loss = _loss(returned["loss"], "objective returned a mapping whose 'loss' is ")
    return loss, {_key(key): _plain(value, key) for key, value in returned.items() if key != "loss"}


def _loss(value: object, said: str) -> float:
    value = _scalar(value)
    if value is None:
        raise TrialFailed(f"{said}None, expected a finite number or a mapping with key 'loss'")
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        shown = one_line(repr(value))[:80]
        kind = type(value).__name__
        raise TrialFailed(
            f"{said}{_article(kind)} {kind}: {shown}, expected a finite number or a mapping with key 'loss'"
        )
    try:
        loss = float(value)
    except OverflowError:
        raise TrialFailed(f"{said}a number too large for a float") from None
    if not math.isfinite(loss):
        raise TrialFailed(f"{said}{'NaN (nan)' if math.isnan(loss) else loss}")
    return loss + 0.0  # -0.0 becomes 0.0: SQLite knows no negative zero


def _scalar(value: object) -> object:
    """A NumPy scalar, or an array or tensor of one element without a dimension, as a plain Python value."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    return value


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TrialFailed(
            f"objective returned a mapping with the key {one_line(repr(key))}, expected strings"
        )
    return key


def _plain(value: object, key: object) -> Any:
    """A further value as what JSON will give back; a float JSON has no name for as its text."""
    value = _scalar(value)
    if isinstance(value, float):
        return value + 0.0 if math.isfinite(value) else str(float(value))
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        kind = type(value).__name__
        raise TrialFailed(
            f"objective returned {_article(kind)} {kind} under {key!r}, expected what JSON can hold"
        ) from None


def _article(word: str) -> str:
    return "an" if word[:1].lower() in "aeiou" else "a"
