"""Victims of faults, each compared with what it was before and with what it would have been without any."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from airtune.engine import StoreError
from tests.faults.reading import Key, Trials, evaluation, export, finished, noted, read, same
from tests.faults.table import Row

Fault = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """How a run ended; see `server`.

    Attributes:
        code: Its exit code, or minus the signal that ended it.
        done: How many of the faults it lived to see.
        stuck: Whether it had to be killed.
        seconds: How long it took.
        left: Processes that outlived it for long.
        said: What it printed.
    """

    code: int
    done: int
    stuck: bool
    seconds: float
    left: list[int]
    said: str


@dataclass(frozen=True)
class Whole:
    """A run without faults: what to ask for, how long it took, and its end."""

    request: dict[str, Any]
    seconds: float
    export: str
    records: Trials


class Lab:
    """The process of `server`, and a folder for all that it does. A context manager.

    Args:
        folder: An empty one.
        seed: Of all that is chosen by chance.
    """

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder = folder
        self.seed = seed
        self._count = 0
        self._wholes: dict[str, Whole] = {}
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate()

    def random(self, kind: str) -> Random:
        """The choices for a kind of fault, whatever others there are."""
        return Random(f"{self.seed}/{kind}")

    def place(self) -> Path:
        """Where a new study file may be, in a new folder."""
        self._count += 1
        path = self.folder / str(self._count) / "files" / "bench.airtune"
        path.parent.mkdir(parents=True)
        return path

    def run(self, request: dict[str, Any]) -> Reply:
        """Run what `server` is asked to, to its end."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        output = Path(request["log"]).with_name("output")
        self._server.stdin.write(json.dumps({**request, "output": str(output)}) + "\n")
        self._server.stdin.flush()
        reply = json.loads(self._server.stdout.readline())
        # Killed at once, it has none.
        said = output.read_text(encoding="utf-8", errors="replace") if output.exists() else ""
        output.unlink(missing_ok=True)
        return Reply(**reply, said=said)

    def whole(self, request: dict[str, Any]) -> Whole:
        """What the request ends with when nothing befalls it; it is run twice, the second time to be timed."""
        key = json.dumps(request, sort_keys=True)
        if key not in self._wholes:
            for warms in (True, False):
                path = self.place()
                reply = self.run({**located(request, path), "warms": warms})
                assert reply.code == 0, reply.said
                self._wholes[key] = Whole(request, reply.seconds, export(path), read(path))
        return self._wholes[key]

    def victim(self, request: dict[str, Any], row: Row) -> Victim:
        """A new run of what is asked for, in a folder of its own."""
        return Victim(self, self.whole(request), row)


class Victim:
    """One study, or the comparison, that faults befall. After each run all is checked, and noted in the row."""

    def __init__(self, lab: Lab, whole: Whole, row: Row) -> None:
        self._lab, self.whole, self._row = lab, whole, row
        self.path = lab.place()
        self.log = log_of(self.path)
        self._read = 0  # bytes of the log
        self.before: Trials = {}
        self.spares: str | None = (
            None  # what the reason of trials begins with that a fault fails, as it should
        )
        self.spared: set[Key] = set()
        self.silent: set[Key] = set()  # trials whose transcripts were lost with a damaged page

    def run(self, *faults: Fault, **more: Any) -> Reply:
        """Begin it or go on with it."""
        request = {**located(self.whole.request, self.path), "faults": faults, **more}
        reply = self._lab.run(request)
        if reply.stuck or reply.left:
            self.object(f"did not end: {reply}")
        if "Traceback" in reply.said or "uncaught" in reply.said:
            self.object(reply.said[-2000:])
        self.check()
        return reply

    @property
    def arguments(self) -> list[str]:
        """Of its command, if it is one."""
        return list(located(self.whole.request, self.path)["arguments"])

    def object(self, what: str) -> None:
        """Note that something is not as it must be."""
        self._row.wrong.append(f"{self.path.parent}: {what}")

    def check(self) -> None:
        """Compare the file with what it was, with the log, and with the whole one."""
        try:
            now = read(self.path) if self.path.exists() else {}
        except StoreError as error:
            self.object(f"cannot be read: {error}")
            return
        self._row.lost += sum(now.get(key) != kept for key, kept in finished(self.before).items())
        begun, told = noted(self.log, self._read)
        self._read = self.log.stat().st_size if self.log.exists() else 0
        self._row.lost += sum(("s", number) not in finished(now) for number in told)
        had, all_of = (
            Counter(map(evaluation, these.values())) for these in (finished(self.before), self.whole.records)
        )
        self._row.twice += sum(max(0, count + had[one] - (all_of[one] or 1)) for one, count in begun.items())
        for key, kept in now.items():
            if self.spares is not None and (kept[0].trial.reason or "").startswith(self.spares):
                self.spared.add(key)
            elif not (self.asynchronous or same(kept, self.whole.records.get(key), key in self.silent)):
                self.object(f"trial {key} is {kept}, not {self.whole.records.get(key)}")
        self.before = now

    def finish(self) -> None:
        """Go on until it ends by itself, and compare its end."""
        reply = self.run()
        if reply.code:
            self.object(f"did not go on: {reply.said}")
        self._row.ends += 1
        self._row.equal += self.ends_equal()

    @property
    def asynchronous(self) -> bool:
        """Whether the order of results, and so all that follows, is another each time."""
        return bool(self.whole.request.get("settings", {}).get("asynchronous"))

    def ends_equal(self) -> bool:
        """Whether its export is that of the whole one, but for the trials that a fault has failed.

        An asynchronous one must have as many trials, all of them different, and its own transcript must replay.
        """
        if self.spared:
            return self.before.keys() == self.whole.records.keys()
        if not self.asynchronous:
            return export(self.path) == "".join(filter(self._is_kept, self.whole.export.splitlines(True)))
        different = {evaluation(kept) for kept in self.before.values()}
        arguments = ["replay", str(self.path), "--level", "0"]
        replayed = self._lab.run(
            {"run": "cli", "arguments": arguments, "path": str(self.path), "log": str(self.log)}
        )
        return (
            self.before.keys() == self.whole.records.keys()
            and len(different) == len(self.before)
            and not replayed.code
        )

    def _is_kept(self, line: str) -> bool:
        """Whether a line of the whole one's export is not that of a transcript that was lost."""
        if not self.silent:
            return True
        told = json.loads(line)
        return told["kind"] != "transcript" or ("s", told["number"]) not in self.silent


