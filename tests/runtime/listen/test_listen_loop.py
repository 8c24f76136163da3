"""The loop that listens: what sinks and watchers are shown."""

from __future__ import annotations

import io
import json

import numpy as np

from kwspot.runtime.audio.recordings import DataFolder, read_sound
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.listen.loop import listen
from kwspot.runtime.sinks.events import EventWriter

RATE_HZ = 16_000


class Notes:
    """A sink and a watcher that keeps everything."""

    def __init__(self) -> None:
        self.events, self.blocks, self.scores, self.detections = [], [], [], []
        self.closed = False

    def put(self, event):
        self.events.append(dict(event))

    def close(self):
        self.closed = True

    def watch(self, block, scores, detections):
        self.blocks.append(block)
        self.scores += scores
        self.detections += detections


def test_sinks_get_every_event_and_watchers_every_block_with_its_scores(tiny_bundle, tone_folder):
    clips = DataFolder(tone_folder).clips("test", ["low", "high"])[:5]
    sound = np.concatenate([read_sound(clip.path, RATE_HZ) for clip in clips])
    spotter, notes, stream = KeywordSpotter(tiny_bundle), Notes(), io.StringIO()
    events = EventWriter(stream, RATE_HZ, sinks=[notes])
    blocks = np.split(sound, range(999, len(sound), 999))
    listen(spotter, blocks, events, "here", finite=False, watchers=[notes])
    events.close()
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == notes.events
    assert notes.closed
    np.testing.assert_array_equal(np.concatenate(notes.blocks), sound)
    # One inference each hop, decided just after its window.
    spec, hop = tiny_bundle.manifest.features, tiny_bundle.manifest.inference_hop_samples
    places = [at_sample for at_sample, _ in notes.scores]
    assert places == list(range(spec.samples_in(tiny_bundle.manifest.inference_hop_frames), len(sound) + 1, hop))
    heard = [event["at_sample"] for event in notes.events if event["event"] == "detection"]
    assert heard == [detection.at_sample for detection in notes.detections] != []
    labels = tiny_bundle.manifest.labels
    for detection in notes.detections:
        scores = dict(notes.scores)[detection.at_sample]
        assert labels[int(scores.argmax())] == detection.label
