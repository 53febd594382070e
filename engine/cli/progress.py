"""Progress of a running study on standard error: a line per finished trial, a live one on a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from airtune.engine.cli.output import config_text, err, loss_text, seconds_text, visible

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.status import Status

    from airtune.engine.study import Event
    from airtune.engine.types import Trial

SPINNER_COLUMNS = 3  # what stands before the live line, and one to spare


class Progress:
    """Shows trials as they are asked and finished. A context manager; silent if not `enabled`.

    Attributes:
        best: The best trial so far, or None.
    """

    def __init__(self, budget: int, *, enabled: bool, best: Trial | None = None) -> None:
        self._console = err()
        self._budget = budget
        self._enabled = enabled
        self._live: Status | None = None
        self._running = 0
        self.best = best

    def __enter__(self) -> Self:
        if self._enabled and self._console.is_terminal:
            from rich.status import Status

            self._live = Status(self._fit("loading"), console=self._console)
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
        from airtune.engine.study import Asked, Finished

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
            self._live.update(self._fit(f"{self._counter(trial.number)}  {what} {config_text(trial.config)}"))

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
            f"{config_text(trial.config)}  propose {seconds_text(trial.proposal_s)} s  "
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
