"""Spreads the groups of a comparison over processes, which write to the study file themselves.

This process holds the leases, and the others write under them: when it is killed, the next run takes over at once,
and whatever an orphan still tries to write is refused. An orphan ends when it next sends to us.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from airtune.benchmarks.running.plan import Group, Plan
from airtune.engine.storage.study_file import StudyFile
from airtune.grammars import AirtuneError

# One core each: processes are the parallelism, and the number of threads changes the last bits of sums.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Given the plan, the study file and the group: yields how many more of its trials are done.
RunGroup = Callable[[Plan, StudyFile, Group], Iterator[int]]


def spread(
    run: RunGroup, plan: Plan, groups: Sequence[Group], path: Path, leases: Mapping[str, str], jobs: int
) -> Iterator[tuple[Group, int]]:
    """Run groups in processes; yield (group, how many more of its trials are done) as they get on.

    Args:
        run: Runs one group: a function of a module, for the processes to import.
        plan: Of the comparison.
        groups: What to run, in the order in which to begin.
        path: The study file.
        leases: Of the groups' studies, held by this process.
        jobs: Processes.

    Raises:
        AirtuneError: If a group fails, or a process ends before its time; the others are then stopped.
    """
    waiting = list(reversed(groups))
    busy: dict[Connection, Group] = {}
    processes: dict[Connection, SpawnProcess] = {}
    try:
        with _one_thread_each(), _no_interrupts():
            for _ in range(jobs):
                ours, theirs = multiprocessing.Pipe()
                # Not a fork, which would copy the locks of loaded libraries.
                process = SpawnProcess(
                    target=_serve, args=(theirs, run, plan, path, dict(leases)), daemon=True
                )
                process.start()
                theirs.close()
                processes[ours] = process
                busy[ours] = waiting.pop()
                ours.send(busy[ours])
        while busy:
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                try:
                    settled = ready.recv()
                except (EOFError, OSError):
                    processes[ready].join()
                    raise _ended(processes[ready].exitcode, busy[ready]) from None
                if isinstance(settled, BaseException):
                    raise settled
                if settled is not None:
                    yield busy[ready], settled
                elif waiting:
                    busy[ready] = waiting.pop()
                    ready.send(busy[ready])
                else:
                    del busy[ready]
    finally:
        # At whatever moment: what they have stored is whole, and the rest is done again by the next run.
        for connection, process in processes.items():
            connection.close()
            process.kill()
            process.join()


def _serve(connection: Connection, run: RunGroup, plan: Plan, path: Path, leases: Mapping[str, str]) -> None:
    """One process: runs the groups it is sent, says after every step how many trials are done, None at the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # as in what tasks may start
    with contextlib.suppress(EOFError, ConnectionError):  # the parent is gone
        try:
            with StudyFile(path, leases=leases) as file:
                while True:
                    group: Group = connection.recv()
                    for settled in run(plan, file, group):
                        connection.send(settled)
                    connection.send(None)
        except (EOFError, ConnectionError):
            raise
        except Exception as error:
            connection.send(_portable(error))


def _portable(error: Exception) -> Exception:
    """The error as it can be sent, with its traceback as a note."""
    where = traceback.format_exc()
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(where)
    return error


def _ended(code: int | None, group: Group) -> AirtuneError:
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
    return AirtuneError(
        f"a process of the comparison {how} while it ran {group.method!r} on {group.tasks[0]} and others",
        value=code,
        hint="if the machine was out of memory, use fewer --jobs; the same command again goes on",
    )


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """What the processes started meanwhile inherit: a Ctrl-C waits until they are there to ignore it."""
    resource_tracker.ensure_running()  # starting it, which SpawnProcess would do, lets interrupts through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """What the processes started meanwhile inherit: libraries with one thread."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
