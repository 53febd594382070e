"""`airtune replay` and `airtune diff`: is a study what it says it is, and where do two of them part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airtune.engine.cli.options import Json, StudyFileArgument, StudyName
from airtune.engine.cli.output import config_text, config_words, err, loss_text, print_json, print_lines

if TYPE_CHECKING:
    from airtune.engine.replay.diff import FileDiff, StudyDiff
    from airtune.engine.replay.report import Report, StudyReplay

SHOWN = 10  # studies that differ are described up to this many; --json has all
LEVEL_HELP = (
    "0: from the recorded answers, no model. 1: same machine and settings. 2: batches of other sizes. "
    "3: another machine, within a tolerance."
)


def replay(
    file: StudyFileArgument,
    study_name: StudyName = None,
    level: Annotated[int, typer.Option(help=LEVEL_HELP)] = 1,
    trials: Annotated[str | None, typer.Option(metavar="A:B", help="Only trials A to B.")] = None,
    model: Annotated[
        str | None, typer.Option(help="The model's name or directory here. (default: the recorded one)")
    ] = None,
    backend: Annotated[str | None, typer.Option(help="Another backend. (level 3)")] = None,
    device: Annotated[str | None, typer.Option(help="Another device, such as cpu. (level 3)")] = None,
    dtype: Annotated[str | None, typer.Option(help="Another number format. (level 3)")] = None,
    tolerance: Annotated[
        float, typer.Option(metavar="NATS", help="Largest difference of log-probabilities. (level 3)")
    ] = 1e-3,
    jobs: Annotated[int, typer.Option(help="Processes.")] = 1,
    json: Json = False,
) -> None:
    """Derive every proposal of a study again, and compare it with what is stored. Changes nothing.

    Exit code 0: all is what it was. 1: something differs; the first difference is shown, with its cause.
    """
    from airtune.engine.replay.derive import replay as run
    from airtune.engine.replay.report import Options
    from airtune.engine.storage.study_file import study_file
    from airtune.grammars import AirtuneError

    if jobs < 1:
        raise AirtuneError(f"{jobs} processes are none", value=jobs, allowed="1 or more")
    settings = tuple((key, value) for key, value in (("device", device), ("dtype", dtype)) if value)
    first, last = _trials(trials)
    options = Options(level, model, backend, settings, tolerance, first, last)
    with _Progress(enabled=not json) as progress:
        report = run(study_file(file), study_name, options, jobs=jobs, on_progress=progress)
    if json:
        print_json(report.json())
    else:
        print_lines(_replay_lines(report))
    raise typer.Exit(0 if report.holds else 1)


def _trials(text: str | None) -> tuple[int, int | None]:
    """The first and the last trial of a range "A:B", either of which may be left out."""
    from airtune.grammars import AirtuneError

    if text is None:
        return 0, None
    first, colon, last = text.partition(":")
    if not all(part.isdecimal() or not part for part in (first, last)) or text in ("", ":"):
        raise AirtuneError(f"{text!r} is no range of trials", value=text, allowed="A:B, A:, :B or one number")
    if not colon:
        return int(first), int(first)
    return int(first or 0), int(last) if last else None


class _Progress:
    """How many studies are done, on standard error; nothing for a few."""

    def __init__(self, *, enabled: bool) -> None:
        self._console, self._enabled, self._shown = err(), enabled, 0

    def __enter__(self) -> Callable[[int, int], None]:
        return self._say

    def __exit__(self, *_: object) -> None:
        if self._enabled and self._shown and self._console.is_terminal:
            self._console.print()

    def _say(self, done: int, total: int) -> None:
        if not self._enabled or total < 5:
            return
        if self._console.is_terminal:
            self._console.print(f"\rreplayed {done} of {total} studies", end="")
        elif done * 10 // total > self._shown * 10 // total:
            self._console.print(f"replayed {done} of {total} studies", soft_wrap=True)
        self._shown = done


def _replay_lines(report: Report) -> list[str]:
    from airtune.engine.replay.report import LEVELS

    lines = [f"replay of {report.path} on level {report.level}: {LEVELS[report.level]}"]
    bad = [one for one in report.studies if not one.holds(report.level)]
    for one in bad[:SHOWN]:
        lines += ["", *_study_lines(one)]
    if len(bad) > SHOWN:
        lines += ["", f"and {len(bad) - SHOWN} more studies (--json has all)"]
    if report.differences:
        lines += ["", "not as recorded:" if bad else "not as recorded, and of no effect:"]
        lines += [f"  {one}" for one in report.differences]
    if bad:
        lines.append("")
    checked, good = sum(one.checked for one in report.studies), len(report.studies) - len(bad)
    how = "equal" if report.level == 3 else "equal to the bit"
    whole = f"{good} of {len(report.studies)} studies" if len(report.studies) != 1 else "the study"
    if len(report.studies) != 1 or not bad:
        is_are = "is" if len(report.studies) == 1 else "are"
        lines.append(f"{whole} {is_are} {how} ({checked} proposals derived again)")
    if report.agreement.tokens and report.level:
        found = report.agreement
        lines.append(
            f"{found.same} of {found.tokens} tokens are equal; "
            f"their log-probabilities differ by {found.largest:.3g} nats at most"
        )
    return lines


def _study_lines(one: StudyReplay) -> list[str]:
    lines = [f"study {one.name!r}"]
    if one.refused is not None:
        lines.append(f"  cannot be replayed: {one.refused}")
    if one.first is not None:
        more = f", the first of {len(one.diverging)} trials that differ" if len(one.diverging) > 1 else ""
        lines += [
            f"  trial {one.first.trial} differs in its {one.first.what}{more}",
            f"    recorded  {one.first.recorded}",
            f"    derived   {one.first.derived}",
        ]
        if one.first.configs is not None and one.first.what != "configuration":
            ours, theirs = (config_text(config) for config in one.first.configs)
            lines.append(f"    so that   {ours} became {theirs}")
        lines.append(f"    cause     {one.first.cause}")
    if one.altered:
        named = ", ".join(one.altered[:5]) + (
            f" and {len(one.altered) - 5} more" if len(one.altered) > 5 else ""
        )
        lines.append(f"  changed after it was written (the checksum does not match): {named}")
    reasons: dict[str, list[int]] = {}
    for number, why in one.skipped.items():
        reasons.setdefault(why, []).append(number)
    for why, numbers in reasons.items():
        which = f"trial {numbers[0]}" if len(numbers) == 1 else f"{len(numbers)} trials from {numbers[0]} on"
        lines.append(f"  {which} cannot be checked: {why}")
    if one.other_model and one.first is None:
        lines.append(f"  another model: {one.other_model[0]}")
    return lines


def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="A study file, or a comparison's folder.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another, or the same.")],
    study_name: Annotated[str | None, typer.Option(metavar="NAME", help="One study of A.")] = None,
    other_name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The study of B to compare it with. (default: the same name)"),
    ] = None,
    json: Json = False,
) -> None:
    """Compare two studies, or all studies of two files. Times do not count.

    Exit code 0: equal. 1: different; of everything that differs, the first trial is shown.
    """
    from airtune.engine.replay.diff import diff as compare
    from airtune.engine.storage.study_file import study_file

    found = compare(study_file(a), study_file(b), study_name, other_name)
    if json:
        studies = [one.json() for one in found.studies]
        print_json({"equal": found.equal, "studies": studies, "only_a": found.only_a, "only_b": found.only_b})
    else:
        print_lines(_diff_lines(found))
    raise typer.Exit(0 if found.equal else 1)


def _diff_lines(found: FileDiff) -> list[str]:
    from airtune.grammars.errors import counted

    different = [one for one in found.studies if not one.equal]
    lines: list[str] = []
    for one in different[:SHOWN]:
        lines += [*_pair_lines(one), ""]
    if len(different) > SHOWN:
        lines += [f"and {len(different) - SHOWN} more pairs (--json has all)", ""]
    for where, names in (("first", found.only_a), ("second", found.only_b)):
        if names:
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            lines.append(f"only the {where} has {counted(len(names), 'study')}: {shown}")
    trials = sum(one.trials[0] for one in found.studies)
    if found.equal:
        lines.append(f"equal: {counted(len(found.studies), 'study')}, {counted(trials, 'trial')}")
    else:
        lines.append(f"{len(different)} of {len(found.studies)} pairs of studies differ")
    return lines


def _pair_lines(one: StudyDiff) -> list[str]:
    from airtune.grammars.errors import counted

    names = repr(one.name) if one.name == one.other else f"{one.name!r} and {one.other!r}"
    lines = [f"study {names}: {one.trials[0]} and {counted(one.trials[1], 'trial')}"]
    lines += [f"  {d.key}: {_cut(d.recorded)} | {_cut(d.now)}" for d in one.manifest]
    for parting in one.partings:
        lines += [f"  {parting.what} differ from trial {parting.trial} on"]
        lines += [f"    a  {parting.a}", f"    b  {parting.b}"]
    for which, best in zip("ab", one.best, strict=True):
        text = (
            "none"
            if best is None
            else f"trial {best.number}, {loss_text(best.loss)}: {config_words(None, best.config)}"
        )
        lines.append(f"  best of {which}: {text}")
    return lines


def _cut(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:24]}..."
