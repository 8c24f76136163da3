"""Saved detections: the second before and after, with its scores, bounded in count and bytes."""

from __future__ import annotations

import json
import wave

import numpy as np
from hearing import blocks_of, hear
from tones import RATE_HZ

from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sources import Gap
from kwspot.runtime.sinks.saved_events import SavedEvents


def test_the_second_before_and_after_each_detection_is_kept_with_its_scores(tiny_bundle, words, tmp_path):
    gap = 12_345
    items = [*blocks_of(words), Gap(gap, "clock"), *blocks_of(words)]
    events = hear(tiny_bundle, items, SavedEvents(tmp_path, tiny_bundle))
    heard = {event["at_sample"]: event["label"] for event in events if event["event"] == "detection"}
    # The stream as the sample clock counts it; no stretch reaches over the gap.
    stream = np.concatenate([words, np.zeros(gap, np.int16), words])
    kept = {}
    for path in tmp_path.glob("*/*.json"):
        evidence = json.loads(path.read_text())
        at, first = evidence["at_sample"], evidence["first_sample"]
        kept[at] = path.parent.name
        with wave.open(str(path.with_suffix(".wav"))) as file:
            sound = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        np.testing.assert_array_equal(sound, stream[first : first + len(sound)])
        low, high = (0, len(words)) if at <= len(words) else (len(words) + gap, len(stream))
        assert first == max(low, at - RATE_HZ)
        assert first + len(sound) == min(high, at + RATE_HZ)
        places = [row["at_sample"] for row in evidence["scores"]]
        assert at in places
        assert all(first < place <= first + len(sound) for place in places)
        assert len(evidence["labels"]) == len(evidence["scores"][0]["scores"])
    assert kept == heard
    assert len(kept) >= 8
    assert len(DataFolder(tmp_path).clips("all")) == len(kept)


def test_saved_sounds_are_bounded_in_count_and_bytes_and_nothing_else_is_touched(tiny_bundle, words, tmp_path):
    mine = tmp_path / "low" / "mine.wav"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    for most in ({"most_detections": 3}, {"most_bytes": 150_000}):
        for _ in range(2):  # a second run counts what the first has left
            hear(tiny_bundle, blocks_of(words), SavedEvents(tmp_path, tiny_bundle, **most))
            kept = [path for path in tmp_path.glob("*/*.wav") if path != mine]
            assert 1 <= len(kept) <= most.get("most_detections", 3)
            files = [path for path in tmp_path.glob("*/*") if path != mine]
            assert sum(path.stat().st_size for path in files) <= most.get("most_bytes", 10**9)
            assert len(files) == 2 * len(kept)
    assert mine.read_bytes() == b"mine"


def test_a_folder_that_cannot_be_written_does_not_end_listening(tiny_bundle, words, tmp_path, capsys):
    saved = SavedEvents(tmp_path / "gone", tiny_bundle)
    (tmp_path / "gone").rmdir()
    (tmp_path / "gone").write_bytes(b"")
    events = hear(tiny_bundle, blocks_of(words), saved)
    detections = sum(event["event"] == "detection" for event in events)
    said = capsys.readouterr().err.splitlines()
    assert "listening goes on" in said[0]
    assert said[1:] == [f"kwspot: {detections} detections could not be kept in {tmp_path / 'gone'}"]
