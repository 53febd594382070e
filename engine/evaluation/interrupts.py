"""Interrupts that others swallow. Light: worker processes import it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_kept() -> Iterator[None]:
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
