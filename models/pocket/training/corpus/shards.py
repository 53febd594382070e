"""Tables in files: a shard holds many, in a few hundred kilobytes, its bytes a function of what was computed.

    head    JSON: a list of what `Table` says of each, arrays left out
    codes   (all rows' codes, one table after the other), unsigned bytes, see `drawing`
    valid   (rows of all tables), losses in half precision; test the same

Seconds are measured, hence no function of a seed: they lie in a file of their own beside it.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airtune.models.pocket.training.corpus.drawing import LEVELS
from airtune.models.pocket.training.corpus.networks import Length
from airtune.models.pocket.training.corpus.notation import Param


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A family's space on one data set: configurations and what came of them.

    Attributes:
        family: The family's name.
        index: Its number among the family's tables.
        algorithm: What was trained.
        length: How long a training was.
        metric: What the losses are: `error`, `balanced_error`, `log_loss`, `mse`, `mae`.
        seed: Everything was drawn from it.
        problem: The data set's facts, see `problems.Problem`.
        params: The hyperparameters.
        codes: (rows, parameters), see `drawing.config_of`; row 0 is the default where the space holds it.
        valid: (rows,) validation losses; infinite where a training failed.
        test: (rows,) test losses.
        seconds: (rows,) processor seconds, or empty where the file beside the shard is missing.
    """

    family: str
    index: int
    algorithm: str
    length: Length
    metric: str
    seed: int
    problem: dict[str, Any]
    params: tuple[Param, ...]
    codes: NDArray[np.uint8]
    valid: NDArray[np.float16]
    test: NDArray[np.float16]
    seconds: NDArray[np.float16]


_ARRAYS = ("codes", "valid", "test", "seconds")


def seconds_file(path: Path) -> Path:
    """Where a shard's seconds lie."""
    return path.with_suffix(".seconds.npy")


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(content)
    os.replace(partial, path)


def write(tables: Sequence[Table], path: Path) -> None:
    """Write a shard; it is there as a whole or not at all."""
    heads = []
    for table in tables:
        fields = {name: getattr(table, name) for name in Table.__slots__ if name not in _ARRAYS}
        heads.append(
            {
                **fields,
                "rows": len(table.valid),
                "length": asdict(table.length),
                "params": [_listed(p) for p in table.params],
            }
        )
    arrays = {
        "head": np.frombuffer(json.dumps(heads, separators=(",", ":")).encode(), dtype=np.uint8),
        "codes": np.concatenate([t.codes.ravel() for t in tables]),
        "valid": np.concatenate([t.valid for t in tables]),
        "test": np.concatenate([t.test for t in tables]),
    }
    packed, measured = io.BytesIO(), io.BytesIO()
    np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]
    np.save(measured, np.concatenate([t.seconds for t in tables]))
    _replace(seconds_file(path), measured.getvalue())  # first: the shard itself says that all is there
    _replace(path, packed.getvalue())


def _listed(p: Param) -> list[Any]:
    default = p.default if np.isfinite(p.default) else None
    return [
        p.name,
        p.key,
        p.kind,
        p.lower,
        p.upper,
        default,
        list(p.choices),
        p.only and [p.only[0], list(p.only[1])],
    ]


def _param(listed: list[Any]) -> Param:
    name, key, kind, lower, upper, default, choices, only = listed
    return Param(
        name, key, kind, lower, upper, float("nan") if default is None else default, tuple(choices),
        (only[0], tuple(only[1])) if only else None,
    )  # fmt: skip


def read(path: Path) -> list[Table]:
    """The tables of a shard."""
    found, row, place = [], 0, 0
    with np.load(path) as packed:
        arrays = {name: packed[name] for name in packed.files}
    beside = seconds_file(path)
    seconds = np.load(beside) if beside.exists() else np.empty(0, np.float16)
    for head in json.loads(arrays["head"].tobytes()):
        rows, size = head.pop("rows"), len(head["params"])
        head |= {"length": Length(**head["length"]), "params": tuple(_param(p) for p in head["params"])}
        codes = arrays["codes"][place : place + rows * size].reshape(rows, size)
        here = slice(row, row + rows)
        found.append(
            Table(
                **head,
                codes=codes,
                valid=arrays["valid"][here],
                test=arrays["test"][here],
                seconds=seconds[here],
            )
        )
        row, place = row + rows, place + rows * size
    return found


def positions(table: Table) -> NDArray[np.float32]:
    """(rows, parameters) places on each scale's unit interval, a choice's in the middle of its share; NaN: inactive."""
    count = np.array([len(p.choices) if p.kind in "CO" else 0 for p in table.params])
    codes = table.codes.astype(np.float32)
    unit = np.where(count > 0, (codes + 0.5) / np.maximum(count, 1), codes / LEVELS)
    return np.where(table.codes == LEVELS + 1, np.nan, unit).astype(np.float32)
