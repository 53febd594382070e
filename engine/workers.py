"""Evaluates an objective in another process, with a time limit; a crash is a failed trial and no more."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import IO, Any, Self

from airtune.engine.outcome import LOG_LENGTH, Outcome, one_line
from airtune.engine.types import TaskError
from airtune.engine.worker import receive, send


class Worker:
    """One process that evaluates one objective again and again; a context manager.

    The process is started when it is first needed, in a process group of its own (a terminal's Ctrl-C does
    not reach it), and again after it has crashed or was stopped at its time limit. It ends with this one.

    Args:
        objective: Sent by value (cloudpickle): lambdas, closures and functions of the main script will do.
        timeout_s: Longest time for one evaluation in seconds, or None. Starting the process and
            loading the objective do not count.

    Raises:
        TaskError: If the objective cannot be sent.
    """

    def __init__(self, objective: Callable[[dict[str, Any]], Any], timeout_s: float | None = None) -> None:
        import cloudpickle

        try:
            self._pickled: bytes = cloudpickle.dumps(objective)
        except Exception as error:
            raise TaskError(
                f"the objective cannot be sent to a worker process: {type(error).__name__}: {error}",
                value=objective,
                allowed="a callable that cloudpickle can pickle: no open files, locks or connections",
                hint="open such things inside the objective, or evaluate in this process (isolate=False)",
            ) from error
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._requests = self._answers = -1
        self._output: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def evaluate(self, config: Mapping[str, Any]) -> Outcome:
        """Evaluate one configuration. Whatever goes wrong in the process is the trial's failure.

        Raises:
            TaskError: If the objective cannot be loaded in the process.
        """
        if self._process is None:
            self._start()
        started = time.perf_counter()
        try:
            outcome = self._ask(json.dumps(dict(config)).encode())
            seconds = time.perf_counter() - started
            if outcome is None:
                return Outcome(reason=self._stop(), log=self._printed(), seconds=seconds)
        except TimeoutError:
            self._stop()
            reason = f"timed out after {self._timeout_s:g} s"
            return Outcome(reason=reason, log=self._printed(), seconds=time.perf_counter() - started)
        except BaseException:
            self._stop()  # interrupted: the evaluation must not go on behind the caller's back
            raise
        return Outcome(
            loss=outcome["loss"],
            info=outcome["info"],
            reason=outcome["reason"],
            log=(self._printed() + outcome["log"])[-LOG_LENGTH:],
            seconds=seconds,
        )

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._stop()
        if self._output is not None:
            self._output.close()
            self._output = None

    def _start(self) -> None:
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
                    "airtune.engine.worker",
                    str(child_requests),
                    str(child_answers),
                ],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=(child_requests, child_answers),
                start_new_session=True,
            )
        finally:
            os.close(child_requests)
            os.close(child_answers)
        try:
            with contextlib.suppress(BrokenPipeError):  # it has died; the missing answer tells
                send(self._requests, json.dumps({"path": sys.path}).encode())
                send(self._requests, self._pickled)
            answer = receive(self._answers)
        except BaseException:
            self._stop()
            raise
        ready = {"ready": False, "log": ""} if answer is None else json.loads(answer)
        if not ready["ready"]:
            ended = self._stop()
            raise TaskError(
                f"the objective cannot be loaded in a worker process: {ready.get('reason', ended)}",
                value=ready["log"] or self._printed(),
                allowed="an objective whose modules can be imported from the folder you are in",
                hint="put the module on PYTHONPATH, or evaluate in this process (isolate=False)",
            )

    def _ask(self, request: bytes) -> dict[str, Any] | None:
        """The answer, or None if the process has died.

        Raises:
            TimeoutError: After `timeout_s` seconds without an answer.
        """
        self._printed()
        try:
            send(self._requests, request)
        except BrokenPipeError:
            return None
        # An answer is a small frame written at once: when its first byte is there, all of it is about to be.
        if not _readable(self._answers, self._timeout_s):
            raise TimeoutError
        answer = receive(self._answers)
        return None if answer is None else json.loads(answer)

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


def _readable(fd: int, timeout_s: float | None) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        return bool(selector.select(timeout_s))


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
