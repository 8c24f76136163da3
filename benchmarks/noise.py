"""How much two measurements of the same thing differ: the machine's noise, by measuring twice (A/A)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MEASURES = ("p50", "p95", "cpu_s_per_hour")
"""What is compared between runs; the maximum and the start of one run are not repeatable enough to be."""


def value_of(run: Mapping[str, Any], measure: str) -> float:
    """Return a measure of a run of ``kwspot.latency/1``."""
    return float(run[measure] if measure in run else run["us"]["total"][measure])


def aa_noise(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Measure → the greatest difference between two measurements of the same runs, as a share of the smaller.

    A difference between two models that is smaller is called none.
    """
    return {
        measure: max(
            abs(value_of(a, measure) - value_of(b, measure)) / min(value_of(a, measure), value_of(b, measure))
            for a, b in zip(first, second, strict=True)
        )
        for measure in MEASURES
    }


def difference_text(before: float, after: float, noise: float) -> str:
    """Say how much more or less, in per cent, or that there is no difference beyond the noise.

    >>> difference_text(100.0, 92.0, 0.05), difference_text(100.0, 97.0, 0.05)
    ('-8 %', 'none (noise ±5 %)')
    """
    share = after / before - 1
    return f"none (noise ±{100 * noise:.0f} %)" if abs(share) <= noise else f"{100 * share:+.0f} %"
