"""The process that evaluates: `python -m airtune.engine.evaluation.worker REQUEST_FD ANSWER_FD`. Light.

Messages are frames: eight bytes of length, big-endian, then the content. In come the interpreter's settings (JSON), the
objective, and then configurations (both by cloudpickle: tuples stay tuples); each is answered by one JSON object. Both
pipes are descriptors of their own, so that nothing an objective prints gets among the frames.
"""

from __future__ import annotations

import io
import json
import os
import queue
import shutil
import signal
import struct
import sys
import threading
import time
from dataclasses import asdict
from typing import Any

from airtune.engine.evaluation.outcome import Outcome, evaluate, log_of, reason_of

_LENGTH = struct.Struct(">Q")


def send(fd: int, content: bytes) -> None:
    """Write one frame.

    Raises:
        BrokenPipeError: If nobody reads any more.
    """
    left = memoryview(_LENGTH.pack(len(content)) + content)
    while left:
        left = left[os.write(fd, left) :]


def receive(fd: int) -> bytes | None:
    """Read one frame; None if the other side has closed the pipe, also in the middle of a frame."""
    header = _read(fd, _LENGTH.size)
    return None if header is None else _read(fd, _LENGTH.unpack(header)[0])


def _read(fd: int, size: int) -> bytes | None:
    parts: list[bytes] = []
    while size:
        part = os.read(fd, min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def main(request_fd: int, answer_fd: int) -> None:
    """Answer requests until the other side goes; then end at once, with what the objective started."""
    # A handler, not SIG_IGN: the programs that an objective starts would inherit the latter.
    signal.signal(signal.SIGINT, lambda *_: None)
    # Objectives that start processes of their own must not keep these pipes open.
    os.set_inheritable(request_fd, False)
    os.set_inheritable(answer_fd, False)
    first = receive(request_fd)
    if first is None:
        return
    settings = json.loads(first)
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(request_fd, requests, settings["folder"]), daemon=True).start()

    for stream in (sys.stdout, sys.stderr):  # which go to a log that is read as UTF-8, whatever the locale is
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.path[:] = settings["path"]
    pickled = requests.get()
    try:
        import cloudpickle

        from airtune.engine.evaluation.main_module import load

        objective = load(pickled, settings["folder"])
    except BaseException as error:
        send(
            answer_fd, json.dumps({"ready": False, "reason": reason_of(error), "log": log_of(error)}).encode()
        )
        return
    send(answer_fd, json.dumps({"ready": True}).encode())
    while True:
        config = cloudpickle.loads(requests.get())
        send(answer_fd, json.dumps(asdict(_evaluate(objective, config))).encode())


def _evaluate(objective: Any, config: dict[str, Any]) -> Outcome:
    started = time.perf_counter()
    try:
        outcome = evaluate(objective, config)
    except BaseException as error:  # an objective that raises KeyboardInterrupt itself
        outcome = Outcome(reason=reason_of(error), log=log_of(error), seconds=time.perf_counter() - started)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue  # the objective has closed or replaced it
    return outcome


def _listen(fd: int, requests: queue.SimpleQueue[bytes], folder: str | None) -> None:
    """Pass requests on; when the other side is gone, end the whole process group, whatever it is doing."""
    while (content := receive(fd)) is not None:
        requests.put(content)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
