"""Floats to int8 and back, in one place: round, then saturate."""

from __future__ import annotations

from typing import Any

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


class RowQuantiser:
    """Quantises rows of features on a board: ``clip(round(rows * gain + offset), -128, 127)``.

    What :func:`quantise` gives for normalised features, with the normalisation
    folded into a gain and an offset of each column. Where that product ends
    within float32's rounding of a half, the two may differ by one step.

    Parameters
    ----------
    gain, offset
        float (C,), in steps.
    """

    def __init__(self, gain: NDArray[np.floating], offset: NDArray[np.floating]) -> None:
        self._gain, self._offset = np.asarray(gain, np.float32), np.asarray(offset, np.float32)
        self._by_count: dict[int, _Rows] = {}

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.int8]:
        """Quantise rows, float32 (k, C), to an int8 array of its own."""
        count = len(rows)
        work = self._by_count.get(count)
        if work is None:
            work = _Rows(self._gain, self._offset, count)
            if count <= _MOST_ROWS_KEPT:
                self._by_count[count] = work
        return work.steps(rows)


_MOST_ROWS_KEPT = 16
"""As many as a stream brings at once; buffers for longer stretches are not kept."""


class _Rows:
    """Constants and buffers for so many rows: numpy takes longer to spread a row than to read it k times."""

    def __init__(self, gain: NDArray[np.float32], offset: NDArray[np.float32], count: int) -> None:
        shape = count, len(gain)
        self._gain, self._offset = np.tile(gain, (count, 1)), np.tile(offset, (count, 1))
        self._lowest = np.full(shape, INT8_LOWEST, np.float32)
        self._highest = np.full(shape, INT8_HIGHEST, np.float32)
        self._steps = np.empty(shape, np.float32)

    def steps(self, rows: NDArray[np.float32]) -> NDArray[np.int8]:
        steps = self._steps
        np.multiply(rows, self._gain, out=steps)
        np.add(steps, self._offset, out=steps)
        np.rint(steps, out=steps)
        np.maximum(steps, self._lowest, out=steps)
        np.minimum(steps, self._highest, out=steps)
        return steps.astype(np.int8)


def dequantise(steps: NDArray[np.int8], scale: float, zero_point: int) -> NDArray[np.float32]:
    """``(steps - zero_point) * scale`` as float32, any shape."""
    return (steps.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


class Dequantiser:
    """:func:`dequantise` by table, to the same bits: for the few scores of a hop arithmetic costs more."""

    def __init__(self, scale: float, zero_point: int) -> None:
        self._values = dequantise(np.arange(256).astype(np.uint8).view(np.int8), scale, zero_point)

    def __call__(self, steps: NDArray[Any]) -> NDArray[np.float32]:
        """Return the values of steps, int8 of any shape, as a float32 array of its own."""
        return self._values.take(steps.view(np.uint8))
