"""A few faults of every kind; `python -m tests.faults` injects hundreds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.harness import Lab
from tests.faults.kinds import KINDS

# How often each. Studies with models, comparisons and what takes long are left to the command; `test_kill` and
# `test_kill_comparison` kill more of them.
TIMES = {
    "kill/in-its-own-process": 4,
    "worker/worker-process": 1,
    "SIGINT/to-all": 1,
    "SIGTERM/twice": 1,
    "disk/limit": 2,
    "disk/full": 2,
    "read-only/before": 1,
    "read-only/meanwhile": 1,
    "memory/objective": 1,
    "damage/page": 2,
    "damage/truncation": 2,
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("faults")) as made:
        yield made


@pytest.mark.parametrize(("name", "times"), TIMES.items())
def test_nothing_is_lost_nor_evaluated_twice_and_the_end_is_the_same(lab: Lab, name: str, times: int) -> None:
    row = KINDS[name].inject(lab, times)
    assert (row.lost, row.twice, row.wrong) == (0, 0, [])
    assert row.equal == row.ends
    assert row.holds
    if row.note:
        pytest.skip(row.note)
