"""Settings of ours around our own work; the user's programs get the user's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import pytest

from airtune.models import environment
from airtune.models.environment import as_the_user_has_it, set_ours, set_where_missing, users_environment
from airtune.models.offline import SWITCHES, stay_offline

# What a user may have set, and what was never set; some like ours, some contrary to it.
SHELLS: list[Mapping[str, str]] = [
    {},
    {"HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0"},
    {"TRANSFORMERS_OFFLINE": "1", "DO_NOT_TRACK": "0", "VLLM_NO_USAGE_STATS": ""},
    {name: "yes" for name in SWITCHES},
]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(environment, "_replaced", {})
    before = dict(os.environ)
    for name in (*SWITCHES, "TOKENIZERS_PARALLELISM"):
        os.environ.pop(name, None)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_user_gets_what_the_user_had_set(shell: Mapping[str, str]) -> None:
    """Catches: a second call of `stay_offline` takes our own settings for the user's."""
    os.environ.update(shell)
    before = dict(os.environ)
    stay_offline()
    set_where_missing({"TOKENIZERS_PARALLELISM": "false"})
    stay_offline()
    assert SWITCHES.items() <= os.environ.items()
    assert users_environment() == before
    with as_the_user_has_it():
        assert dict(os.environ) == before
    assert SWITCHES.items() <= os.environ.items()


def test_what_a_program_sets_later_is_the_user_s() -> None:
    """Catches: `users_environment` or the end of `as_the_user_has_it` that takes no notice of a change."""
    stay_offline()
    os.environ["HF_HUB_OFFLINE"] = "0"
    with as_the_user_has_it():
        assert os.environ["HF_HUB_OFFLINE"] == "0"
        os.environ["DO_NOT_TRACK"] = "mine"
    assert (os.environ["HF_HUB_OFFLINE"], os.environ["DO_NOT_TRACK"]) == ("0", "mine")
    assert users_environment()["DO_NOT_TRACK"] == "mine"
    set_ours({"HF_HUB_OFFLINE": "1"})
    assert users_environment()["HF_HUB_OFFLINE"] == "0"


def test_an_error_within_gives_ours_back() -> None:
    """Catches: no `finally`."""
    stay_offline()
    with pytest.raises(ZeroDivisionError), as_the_user_has_it():
        _ = 1 / 0
    assert os.environ["HF_HUB_OFFLINE"] == "1"
