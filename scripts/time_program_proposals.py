"""What a program costs to propose: processor seconds of whole studies on a loss that costs nothing.

    python scripts/time_program_proposals.py --model smollm2 --backend llama_cpp --dialect code --budget 8

Prints a line per space and proposer: seconds of processor time a proposal (all threads; without loading the model), the
tokens of the prompts, how many tokens were asked for, and how many programs the model wrote in all.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from airtune.engine import Study, StudyFile, Task, load_proposer
from airtune.grammars import program_space
from airtune.models import load_model


def measured(space: str, proposer: str, model: Any, budget: int, seed: int) -> str:
    """Run one study and say what its proposals took; the first trials of `lm+gp` are the model's alone."""
    programs = program_space(space)

    def loss(config: dict[str, Any]) -> float:
        return int(hashlib.sha256(programs.render(config).encode()).hexdigest()[:8], 16) / 2**32

    task = Task("a table", programs.space, loss, description="Predict a number of each row of a table.")
    with tempfile.TemporaryDirectory() as folder:
        path, seconds = Path(folder) / "s.sqlite", []
        with Study(task, load_proposer(proposer, model=model), seed=seed, path=path, name="s") as study:
            for _ in range(budget):
                started = time.process_time()
                trial = study.ask()
                seconds.append(time.process_time() - started)
                study.tell(trial, loss(dict(trial.config)))
        with StudyFile(path, readonly=True) as file:
            found = list(file.transcripts("s").values())
    prompts = [one["prompt_tokens"] for one in found]
    return (
        f"{space:22} {proposer:6} first {seconds[0]:.2f} s, median {statistics.median(seconds):.2f} s, last "
        f"{seconds[-1]:.2f} s; prompts of {min(prompts)} to {max(prompts)} tokens, "
        f"{statistics.median(one['decode_steps'] for one in found):g} asked for, "
        f"{sum(len(one.get('samples', [one])) for one in found)} programs written"
    )


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--backend", default="llama_cpp")
    parser.add_argument("--dialect", default="code")
    parser.add_argument("--spaces", default="tiny,tabular_regression,images")
    parser.add_argument("--proposers", default="lm,lm+gp")
    parser.add_argument("--budget", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    model = load_model(given.model, given.backend, dialect=given.dialect, threads=1)
    for space in given.spaces.split(","):
        for proposer in given.proposers.split(","):
            print(measured(space, proposer, model, given.budget, given.seed), flush=True)


if __name__ == "__main__":
    main()
