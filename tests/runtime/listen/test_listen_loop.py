"""The loop that listens: what observers are shown."""

from __future__ import annotations

import json
import os
import re

import numpy as np
from hearing import Notes

from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.audio.sources import Gap
from kwspot.runtime.detect.spotter import KEEPS_STATE_MS, KeywordSpotter
from kwspot.runtime.listen.loop import listen
from kwspot.runtime.sinks.events import EventWriter
from kwspot.runtime.sinks.json_lines import JsonLines

RATE_HZ = 16_000


def sound_of(folder) -> np.ndarray:
    clips = DataFolder(folder).clips("test", ["low", "high"])[:5]
    return np.concatenate([read_sound(clip.path, RATE_HZ) for clip in clips])


def test_observers_get_every_event_and_every_block_with_its_scores(tiny_bundle, tone_folder, tmp_path):
    sound = sound_of(tone_folder)
    spotter, notes, path = KeywordSpotter(tiny_bundle), Notes(), tmp_path / "events"
    spotter.keeps_smoothed = True
    with path.open("wb") as file:
        lines = JsonLines(file.fileno())
        events = EventWriter(RATE_HZ, [notes, lines])
        listen(spotter, np.split(sound, range(999, len(sound), 999)), events, "here", finite=False)
        lines.close(60)
    assert [json.loads(line) for line in path.read_text().splitlines()] == notes.events
    np.testing.assert_array_equal(np.concatenate([heard.block for heard in notes.heard]), sound)
    assert notes.heard[-1].end_sample == len(sound)
    # One inference each hop, decided just after its window.
    scores = dict(score for heard in notes.heard for score in heard.scores)
    detections = [detection for heard in notes.heard for detection in heard.detections]
    spec, hop = tiny_bundle.manifest.features, tiny_bundle.manifest.inference_hop_samples
    assert list(scores) == list(range(spec.samples_in(tiny_bundle.manifest.inference_hop_frames), len(sound) + 1, hop))
    assert all(len(heard.smoothed) == len(heard.scores) for heard in notes.heard)
    told = [event["at_sample"] for event in notes.events if event["event"] == "detection"]
    assert told == [detection.at_sample for detection in detections] != []
    labels = tiny_bundle.manifest.labels
    for detection in detections:
        assert labels[int(scores[detection.at_sample].argmax())] == detection.label


def test_each_event_has_its_time_of_day(tiny_bundle):
    notes = Notes()
    clock = iter([1_764_328_486.5, 1_764_328_487.25])
    listen(KeywordSpotter(tiny_bundle), [], EventWriter(RATE_HZ, [notes], clock=lambda: next(clock)), "h", finite=True)
    assert [event["time"] for event in notes.events] == ["2025-11-28T11:14:46.500Z", "2025-11-28T11:14:47.250Z"]
    notes = Notes()
    EventWriter(RATE_HZ, [notes]).write("stop")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", notes.events[0]["time"])


def test_a_gap_is_heard_by_the_python_interface_as_by_the_loop(tiny_bundle, tone_folder):
    sound, notes = sound_of(tone_folder), Notes()
    short, long = KEEPS_STATE_MS * RATE_HZ // 1000, 3_600 * RATE_HZ
    items = [sound, Gap(short, "clock"), sound, Gap(short + 1, "clock"), sound, Gap(long, "device lost"), sound]
    spotter, ours = KeywordSpotter(tiny_bundle), KeywordSpotter(tiny_bundle)
    listen(spotter, items, EventWriter(RATE_HZ, [notes]), "here", finite=False)
    assert [event["reset"] for event in notes.events if event["event"] == "gap"] == [False, True, True]
    found = [detection for item in items for detection in ours.push(item)]
    told = [(event["label"], event["at_sample"]) for event in notes.events if event["event"] == "detection"]
    assert [(detection.label, detection.at_sample) for detection in found] == told != []
    assert ours.samples_seen == spotter.samples_seen == 4 * len(sound) + 2 * short + 1 + long
    # An hour that was lost is not computed with: only the short gap was heard, as silence.
    assert sum(len(heard.block) for heard in notes.heard) == 4 * len(sound) + short


def test_what_is_written_after_the_reader_has_gone_is_no_error():
    ours, theirs = os.pipe()
    failed = []
    lines = JsonLines(theirs, on_failure=lambda: failed.append(True))
    os.close(ours)
    lines.put({"event": "start"})
    lines.put({"event": "stop"})
    lines.close(60)
    os.close(theirs)
    assert failed == [True]
    assert isinstance(lines.failure, BrokenPipeError)
