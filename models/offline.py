"""Switches of the libraries that would otherwise ask a hub for files, or report on their use."""

from __future__ import annotations

from airtune.models.environment import set_ours

RAY_SWITCHES = {"RAY_USAGE_STATS_ENABLED": "0"}
# What each does stands in its library's documentation; they are read when the library is imported. DO_NOT_TRACK is
# heeded by the hub's client and by vLLM; the token is one that the hub's client would send along unasked.
SWITCHES = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    **RAY_SWITCHES,
}


def stay_offline() -> None:
    """Set the switches in this process and for those of ours that it starts, whatever they were set to before.

    Call it before the first import of transformers, vLLM or ray. The user's programs do not get them (`environment`).
    """
    set_ours(SWITCHES)
