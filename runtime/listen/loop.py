"""The loop that listens: blocks of sound in, events out, and whoever watches is shown each block."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FrameType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.sources import DeviceBack, DeviceLost, Gap, SourceEvent
from kwspot.runtime.detect.decision import Detection
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.sinks.events import EventWriter

Scores = list[tuple[int, NDArray[np.float32]]]
"""(at_sample, float32 (labels,)) of each inference that a block completed."""


KEEPS_STATE_MS = 80
"""A gap up to this long is heard as silence; after a longer one listening starts anew.

Of 60 real words with a gap somewhere in them (57 are heard without one), silence and a new start keep 56 and 38 at
40 ms, 49 and 37 at 80 ms, 37 and 35 at 160 ms.
"""


class Watcher(Protocol):
    """Whoever wants to see more than the events: a meter, a recorder, a page."""

    def watch(self, block: NDArray[np.int16], scores: Scores, detections: Sequence[Detection]) -> None:
        """Look at a block, int16 (n,), and what it gave. Called by the loop: it must neither block nor raise."""


def listen(
    spotter: KeywordSpotter,
    blocks: Iterable[NDArray[np.int16] | SourceEvent],
    events: EventWriter,
    source: str,
    *,
    finite: bool,
    watchers: Sequence[Watcher] = (),
) -> None:
    """Hear one stream from its first sample to its last, or to a signal or an error, and write its totals.

    Parameters
    ----------
    source
        What the events call the stream.
    finite
        Whether the sound ends where `blocks` end, so that a last word is
        heard; a microphone is stopped in the middle of its sound.
    """
    manifest = spotter.bundle.manifest
    keeps_state_samples = KEEPS_STATE_MS * manifest.features.sample_rate_hz // 1000
    spotter.reset()
    detected = lost_samples = 0

    def hear(block: NDArray[np.int16]) -> int:
        return show(block, spotter.push(block))

    def show(block: NDArray[np.int16], detections: Sequence[Detection]) -> int:
        for detection in detections:
            events.detection(detection)
        if watchers:
            scores = spotter.last_scores
            for watcher in watchers:
                watcher.watch(block, scores, detections)
        return len(detections)

    try:
        events.write(
            "start",
            source=source,
            bundle=spotter.bundle.name,
            engine=spotter.engine_name,
            words=list(manifest.words),
            sample_rate_hz=manifest.features.sample_rate_hz,
        )
        for item in blocks:
            if isinstance(item, Gap):
                lost_samples += item.lost_samples
                reset = item.lost_samples > keeps_state_samples
                events.gap(item.lost_samples, spotter.samples_seen + item.lost_samples, cause=item.cause, reset=reset)
                if reset:
                    spotter.skip(item.lost_samples)
                else:
                    detected += hear(np.zeros(item.lost_samples, np.int16))
            elif isinstance(item, DeviceLost):
                events.write("device_lost", reason=item.reason, **_place(spotter, events))
            elif isinstance(item, DeviceBack):
                events.write("device_back", device=item.name, away_s=item.away_s, **_place(spotter, events))
            else:
                detected += hear(item)
        if finite:
            detected += show(np.empty(0, np.int16), spotter.finish())
    finally:
        events.write(
            "stop",
            source=source,
            samples=spotter.samples_seen,
            at_s=events.seconds(spotter.samples_seen),
            detections=detected,
            lost_samples=lost_samples,
            **events.losses(),
        )


def _place(spotter: KeywordSpotter, events: EventWriter) -> dict[str, float]:
    return {"at_s": events.seconds(spotter.samples_seen), "at_sample": spotter.samples_seen}


class Stopped(BaseException):
    """SIGINT or SIGTERM; not an Exception, so that nothing between takes it for an error."""


@contextlib.contextmanager
def stopped_by_signals(stop: Callable[[], None] | None = None) -> Iterator[None]:
    """Within, SIGINT and SIGTERM raise :class:`Stopped`.

    Parameters
    ----------
    stop
        Called instead by the first of them, for a source that can end between two blocks.
    """
    stopping = False

    def handle(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        if stop is None or stopping:
            raise Stopped
        stopping = True
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
