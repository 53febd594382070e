"""Progress on standard error: of a study, of a comparison, of a replay."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from airtune.engine.cli.output import config_words, err, loss_text, seconds_text, visible

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress as Bars
    from rich.progress import TaskID
    from rich.status import Status

    from airtune.benchmarks.running.runner import Progress as ComparisonProgress
    from airtune.engine.types import Event, Trial
    from airtune.grammars import ProgramSpace

SPINNER_COLUMNS = 3  # what stands before the live line, and one to spare
LINES = 20  # so many plain lines for a whole comparison, and one for each method's end
ALL = "all trials"


class Progress:
    """Shows trials as they are asked and finished. A context manager; silent if not `enabled`.

    Attributes:
        best: The best trial so far, or None.
    """

    def __init__(
        self,
        budget: int,
        *,
        enabled: bool,
        loading: str = "loading",
        programs: ProgramSpace | None = None,
    ) -> None:
        self._console = err()
        self._budget = budget
        self._enabled = enabled
        self._live: Status | None = None
        self._running = 0
        self._loading = loading
        self._words = partial(config_words, programs)
        self.best: Trial | None = None

    def __enter__(self) -> Self:
        if self._enabled and self._console.is_terminal:
            from rich.status import Status

            self._live = Status(self._fit(self._loading), console=self._console)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print one line, whatever else is going on."""
        if self._enabled:
            self._console.print(text, markup=False, overflow="fold", soft_wrap=True)

    def __call__(self, event: Event) -> None:
        """Show one step of `Study.run`."""
        from airtune.engine.types import Asked, Finished

        if isinstance(event, Finished):
            self._finished(event.trial)
        elif isinstance(event, Asked):
            self._asked(event.trial)
        elif self._live is not None:
            self._live.update(self._fit(f"{self._counter(event.number)}  proposing"))

    def _asked(self, trial: Trial) -> None:
        self._running += 1
        if self._live is not None:
            what = "evaluating" if self._running == 1 else f"and {self._running - 1} more, evaluating"
            self._live.update(self._fit(f"{self._counter(trial.number)}  {what} {self._words(trial.config)}"))

    def _finished(self, trial: Trial) -> None:
        self._running -= 1
        if trial.loss is not None and (
            self.best is None or self.best.loss is None or trial.loss < self.best.loss
        ):
            self.best = trial
        if not self._enabled:
            return
        if trial.loss is not None:
            outcome = f"loss {loss_text(trial.loss):<9}"
        else:
            outcome = f"failed ({' '.join((trial.reason or 'no reason given').split())})"
        best = "-" if self.best is None or self.best.loss is None else loss_text(self.best.loss)
        text = (
            f"{self._counter(trial.number)}  {outcome} best {best:<9} "
            f"{self._words(trial.config)}  propose {seconds_text(trial.proposal_s)} s  "
            f"evaluate {seconds_text(trial.evaluation_s)} s"
        )
        if self._console.is_terminal:
            self._console.print(self._fit(text))
            if self._live is not None:
                more = f", {self._running} more to end" if self._running else ""
                self._live.update(self._fit(f"{self._counter(trial.number)}  done{more}"))
        else:
            self.say(text)

    def _counter(self, number: int) -> str:
        """How far the study is, and the trial's number, which counts from 0."""
        width = len(str(self._budget))
        return f"[{number + 1:>{width}}/{self._budget}] trial {number:<{width}}"

    def _fit(self, text: str) -> RenderableType:
        """The text on one line of the terminal, cut at its edge."""
        from rich.text import Text

        line = Text(visible(text))
        line.truncate(self._console.width - SPINNER_COLUMNS, overflow="ellipsis")
        return line


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

    def __call__(self, progress: ComparisonProgress) -> None:
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

    def _draw(self, progress: ComparisonProgress, speed: str) -> None:
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

    def _print(self, progress: ComparisonProgress, speed: str) -> None:
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
