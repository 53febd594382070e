"""One draw under a mask, in float64, with one uniform number per draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from airtune.models.types import ModelError


def draw(
    logits: NDArray[np.floating], allowed: NDArray[np.intp], temperature: float, uniform: float
) -> tuple[int, float]:
    """Pick a token among the allowed ones and say how likely that was.

    The distribution is softmax(logits[allowed] / temperature): the model's own, renormalised under the grammar at this
    step. It is worked out in float64 over the allowed tokens alone, by inversion of its distribution
    function, so a last bit of the logits changes the choice only if `uniform` falls on that very edge, and
    padding never does.

    Args:
        logits: (width,) logits of one row.
        allowed: Ids of the allowed tokens, ascending, at least one.
        temperature: 0 takes the most likely token (the lowest id among equals), with log-probability 0.
        uniform: A number in [0, 1).

    Returns:
        The token id and its log-probability (nats).

    Raises:
        ModelError: If no allowed logit is finite, or one is NaN.
    """
    return draw_batch(logits[allowed][None], allowed, [temperature], [uniform])[0]


def draw_batch(
    logits: NDArray[np.floating],
    allowed: NDArray[np.intp],
    temperatures: Sequence[float],
    uniforms: Sequence[float],
) -> list[tuple[int, float]]:
    """`draw` for many rows of which the same tokens are allowed; none has a say in another's.

    Args:
        logits: (rows, k) logits of the allowed tokens alone.
        allowed: (k,) their ids, ascending.
        temperatures: One per row.
        uniforms: One per row.

    Raises:
        ModelError: See `draw`.
    """
    scores = logits.astype(np.float64)
    peak = scores.max(axis=1)
    _require_finite(peak)
    drawn: list[tuple[int, float]] = []
    best = scores.argmax(axis=1)  # of the greedy ones
    scores -= peak[:, None]
    scores /= np.array([temperature or 1.0 for temperature in temperatures])[:, None]
    weights = np.exp(scores, out=scores)
    reach = np.cumsum(weights, axis=1)
    total = reach[:, -1]
    place = (reach <= (np.array(uniforms) * total)[:, None]).sum(axis=1)
    for i, (temperature, at) in enumerate(zip(temperatures, place.tolist(), strict=True)):
        if temperature == 0:
            drawn.append((int(allowed[best[i]]), 0.0))
            continue
        at = min(at, len(allowed) - 1)
        while weights[i, at] == 0.0:  # rounding of the last sum only: what has no probability is never taken
            at -= 1
        drawn.append((int(allowed[at]), float(np.log(weights[i, at] / total[i]))))
    return drawn


def token_logprobs(scores: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """The distribution that `draw` draws from: log-probabilities (nats) of the allowed tokens.

    Args:
        scores: (k,) logits of the allowed tokens alone.
        temperature: 0 puts all the mass on the most likely one (the first among equals).

    Raises:
        ModelError: If no logit is finite, or one is NaN.
    """
    values = scores.astype(np.float64)
    peak = values.max(keepdims=True)
    _require_finite(peak)
    if temperature == 0:
        result = np.full(len(values), -np.inf)
        result[int(values.argmax())] = 0.0
        return result
    values = (values - peak) / temperature
    return np.asarray(values - np.log(np.exp(values).sum()))


def _require_finite(peak: NDArray[np.float64]) -> None:
    if not np.isfinite(peak).all():
        raise ModelError(
            f"the model's logits are not numbers: the best allowed logit is {peak[~np.isfinite(peak)][0]}",
            hint="the weights are damaged (airtune models verify), or try dtype='float32'",
        )
