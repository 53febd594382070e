"""Random response surfaces: what a search may meet where no name says anything.

Shapes: B functions, M points, P hyperparameters.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from airtune.models.dialects.pocket.codec import CHOICES

# numpy's stubs lose the element type in most of what is done here; these names say it to the reader.
Floats: TypeAlias = NDArray[Any]
Ints: TypeAlias = NDArray[Any]
Bools: TypeAlias = NDArray[Any]

FEATURES = 96  # random Fourier features per function


def snap_to_levels(u: Floats, levels: Ints, categorical: Bools) -> Floats:
    """Move positions (B, M, P) onto the values that exist."""
    k = np.maximum(levels, 2)[:, None, :]
    as_choice = (np.minimum(np.floor(u * k), k - 1) + 0.5) / k
    as_level = np.rint(u * (k - 1)) / (k - 1)
    snapped = np.where(categorical[:, None, :], as_choice, np.where(levels[:, None, :] > 0, as_level, u))
    return snapped.astype(np.float32)


class Functions:
    """B random functions on the unit cube: smooth part, bowl, valley, cliff, plateau, and an output warp."""

    def __init__(self, rng: np.random.Generator, b: int, p: int, levels: Ints, categorical: Bools):
        f32 = np.float32
        relevant = rng.uniform(size=(b, p)) < rng.choice([0.5, 0.8, 1.0], size=(b, 1))
        relevant[np.arange(b), rng.integers(p, size=b)] = True
        self.relevant = relevant
        length = np.exp(rng.normal(np.log(0.35), 0.6, size=(b, p))) * np.sqrt(p) ** 0.5
        tails = np.sqrt(
            rng.chisquare(4, size=(b, 1, FEATURES)) / 4
        )  # Student-t frequencies: Matern-like roughness
        frequency = rng.normal(size=(b, p, FEATURES)) / length[:, :, None]
        frequency = np.where(rng.uniform(size=(b, 1, 1)) < 0.5, frequency / tails, frequency)
        self.frequency = (frequency * relevant[:, :, None]).astype(f32)
        self.phase = rng.uniform(0, 2 * np.pi, size=(b, 1, FEATURES)).astype(f32)
        self.weight = (rng.normal(size=(b, 1, FEATURES)) * np.sqrt(2 / FEATURES)).astype(f32)
        self.centre = rng.beta(1.3, 1.3, size=(b, 1, p)).astype(f32)
        self.curvature = (np.exp(rng.normal(0, 0.8, size=(b, 1, p))) * relevant[:, None, :]).astype(f32)
        self.power = rng.uniform(0.6, 2.5, size=(b, 1, 1)).astype(f32)
        direction = rng.normal(size=(b, p, 1)) * relevant[:, :, None] * (rng.uniform(size=(b, p, 1)) < 0.6)
        self.direction = direction.astype(f32)
        mix = rng.dirichlet([1.0, 1.0, 0.5], size=b)[:, :, None].astype(f32)
        only = rng.uniform(size=(b, 1, 1))
        self.smooth, self.bowl, self.valley = (mix[:, i : i + 1] for i in range(3))
        self.smooth = np.where(only < 0.2, 1.0, self.smooth).astype(f32)
        self.bowl = np.where(only < 0.2, 0.0, self.bowl).astype(f32)
        self.cliff_at = rng.uniform(0.3, 0.95, size=(b, 1, 1)).astype(f32)
        self.cliff_dim = rng.integers(p, size=b)
        self.cliff_up = rng.uniform(size=(b, 1)) < 0.75
        self.cliff = (rng.uniform(size=(b, 1)) < 0.3) * rng.uniform(0.5, 4.0, size=(b, 1))
        self.plateau = np.where(rng.uniform(size=(b, 1)) < 0.3, rng.uniform(0.2, 1.0, size=(b, 1)), 1e9)
        self.warp = np.where(rng.uniform(size=(b, 1)) < 0.4, rng.uniform(0.3, 3.0, size=(b, 1)), 0.0)
        # A categorical's choices lie at random places of a hidden axis: neighbours mean nothing.
        self.hidden = rng.uniform(size=(b, p, len(CHOICES))).astype(f32)
        self.levels, self.categorical = levels, categorical

    def _latent(self, u: Floats, active: Bools) -> Floats:
        if self.categorical.any():
            choice = np.minimum(
                (u * np.maximum(self.levels, 1)[:, None, :]).astype(np.int64), len(CHOICES) - 1
            )
            latent = np.take_along_axis(self.hidden.transpose(0, 2, 1), choice.clip(0), axis=1)
            u = np.where(self.categorical[:, None, :], latent, u)
        return np.where(active, u, np.float32(0.5)).astype(np.float32)

    def trend(self, u: Floats, active: Bools) -> Floats:
        """The smooth part alone."""
        return self._trend(self._latent(u, active))

    def _trend(self, latent: Floats) -> Floats:
        return np.asarray((np.cos(latent @ self.frequency + self.phase) * self.weight).sum(-1))

    def __call__(self, u: Floats, active: Bools) -> Floats:
        """Values (B, M) at positions (B, M, P); an inactive hyperparameter has no effect."""
        u = self._latent(u, active)
        smooth = self._trend(u)
        delta = np.abs(u - self.centre)
        bowl = (self.curvature * (2 * delta) ** self.power).sum(-1) / np.sqrt(
            self.relevant.sum(-1, keepdims=True)
        )
        valley = ((u - self.centre) @ self.direction)[..., 0]
        y = self.smooth[:, 0] * smooth + self.bowl[:, 0] * bowl + 2 * self.valley[:, 0] * valley**2
        y = np.minimum(y, y.min(1, keepdims=True) + self.plateau * np.ptp(y, axis=1, keepdims=True))
        edge = np.take_along_axis(u, self.cliff_dim[:, None, None], axis=2)[..., 0] - self.cliff_at[:, 0]
        y = y + self.cliff * np.where(self.cliff_up, edge > 0, -edge > self.cliff_at[:, 0] * 0.7)
        warped = np.expm1(np.minimum(self.warp * y, 40.0)) / np.maximum(
            self.warp, 1e-9
        )  # 40: e^40 fits in 32 bits
        return np.asarray(np.where(self.warp > 0, warped, y), dtype=np.float32)


def fresh_functions(p: int, count: int, seed: int) -> Functions:
    """`count` functions of `p` floats from the prior, without plateaus (which are relative to what was evaluated)."""
    rng = np.random.default_rng([seed, p])
    nothing = np.zeros((count, p), dtype=np.int64)
    functions = Functions(rng, count, p, nothing, nothing.astype(bool))
    functions.plateau[:] = 1e9
    return functions
