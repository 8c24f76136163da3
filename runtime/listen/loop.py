"""The loop that listens: blocks of sound in, events and what was heard out, to all observers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.sources import DeviceBack, DeviceLost, Gap, SourceEvent
from kwspot.runtime.detect.decision import Detection
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.errors import KwspotError, RecordingError
from kwspot.runtime.sinks.events import EventWriter
from kwspot.runtime.sinks.observer import Heard


def listen(
    spotter: KeywordSpotter,
    blocks: Iterable[NDArray[np.int16] | SourceEvent],
    events: EventWriter,
    source: str,
    *,
    finite: bool,
) -> None:
    """Listen to one stream until it ends, a stop or an error, and write its totals.

    Parameters
    ----------
    source
        What the events call the stream.
    finite
        Whether the sound ends where `blocks` end, so that a last word is
        heard; a microphone is stopped in the middle of its sound.
    """
    spotter.reset()
    detected = lost_samples = 0

    def show(block: NDArray[np.int16], detections: Sequence[Detection]) -> int:
        for detection in detections:
            events.detection(detection)
        if events.watchers:
            events.show(Heard(block, spotter.samples_seen, spotter.last_scores, spotter.last_smoothed, detections))
        return len(detections)

    def place() -> dict[str, float]:
        return {"at_s": events.seconds(spotter.samples_seen), "at_sample": spotter.samples_seen}

    try:
        events.start(source, spotter)
        for item in blocks:
            if isinstance(item, DeviceLost):
                events.write("device_lost", reason=item.reason, **place())
            elif isinstance(item, DeviceBack):
                events.write("device_back", device=item.name, away_s=item.away_s, **place())
            elif isinstance(item, Gap):
                lost_samples += item.lost_samples
                reset = spotter.starts_anew_after(item)
                events.gap(item.lost_samples, spotter.samples_seen + item.lost_samples, cause=item.cause, reset=reset)
                detections = spotter.push(item)
                if not reset:
                    detected += show(np.zeros(item.lost_samples, np.int16), detections)
            else:
                detected += show(item, spotter.push(item))
        if finite:
            detected += show(np.empty(0, np.int16), spotter.finish())
    except (KwspotError, OSError) as error:
        if finite and isinstance(error, RecordingError):  # what could be read of it is a whole sound all the same
            detected += show(np.empty(0, np.int16), spotter.finish())
        events.write("error", source=source, message=str(error))
        raise
    finally:
        events.stop(source, spotter.samples_seen, detected, lost_samples=lost_samples)
