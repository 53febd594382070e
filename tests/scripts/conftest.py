"""The made-up data sets of the benchmarks' tests, for the scripts' tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.conftest import write_csv_folder


@pytest.fixture(scope="session")
def csv_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv_folder(tmp_path_factory.mktemp("hpobench"))
