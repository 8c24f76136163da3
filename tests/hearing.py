"""The loop of ``kwspot listen`` over sound in memory."""

from __future__ import annotations

import io
import json

import numpy as np
from tones import RATE_HZ

from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.listen.loop import listen
from kwspot.runtime.sinks.events import EventWriter


def hear(bundle, items, *watchers) -> list[dict]:
    """Listen to blocks, gaps and what happens to a device, with watchers; return the events."""
    stream = io.StringIO()
    listen(
        KeywordSpotter(bundle),
        items,
        EventWriter(stream, RATE_HZ, sinks=watchers),
        "here",
        finite=False,
        watchers=watchers,
    )
    for watcher in watchers:
        watcher.close()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def blocks_of(sound, size=1280) -> list[np.ndarray]:
    """Cut sound, int16 (n,), into blocks of `size` samples."""
    return np.split(sound, range(size, len(sound), size))
