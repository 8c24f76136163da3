"""The events of listening, each with its time of day, to every observer alike."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence

from kwspot.runtime.detect.decision import Detection
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.sinks.observer import Heard, Observer


class EventWriter:
    """Shows events and blocks of sound to all observers.

    Parameters
    ----------
    clock
        Seconds since 1970, for the ``time`` of an event.
    """

    def __init__(
        self, sample_rate_hz: int, observers: Sequence[Observer] = (), *, clock: Callable[[], float] = time.time
    ) -> None:
        self._rate_hz, self._clock = sample_rate_hz, clock
        self._observers = tuple(observers)
        self.watchers = [observer for observer in observers if type(observer).watch is not Observer.watch]
        self.started = False
        """Whether a stream has begun."""

    def write(self, event: str, **values: object) -> None:
        """Send one event with its values."""
        self.started |= event == "start"
        content = {"event": event, "time": utc_text(self._clock()), **values}
        for observer in self._observers:
            observer.put(content)

    def start(self, source: str, spotter: KeywordSpotter) -> None:
        """Say that a stream begins, with its source, bundle, engine and words."""
        manifest = spotter.bundle.manifest
        self.write(
            "start",
            source=source,
            bundle=spotter.bundle.name,
            engine=spotter.engine_name,
            words=list(manifest.words),
            sample_rate_hz=manifest.features.sample_rate_hz,
        )

    def stop(self, source: str, samples: int, detections: int, **counts: int) -> None:
        """Say that a stream has ended, and its totals, `counts` of its kind and dropped events among them."""
        dropped = {observer.name: observer.dropped for observer in self._observers if observer.dropped}
        losses = {"dropped_events": dropped} if dropped else {}
        at_s = self.seconds(samples)
        self.write("stop", source=source, samples=samples, at_s=at_s, detections=detections, **counts, **losses)

    def show(self, heard: Heard) -> None:
        """Show a block to those observers that watch the sound."""
        for observer in self.watchers:
            observer.watch(heard)

    def alive(self) -> None:
        """Tell every observer that listening is in order."""
        for observer in self._observers:
            observer.alive()

    def detection(self, detection: Detection, **where: str) -> None:
        """Send a detection; `where` names the stream if there are several at once."""
        self.write(
            "detection",
            label=detection.label,
            score=round(detection.score, 4),
            at_s=self.seconds(detection.at_sample),
            at_sample=detection.at_sample,
            **where,
        )

    def gap(self, lost_samples: int, at_sample: int, *, cause: str, reset: bool) -> None:
        """Say that sound was lost; `at_sample` is where listening goes on, anew if `reset`."""
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
        """Return samples as seconds, to a tenth of a millisecond."""
        return round(samples / self._rate_hz, 4)


def utc_text(unix_s: float) -> str:
    """Return a time as ISO 8601 text in UTC, to the millisecond.

    >>> utc_text(1_764_328_486.5)
    '2025-11-28T11:14:46.500Z'
    """
    text = datetime.datetime.fromtimestamp(unix_s, datetime.UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
