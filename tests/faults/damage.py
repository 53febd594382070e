"""Damaged files: read as they were, or refused; what `airtune recover` salvages is true, and can be gone on with."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from airtune.engine import StoreError
from tests.faults.harness import Lab, Victim, kill
from tests.faults.reading import read
from tests.faults.table import Row

_REQUEST: dict[str, Any] = {
    "run": "study", "proposer": "lm", "model": "scripted", "budget": 20, "settings": {},
}  # fmt: skip
_PAGE = 4096


def damaged(lab: Lab, how: str, times: int) -> Row:
    """Damage to the file of a study that has ended early, or to the write-ahead log of one that was killed.

    Args:
        lab: Where.
        how: "page": random bytes somewhere in a page; "truncation": the file ends at a random place.
        times: How often.
    """
    row = Row(f"damage: {'bytes of a page overwritten' if how == 'page' else 'the file truncated'}")
    random = lab.random(row.kind)
    whole = lab.whole(_REQUEST).seconds
    while row.injected < times:
        victim = lab.victim(_REQUEST, row)
        if random.random() < 0.5:
            victim.run(kill(random.uniform(0.2, 0.95) * whole))
        else:
            victim.run(budget=random.randint(4, 16))  # closed: all is in the file, nothing in the log
        if not victim.before:
            continue
        harmed = _harm(victim, random, how)
        row.injected += 1
        row.said[_read_or_salvage(lab, victim, harmed)] += 1
        victim.finish()
    return row


def _harm(victim: Victim, random: Random, how: str) -> Path:
    """Damage one of the study's files; which."""
    log = victim.path.with_name(victim.path.name + "-wal")
    harmed = log if log.exists() and log.stat().st_size and random.random() < 0.5 else victim.path
    data = bytearray(harmed.read_bytes())
    at = random.randrange(len(data))
    if how == "truncation":
        del data[at:]
    else:
        most = min(len(data), at - at % _PAGE + _PAGE) - at
        count = random.randint(1, most)
        data[at : at + count] = random.randbytes(count)
    harmed.write_bytes(data)
    return harmed


def _read_or_salvage(lab: Lab, victim: Victim, harmed: Path) -> str:
    """Read the damaged file as it is, salvage it, and leave what can be gone on with; what the user is told."""
    true = victim.before
    used = lab.place()
    for path in victim.path.parent.iterdir():
        shutil.copy(path, used.parent)
    refusal = None
    try:
        now = read(used)
    except StoreError as error:
        refusal, now = str(error), {}
        if "airtune recover" not in refusal:
            victim.object(f"refused without a way to salvage: {refusal}")
    else:
        # A log that is damaged ends there: what it says is what the file was when that was written.
        if not _true(now, true) or (harmed == victim.path and now != true):
            victim.object(f"read as something else: {now}")
    out = lab.place()
    arguments = ["recover", str(victim.path), "--out", str(out)]
    reply = lab.run({"run": "cli", "arguments": arguments, "path": str(victim.path), "log": str(victim.log)})
    if reply.code == 2 and "nothing can be salvaged" in reply.said:
        salvaged = {}
    elif reply.code in (0, 1):
        salvaged = read(out)
        if not _true(salvaged, true) or not _true(now, {**true, **salvaged}):
            victim.object(f"salvaged what is not true: {salvaged}")
    else:
        victim.object(f"recover: exit code {reply.code}: {reply.said}")
    if refusal is None and now == true:
        return "nothing: it was read as it was"
    for path in victim.path.parent.iterdir():
        path.unlink()
    if out.exists():
        for path in out.parent.iterdir():
            shutil.copy(path, victim.path.parent)
    victim.before = salvaged
    victim.silent = {key for key, (_, said) in salvaged.items() if said is None}
    if refusal is None:
        return "it was read up to the damaged log"
    said, *_, fix = re.sub(r"\d+", "N", refusal.replace(str(used), "FILE")).splitlines()
    return f"{said}; {fix.strip()}"


def _true(now: dict[Any, Any], true: dict[Any, Any]) -> bool:
    """Whether all trials are as they were, or as they were before their results."""
    for key, kept in now.items():
        record, said = true.get(key, (None, None))
        if record is None or kept[1] not in (said, None):
            return False
        asked = replace(record, trial=record.trial.without_result(), log="", finished=None)
        if kept[0] not in (record, asked):
            return False
    return True
