"""SIGINT and SIGTERM to the command line, once and twice, at any moment: both end it so that it can go on."""

from __future__ import annotations

import contextlib
import math
import signal
import sqlite3
from random import Random

from tests.faults.harness import Fault, Lab, Reply, Victim, befall, kill
from tests.faults.table import Row

TUNE = [
    "tune", "--space", "SPACE", "--objective", "tests.faults.objective:loss", "--proposer", "random",
    "--budget", "20", "--study", "FILE", "--study-name", "s",
]  # fmt: skip
BENCH = [
    "bench", "toy", "--proposers", "lm,random", "--models", "scripted", "--seeds", "1", "--budget", "6",
    "--out", "FOLDER",
]  # fmt: skip
COMPARE = [*BENCH, "--jobs", "1"]
COMMANDS = [TUNE, [*TUNE, "--jobs", "4"], COMPARE, [*BENCH, "--jobs", "2"]]
_SECOND_S = 0.03  # within which the second signal follows the first


def interrupt(lab: Lab, number: signal.Signals, how: str, times: int) -> Row:
    """A signal to each command in turn: "once", "twice", or "to all", worker processes too, as schedulers send it."""
    row = Row(f"{number.name} {how}: tune, bench, with and without --jobs")
    whom = "all" if how == "to all" else "study"

    def faults(random: Random, longest: float) -> list[Fault]:
        chosen = [kill(random.random() * longest, number, whom)]
        return chosen if how != "twice" else [*chosen, kill(random.random() * _SECOND_S, number)]

    def judge(victim: Victim, reply: Reply) -> None:
        unheard = reply.code == -number and not reply.said  # nothing had been begun yet
        if reply.code != 1 and not unheard:
            victim.object(f"exit code {reply.code}: {reply.said}")
        if how != "twice" and (held := leases(victim)):
            victim.object(f"the leases are held still: {held}")

    for done, command in enumerate(COMMANDS, 1):
        request = {"run": "cli", "arguments": command}
        befall(lab, row, request, math.ceil(times * done / len(COMMANDS)), faults, judge, part=0.8)
    return row


def leases(victim: Victim) -> list[tuple[str, int]]:
    """The leases that were not given back: study and process."""
    if not victim.before:  # no trial: there may be no table either
        return []
    with contextlib.closing(sqlite3.connect(victim.path)) as db:
        found: list[tuple[str, int]] = db.execute("SELECT name, pid FROM leases").fetchall()
        return found
