"""The loop of ``kwspot listen`` over sound in memory, and observers that keep what they are shown."""

from __future__ import annotations

from typing import Any

import numpy as np
from tones import RATE_HZ

from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.listen.loop import listen
from kwspot.runtime.sinks.events import EventWriter
from kwspot.runtime.sinks.observer import Event, Heard, Observer


class EventNotes(Observer):
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def put(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(dict(event))


class Notes(EventNotes):
    """Keeps every block with what it gave, too."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Heard] = []

    def watch(self, heard: Heard) -> None:
        """Keep a block."""
        self.heard.append(heard)


def hear_sounds(spotter: Any, block: Any) -> Heard:
    """Push a block, and return what observers are shown of it."""
    detections = spotter.push(block)
    return Heard(block, spotter.samples_seen, spotter.last_scores, spotter.last_smoothed, detections)


def hear(bundle, items, *observers) -> list[dict]:
    """Listen to blocks, gaps and what happens to a device, with observers; return the events."""
    notes = EventNotes()
    listen(KeywordSpotter(bundle), items, EventWriter(RATE_HZ, [notes, *observers]), "here", finite=False)
    for observer in observers:
        observer.close(60)
    return notes.events


def blocks_of(sound, size=1280) -> list[np.ndarray]:
    """Cut sound, int16 (n,), into blocks of `size` samples."""
    return np.split(sound, range(size, len(sound), size))
