"""Events for other programs: one JSON object a line, and the same to every sink."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Protocol, TextIO

from kwspot.runtime.detect.decision import Detection
from kwspot.runtime.sinks.queued import QueuedSink


class EventSink(Protocol):
    """Where events go besides the JSON lines: a broker, a command, a page."""

    def put(self, event: Mapping[str, object]) -> None:
        """Take one event, as it is written. Called by the loop that listens: it must neither block nor raise."""

    def close(self) -> None:
        """No event comes any more."""


class EventWriter:
    """Writes events as they happen, each flushed at once and handed to every sink."""

    def __init__(self, stream: TextIO, sample_rate_hz: int, *, sinks: Sequence[EventSink] = ()) -> None:
        self._stream = stream
        self._rate = sample_rate_hz
        self._sinks = tuple(sinks)

    def write(self, event: str, **values: object) -> None:
        """One event with its values."""
        content = {"event": event, **values}
        self._stream.write(json.dumps(content) + "\n")
        self._stream.flush()
        for sink in self._sinks:
            sink.put(content)

    def losses(self) -> dict[str, dict[str, int]]:
        """For the totals: how many events each sink has dropped, if any did."""
        dropped = {sink.name: sink.dropped for sink in self._sinks if isinstance(sink, QueuedSink) and sink.dropped}
        return {"dropped_events": dropped} if dropped else {}

    def close(self) -> None:
        """Close the sinks; the stream is the caller's."""
        for sink in self._sinks:
            sink.close()

    def detection(self, detection: Detection, **where: str) -> None:
        """A word was heard; `where` names the stream if there are several at once."""
        self.write(
            "detection",
            label=detection.label,
            score=round(detection.score, 4),
            at_s=self.seconds(detection.at_sample),
            at_sample=detection.at_sample,
            **where,
        )

    def gap(self, lost_samples: int, at_sample: int, *, cause: str, reset: bool) -> None:
        """Sound was lost; `at_sample` is where listening goes on, anew if `reset`."""
        self.write(
            "gap",
            lost_samples=lost_samples,
            lost_s=self.seconds(lost_samples),
            at_s=self.seconds(at_sample),
            at_sample=at_sample,
            cause=cause,
            reset=reset,
        )

    def seconds(self, samples: int) -> float:
        """Samples as seconds, to a tenth of a millisecond."""
        return round(samples / self._rate, 4)
