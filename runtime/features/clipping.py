"""Sound that was too loud for what recorded it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.features.spec import INT16_FULL_SCALE

CLIPPED_SAMPLES, CLIPPED_RUN = 10, 3
"""Clipped: so many samples at full scale in runs of at least so many. A loud vowel touches it now and then."""


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
