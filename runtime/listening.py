"""The loop that listens: blocks of sound in, events out, and whoever watches is shown each block."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterable, Iterator, Sequence
from types import FrameType
from typing import NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.decision import Detection
from kwspot.runtime.events import EventWriter
from kwspot.runtime.sources import Gap
from kwspot.runtime.spotter import KeywordSpotter

Scores = list[tuple[int, NDArray[np.float32]]]
"""(at_sample, float32 (labels,)) of each inference that a block completed."""


class Watcher(Protocol):
    """Whoever wants to see more than the events: a meter, a recorder, a page."""

    def watch(self, block: NDArray[np.int16], scores: Scores, detections: Sequence[Detection]) -> None:
        """Look at a block, int16 (n,), and what it gave. Called by the loop: it must neither block nor raise."""


def listen(
    spotter: KeywordSpotter,
    blocks: Iterable[NDArray[np.int16] | Gap],
    events: EventWriter,
    source: str,
    *,
    watchers: Sequence[Watcher] = (),
) -> None:
    """One stream from its first sample to its last, or to a signal or an error, with its totals.

    Parameters
    ----------
    source
        What the events call the stream.
    """
    manifest = spotter.bundle.manifest
    spotter.reset()
    detected = lost_samples = 0
    try:
        events.write(
            "start",
            source=source,
            bundle=manifest.name,
            engine=spotter.engine_name,
            words=list(manifest.words),
            sample_rate_hz=manifest.features.sample_rate_hz,
        )
        for block in blocks:
            if isinstance(block, Gap):
                spotter.skip(block.lost_samples)
                lost_samples += block.lost_samples
                events.gap(block.lost_samples, spotter.samples_seen)
                continue
            detections = spotter.push(block)
            detected += len(detections)
            for detection in detections:
                events.detection(detection)
            for watcher in watchers:
                watcher.watch(block, spotter.last_scores, detections)
    finally:
        events.write(
            "stop",
            source=source,
            samples=spotter.samples_seen,
            at_s=events.seconds(spotter.samples_seen),
            detections=detected,
            lost_samples=lost_samples,
        )


class Stopped(BaseException):
    """SIGINT or SIGTERM; not an Exception, so that nothing between takes it for an error."""


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Within, SIGINT and SIGTERM raise :class:`Stopped`."""

    def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
