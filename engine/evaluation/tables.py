"""Data of the user's own for programs to learn: a table as CSV, or arrays as NPZ, in three parts."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airtune.engine.evaluation.programs import SCORES, ProgramData
from airtune.engine.types import TaskError
from airtune.grammars import read_file, unknown_name
from airtune.grammars.errors import shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TEST_SHARE, VALIDATION_SHARE, SPLIT_SEED = 0.2, 0.2, 0  # of all rows
MOST_CATEGORIES = 100  # of one column of words
PARTS = ("train", "validation", "test")
# How a column of numbers or dates says that it has none; among words they may be words.
MISSING = frozenset(("", "?", "-", ".", "na", "n/a", "nan", "<na>", "nat", "null", "none"))


@dataclass(frozen=True, slots=True)
class Read:
    """What was read.

    Attributes:
        data: In parts.
        digest: SHA-256 of the file and of what was asked of it.
        words: What is in it, for descriptions.
    """

    data: ProgramData
    digest: str
    words: str


def read_data(path: Path, target: str | None, score: str) -> Read:
    """Read data from a file, and split them.

    Args:
        path: ``*.csv`` or ``*.csv.gz``, with a line of names; a column of words becomes a column of 0 and 1 for each of
            them, a column of dates its days, weekday and hour. Or ``*.npz``: arrays x and y, or train_x, train_y,
            validation_x, ... in the parts that are meant.
        target: Of a CSV file: the column to predict.
        score: A key of `SCORES`.

    Returns:
        60 % of the rows for training, 20 % for validation, 20 % for testing: a split that depends on the number of rows
        and, of "error", on the classes.

    Raises:
        TaskError: If the file cannot be read, or holds something else: the message names it.
    """
    if score not in SCORES:
        raise TaskError.unknown("score", score, SCORES)
    try:
        content = read_file(path)
    except OSError as error:
        raise _wrong(path, f"cannot be read: {error}", "check the path and its permissions") from error
    name = path.name.lower()
    if name.endswith(".npz"):
        if target is not None:
            raise _wrong(path, "has no columns, and --target names one", "leave --target out: arrays x and y")
        arrays, words = _arrays(path, content), "arrays"
    elif name.endswith((".csv", ".csv.gz")):
        if target is None:
            raise _wrong(
                path, "is a table, and no column to predict was named", "name it: --target COLUMN", allowed="--target"
            )  # fmt: skip
        arrays, words = _table(path, content, target)
    else:
        raise _wrong(
            path,
            "is neither a table nor arrays",
            "write it as one of them",
            allowed="*.csv, *.csv.gz or *.npz",
        )
    given = "\0".join([target or "", score]).encode() + b"\0" + content
    data = _split(path, arrays, score)
    rows = f"{len(data.train[1])} rows to train on, {len(data.validation[1])} to validate on"
    return Read(data, hashlib.sha256(given).hexdigest(), f"{words}, {rows}")


def read_again(path: str, target: str | None, score: str, digest: str) -> ProgramData:
    """The data of a study that was made with them; see `read_data`, whose digest must be the same.

    Raises:
        TaskError: If they are others, or cannot be read.
    """
    file, hint = Path(path), "name the study's own: AIRTUNE_DATA=FILE"
    if file.is_dir():  # what AIRTUNE_DATA names for the tasks that need data
        raise _wrong(file, "is a folder, and no data file", hint)
    found = read_data(file, target, score)
    if found.digest != digest:
        raise _wrong(
            file, "is not the file that the study was made with", hint, allowed=f"a file whose digest is {digest[:8]}"
        )  # fmt: skip
    return found.data


_FILL = "fill it in, or leave the row or the column out"


def _wrong(path: Path, why: str, hint: str, *, value: object = None, allowed: str | None = None) -> TaskError:
    shown = str(path) if value is None else value
    return TaskError(
        f"the data in {str(path)!r}: {why}" if value is not None else f"{str(path)!r} {why}",
        value=shown,
        allowed=allowed or "a CSV file with a line of names, or an NPZ file of arrays",
        hint=hint,
    )


def _table(path: Path, content: bytes, target: str) -> tuple[dict[str, NDArray[Any]], str]:
    import numpy as np

    try:
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8-sig")
        lines = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except (ValueError, OSError, EOFError, zlib.error, csv.Error) as error:
        raise _wrong(path, f"is no table: {error}", "write it as CSV in UTF-8") from error
    if not lines:
        raise _wrong(path, "is no table: it is empty", "write a line of names, and the rows below it")
    names, *rows = lines
    if target not in names:
        message, allowed, hint = unknown_name("column", target, names)
        if len(names) == 1:
            message, hint = f"{message}; its first line is one name", "write commas between the columns"
        raise _wrong(path, message, hint, value=target, allowed=allowed)
    for number, name in enumerate(names, 1):
        if not name.strip() or name in names[: number - 1]:
            raise _wrong(
                path, f"column {number} has no name" if not name.strip() else f"two columns have one name, {name!r}",
                "name it, or leave the column out", value=name, allowed="a name of its own for each column",
            )  # fmt: skip
    for number, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise _wrong(
                path, f"row {number} has {len(row)} values, and there are {len(names)} columns", "mend the row",
                value=number,
            )  # fmt: skip
    texts = {name: [row[i].strip() for row in rows] for i, name in enumerate(names)}
    columns: list[NDArray[np.float64]] = []
    for name in names:
        if (empty := next((i for i, one in enumerate(texts[name], 2) if not one), None)) is not None:
            raise _wrong(
                path, f"column {name!r} has no value in row {empty}, and programs take none for granted",
                _FILL, value=name, allowed="a value in every row",
            )  # fmt: skip
        if (gap := _gap(texts[name])) is not None:
            raise _wrong(
                path, f"column {name!r} has {shown(texts[name][gap])} in row {gap + 2}, and numbers or dates else",
                _FILL, value=name, allowed="a value in every row, numbers that are finite",
            )  # fmt: skip
        if name != target:
            columns += encode_column(name, texts[name]).values()
    if not columns:
        raise _wrong(path, f"has no column but {target!r}", "add columns to predict it from")
    inputs = ", ".join(name for name in names if name != target)
    y = texts[target]
    return {"x": np.stack(columns, axis=1), "y": _targets(y)}, f"predicting {target} from {inputs}"


def _gap(texts: Sequence[str]) -> int | None:
    """Where a column of numbers or dates has a missing value, or an infinite one; None if it has none, or is of words.

    Taken for a word, it would make a column of 0 and 1 of every number.
    """
    found = None
    for i, word in enumerate(texts):
        try:
            there = math.isfinite(float(word))
        except ValueError:
            there = word.lower() not in MISSING
            if there and not _is_date(word):
                return None
        if not there and found is None:
            found = i
    return found if any(word.lower() not in MISSING for word in texts) else None


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def encode_column(name: str, texts: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """A column as numbers.

    Args:
        name: Its name.
        texts: Its values: numbers, dates (ISO 8601), or words.

    Returns:
        Column names -> values: a number as it is; of dates the days since 1970, the weekday (Monday is 0) and the hour,
        with fractions; of words one column each, of 0 and 1, in the order of the alphabet.

    Raises:
        TaskError: If there are more than `MOST_CATEGORIES` words.
    """
    import numpy as np

    numbers = _numbers(texts)
    if numbers is not None:
        return {name: numbers}
    try:
        dates = [datetime.fromisoformat(text.strip()).replace(tzinfo=None) for text in texts]
    except ValueError:
        words = sorted(set(texts))
        if len(words) > MOST_CATEGORIES:
            raise TaskError(
                f"column {name!r} has {len(words)} different words: {shown(words[0])}, {shown(words[1])}, ...",
                value=name,
                allowed=f"numbers, dates, or up to {MOST_CATEGORIES} words",
                hint="leave the column out, or make numbers of it",
            ) from None
        return {f"{name}={word}": np.array([float(text == word) for text in texts]) for word in words}
    begin = datetime(1970, 1, 1)
    days = np.array([(date - begin).total_seconds() / 86400 for date in dates])
    hours = np.array([date.hour + date.minute / 60 + date.second / 3600 for date in dates])
    weekdays = np.array([float(date.weekday()) for date in dates])
    return {f"{name} day": np.floor(days), f"{name} weekday": weekdays, f"{name} hour": hours}


def _numbers(texts: Sequence[str]) -> NDArray[np.float64] | None:
    import numpy as np

    try:
        found = [float(text) for text in texts]
    except ValueError:
        return None
    return np.array(found) if all(map(math.isfinite, found)) else None


def _targets(texts: Sequence[str]) -> NDArray[Any]:
    import numpy as np

    numbers = _numbers(texts)
    return np.array(texts) if numbers is None else numbers


def _arrays(path: Path, content: bytes) -> dict[str, NDArray[Any]]:
    import numpy as np

    try:
        with np.lib.npyio.NpzFile(io.BytesIO(content), allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, KeyError, zlib.error, zipfile.BadZipFile) as error:
        raise _wrong(
            path, f"holds no arrays of numbers: {error}", "numpy.savez(FILE, x=..., y=...)"
        ) from error
    parts = [part for part in PARTS if f"{part}_x" in found or f"{part}_y" in found]
    wanted = [f"{part}_{kind}" for part in parts for kind in "xy"] if parts else ["x", "y"]
    missing = [name for name in wanted if name not in found]
    if missing or (parts and parts[:2] != ["train", "validation"]):
        lacks, has = (missing or ["validation_x"])[0], ", ".join(map(repr, found)) or "none"
        raise _wrong(
            path, f"there is no array {lacks!r}; there is {has}", "numpy.savez(FILE, x=..., y=...)", value=lacks,
            allowed="x and y; or train_x, train_y, validation_x, validation_y, perhaps test_x, test_y",
        )  # fmt: skip
    for name in wanted:
        one = found[name]
        # Sandboxes know no numbers of more than eight bytes.
        kinds, longest = ("biufU", math.inf) if name.endswith("y") else ("biuf", 8)
        if one.dtype.kind not in kinds or one.dtype.itemsize > longest:
            raise _wrong(
                path, f"array {name!r} is of {one.dtype}, no numbers that programs can be given",
                "make it numbers of 64 bits at most", value=name,
            )  # fmt: skip
        if one.dtype.kind == "f" and not np.isfinite(one).all():
            raise _wrong(path, f"array {name!r} holds NaN or infinity", "fill in what is missing", value=name)
        if (one.ndim < 2) if name.endswith("x") else (one.ndim != 1):
            shape = "(rows, columns) or more" if name.endswith("x") else "(rows,)"
            raise _wrong(
                path, f"array {name!r} has the shape {one.shape}", f"the shape must be {shape}", value=name
            )
    for x, y in zip(wanted[::2], wanted[1::2], strict=True):
        if len(found[x]) != len(found[y]):
            raise _wrong(
                path, f"{x!r} has {len(found[x])} rows and {y!r} {len(found[y])}", "as many targets as rows", value=x
            )  # fmt: skip
        first, size = wanted[0], found[x].shape
        if 0 in size or size[1:] != found[first].shape[1:]:
            raise _wrong(
                path, f"array {x!r} has the shape {size}", "give all parts the same columns", value=x,
                allowed=f"one row or more, each of the shape that those of {first!r} have, {found[first].shape[1:]}",
            )  # fmt: skip
    return {name: found[name] for name in wanted}


def _split(path: Path, arrays: Mapping[str, NDArray[Any]], score: str) -> ProgramData:
    """The parts, with targets as their score needs them: numbers, or the numbers of classes."""
    import numpy as np

    ys = [name for name in arrays if name.endswith("y")]
    classes = np.unique(np.concatenate([arrays[name] for name in ys]))
    if score != "error" and classes.dtype.kind == "U":
        word = next((str(one) for one in classes if _numbers([one]) is None), None)
        if word is not None:
            raise _wrong(
                path, f"the targets are words ({shown(word)}, ...), and the score {score!r} is of numbers",
                "--score error counts wrong classes", value=word, allowed="numbers",
            )  # fmt: skip
    if len(classes) == 1 and len(arrays[ys[0]]) > 1:
        raise _wrong(
            path, f"the target is {shown(classes[0].item())} in every row, and there is nothing to learn",
            "name another target", value=classes[0].item(), allowed="a target of two values or more",
        )  # fmt: skip
    y = {
        name: np.searchsorted(classes, arrays[name]) if score == "error" else arrays[name].astype(np.float64)
        for name in ys
    }
    if "train_y" in arrays:
        train, validation, *test = ((arrays[f"{p}_x"], y[f"{p}_y"]) for p in PARTS if f"{p}_y" in y)
        return ProgramData(train, validation, test[0] if test else None, score)
    rows = len(y["y"])
    if rows < 10 or (score == "error" and 10 * len(classes) > rows):
        raise _wrong(
            path, f"it has {rows} rows" + (f" of {len(classes)} classes" if score == "error" else ""),
            "add rows" + ("; if the targets are no classes: --score mse" if score == "error" else ""),
            value=rows, allowed="10 rows or more, and 10 for each class",
        )  # fmt: skip
    from sklearn.model_selection import train_test_split

    chosen, order = [], np.arange(rows)
    for share in (TEST_SHARE, VALIDATION_SHARE / (1 - TEST_SHARE)):
        again = y["y"][order] if score == "error" and np.bincount(y["y"][order]).min() > 1 else None
        order, taken = train_test_split(order, test_size=share, random_state=SPLIT_SEED, stratify=again)
        chosen.append(np.sort(taken))
    test_rows, validation_rows = chosen
    train_rows = np.sort(order)
    x = arrays["x"]
    return ProgramData(
        (x[train_rows], y["y"][train_rows]),
        (x[validation_rows], y["y"][validation_rows]),
        (x[test_rows], y["y"][test_rows]),
        score,
    )
