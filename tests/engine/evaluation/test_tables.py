"""Data of the user's own: how tables and arrays become parts, and what is refused."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airtune.engine.evaluation.tables import MOST_CATEGORIES, encode_column, read_again, read_data
from airtune.engine.types import TaskError

HEADER = "area,town,built,price\n"
ROWS = [f"{50 + i},{'bc'[i % 2]},2016-03-{1 + i % 28:02d} 06:30:00,{100 + 7 * i}\n" for i in range(50)]


def written(folder: Path, text: str, name: str = "prices.csv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["prices.csv", "prices.csv.gz"])
def test_a_table_in_three_parts(tmp_path: Path, name: str) -> None:
    """Every row is in one part, with its own target; numbers, words and dates are encoded."""
    read = read_data(written(tmp_path, HEADER + "".join(ROWS), name), "price", "mse")
    parts = [read.data.train, read.data.validation, read.data.test]
    assert [len(part[1]) for part in parts if part] == [30, 10, 10]
    areas = np.concatenate([part[0][:, 0] for part in parts if part])
    assert sorted(areas) == list(range(50, 100))
    for x, y in (part for part in parts if part):
        assert x.shape[1] == 1 + 2 + 3
        np.testing.assert_array_equal(y, 100 + 7 * (x[:, 0] - 50))
        np.testing.assert_array_equal(x[:, 2], x[:, 0] % 2)  # town=c
        np.testing.assert_array_equal(x[:, 1] + x[:, 2], 1.0)
    assert read.words == "predicting price from area, town, built, 30 rows to train on, 10 to validate on"


def test_dates() -> None:
    found = encode_column("at", ["1970-01-01T00:00:00", "2016-02-28 18:45:36"])
    assert {name: values.tolist() for name, values in found.items()} == {
        "at day": [0.0, 16859.0], "at weekday": [3.0, 6.0], "at hour": [0.0, 18.76],
    }  # fmt: skip


@pytest.mark.parametrize("words", [["NA", "DE"], ["none", "some"], ["1", "none", "2a"], ["?"]])
def test_words_that_mean_nothing_elsewhere_are_words_among_words(tmp_path: Path, words: list[str]) -> None:
    rows = [f"{i},{words[i % len(words)]},{i}\n" for i in range(30)]
    read = read_data(written(tmp_path, "i,word,y\n" + "".join(rows)), "y", "mse")
    x, y = read.data.train
    where = sorted(words)
    for row, number in zip(x, y, strict=True):
        chosen = words[int(number) % len(words)]
        assert row.tolist() == [number, *(float(one == chosen) for one in where)]


def test_space_around_words_is_no_part_of_them(tmp_path: Path) -> None:
    """Bug: `a` and ` a` were two words, and of targets two classes."""
    rows = [
        f"{i}, {'ab'[i % 2]}{' ' * (i % 3)},{' ' * (i % 5)}{'no' if i % 2 else 'yes'}\n" for i in range(60)
    ]
    data = read_data(written(tmp_path, "i,word,y\n" + "".join(rows)), "y", "error").data
    assert data.train[0].shape[1] == 3
    np.testing.assert_array_equal(data.train[1], data.train[0][:, 1])


def test_classes_of_words_are_numbers_in_their_order_and_stratified(tmp_path: Path) -> None:
    rows = [f"{i},{'no' if i % 5 else 'yes'}\n" for i in range(100)]
    read = read_data(written(tmp_path, "x,y\n" + "".join(rows)), "y", "error")
    for x, y in (read.data.train, read.data.validation, read.data.test or ()):
        np.testing.assert_array_equal(y, x[:, 0] % 5 == 0)
        assert y.mean() == 0.2


def test_the_digest_knows_the_table_and_what_was_asked_of_it(tmp_path: Path) -> None:
    text = HEADER + "".join(ROWS)
    asked = [
        (text, "price", "mse"),
        (text, "area", "mse"),
        (text, "price", "mae"),
        (text + ROWS[0], "price", "mse"),
    ]
    found = [read_data(written(tmp_path, one), target, score).digest for one, target, score in asked]
    assert len(set(found)) == 4
    assert read_data(written(tmp_path, text), "price", "mse").digest == found[0]


def saved(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


X, Y = np.random.default_rng(0).random((60, 3, 8, 8)).astype(np.float32), np.arange(60) % 3 * 10


def test_arrays(tmp_path: Path) -> None:
    data = read_data(saved(tmp_path, x=X, y=Y), None, "error").data
    x = np.concatenate([data.train[0], data.validation[0], data.test[0]])  # type: ignore[index]
    assert x.dtype == np.float32
    assert x.shape == X.shape
    assert sorted(np.unique(data.train[1])) == [0, 1, 2]
    whole = {"train_x": X[:30], "train_y": Y[:30], "validation_x": X[30:], "validation_y": Y[30:]}
    data = read_data(saved(tmp_path, **whole), None, "mse").data
    np.testing.assert_array_equal(data.validation[1], Y[30:])
    assert data.test is None
    data = read_data(saved(tmp_path, **whole, test_x=X[:5], test_y=Y[:5]), None, "mse").data
    assert data.test is not None
    np.testing.assert_array_equal(data.test[0], X[:5])
    data = read_data(saved(tmp_path, x=X, y=Y.astype(str)), None, "mse").data  # numbers, if written as texts
    assert sorted(np.unique(data.train[1])) == [0.0, 10.0, 20.0]


@pytest.mark.parametrize(
    ("text", "target", "score", "why"),
    [
        (HEADER + "".join(ROWS), "prize", "mse", "did you mean 'price'"),
        (HEADER + "".join(ROWS), None, "mse", "--target"),
        (HEADER + "".join(ROWS), "price", "rmse", "unknown score 'rmse'"),
        (HEADER + "".join(ROWS), "town", "mse", "the targets are words"),
        (HEADER + "".join(ROWS), "price", "error", "50 rows of 50 classes"),
        (HEADER + "".join(ROWS[:9]), "price", "mse", "it has 9 rows"),
        (HEADER, "price", "mse", "it has 0 rows"),
        ("", "price", "mse", "is no table"),
        (HEADER + "".join(ROWS) + "1,b,,3\n", "price", "mse", "column 'built' has no value in row 52"),
        (HEADER + "".join(ROWS) + "1,b\n", "price", "mse", "row 52 has 2 values, and there are 4 columns"),
        ("a,a,b\n" + "1,2,3\n" * 20, "b", "mse", "two columns have one name, 'a'"),
        ("a,,b\n" + "1,2,3\n" * 20, "b", "mse", "column 2 has no name"),
        ("a,b\n" + "1,3.0\n2,3\n" * 20, "b", "mse", "the target is 3.0 in every row"),
        ("a,b\n" + "1,yes\n2,yes \n" * 20, "b", "error", "the target is 'yes' in every row"),
        (
            "x,y\n" + "".join(f"{i} {'w' * 900},1\n" for i in range(101)),
            "y",
            "mse",
            "words: '0 wwwwwwwwww...wwwwwwwwwwwww', '1 w",
        ),
        ("b\n" + "3\n" * 20, "b", "mse", "has no column but 'b'"),
        (
            "x,y\n" + "".join(f"w{i},1\n" for i in range(MOST_CATEGORIES + 1)),
            "y",
            "mse",
            "101 different words",
        ),
        ('x,y\n"1,2\n', "y", "mse", "is no table"),
        ("\n\n", "y", "mse", "is no table: it is empty"),
        ("x;y\n1;2\n", "y", "mse", "write commas between the columns"),
        ("x,y\n" + "1,2\n" * 20 + "NaN,2\n", "y", "mse", "column 'x' has 'NaN' in row 22"),
        ("x,y\n" + "1,2\n" * 20 + " n/a,2\n", "y", "mse", "column 'x' has 'n/a' in row 22"),
        ("x,y\n" + "1,2\n" * 20 + "inf,2\n", "y", "mse", "column 'x' has 'inf' in row 22"),
        ("x,y\n" + "2016-03-01,2\n" * 20 + "NaT,2\n", "y", "mse", "column 'x' has 'NaT' in row 22"),
        ("x,y\n" + "1,2\n" * 20 + "1,null\n", "y", "mse", "column 'y' has 'null' in row 22"),
        ("x,y\n" + "1,2\n" * 20 + "1,b\n", "y", "mse", "the targets are words ('b', ...)"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, text: str, target: str | None, score: str, why: str) -> None:
    with pytest.raises(TaskError) as raised:
        read_data(written(tmp_path, text), target, score)
    assert why in str(raised.value)
    assert raised.value.hint


def test_other_files_that_are_refused(tmp_path: Path) -> None:
    np.save(array := io.BytesIO(), X)  # bug: an error that nobody caught
    for name, content, why in [
        ("a.csv", b"a,b\n\xff,2\n", "is no table"),
        ("a.csv.gz", b"\x1f\x8b broken", "is no table"),
        ("a.csv.gz", gzip.compress(b"a,b" * 100)[:20] + b"x" * 30, "is no table"),
        ("a.npz", b"no zip", "holds no arrays"),
        ("a.npz", array.getvalue(), "holds no arrays"),
        ("a.npz", b"PK\x03\x04" + b"x" * 50, "holds no arrays"),
        ("a.parquet", b"", "is neither a table nor arrays"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TaskError, match=why):
            read_data(tmp_path / name, None if name.endswith("npz") else "b", "mse")
    with pytest.raises(TaskError, match="cannot be read"):
        read_data(tmp_path / "missing.csv", "b", "mse")
    with pytest.raises(TaskError, match=r"cannot be read: .*Is a directory"):
        read_data(tmp_path, "b", "mse")
    with pytest.raises(TaskError, match=r"is a folder(?s:.*)AIRTUNE_DATA=FILE"):
        read_again(str(tmp_path), "b", "mse", "")


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"x": X}, "no array 'y'"),
        ({"train_x": X, "train_y": Y}, "no array 'validation_x'"),
        ({"train_x": X, "train_y": Y, "validation_x": X}, "no array 'validation_y'"),
        ({"x": X, "y": Y[:5]}, "'x' has 60 rows and 'y' 5"),
        ({"x": Y, "y": Y}, "array 'x' has the shape (60,)"),
        (
            {"train_x": X, "train_y": Y, "validation_x": X[:, :2], "validation_y": Y},
            "has the shape (60, 2, 8, 8)",
        ),
        (
            {"train_x": X, "train_y": Y, "validation_x": X[:0], "validation_y": Y[:0]},
            "has the shape (0, 3, 8, 8)",
        ),
        ({"x": X, "y": X}, "array 'y' has the shape"),
        ({"x": np.full((60, 2), np.nan), "y": Y}, "NaN or infinity"),
        ({"x": np.full((60, 2), "a"), "y": Y}, "no numbers"),
        ({"x": np.array([[None]] * 60), "y": Y}, "holds no arrays"),
        ({"x": X.astype(np.longdouble), "y": Y}, "64 bits at most"),
        ({"x": X, "y": np.array(["1", "b"] * 30)}, "the targets are words ('b', ...)"),
    ],
)
def test_arrays_that_are_refused(tmp_path: Path, arrays: dict[str, Any], why: str) -> None:
    with pytest.raises(TaskError) as raised:
        read_data(saved(tmp_path, **arrays), None, "mse")
    assert why in str(raised.value)
    with pytest.raises(TaskError, match="--target"):
        read_data(saved(tmp_path, x=X, y=Y), "price", "mse")
