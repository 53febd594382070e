"""SIGKILL: of the study's process at any moment, and of the process that evaluates."""

from __future__ import annotations

from typing import Any

from tests.faults.harness import Lab, befall, kill, told_user
from tests.faults.table import Row

# What is killed: every way in which evaluations and proposals come about.
SETTINGS: dict[str, dict[str, Any]] = {
    "in its own process": {"proposer": "random", "budget": 30, "settings": {}},
    "worker process": {"proposer": "random", "budget": 30, "settings": {"isolate": True}},
    "model": {"proposer": "default+lm+gp", "model": "pocket", "budget": 8, "settings": {}},
    "4 jobs": {"proposer": "random", "budget": 30, "settings": {"jobs": 4}},
    "model, 4 jobs": {
        "proposer": "default+lm+gp", "model": "pocket", "budget": 10, "settings": {"jobs": 4},
    },
    "4 jobs, asynchronous": {
        "proposer": "lm", "model": "scripted", "budget": 30, "settings": {"jobs": 4, "asynchronous": True},
    },
    "comparison": {
        "run": "comparison", "methods": ["lm", "random", "default+random"], "jobs": 1,
        "plan": {"suite": "toy", "seeds": 2, "budget": 12, "model": "scripted"},
    },
    "comparison, 2 jobs": {
        "run": "comparison", "methods": ["lm", "random", "default+random"], "jobs": 2,
        "plan": {"suite": "toy", "seeds": 2, "budget": 12, "model": "scripted"},
    },
}  # fmt: skip


def kill_study(lab: Lab, setting: str, times: int) -> Row:
    """SIGKILL of the study's process at moments anywhere in it, again and again, until it ends."""
    row = Row(f"SIGKILL of the study: {setting}")
    request = {"run": "study", **SETTINGS[setting]}
    return befall(lab, row, request, times, lambda random, longest: [kill(random.random() * longest)])


def kill_worker(lab: Lab, setting: str, times: int) -> Row:
    """SIGKILL of a process that evaluates: its trial fails and says why; the study goes on, in the same run."""
    row = Row(f"SIGKILL of an evaluation: {setting}")
    random = lab.random(row.kind)
    request = {"run": "study", **SETTINGS[setting], "slow": True}
    whole = lab.whole(request).seconds
    reason = "the evaluation's process was killed by SIGKILL (out of memory?)"
    while row.injected < times:
        victim = lab.victim(request, row)
        victim.spares = reason
        # The first at any moment, the others soon after, so that they hit the process that takes its place.
        faults = [
            kill(random.random() * (whole if first else whole / 4), whom="worker", pick=random.random())
            for first in (True, False, False)
        ]
        reply = victim.run(*faults)
        row.injected += reply.done
        row.said[f"the trial's reason: {reason}"] += len(victim.spared)
        if reply.code:
            row.said[told_user(reply)] += 1
        victim.finish()
    return row
