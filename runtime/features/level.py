"""The level of sound in decibels of int16's full scale, rounding to it, that level as a bar, and clipping."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.features.spec import INT16_FULL_SCALE

QUIETEST_DB = -60.0
"""Where a bar begins."""

CLIPPED_SAMPLES, CLIPPED_RUN = 10, 3
"""Clipped: so many samples at full scale in runs of at least so many. A loud vowel touches it now and then."""

_BAR = 30


def power_db(block: NDArray[np.int16]) -> float:
    """Mean power of a block, int16 (n,), in dB of full scale, `QUIETEST_DB` at the least.

    >>> round(power_db(np.full(100, 16384, np.int16)), 2)
    -6.02
    """
    power = float(np.mean(np.square(block / INT16_FULL_SCALE))) if len(block) else 0.0
    return 10 * float(np.log10(max(power, 10 ** (QUIETEST_DB / 10))))


def to_int16(samples: NDArray[np.floating]) -> NDArray[np.int16]:
    """Samples of full scale ±1 as int16, any shape: rounded, then saturated.

    >>> to_int16(np.array([0.0, 0.25, 1.0, -1.0, 7.0]))
    array([     0,   8192,  32767, -32768,  32767], dtype=int16)
    """
    steps = np.rint(samples * INT16_FULL_SCALE)
    saturated: NDArray[np.int16] = np.clip(steps, -INT16_FULL_SCALE, INT16_FULL_SCALE - 1).astype(np.int16)
    return saturated


def level_share(level_db: float) -> float:
    """Where a level stands between `QUIETEST_DB` and full scale, 0 to 1."""
    return (level_db - QUIETEST_DB) / -QUIETEST_DB


def bar(share: float, mark: float) -> str:
    """``####    |     `` with a mark, both 0 to 1.

    >>> bar(0.5, 0.8)
    '[###############         |     ]'
    """
    cells = ["#" if i < round(min(1.0, max(0.0, share)) * _BAR) else " " for i in range(_BAR)]
    cells[min(_BAR - 1, round(min(1.0, max(0.0, mark)) * _BAR))] = "|"
    return f"[{''.join(cells)}]"


def samples_at_full_scale(frames: NDArray[Any], full_scale: float = INT16_FULL_SCALE) -> int:
    """How many samples, of frames (n, channels), are at full scale in runs of `CLIPPED_RUN` or more.

    At full scale is what is a step of 16 bits below it or beyond: in the positive, int16 has no more.
    """
    limit = full_scale * (1 - 1 / INT16_FULL_SCALE)
    count = 0
    for side in (frames >= limit, frames <= -limit):
        padded = np.pad(side, ((1, 1), (0, 0))).astype(np.int8)  # (n + 2, channels)
        edges = np.diff(padded, axis=0).T  # (channels, n + 1): 1 where a run starts, -1 just after its end
        lengths = np.nonzero(edges == -1)[1] - np.nonzero(edges == 1)[1]
        count += int(lengths[lengths >= CLIPPED_RUN].sum())
    return count
