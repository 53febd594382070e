"""How many threads a forward pass takes on the CPU."""

from __future__ import annotations

from airtune.models.types import ModelError

SMALL_MODEL = 100_000_000  # weights


def check_threads(threads: object) -> None:
    """Refuse a setting that is no number of threads, before a model is loaded.

    Raises:
        ModelError: Unless it is a positive integer, or None.
    """
    if threads is not None and (type(threads) is not int or threads < 1):
        raise ModelError(
            f"threads must be 1 or more, not {threads!r}",
            value=threads,
            allowed="1, 2, ...",
            hint="leave it out: half of the cores are taken then",
        )


def thread_count(threads: int | None, small: bool) -> int:
    """The threads for a model: those asked for, or a number that does not depend on what else runs now.

    One for models of up to 100 million weights, which more only make slower. Above, half of the physical cores that
    this process may use, and no more than torch would take. The threads of a pass wait for each other at each of its
    hundreds of products: where one of them shares its core with another program, two take 5 to 30 times as long as
    one. A number that followed the load would answer that, but threads decide the last bits of what is answered.

    Args:
        threads: The setting.
        small: Whether the model has at most `SMALL_MODEL` weights.
    """
    if threads is not None:
        return threads
    if small:
        return 1
    import joblib
    import torch

    cores = int(joblib.cpu_count(only_physical_cores=True))  # knows affinity and the limits of containers
    return max(1, min(cores // 2, torch.get_num_threads()))