def befall(
    lab: Lab,
    row: Row,
    request: dict[str, Any],
    times: int,
    faults: Callable[[Random, float], list[Fault]],
    judge: Callable[[Victim, Reply], None] | None = None,
    part: float = 0.5,
) -> Row:
    """Let faults befall victims at moments anywhere in their lives, each of them until it ends, so often in all.

    Args:
        lab: Where.
        row: What becomes of them is noted in it.
        request: What is run.
        times: How often all of the faults are to be seen.
        faults: Makes those of one run, within so many seconds.
        judge: What else is looked at after each run that lived to see them all.
        part: Of the time that a whole run takes, in which they are.
    """
    if row.injected >= times:
        return row
    random = lab.random(row.kind)
    longest = lab.whole(request).seconds * part
    while row.injected < times:
        victim = lab.victim(request, row)
        while row.injected < times:
            chosen = faults(random, longest)
            reply = victim.run(*chosen)
            if not (reply.done and reply.code):  # too late
                longest *= 0.8  # it was timed when there was less, or more, else to do
                break
            if reply.done == len(chosen):
                row.injected += 1
                row.said[told_user(reply)] += 1
                if judge is not None:
                    judge(victim, reply)
        victim.finish()
    return row


def located(request: dict[str, Any], path: Path) -> dict[str, Any]:
    """The request for a study file at the path, and its log; "FILE", "FOLDER" and "SPACE" stand for theirs."""
    known = {
        "FILE": str(path),
        "FOLDER": str(path.parent),
        "SPACE": str(Path(__file__).with_name("space.json")),
    }
    arguments = [known.get(one, one) for one in request.get("arguments", [])]
    return {**request, "path": str(path), "log": str(log_of(path)), "arguments": arguments}


def log_of(path: Path) -> Path:
    """Where the evaluations of a study file are noted: not in its folder, which suffers."""
    return path.parents[1] / "log"


def told_user(reply: Reply) -> str:
    """What a run told its user at its end, without what differs from run to run."""
    lines = [line for line in reply.said.splitlines() if line.startswith(("error: ", "interrupted"))]
    if not lines:
        return f"killed by {signal.Signals(-reply.code).name}" if reply.code < 0 else "nothing"
    fix = [line.strip() for line in reply.said.splitlines() if line.startswith("  fix: ")]
    text = re.sub(r"'?/(?!O )[^ ']+/[^ ']*'?", "FILE", " ".join(lines[-1:] + fix[-1:]))
    return re.sub(r"\d+", "N", text)[:240]


def kill(
    after: float, number: signal.Signals = signal.SIGKILL, whom: str = "study", pick: float = 0.0
) -> Fault:
    """The fault that sends a signal: to the "study", to "all" its processes, or to the "worker" at a place in 0..1."""
    return {"after": after, "signal": int(number), "whom": whom, "pick": pick}
