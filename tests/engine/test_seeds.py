from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airtune.engine import derive_seed

PARTS = st.lists(st.integers() | st.text(st.characters(), max_size=4), max_size=4)


def test_known_values() -> None:
    """Written down: a study of today must be the same study with a later version."""
    assert derive_seed(0, 1) == 5267876066817117166
    assert derive_seed("bench", "toy/branin", 3) == derive_seed("bench", "toy/branin", 3)


@given(PARTS, PARTS)
def test_different_parts_give_different_seeds(one: list[int | str], two: list[int | str]) -> None:
    assert 0 <= derive_seed(*one) < 2**63
    assert (derive_seed(*one) == derive_seed(*two)) == (one == two)


@pytest.mark.parametrize("part", [True, 0.5, None, b"x", np.int64(1)])
def test_other_types_are_refused(part: object) -> None:
    with pytest.raises(TypeError, match="ints and strs"):
        derive_seed(0, part)  # type: ignore[arg-type]
