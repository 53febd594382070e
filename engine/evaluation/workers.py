"""Evaluates an objective in another process, with a time limit; a crash is a failed trial and no more."""

from __future__ import annotations

import contextlib
import io
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import IO, Any, Self

from airtune.engine.evaluation.outcome import LOG_LENGTH, Outcome
from airtune.engine.evaluation.result import one_line
from airtune.engine.evaluation.waiting import wait_in_turns
from airtune.engine.evaluation.worker import receive, send
from airtune.engine.types import TaskError
from airtune.models.environment import users_environment

# Of several workers, which one: 0, 1, ... An objective may choose its GPU by it.
WORKER_VARIABLE = "AIRTUNE_WORKER"


class Worker:
    """One process that evaluates one objective again and again; a context manager.

    The process is started when it is first needed, in a process group of its own (a terminal's Ctrl-C does
    not reach it), and again after it has crashed or was stopped at its time limit. It ends with this one.

    Args:
        objective: Sent by value (cloudpickle): lambdas, closures and functions of the main script will do.
        timeout_s: Longest time for one evaluation in seconds, or None. Starting the process and
            loading the objective do not count.
        index: Which of several workers it is; objectives read it as the environment's AIRTUNE_WORKER.

    Raises:
        TaskError: If the objective cannot be sent.
    """

    def __init__(
        self, objective: Callable[[dict[str, Any]], Any], timeout_s: float | None = None, index: int = 0
    ) -> None:
        import cloudpickle

        try:
            self._pickled, uses_main = _dumped(objective)
            self._dumps: Callable[[object], bytes] = cloudpickle.dumps
        except Exception as error:
            raise TaskError(
                f"the objective cannot be sent to a worker process: {type(error).__name__}: {error}",
                value=objective,
                allowed="a callable that cloudpickle can pickle: no open files, locks or connections",
                hint="open such things inside the objective, or evaluate in this process (isolate=False)",
            ) from error
        self._timeout_s = None if timeout_s is None else min(timeout_s, sys.float_info.max)
        self._index = index
        self._ready = False
        self._began = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._requests = self._answers = -1
        self._output: IO[bytes] | None = None
        # For the worker's `__main__`, see `main_module`; removed here, since the worker itself is killed.
        self._folder = tempfile.TemporaryDirectory(prefix="airtune-") if uses_main else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def evaluate(self, config: Mapping[str, Any]) -> Outcome:
        """Evaluate one configuration. Whatever goes wrong in the process is the trial's failure.

        Raises:
            TaskError: If the objective cannot be loaded in the process.
        """
        self.begin(config)
        try:
            _readable(self._answers, self._timeout_s)
        except BaseException:
            self._stop()  # interrupted: the evaluation must not go on behind the caller's back
            raise
        return self.end()

    def launch(self) -> None:
        """Start the process and send it the objective, if it is not there yet, without waiting until it is ready."""
        if self._process is None:
            self._launch()

    def begin(self, config: Mapping[str, Any]) -> None:
        """Begin an evaluation; `end` ends it, once `answers` can be read or `seconds_left` is 0.

        Raises:
            TaskError: If the objective cannot be loaded in the process.
        """
        request = self._dumps(dict(config))
        self._await_ready()
        self._printed()
        try:
            send(self._requests, request)
        except BrokenPipeError:  # it died while it had nothing to do, which is not this configuration's fault
            self._stop()
            self._await_ready()
            with contextlib.suppress(BrokenPipeError):  # again; `end` will tell
                send(self._requests, request)
        self._began = time.perf_counter()

    @property
    def answers(self) -> int:
        """The descriptor that can be read once an evaluation is over."""
        return self._answers

    @property
    def seconds_left(self) -> float | None:
        """Until the time limit of what was begun, at least 0; None if there is no limit."""
        if self._timeout_s is None:
            return None
        return max(0.0, self._timeout_s - (time.perf_counter() - self._began))

    def end(self) -> Outcome:
        """What became of what was begun: the answer that is there; without one, its time is up and it is stopped."""
        if not _readable(self._answers, 0):
            self._stop()
            return self._timed_out(time.perf_counter() - self._began)
        # An answer is a small frame written at once: when its first byte is there, all of it is about to be.
        answer = receive(self._answers)
        if answer is None:
            seconds = time.perf_counter() - self._began
            return Outcome(reason=self._stop(), log=self._printed(), seconds=seconds)
        told = json.loads(answer)
        if self._timeout_s is not None and told["seconds"] > self._timeout_s:
            return self._timed_out(told["seconds"])  # it was over before we looked, and yet too late
        told["log"] = (self._printed() + told["log"])[-LOG_LENGTH:]
        return Outcome(**told)

    def _timed_out(self, seconds: float) -> Outcome:
        return Outcome(reason=f"timed out after {self._timeout_s:g} s", log=self._printed(), seconds=seconds)

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._stop()
        if self._output is not None:
            self._output.close()
            self._output = None
        if self._folder is not None:
            self._folder.cleanup()

    def _launch(self) -> None:
        child_requests, self._requests = os.pipe()
        self._answers, child_answers = os.pipe()
        if self._output is None:
            # Appended to, so that emptying it between evaluations is safe while the process has it open.
            self._output = tempfile.TemporaryFile("a+b")
        try:
            self._process = subprocess.Popen(
                # -P: a file of the user's called json.py must not take the place of the library's.
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "airtune.engine.evaluation.worker",
                    str(child_requests),
                    str(child_answers),
                ],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=(child_requests, child_answers),
                start_new_session=True,
                env={**users_environment(), WORKER_VARIABLE: str(self._index)},
            )
        finally:
            os.close(child_requests)
            os.close(child_answers)
        self._ready = False
        settings = {"path": sys.path, "folder": self._folder and self._folder.name}
        try:
            with contextlib.suppress(BrokenPipeError):  # it has died; the missing answer tells
                send(self._requests, json.dumps(settings).encode())
                send(self._requests, self._pickled)
        except BaseException:
            self._stop()
            raise

    def _await_ready(self) -> None:
        self.launch()
        if self._ready:
            return
        answer = self._loaded()
        if answer is None:  # killed while it loaded: once may be chance
            self._stop()
            self.launch()
            answer = self._loaded()
        ready = {"ready": False, "log": ""} if answer is None else json.loads(answer)
        if not ready["ready"]:
            ended = self._stop()
            where = (
                "put the module on PYTHONPATH"
                if answer
                else "run the same again: nothing that was told is lost"
            )
            raise TaskError(
                f"the objective cannot be loaded in a worker process: {ready.get('reason', ended)}",
                value=ready["log"] or self._printed(),
                allowed="an objective whose modules can be imported from the folder you are in",
                hint=f"{where}; or evaluate in this process (isolate=False)",
            )
        self._ready = True

    def _loaded(self) -> bytes | None:
        """What the process says once it has loaded the objective, or has failed to; None if it has died."""
        try:
            return receive(self._answers)
        except BaseException:
            self._stop()
            raise

    def _stop(self) -> str:
        """End the process and all of its group; how it had ended, if it had, in words."""
        process = self._process
        if process is None:
            return ""
        # With its pipe closed the process is ending: its own status says more than that of our kill.
        if _readable(self._answers, 0):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(self._requests)
        os.close(self._answers)
        self._process = None
        return _ended(process.returncode)

    def _printed(self) -> str:
        """What was printed since the last call: the end of it."""
        if self._output is None:
            return ""
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - LOG_LENGTH))
        text = self._output.read(LOG_LENGTH).decode("utf-8", "replace")
        self._output.truncate(0)
        return text


def _dumped(objective: Callable[[dict[str, Any]], Any]) -> tuple[bytes, bool]:
    """The objective, after it what functions and classes of `__main__` it uses, by name; and whether it uses any."""
    import cloudpickle

    names: dict[str, Any] = {}

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, type | FunctionType) and obj.__module__ == "__main__":
                name, _, inner = obj.__qualname__.partition(".")
                here = getattr(sys.modules["__main__"], name, obj)
                if here is obj if not inner else isinstance(here, type) and here is not obj:
                    names[name] = here  # what it is a part of, for a class or method within a class
            return super().reducer_override(obj)

    written = io.BytesIO()
    pickler = Pickler(written)
    pickler.dump(objective)
    pickler.dump(dict(names))
    return written.getvalue(), bool(names)


def _readable(fd: int, timeout_s: float | None) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        return wait_in_turns(lambda seconds: bool(selector.select(seconds)), timeout_s)


def _ended(code: int) -> str:
    """How a process ended, for example "the evaluation's process was killed by SIGSEGV"."""
    if code >= 0:
        return f"the evaluation's process exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    memory = " (out of memory?)" if name == "SIGKILL" else ""
    return one_line(f"the evaluation's process was killed by {name}{memory}")
