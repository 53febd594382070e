"""What `airtune tune` begins with: configurations of the user's own, and a choice where other studies are there."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airtune.engine.storage.study_file import StudyRecord
    from airtune.engine.types import OtherStudiesError
    from airtune.grammars import AirtuneError

SHOWN = 5  # studies to choose from


def read_configs(path: Path) -> list[Any]:
    """The configurations in a file of --try: a JSON list of objects, one object, or an object on each line.

    Raises:
        AirtuneError: If it cannot be read.
    """
    from airtune.grammars import AirtuneError, read_file

    problem: object
    try:
        text = read_file(path).decode("utf-8-sig")
        try:
            found = json.loads(text)
        except ValueError:
            found = [json.loads(line) for line in text.split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        problem = error
    except (ValueError, RecursionError) as error:
        problem = f"it is no JSON ({error})"
    else:
        if found == []:
            problem = "it holds no configuration"
        else:
            return found if isinstance(found, list) else [found]
    raise AirtuneError(
        f"cannot read the configurations in {str(path)!r}: {problem}",
        value=str(path),
        allowed='a file with a JSON object for each configuration, on lines of their own or in a list: {"lr": 0.01}',
        hint="correct the file, or leave --try out",
    )


def choice(context: Any, error: OtherStudiesError) -> AirtuneError:
    """Where a study would begin from zero beside others of its task: the commands to choose from, as an error.

    Args:
        context: Typer's, of `airtune tune`.
        error: What was raised.
    """
    from airtune.grammars import AirtuneError

    goes_on = [_command(context, _changes(one, error.now)) for one in error.others]
    more = [f"... and {len(goes_on) - SHOWN} more: airtune show lists them"] if goes_on[SHOWN:] else []
    lines = [f"to go on: {command}" for command in goes_on[:SHOWN]] + more
    lines.append(f"a new one: {_command(context, {'new': True})}")
    return AirtuneError(
        error.message,
        value=error.value,
        allowed="to go on with those trials, or a new study",
        hint="\n       ".join(lines),
    )


def _changes(study: StudyRecord, now: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of `airtune tune` with which a stored study goes on, where they are others than for `now`."""
    from airtune.engine.identity import differing
    from airtune.engine.manifest import default_name
    from airtune.engine.types import DEFAULT_PROPOSER
    from airtune.models.registry import make_dialect

    stored, fields, changes = study.manifest, differing(study.manifest, now), dict[str, Any]()
    if "proposer" in fields:
        changes["proposer"] = None if stored["proposer"] == DEFAULT_PROPOSER else stored["proposer"]
    if "schedule" in fields:
        kind, _, size = (stored.get("schedule") or "").rpartition(" ")
        changes["asynchronous"] = size == "asynchronous"
        if size != "asynchronous":
            changes["jobs"] = size if kind else None
    model, temperature = stored.get("model"), stored.get("temperature")
    if stored.get("model_hash") != now.get("model_hash"):
        changes |= dict.fromkeys(("model", "backend", "dialect", "model_setting", "allow_network"))
        if model is not None:
            bundled = model["model"] == "pocket"
            changes["model"] = None if bundled else model["model"]
            changes["backend"] = None if model["backend"] == "transformers" else model["backend"]
            changes["dialect"] = None if bundled and model["dialect"] == "pocket" else model["dialect"]
    if temperature != now.get("temperature"):
        usual = model is not None and make_dialect(model["dialect"]).temperature == temperature
        changes["temperature"] = None if usual else temperature
    if stored.get("first", []) != now.get("first", []):
        changes["first"] = None  # who says nothing goes on with what was said
    if study.name != default_name(stored):
        changes["study_name"] = study.name
    return changes


def _command(context: Any, changes: Mapping[str, Any]) -> str:
    """The command line that was given, with other values; None leaves an option out."""
    words = ["airtune", context.info_name]
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name).name == "COMMANDLINE"
        value = changes.get(parameter.name, context.params[parameter.name] if given else None)
        if value is None or value is False:
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            option = parameter.opts[0] if parameter.param_type_name == "option" else None
            words += [*([] if option is None else [option]), *([] if one is True else [str(one)])]
    return shlex.join(words)
