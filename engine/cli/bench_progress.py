"""Progress of a comparison on standard error: bars on a terminal, otherwise a line every now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from airtune.engine.cli.output import err

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from airtune.benchmarks.running.runner import Progress

LINES = 20  # so many plain lines for a whole comparison, and one for each method's end
ALL = "all trials"


class BenchProgress:
    """Shows how far a comparison is: done and in all, rate and time left, for all and by method.

    A context manager, called with every `Progress`. What earlier runs did does not count for the rate.

    Args:
        clock: Seconds, ever more of them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = err()
        self._clock = clock
        self._bars: Bars | None = None
        self._rows: dict[str, TaskID] = {}
        self._first: tuple[float, int] | None = None
        self._shown = -1
        self._ended: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, progress: Progress) -> None:
        """Show it."""
        done, total = sum(progress.done.values()), sum(progress.total.values())
        if self._first is None:
            self._first = (self._clock(), done)
        if self._console.is_terminal:
            self._draw(progress, self._speed(done, total))
        else:
            self._print(progress, self._speed(done, total))

    def _speed(self, done: int, total: int) -> str:
        """Trials per second of this run, and the time that is left at that rate."""
        started, before = self._first or (0.0, 0)
        seconds = self._clock() - started
        if done <= before or seconds <= 0:
            return ""
        rate = (done - before) / seconds
        return (
            f"{rate:.3g} trials/s, {_time((total - done) / rate)} left"
            if done < total
            else f"{rate:.3g} trials/s"
        )

    def _draw(self, progress: Progress, speed: str) -> None:
        if self._bars is None:
            from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TextColumn
            from rich.progress import Progress as Bars

            self._bars = Bars(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[speed]}", markup=False),
                console=self._console,
            )
            for name in (*progress.total, ALL):
                self._rows[name] = self._bars.add_task(name, speed="")
            self._bars.start()
        for name, total in progress.total.items():
            self._bars.update(self._rows[name], completed=progress.done[name], total=total)
        done, total = sum(progress.done.values()), sum(progress.total.values())
        self._bars.update(self._rows[ALL], completed=done, total=total, speed=speed)

    def _print(self, progress: Progress, speed: str) -> None:
        """A line at first, then whenever a twentieth more is done, and at the end of every method."""
        done, total = sum(progress.done.values()), sum(progress.total.values())
        ended = {name for name, of in progress.total.items() if progress.done[name] >= of}
        new = sorted(ended - self._ended)
        self._ended = ended
        if done * LINES // total == self._shown and not new:
            return
        self._shown = done * LINES // total
        words = [f"{done}/{total} trials", *([speed] if speed else []), *(f"{name} done" for name in new)]
        self._console.print(", ".join(words), markup=False, soft_wrap=True)


def _time(seconds: float) -> str:
    """A time that is left: 45 s, 12 min, 3.4 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
