"""The readers under fire: each target makes one input from a random.Random and lets the reader have it.

A target returns whether the reader took the input. AirtuneErrors are the reader's right; whatever else comes out
of it is a defect, and so is what the target itself asserts.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from airtune.grammars import AirtuneError
from tests.fuzz.answers import answers
from tests.fuzz.ggufs import ggufs
from tests.fuzz.packs import packs
from tests.fuzz.spaces import spaces
from tests.fuzz.studies import studies

Target = Callable[[Random], None]

TARGETS: dict[str, Target] = {
    "spaces": spaces,
    "answers": answers,
    "studies": studies,
    "packs": packs,
    "ggufs": ggufs,
}


def attempt(name: str, seed: int) -> bool:
    """Give a target the input of a seed.

    Returns:
        Whether the reader took it; False if it refused it in its own words.
    """
    try:
        TARGETS[name](Random(f"{name}/{seed}"))
    except AirtuneError:
        return False
    return True
