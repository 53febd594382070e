"""Objectives that go wrong: each failure is a trial with a reason, the run goes on, nothing is lost.

One study per kind of objective: its space is the list of all that can go wrong, and the study exhausts it.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Folder

# What goes wrong: the line that does it, and what the trial's reason must say.
CALLABLE = {
    "raises": ("raise ValueError('the data is gone')", "the data is gone"),
    "a string": ("return 'good'", "'good'"),
    "nan": ("return float('nan')", "nan"),
    "infinity": ("return float('inf')", "inf"),
    "none": ("return None", "None"),
    "no loss": ("return {'accuracy': 0.9}", "'loss'"),
    "exits": ("os._exit(9)", "code 9"),
    "crashes": ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    "never ends": ("signal.pause()", "timed out after 4 s"),
    "works": ("return 1.0", ""),
}
COMMAND = {
    "no JSON": ("print('no figure')", "printed no JSON"),
    "silent": ("pass", "printed no JSON"),
    "a string": ('print(\'{"loss": "low"}\')', "low"),
    "nan": ("print('{\"loss\": NaN}')", "nan"),
    "no loss": ("print('{\"score\": 1}')", "'loss'"),
    "fails": ("sys.exit('out of memory')", "out of memory"),
    "never ends": ("signal.pause()", "timed out after 4 s"),
    "works": ("print('{\"loss\": 1.0}')", ""),
}


def write_space(folder: Folder, choices: list[str]) -> None:
    folder.write("faults.json", json.dumps({"fault": {"type": "categorical", "choices": choices}}))


@pytest.mark.parametrize(
    ("kind", "faults"), [("callable", CALLABLE), ("command", COMMAND)], ids=lambda v: str(v)[:8]
)
def test_everything_that_can_go_wrong(folder: Folder, kind: str, faults: dict[str, tuple[str, str]]) -> None:
    write_space(folder, list(faults))
    bodies = "\n".join(f"    if fault == {name!r}:\n        {body}" for name, (body, _) in faults.items())
    code = f"import os, signal, sys\n\n\ndef run(fault):\n{bodies}\n\n\n"
    if kind == "callable":
        folder.write("faulty.py", code + "def loss(config):\n    return run(config['fault'])\n")
        what = ("--objective", "faulty:loss")
    else:
        folder.write("faulty.py", code + "run(sys.argv[1])\n")
        what = ("--command", f"{sys.executable} faulty.py {{fault}}")
    options = ("--space", "faults.json", *what, "--proposer", "random", "--timeout", "4", "--budget", "20")
    ended = folder.call("tune", *options, "--json").json
    assert ended["stopped"] == "space exhausted"
    trials = {trial["config"]["fault"]: trial for trial in ended["trials"]}
    assert set(trials) == set(faults)
    for name, (_, reason) in faults.items():
        trial = trials[name]
        if reason:
            assert trial["status"] == "failed"
            assert trial["loss"] is None
            assert reason.lower() in trial["reason"].lower()
            assert "\n" not in trial["reason"]
        else:
            assert trial["status"] == "told"
            assert ended["best"]["number"] == trial["number"]
    shown = folder.call("show", "airtune.sqlite", "--trial", str(trials["never ends"]["number"])).out
    assert "timed out after 4 s" in shown


def test_a_run_of_which_every_trial_failed_has_failed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")  # so that no reason is folded
    folder.write("faulty.py", "def loss(config):\n    raise RuntimeError('no licence for this solver')\n")
    options = ("--space", "space.json", "--objective", "faulty:loss", "--proposer", "random", "--budget", "3")
    ended = folder.call("tune", *options, code=1)
    assert "no licence for this solver" in ended.out
    assert "no licence for this solver" in ended.err
    assert "every evaluation failed" in ended.out
    assert "Traceback" not in ended.out + ended.err
    document = folder.call("tune", *options, "--json", code=1).json
    assert document["best"] is None
    assert len(document["trials"]) == 3


@pytest.mark.parametrize(
    "body",
    [
        "raise RuntimeError('the disk with the data is not mounted: ' + 'very ' * 90 + 'sorry')",
        "print('working', flush=True); raise MemoryError('very ' * 90 + 'sorry')",
        "sys.exit('no GPU: ' + 'very ' * 90 + 'sorry')",
    ],
)
def test_a_broken_command_does_not_burn_the_budget(folder: Folder, body: str) -> None:
    """Catches: the budget is burnt; the cause is cut; afterwards the study is called complete."""
    folder.write("broken.py", f"import sys\n{body}\n")
    options = ("--space", "space.json", "--command", f"{sys.executable} broken.py {{config_json}}")
    options = (*options, "--proposer", "random", "--budget", "12")
    ended = folder.call("tune", *options, code=1)
    assert "3 of 12 trials" in ended.out
    assert "very sorry" in ended.out
    assert "--keep-going" in ended.out
    again = folder.call("tune", *options, code=1)
    assert "4 of 12 trials" in again.out
    assert "complete already" not in again.out
    assert folder.call("tune", *options, "--json", code=1).json["stopped"] == "failing"
    all_the_same = folder.call("tune", *options, "--keep-going", code=1)
    assert "12 of 12 trials" in all_the_same.out
    spent = folder.call("tune", *options, code=1)
    assert "complete already" not in spent.out
    assert "spent on failures" in spent.out
