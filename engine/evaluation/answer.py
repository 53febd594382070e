"""What a command printed: where in it the result is."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from airtune.engine.evaluation.result import TrialFailed, read_result

# Numbers as programs print them, of which JSON has not all: "nan", "-inf", ".5".
_NUMBER = re.compile(
    r"[-+]?(\d+\.?\d*(e[-+]?\d+)?|\.\d+(e[-+]?\d+)?|nan|inf|infinity)", re.IGNORECASE | re.ASCII
)
_WITH_LOSS = re.compile(r"""\{.*["']loss["']\s*:""")


def log_output(text: str) -> None:
    """Put what a program printed on standard error: a worker's is the evaluation's log, of which the end is kept.

    In the search's own process there may be none (a window, a service), or nobody who reads it any more: a program
    that has been trained is not lost by that.
    """
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)


def read_output(printed: str) -> dict[str, Any]:
    """The result: the last JSON document, on a line of its own or over several, that is a number or an object.

    Lines end at a line feed or carriage return and nowhere else: JSON texts may hold U+2028, U+0085 and the like.

    Raises:
        TrialFailed: If there is none, or it holds no finite loss.
    """
    whole = printed.replace("\r", "\n").split("\n")
    lines = [line for line in (line.strip("\ufeff \t") for line in whole) if line]
    answer: object = None
    broken, i = "", 0
    while i < len(lines):
        found, count, problem = _document(lines, i)
        if problem:
            answer, broken = None, problem
        elif isinstance(found, dict | int | float) and not isinstance(found, bool):
            # Of a document that cannot be read as a whole, no part is the result.
            before, after = (lines[i - 1] if i else ""), "".join(lines[i + count : i + count + 1])
            if not before.endswith(("{", "[", ",")) and not after.startswith(("}", "]", ",")):
                answer = found
        i += count
    if answer is None:
        raise TrialFailed(
            broken or 'the command printed no JSON with the loss: its last line should be like {"loss": 0.1}'
        )
    read_result(answer)
    return answer if isinstance(answer, dict) else {"loss": answer}


def _document(lines: Sequence[str], start: int) -> tuple[object, int, str]:
    """The JSON document that begins with a line: (its value or None, lines it takes, what is wrong with it or "")."""
    line = lines[start]
    if _NUMBER.fullmatch(line):
        return float(line), 1, ""
    if line[0] not in '{[-0123456789NI"':
        return None, 1, ""
    try:
        return json.loads(line), 1, ""
    except json.JSONDecodeError as error:
        if error.pos < len(line):  # no JSON, such as "[INFO] epoch 1", and not the first line of some
            told = f"the command printed a loss in what is no JSON: {line[:80]}: {error.msg}"
            return None, 1, told if _WITH_LOSS.match(line) else ""
    except (ValueError, RecursionError):
        return None, 1, ""
    text = "\n".join(lines[start:])
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        return None, 1, f"the command printed JSON that cannot be read, from the line {line[:60]!r} on: {why}"
    rest = text[end:].partition("\n")[0]
    return (None if rest else value), text.count("\n", 0, end) + 1, ""
