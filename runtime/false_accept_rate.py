"""What a count of false accepts in some hours says about the rate: the exact Poisson bound."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

CONFIDENCE = 0.95


def upper_per_hour(count: int, hours: float) -> float:
    """Return the one-sided 95 % upper bound of a rate, by `count` events in `hours`.

    References
    ----------
    Garwood, Biometrika 28, 1936.

    Examples
    --------
    >>> round(upper_per_hour(0, 6.0), 2), round(upper_per_hour(3, 6.0), 2)
    (0.5, 1.29)
    """
    return _mean_events(count, 1 - CONFIDENCE) / hours


def interval_per_hour(count: int, hours: float) -> tuple[float, float]:
    """Return the two-sided 95 % interval of a rate, exact as well.

    >>> tuple(round(end, 2) for end in interval_per_hour(3, 1.0))
    (0.62, 8.77)
    """
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if count == 0 else _mean_events(count - 1, 1 - tail)
    return low / hours, _mean_events(count, tail) / hours


@functools.lru_cache(maxsize=1024)
def _mean_events(count: int, probability: float) -> float:
    """Return the mean of the Poisson distribution that gives at most `count` events with this probability.

    By bisection: the runtime has no SciPy, whose ``chi2.ppf(1 - probability, 2 * (count + 1)) / 2`` it equals.
    """
    events = np.arange(1, count + 1)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(events))])  # (count + 1,)

    def at_most(mean: float) -> float:
        terms = np.arange(count + 1) * math.log(mean) - mean - log_factorials
        return float(np.exp(terms).sum())

    low, high = 1e-12, count + 10 * math.sqrt(count + 1) + 20
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if at_most(middle) > probability else (low, middle)
    return high


def hours_needed(rate_per_hour: float) -> float:
    """Return how long nothing must fire to show, at 95 %, a rate below this one.

    >>> round(hours_needed(0.5), 1)
    6.0
    """
    return -math.log(1 - CONFIDENCE) / rate_per_hour


def rate_sentence(count: int, hours: float, target_per_hour: float) -> str:
    """Describe what was seen, what it shows, and how many hours would show the target.

    >>> rate_sentence(0, 1.1, 0.5)
    '0 false accepts in 1.1 h only shows < 2.7 per hour; 6.0 h are needed for 0.5'
    >>> rate_sentence(0, 12.0, 0.5)
    '0 false accepts in 12.0 h shows < 0.25 per hour'
    """
    bound = upper_per_hour(count, hours)
    seen = f"{count} false accept{'' if count == 1 else 's'} in {_short(hours)} h"
    shown = "shows" if bound <= target_per_hour else "only shows"
    said = f"{seen} {shown} < {_two(bound)} per hour"
    if bound <= target_per_hour or hours >= hours_needed(target_per_hour):
        return said
    return f"{said}; {_short(hours_needed(target_per_hour))} h are needed for {target_per_hour:g}"


def _short(hours: float) -> str:
    return f"{hours:.1f}" if hours >= 0.1 else f"{hours:.3f}"


def _two(value: float) -> str:
    """Write a number with two significant digits, without an exponent.

    >>> _two(0.25), _two(2.7), _two(37.4)
    ('0.25', '2.7', '37')
    """
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def evidence_line(calibration: Mapping[str, Any]) -> str:
    """Say in one line where a bundle's thresholds come from, by the evidence in its ``bundle.json``.

    >>> evidence_line({})
    'not calibrated (kwspot calibrate chooses them on your own recordings)'
    """
    if not calibration:
        return "not calibrated (kwspot calibrate chooses them on your own recordings)"
    words, together, negatives = (calibration[key] for key in ("words", "together", "negatives"))
    line = (
        f"calibrated for {calibration['target_false_accepts_per_hour']:g} false accepts per hour and word; "
        f"{together['false_accepts']} in {negatives['hours']:.2f} h together "
        f"(< {together['upper_per_hour']:.2f} per hour at 95 %)"
    )
    positives = sum(word["positives"] for word in words.values())
    missed = sum(word["missed"] for word in words.values())
    if not positives:
        return line
    line += f"; {missed} of {positives} words missed ({missed / positives:.1%})"
    synthesised = sum(word.get("synthesised", 0) for word in words.values())
    return f"{line}, {synthesised} of them synthesised: people will be missed more often" if synthesised else line
