"""One draw under a mask, in float64, with one uniform number per draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def draw(
    logits: NDArray[np.floating], allowed: NDArray[np.intp], temperature: float, uniform: float
) -> tuple[int, float]:
    """Pick a token among the allowed ones and say how likely that was.

    The law is softmax(logits[allowed] / temperature): the model's own, renormalised under the grammar at this
    step. It is worked out in float64 over the allowed tokens alone, by inversion of the distribution
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
        FloatingPointError: If no allowed logit is finite, or one is NaN.
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
        FloatingPointError: See `draw`.
    """
    scores = logits.astype(np.float64)
    peak = scores.max(axis=1)
    if not np.isfinite(peak).all():
        raise FloatingPointError(f"the best allowed logit is {peak[~np.isfinite(peak)][0]}")
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
        while (
            weights[i, at] == 0.0
        ):  # rounding of the last sum only: a token of no probability is never taken
            at -= 1
        drawn.append((int(allowed[at]), float(np.log(weights[i, at] / total[i]))))
    return drawn


def token_logprobs(scores: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """The law that `draw` draws from: log-probabilities (nats) of the allowed tokens.

    Args:
        scores: (k,) logits of the allowed tokens alone.
        temperature: 0 puts all the mass on the most likely one (the first among equals).

    Raises:
        FloatingPointError: If no logit is finite, or one is NaN.
    """
    values = scores.astype(np.float64)
    peak = values.max()
    if not np.isfinite(peak):
        raise FloatingPointError(f"the best allowed logit is {peak}")
    if temperature == 0:
        result = np.full(len(values), -np.inf)
        result[int(values.argmax())] = 0.0
        return result
    values = (values - peak) / temperature
    return np.asarray(values - np.log(np.exp(values).sum()))
