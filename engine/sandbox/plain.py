"""Runs a program as a plain process, where its user has chosen to go without the sandbox: nothing holds it back."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

from airtune.engine.sandbox.ended import Ended, judged, last_line
from airtune.engine.sandbox.limits import Kind, Limits


def run_plain(
    argv: Sequence[str], inputs: bytes, limits: Limits, environment: Mapping[str, str] | None = None
) -> Ended:
    """Run a program in an empty folder, and wait until it has ended.

    Args:
        argv: The program and its arguments; two more tell it the descriptors of its inputs and for its result.
        inputs: What it finds at the first.
        limits: Of them time, output and result hold.
        environment: By default this process's.
    """
    began = time.perf_counter()
    with (
        tempfile.TemporaryDirectory(prefix="airtune-") as folder,
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as result,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        given.write(inputs)
        given.seek(0)
        fds = given.fileno(), result.fileno()
        # In the group of a worker, if this is one, so that it ends with it.
        with subprocess.Popen(
            [*argv, *map(str, fds)], stdin=subprocess.DEVNULL, stdout=out, stderr=err, pass_fds=fds, cwd=folder,
            env=environment,
        ) as process:  # fmt: skip
            stopped: tuple[Kind, str] | None = None
            try:
                process.wait(min(limits.time_s, 1e9))
            except subprocess.TimeoutExpired:
                stopped = "time", f"not over after {limits.time_s:g} s"
            finally:
                process.kill()
        if _size(out) + _size(err) > limits.output_bytes:
            stopped = stopped or ("output", f"more than {limits.output_bytes} bytes were printed")
        elif _size(result) > limits.result_bytes:
            stopped = stopped or ("invalid result", f"it is larger than {limits.result_bytes} bytes")
        said, printed = _end_of(err, limits.output_bytes), _end_of(out, limits.output_bytes)
        report: dict[str, Any] = {"status": process.returncode, "network": [], "full": False}
        kind, why = stopped or judged(report, last_line(said))
        return Ended(
            kind=kind,
            reason=kind and f"{kind}: {why}",
            code=process.returncode,
            out=printed,
            err=said,
            result=b"" if kind else _end_of(result, limits.result_bytes),
            seconds=time.perf_counter() - began,
        )


def _size(file: IO[bytes]) -> int:
    return file.seek(0, 2)


def _end_of(file: IO[bytes], most: int) -> bytes:
    file.seek(max(0, _size(file) - most))
    return file.read()
