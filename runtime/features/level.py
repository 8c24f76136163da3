"""The level of sound in decibels of int16's full scale, rounding to it, that level as a bar, and clipping."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kwspot.runtime.features.spec import INT16_FULL_SCALE

QUIETEST_DB = -60.0
"""Where a bar begins."""

CLIPPED_SAMPLES, CLIPPED_RUN = 10, 3
"""Clipped: so many samples at full scale in runs of at least so many. A loud vowel touches it now and then."""

_BAR = 30


def decibels(amplitude: ArrayLike, floor_db: float) -> NDArray[np.float64]:
    """Return amplitudes, 1 at full scale, in dB of full scale: at least `floor_db`.

    >>> decibels([1.0, 0.5, 0.0], -90.0).round(2)
    array([  0.  ,  -6.02, -90.  ])
    """
    return 20 * np.log10(np.maximum(amplitude, 10 ** (floor_db / 20)))


def power_db(block: NDArray[np.int16], floor_db: float = QUIETEST_DB) -> float:
    """Return the mean power of a block, int16 (n,), in dB of full scale: at least `floor_db`.

    >>> round(power_db(np.full(100, 16384, np.int16)), 2)
    -6.02
    """
    power = float(np.mean(np.square(block / INT16_FULL_SCALE))) if len(block) else 0.0
    return float(decibels(np.sqrt(power), floor_db))


def to_int16(samples: NDArray[np.floating]) -> NDArray[np.int16]:
    """Convert samples of full scale ±1 to int16, any shape: rounded, then saturated.

    >>> to_int16(np.array([0.0, 0.25, 1.0, -1.0, 7.0]))
    array([     0,   8192,  32767, -32768,  32767], dtype=int16)
    """
    steps = np.rint(samples * INT16_FULL_SCALE)
    saturated: NDArray[np.int16] = np.clip(steps, -INT16_FULL_SCALE, INT16_FULL_SCALE - 1).astype(np.int16)
    return saturated


def level_share(level_db: float) -> float:
    """Return where a level stands between `QUIETEST_DB` and full scale, 0 to 1."""
    return (level_db - QUIETEST_DB) / -QUIETEST_DB


def bar(share: float, mark: float) -> str:
    """Draw a share, 0 to 1, as a bar with a mark.

    >>> bar(0.5, 0.8)
    '[###############         |     ]'
    """
    cells = ["#" if i < round(min(1.0, max(0.0, share)) * _BAR) else " " for i in range(_BAR)]
    cells[min(_BAR - 1, round(min(1.0, max(0.0, mark)) * _BAR))] = "|"
    return f"[{''.join(cells)}]"


class ClippingCounter:
    """Counts the samples at full scale of sound that comes in blocks.

    At full scale is what is a step of 16 bits below it or beyond: in the
    positive, int16 has no more.

    Attributes
    ----------
    samples : int
        How many were at full scale in runs of `CLIPPED_RUN` or more.
    """

    def __init__(self, channels: int) -> None:
        self.samples = 0
        self._before = np.zeros((2, CLIPPED_RUN, channels), bool)  # whether the last frames were; [side]

    def push(self, frames: NDArray[Any]) -> None:
        """Take frames, int16 or of full scale ±1, (n, channels)."""
        full_scale = INT16_FULL_SCALE if frames.dtype == np.int16 else 1.0
        limit = full_scale * (1 - 1 / INT16_FULL_SCALE)
        if len(frames) >= CLIPPED_RUN and frames.max() < limit and frames.min() > -limit:
            self._before[:] = False
            return
        for side, is_full in enumerate((frames >= limit, frames <= -limit)):
            is_full = np.concatenate([self._before[side], is_full])  # (CLIPPED_RUN + n, channels)
            self._before[side] = is_full[-CLIPPED_RUN:]
            # [k]: the frames k to k + CLIPPED_RUN - 1 are; the first of them is the last of a run's beginning.
            in_run = np.lib.stride_tricks.sliding_window_view(is_full, CLIPPED_RUN, axis=0).min(axis=-1)
            begins = in_run[1:] & ~in_run[:-1]
            self.samples += int(in_run[1:].sum()) + (CLIPPED_RUN - 1) * int(begins.sum())


def samples_at_full_scale(samples: NDArray[np.int16]) -> int:
    """Return how many samples of mono sound, (n,), a :class:`ClippingCounter` finds."""
    counter = ClippingCounter(1)
    counter.push(samples[:, None])
    return counter.samples


def loudness(sound: NDArray[np.floating], rate_hz: int) -> float:
    """Return the root mean square of the loudest tenth of a second of sound, of any scale, (n,).

    It is that of the word, however much silence is around it.
    """
    size = rate_hz // 10
    if len(sound) <= size:
        return float(np.sqrt(np.square(sound, dtype=np.float64).mean())) if len(sound) else 0.0
    energy = np.concatenate([[0.0], np.cumsum(np.square(sound, dtype=np.float64))])
    return float(np.sqrt((energy[size:] - energy[:-size]).max() / size))
