"""Floats to int8 and back, in one place: round, then saturate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

INT8_LOWEST, INT8_HIGHEST = -128, 127


def quantise(values: NDArray[np.floating], scale: float, zero_point: int) -> NDArray[np.int8]:
    """``clip(round(values / scale) + zero_point, -128, 127)`` as int8, any shape.

    Halves go to the even neighbour. Saturation comes before the cast: a cast
    alone would wrap, and 128.4 would become -128.

    >>> quantise(np.array([0.0, 0.5, 1.0, 300.0, -300.0]), 1 / 256, -128)
    array([-128,    0,  127,  127, -128], dtype=int8)
    """
    steps = np.rint(np.asarray(values) / scale) + zero_point
    return np.clip(steps, INT8_LOWEST, INT8_HIGHEST).astype(np.int8)


def dequantise(steps: NDArray[np.int8], scale: float, zero_point: int) -> NDArray[np.float32]:
    """``(steps - zero_point) * scale`` as float32, any shape."""
    return (steps.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
