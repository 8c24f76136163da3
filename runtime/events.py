"""Events for other programs: one JSON object a line, nothing else on the stream."""

from __future__ import annotations

import json
from typing import TextIO

from kwspot.runtime.decision import Detection


class EventWriter:
    """Writes events as they happen, each flushed at once."""

    def __init__(self, stream: TextIO, sample_rate_hz: int) -> None:
        self._stream = stream
        self._rate = sample_rate_hz

    def write(self, event: str, **values: object) -> None:
        """One event with its values."""
        self._stream.write(json.dumps({"event": event, **values}) + "\n")
        self._stream.flush()

    def detection(self, detection: Detection) -> None:
        """A word was heard."""
        self.write(
            "detection",
            label=detection.label,
            score=round(detection.score, 4),
            at_s=self.seconds(detection.at_sample),
            at_sample=detection.at_sample,
        )

    def gap(self, lost_samples: int, at_sample: int) -> None:
        """Sound was lost; `at_sample` is where listening goes on."""
        self.write(
            "gap",
            lost_samples=lost_samples,
            lost_s=self.seconds(lost_samples),
            at_s=self.seconds(at_sample),
            at_sample=at_sample,
        )

    def seconds(self, samples: int) -> float:
        """Samples as seconds, to a tenth of a millisecond."""
        return round(samples / self._rate, 4)
