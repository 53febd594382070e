"""Torch's thread count for the time of one call: it decides the last bits of a forward pass on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Taken at import: vLLM replaces the function in torch by one that does nothing, for all of the process.
_set_num_threads = torch.set_num_threads


@contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """Use `number` threads (None: as many as now); the caller's own work keeps what it had."""
    before = torch.get_num_threads()
    if number is not None:
        _set_num_threads(number)
    try:
        yield
    finally:
        _set_num_threads(before)
