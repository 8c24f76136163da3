"""How sure a count of right answers is: an interval for a share, and a test for two models on the same clips."""

from __future__ import annotations

import math

_Z_95 = 1.959963984540054
"""The 97.5 % point of the normal distribution: 2.5 % on either side."""


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, ``correct`` out of ``total``, as fractions 0 to 1.

    Unlike the normal approximation it stays inside 0 to 1 and keeps a width
    when every clip, or none, is right.

    Raises
    ------
    ValueError
        If `total` is below 1 or `correct` is not between 0 and `total`.

    References
    ----------
    Wilson, J. Am. Stat. Assoc. 22, 1927.

    Examples
    --------
    >>> low, high = wilson_interval(95, 100)
    >>> round(low, 4), round(high, 4)
    (0.8882, 0.9785)
    """
    if total < 1 or not 0 <= correct <= total:
        raise ValueError(f"{correct} of {total} is no share")
    share, z2 = correct / total, _Z_95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z_95 * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    # At the ends the formula is exactly 0 or 1; rounding may leave a trace.
    return (0.0 if correct == 0 else centre - half), (1.0 if correct == total else centre + half)


def mcnemar_p(right_to_wrong: int, wrong_to_right: int) -> float:
    """Exact two-sided p of McNemar's test: could so uneven a change between two models be chance?

    Only clips on which exactly one of them is right count; by chance each of
    these falls on either side with probability 1/2.

    References
    ----------
    McNemar, Psychometrika 12, 1947; the exact form is the binomial test.

    Examples
    --------
    >>> mcnemar_p(6, 0), mcnemar_p(3, 3)
    (0.03125, 1.0)
    """
    changed, fewer = right_to_wrong + wrong_to_right, min(right_to_wrong, wrong_to_right)
    tail = sum(math.comb(changed, k) for k in range(fewer + 1))
    # Whole numbers up to the last division: 2**changed does not fit a float.
    return min(1.0, 2 * tail / (1 << changed))
