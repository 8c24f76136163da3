"""Runs on the emulated board under the counting plugin: a listening loop between marks.

Prints nothing; the plugin reports. The whole loop is counted without a mark
within it, and its steps in a second pass with marks around each, whose own cost
is measured by empty pairs.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from kwspot.benchmarks.pi import marks
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.model.bundle import load_bundle

TOTAL, FEATURES, INFERENCE, DECISION, EMPTY = range(5)
STEPS = {"features": FEATURES, "inference": INFERENCE, "decision": DECISION}

WARM_UP_S = 2
"""Seconds of sound before the first that counts: plans are made, caches of objects fill."""

EMPTY_PAIRS = 100


class _Marked:
    """A part of the loop, with marks around its ``push``."""

    def __init__(self, part: Any, region: int) -> None:
        self._part = part
        self._region = region

    def push(self, *values: Any) -> Any:
        marks.begin(self._region)
        result = self._part.push(*values)
        marks.end(self._region)
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)


def main(bundle_path: str, engine: str, sound_path: str, seconds: int) -> None:
    """Listen to so many seconds twice: whole, and step by step."""
    bundle = load_bundle(bundle_path)
    spotter: Any = KeywordSpotter(bundle, engine=engine)
    rate_hz, hop = bundle.manifest.features.sample_rate_hz, bundle.manifest.inference_hop_samples
    sound = np.fromfile(sound_path, "<i2").astype(np.int16)
    blocks = [sound[start : start + hop] for start in range(0, (WARM_UP_S + seconds) * rate_hz - hop + 1, hop)]
    first = len(blocks) - seconds * rate_hz // hop
    for block in blocks[:first]:
        spotter.push(block)
    marks.begin(TOTAL)
    for block in blocks[first:]:
        spotter.push(block)
    marks.end(TOTAL)

    spotter.reset()
    scoring = spotter._scoring
    parts = {
        "features": (scoring, "features"),
        "inference": (scoring, "classifier"),
        "decision": (spotter, "_decision"),
    }
    for name, region in STEPS.items():
        owner, part = parts[name]
        setattr(owner, part, _Marked(getattr(owner, part), region))
    for block in blocks[first:]:
        spotter.push(block)
    for _ in range(EMPTY_PAIRS):
        marks.begin(EMPTY)
        marks.end(EMPTY)
    marks.report()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
