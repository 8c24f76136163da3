"""What a bundle says about where its thresholds come from, in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def evidence_line(calibration: Mapping[str, Any]) -> str:
    """The evidence that ``kwspot calibrate`` left in ``bundle.json``, for people.

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
    return line if not positives else f"{line}; {missed} of {positives} words missed ({missed / positives:.1%})"
