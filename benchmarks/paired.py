"""Two forms of a model on the same clips: what the step from one to the other loses, and how sure that is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.intervals import mcnemar_p, wilson_interval


def paired_interval(both: int, first_only: int, second_only: int, neither: int) -> tuple[float, float]:
    """Return the 95 % interval of ``P(first right) - P(second right)`` on the same clips, as fractions -1 to 1.

    The four counts are clips that both, only one, or neither of two models
    get right. Unlike the difference of two independent intervals it knows that
    most clips are right, or wrong, in both; unlike a normal approximation it
    keeps a width when nothing changed.

    References
    ----------
    Newcombe, Statistics in Medicine 17, 1998, pages 2635-2650, method 10.

    Examples
    --------
    >>> low, high = paired_interval(90, 6, 1, 3)
    >>> round(low, 3), round(high, 3)
    (-0.007, 0.117)
    """
    total = both + first_only + second_only + neither
    (low1, high1), (low2, high2) = (wilson_interval(both + only, total) for only in (first_only, second_only))
    p1, p2 = (both + first_only) / total, (both + second_only) / total
    margins = (both + first_only) * (second_only + neither) * (both + second_only) * (first_only + neither)
    excess = both * neither - first_only * second_only
    # The continuity correction pulls a positive correlation of few clips towards none, never beyond.
    excess_corrected = max(excess - total / 2, 0.0) if excess > 0 else float(excess)
    correlation = excess_corrected / math.sqrt(margins) if margins else 0.0

    def half_width(a: float, b: float) -> float:
        return math.sqrt(max(a * a - 2 * correlation * a * b + b * b, 0.0))

    return p1 - p2 - half_width(p1 - low1, high2 - p2), p1 - p2 + half_width(high1 - p1, p2 - low2)


def paired_step(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> dict[str, Any]:
    """Return what was lost between two forms, of which clips each got right: (n,) and (n,), in percentage points.

    ``explained_by_chance`` is True where the interval holds 0: so many clips
    would fall either way in a step that changes nothing.
    """
    lost, won = int((before & ~after).sum()), int((after & ~before).sum())
    both, neither = int((before & after).sum()), int((~before & ~after).sum())
    low, high = paired_interval(both, lost, won, neither)
    return {
        "loss_points": 100.0 * (lost - won) / len(before),
        "ci95_points": [100.0 * low, 100.0 * high],
        "right_to_wrong": lost,
        "wrong_to_right": won,
        "mcnemar_p": mcnemar_p(lost, won),
        "explained_by_chance": low <= 0.0 <= high,
    }
