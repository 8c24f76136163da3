"""Features brought to mean 0 and standard deviation 1, outside of the model.

The mean and deviation of each coefficient are measured on the training clips
and travel in the run and in the bundle.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.errors import ConfigError
from kwspot.runtime.features.quantise import RowQuantiser

# In decibels. A coefficient that hardly varies carries nothing; dividing by its deviation would blow up noise.
_SMALLEST_DEVIATION = 1e-2


@dataclasses.dataclass(frozen=True, slots=True)
class Normalisation:
    """``normalised = (frames - mean) / std``, for each coefficient by itself.

    Raises
    ------
    ConfigError
        If `mean` and `std` differ in length, hold a value that is not finite,
        or a deviation that is not above 0.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not self.mean:
            raise ConfigError(
                f"normalisation has {len(self.mean)} means and {len(self.std)} deviations; "
                "expected one of each for every coefficient"
            )
        if not all(math.isfinite(value) for value in (*self.mean, *self.std)) or min(self.std) <= 0:
            raise ConfigError("normalisation holds a value that is not finite or a deviation that is not above 0")

    @classmethod
    def from_frames(cls, frames: NDArray[np.float32]) -> Normalisation:
        """Measure mean and deviation on frames, float32 (n, C); sums run in float64."""
        if frames.ndim != 2 or not len(frames):
            raise ConfigError(f"normalisation needs frames of shape (n, C) with n > 0, got {frames.shape}")
        mean = frames.mean(axis=0, dtype=np.float64)
        std = np.maximum(frames.std(axis=0, dtype=np.float64), _SMALLEST_DEVIATION)
        return cls(tuple(mean.tolist()), tuple(std.tolist()))

    def apply(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalise frames, float32 (..., C)."""
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        return ((frames - mean) / std).astype(np.float32, copy=False)

    def quantiser(self, scale: float, zero_point: int) -> RowQuantiser:
        """``quantise(self.apply(frames), scale, zero_point)`` in one step, for the hops of a stream."""
        mean, std = np.asarray(self.mean), np.asarray(self.std)
        return RowQuantiser(1.0 / (std * scale), zero_point - mean / (std * scale))

    def to_dict(self) -> dict[str, list[float]]:
        """Return plain values, for TOML and JSON."""
        return {"mean": list(self.mean), "std": list(self.std)}
