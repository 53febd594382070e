"""Objectives that note in a log when each evaluation begins and ends; imported in worker processes, so light."""

from __future__ import annotations

import json
import os
import resource
import signal
from typing import Any

LOG = "AIRTUNE_FAULTS_LOG"  # the environment variable with the log's path
_SPIN = 20_000  # steps of counting: half a millisecond
_ROOM = 32 << 20  # bytes that a hungry evaluation may still take


def note(what: str, value: Any) -> None:
    """Append one line to the log, at once: ["begin", [task, configuration]] and the like."""
    file = os.open(os.environ[LOG], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(file, (json.dumps([what, value], sort_keys=True) + "\n").encode())
    finally:
        os.close(file)


def loss(config: dict[str, Any]) -> dict[str, Any]:
    """A bowl; five is right out."""
    return _noted(config, _bowl)


def slow(config: dict[str, Any]) -> dict[str, Any]:
    """The bowl, in a time that a kill can fall into."""
    return _noted(config, lambda one: [_bowl(one) for _ in range(10)][-1])


def hungry(config: dict[str, Any]) -> dict[str, Any]:
    """The bowl, of which the upper third takes more memory than there is, and the eighth is killed for it."""
    return _noted(config, _hungry)


def _noted(config: dict[str, Any], evaluate: Any) -> dict[str, Any]:
    note("begin", ["t", config])
    try:
        result: dict[str, Any] = evaluate(config)
        return result
    finally:
        note("end", ["t", config])


def _bowl(config: dict[str, Any]) -> dict[str, Any]:
    for _ in range(_SPIN * config["n"]):
        pass
    if config["n"] == 5:
        raise ValueError("five is right out")
    return {"loss": config["x"] ** 2 + config["n"] / 3, "size": config["n"]}


def _hungry(config: dict[str, Any]) -> dict[str, Any]:
    if config["n"] == 8:  # as the kernel does it when the machine has no memory left
        os.kill(os.getpid(), signal.SIGKILL)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + _ROOM, limits[1]))
    try:
        taken = bytearray(8 << 20 if config["n"] < 6 else 1 << 30)
        return {**_bowl(config), "taken": len(taken)}
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
