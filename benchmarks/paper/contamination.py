"""`contamination`: the same tasks with hyperparameters renamed, on other ranges, and both."""

from __future__ import annotations

from collections.abc import Mapping

from airtune.benchmarks.paper.compared import Compared, difference, joined, label, mean
from airtune.benchmarks.paper.protocol import Protocol, filled
from airtune.benchmarks.paper.results import Line, Result, Table, of_claim
from airtune.benchmarks.paper.words import figure
from airtune.grammars.errors import counted

HERE, THERE = "as it is", "moved"
SHOWN, HIDDEN, CONTROL = "lm:{model}", "lm:{model+names=hidden}", "lm:{control}"
KNOW_NOTHING = "a model that knows nothing, on other ranges less as it is"


def evaluate(protocol: Protocol, arms: Mapping[str, Compared]) -> Result:
    """How much regret names and numbers save, with intervals; the control's gap, which is chance, beside."""
    both = joined({HERE: arms[HERE], THERE: arms[THERE]})
    look, clusters = both.last, both.comparison.clusters
    lines: list[Line] = []
    rows = []
    for model in protocol.models:
        shown, hidden, control = (filled(template, model) for template in (SHOWN, HIDDEN, CONTROL))
        base = both.regret(f"{shown} [{HERE}]", look)
        chance = difference(
            both.regret(f"{control} [{THERE}]", look), both.regret(f"{control} [{HERE}]", look), clusters
        )
        for key, method, place in (
            ("both", hidden, THERE),
            ("names", hidden, HERE),
            ("ranges", shown, THERE),
        ):
            gap = difference(both.regret(f"{method} [{place}]", look), base, clusters)
            lead = key == "both" and model == protocol.models[0]
            claim = protocol.part.claim(key)
            more = {"against": KNOW_NOTHING, "control": chance, "lead": lead}
            lines.append(of_claim(claim, gap, arm=place, method=label(shown), **more))
        for method in (shown, hidden, control):
            cells = [
                figure(mean(both.regret(f"{method} [{place}]", look), clusters), "")
                for place in (HERE, THERE)
            ]
            rows.append((label(method), *cells))
    first = next(line for line in lines if line.lead)
    return Result(
        verdict=first.verdict,
        answer=f"Other names and ranges change the normalised regret of {first.method} after "
        f"{counted(look, 'evaluation')} by "
        f"{figure(first.ours, '')}"
        + (
            f"; that of a model that knows nothing, which is chance, by {figure(first.control, '')}."
            if first.control
            else "."
        ),
        lines=tuple(lines),
        tables=(
            Table(
                f"normalised regret after {counted(look, 'evaluation')}",
                ("method", HERE, "on other ranges"),
                tuple(rows),
            ),
        ),
        notes=(_certificate(),),
    )


def _certificate() -> str:
    """What the bundled model was trained on, by hash."""
    from airtune.models.backends.checkpoint import sha256_of
    from airtune.models.names import locate

    folder = locate("pocket")
    files = ", ".join(f"{name} {sha256_of(folder / name)}" for name in ("model.safetensors", "training.json"))
    return (
        "pocket's certificate: it was trained on data that this project's scripts generate, by the recipe in "
        f"training.json (SHA-256 {files}); no benchmark data set is among them, and a test says so "
        "(test_no_benchmark_data_goes_into_training)."
    )
