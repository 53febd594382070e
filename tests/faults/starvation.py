"""What a study needs and no longer gets: room on the disk, the right to write, memory."""

from __future__ import annotations

import math
import signal
from random import Random
from typing import Any

from tests.faults.harness import Lab, Reply, Victim, told_user
from tests.faults.signals import COMPARE, TUNE
from tests.faults.table import Row

_REQUEST = {"run": "cli", "arguments": TUNE}
_SIZES = (9_000, 900_000)  # bytes: from a disk that is full at once to one that is never
_ROOM = (10_000, 3_000_000)  # bytes of memory that a study may still get


def full_by_limit(lab: Lab, times: int) -> Row:
    """No file may grow beyond a size, as on a disk with a quota: it needs no rights."""
    return _full(
        lab,
        Row("disk full: a limit on the size of files"),
        times,
        lambda size: {"limits": {"RLIMIT_FSIZE": size}},
    )


def full_for_real(lab: Lab, times: int) -> Row:
    """The folder is a file system of its own, and too small."""
    return _full(lab, Row("disk full: a small file system"), times, lambda size: {"disk": size})


def _full(lab: Lab, row: Row, times: int, how: Any) -> Row:
    random = lab.random(row.kind)
    while row.injected < times:
        victim = lab.victim(_REQUEST, row)
        for _ in range(3):
            size = _between(random, _SIZES)
            if victim.path.exists():  # what is there fits
                size = max(size, sum(path.stat().st_size for path in victim.path.parent.iterdir()) + 4096)
            reply = victim.run(**how(size))
            if reply.code == 77:
                row.note = f"left out: {reply.said.strip()}"
                return row
            if reply.code:
                _refused(victim, reply, "free some space on the disk")
                row.injected += 1
                row.said[told_user(reply)] += 1
        victim.finish()
    return row


def _between(random: Random, most: tuple[int, int]) -> int:
    """A number that has any length with equal probability."""
    return int(math.exp(random.uniform(*map(math.log, most))))


def read_only(lab: Lab, meanwhile: bool, times: int) -> Row:
    """The file, the folder, or both, cannot be written to: from before the start on, or from some moment on."""
    row = Row(f"file or folder read-only {'while it runs' if meanwhile else 'before it starts'}")
    random = lab.random(row.kind)
    whole = lab.whole(_REQUEST).seconds
    while row.injected < times:
        victim = lab.victim(_REQUEST, row)
        folder, files = str(victim.path.parent), [str(victim.path) + end for end in ("", "-wal", "-shm")]
        choices = [[folder], [folder, *files]]
        if meanwhile or random.random() < 0.7:  # else there is no file yet
            victim.run(arguments=[*victim.arguments, "--budget", "4"])
            choices.append(files)
        frozen = random.choice(choices)
        if meanwhile:
            reply = victim.run({"after": random.random() * whole, "freeze": frozen})
        else:
            reply = victim.run(frozen=frozen)
        # Nothing need be written to what is frozen last, nor to a folder that has all of SQLite's files already.
        if reply.code or not (meanwhile or frozen == [folder]):
            # What a file is mapped from that may no longer be written to, its "-shm", the kernel ends with SIGBUS.
            if not (meanwhile and reply.code == -signal.SIGBUS):
                # It may be looking at the file when its index becomes read-only, and cannot tell that from damage.
                _refused(victim, reply, "the file and its folder", *["airtune recover"] * meanwhile)
            row.injected += 1
            row.said[told_user(reply)] += 1
        victim.finish()
    return row


def _refused(victim: Victim, reply: Reply, *advice: str) -> None:
    if reply.code != 2 or not any(one in reply.said for one in advice):
        victim.object(f"exit code {reply.code}: {reply.said}")


def hungry_objective(lab: Lab, times: int) -> Row:
    """Evaluations that take more memory than there is: some get a MemoryError, some are killed, as by the kernel."""
    row = Row("memory exhausted in the evaluation")
    seed = lab.random(row.kind).randrange(1000)
    while row.injected < times:
        seed += 1
        arguments = [one.replace(":loss", ":hungry") for one in TUNE]
        jobs = ["--jobs", "4"] if seed % 2 else []
        victim = lab.victim({"run": "cli", "arguments": [*arguments, "--seed", str(seed), *jobs]}, row)
        victim.finish()
        for record, _ in victim.before.values():
            failed, reason = record.trial.config["n"] in (6, 7, 8, 9), record.trial.reason or ""
            if failed != ("MemoryError" in reason or "killed by SIGKILL" in reason):
                victim.object(f"{record.trial}")
            if failed:
                row.injected += 1
                row.said[f"the trial's reason: {reason}"] += 1
    return row


def hungry_study(lab: Lab, times: int) -> Row:
    """From some moment on, the process of a command gets no memory, or little."""
    row = Row("memory exhausted in the study's own process")
    random = lab.random(row.kind)
    requests = [{"run": "cli", "arguments": arguments} for arguments in (TUNE, COMPARE)]
    while row.injected < times:
        victim = lab.victim(random.choice(requests), row)
        victim.spares = "MemoryError"  # where the objective, in the same process, is what needed some
        for _ in range(3):
            after = random.random() * victim.whole.seconds
            reply = victim.run({"after": after, "room": _between(random, _ROOM)})
            if not reply.code:
                break
            if reply.code != 1 or "out of memory" not in reply.said:
                victim.object(f"exit code {reply.code}: {reply.said}")
            row.injected += 1
            row.said[told_user(reply)] += 1
        victim.finish()
    return row
