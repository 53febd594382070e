"""A few faults of every kind; `python -m tests.faults` injects hundreds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.harness import Lab
from tests.faults.kinds import KINDS

# How often each, so that all take a minute. Comparisons are killed in `test_kill_comparison`.
QUICK = {
    "kill/in-its-own-process": 6,
    "worker/worker-process": 2,
    "SIGINT/once": 1,
    "SIGINT/to-all": 1,
    "SIGTERM/twice": 1,
    "disk/limit": 3,
    "disk/full": 3,
    "read-only/before": 2,
    "read-only/meanwhile": 2,
    "memory/objective": 2,
    "damage/page": 4,
    "damage/truncation": 4,
}
SLOW = {name: 2 for name in KINDS if name not in QUICK}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("faults")) as made:
        yield made


@pytest.mark.parametrize(
    ("name", "times"),
    [*QUICK.items(), *(pytest.param(*one, marks=pytest.mark.slow) for one in SLOW.items())],
)
def test_nothing_is_lost_nor_evaluated_twice_and_the_end_is_the_same(lab: Lab, name: str, times: int) -> None:
    row = KINDS[name].inject(lab, times)
    assert (row.lost, row.twice, row.wrong) == (0, 0, [])
    assert row.equal == row.ends
    assert row.holds
    if row.note:
        pytest.skip(row.note)
