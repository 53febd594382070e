"""Whoever evaluates, with a model in this process: the objective's environment is the user's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import Evaluation, Study, Task, command_objective
from airtune.models import environment
from airtune.models.offline import SWITCHES, stay_offline

SHOWN = (*SWITCHES, "TOKENIZERS_PARALLELISM")


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A user's environment, in which a model has been loaded."""
    monkeypatch.setattr(environment, "_replaced", {})
    before = dict(os.environ)
    for name in SHOWN:
        os.environ.pop(name, None)
    os.environ |= {"HF_HUB_OFFLINE": "0", "DO_NOT_TRACK": "", "TOKENIZERS_PARALLELISM": "true"}
    yield {name: os.environ[name] for name in SHOWN if name in os.environ}
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize("isolate", [False, True])
@pytest.mark.parametrize("kind", ["function", "command"])
def test_objectives_see_the_user_s_environment(
    shell: dict[str, str], isolate: bool, kind: str, tmp_path: Path
) -> None:
    """Catches: `os.environ` instead of the user's in workers, commands or evaluations in this process."""
    stay_offline()
    names = tuple(SHOWN)

    def seen(config: dict[str, Any]) -> dict[str, Any]:
        import os

        return {"loss": 1.0, "seen": {name: os.environ[name] for name in names if name in os.environ}}

    space = ConfigurationSpace({"x": (0.0, 1.0)})
    program = tmp_path / "seen.py"
    program.write_text(
        "import json, os\n"
        f"print(json.dumps({{'loss': 1.0, 'seen': {{n: os.environ[n] for n in {names} if n in os.environ}}}}))"
    )
    objective = seen if kind == "function" else command_objective(f"{sys.executable} {program} {{x}}", space)
    with Study(Task("t", space, objective), "random", evaluation=Evaluation(isolate=isolate)) as study:
        (trial,) = study.run(1).trials
    assert trial.info["seen"] == shell
    assert os.environ["HF_HUB_OFFLINE"] == "1"
