"""Fuzz for as long as you like: `python -m tests.fuzz studies --seconds 600`. Exit code 1 if a defect was found."""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import time
import traceback

from tests.fuzz.targets import TARGETS, attempt

CPU_SECONDS = 20  # for one input: more is a defect


def too_slow(*_: object) -> None:
    """The handler of the timer."""
    raise TimeoutError(f"more than {CPU_SECONDS} s of computing")


def main() -> int:
    """Run the targets in turn and print how many inputs they were given, took and refused, and the defects."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--first", type=int, default=0, help="the first seed; seed N makes input N")
    parser.add_argument("--count", type=int, default=10**12, help="inputs for each target, at most")
    parser.add_argument("--memory", type=int, default=6, help="GiB of address space")
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (given.memory << 30, given.memory << 30))
    signal.signal(signal.SIGVTALRM, too_slow)
    found = 0
    for name in given.targets:
        found += fuzz(name, given.first, given.count, given.seconds)
    return 1 if found else 0


def fuzz(name: str, first: int, count: int, seconds: float) -> int:
    """Give one target inputs; print each defect with its seed.

    Returns:
        How many defects there were.
    """
    counts = {True: 0, False: 0}
    defects: dict[str, int] = {}
    end = time.monotonic() + seconds
    seed = first
    while seed < first + count and time.monotonic() < end:
        signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
        try:
            counts[attempt(name, seed)] += 1
        except Exception as error:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            frames = traceback.extract_tb(error.__traceback__)
            where = f"{type(error).__name__} at {frames[-1].filename}:{frames[-1].lineno}"
            defects[where] = defects.get(where, 0) + 1
            if defects[where] == 1:
                print(f"{name}: seed {seed}: {where}", flush=True)
                shown = traceback.format_exception(error, limit=-7)
                print("".join(shown)[-2500:], flush=True)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        seed += 1
    print(
        f"{name}: {seed - first} inputs, {counts[True]} taken, {counts[False]} refused, "
        f"{sum(defects.values())} defects in {len(defects)} places",
        flush=True,
    )
    return sum(defects.values())


if __name__ == "__main__":
    sys.exit(main())
