"""The number of threads: half of the cores, one for a small model, and what is no number."""

from __future__ import annotations

import joblib
import pytest
import torch

from airtune.models import ModelError
from airtune.models.backends.threads import check_threads, thread_count


@pytest.mark.parametrize(
    ("cores", "torchs", "chosen"), [(1, 1, 1), (2, 2, 1), (8, 8, 4), (8, 2, 2), (64, 1, 1), (3, 3, 1)]
)
def test_half_of_the_cores(monkeypatch: pytest.MonkeyPatch, cores: int, torchs: int, chosen: int) -> None:
    """Two threads on two cores, one of which was busy, took five to thirty times as long as one."""
    monkeypatch.setattr(joblib, "cpu_count", lambda only_physical_cores: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: torchs)
    assert thread_count(None, small=False) == chosen
    assert thread_count(None, small=True) == 1
    assert thread_count(7, small=False) == thread_count(7, small=True) == 7


@pytest.mark.parametrize("threads", [0, -1, True, 1.5, "2"])
def test_what_is_no_number_of_threads(threads: object) -> None:
    with pytest.raises(ModelError, match="threads must be 1 or more"):
        check_threads(threads)
