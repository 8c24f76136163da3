"""A word at the very end of a finite sound is heard, however the sound comes and is sliced."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import numpy as np
import pytest
from hearing import EventNotes

from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.detect.spotter import KeywordSpotter

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def words(tone_folder, tiny_bundle) -> list[np.ndarray]:
    """Words whose sound, int16 (n,), ends one hop before `tiny_bundle` would have fired."""
    spotter, hop, found = KeywordSpotter(tiny_bundle), tiny_bundle.manifest.inference_hop_samples, []
    for clip in DataFolder(tone_folder).clips("test", ["low", "high"]):
        sound = read_sound(clip.path, RATE_HZ)
        spotter.reset()
        found += [sound[: detection.at_sample - hop] for detection in spotter.push(sound)[:1]]
    assert len(found) > 30
    return found


def as_tuples(detections) -> list[tuple[str, float, int]]:
    return [(d.label, round(d.score, 4), d.at_sample) for d in detections]


def heard(spotter: KeywordSpotter, sound: np.ndarray, block_samples: int) -> list[tuple[str, float, int]]:
    spotter.reset()
    found = []
    for start in range(0, len(sound), block_samples):
        found += spotter.push(sound[start : start + block_samples])
    return as_tuples(found + spotter.finish())


@pytest.mark.parametrize("bundle", ["tiny_bundle", "stream_bundle"])
def test_an_end_gives_the_events_of_silence_behind_and_leaves_the_clock_at_the_sounds(bundle, words, request):
    spotter = KeywordSpotter(request.getfixturevalue(bundle))
    late = 0
    for sound in words:
        spotter.reset()
        at_once = as_tuples(spotter.push(sound))
        ended = at_once + as_tuples(spotter.finish())
        assert spotter.samples_seen == len(sound)
        spotter.reset()
        behind = as_tuples(spotter.push(np.concatenate([sound, np.zeros(RATE_HZ, np.int16)])))
        assert ended == [(label, score, min(at, len(sound))) for label, score, at in behind]
        late += at_once != ended
    assert late > 5, "these words end too early to be decided without finish"


def test_slicing_changes_nothing_at_any_end(stream_bundle, words):
    rng = np.random.default_rng(5)
    spotter = KeywordSpotter(stream_bundle)
    for _ in range(40):
        sound = np.concatenate([words[i] for i in rng.integers(len(words), size=2)])[: rng.integers(1, 3 * RATE_HZ)]
        expected = heard(spotter, sound, len(sound))
        for block_samples in (1 + rng.integers(400), 1280, 8193):
            assert heard(spotter, sound, int(block_samples)) == expected
        assert all(at <= len(sound) for _, _, at in expected)


def test_what_follows_an_end_is_heard_anew_and_a_second_end_adds_nothing(tiny_bundle, words):
    spotter = KeywordSpotter(tiny_bundle)
    sound = next(sound for sound in words if heard(spotter, sound, 1280))
    expected = heard(spotter, sound, 1280)
    assert spotter.finish() == []
    spotter.push(np.zeros(2 * RATE_HZ, np.int16))
    start = spotter.samples_seen
    again = as_tuples(spotter.push(sound) + spotter.finish())
    assert [(label, at - start) for label, _, at in again] == [(label, at) for label, _, at in expected]
    spotter.reset()
    assert spotter.finish() == []
    assert spotter.samples_seen == 0


def test_files_and_standard_input_end_as_push_and_finish_do(tiny_bundle, words, save_wav, tmp_path):
    spotter = KeywordSpotter(tiny_bundle)
    sounds = words[:6]
    expected = [heard(spotter, sound, 1280) for sound in sounds]
    assert sum(map(len, expected)) >= 4
    files = [str(save_wav(tmp_path / f"{i}.wav", sound)) for i, sound in enumerate(sounds)]

    def streams(*args: str, stdin: bytes = b"") -> list[list[dict]]:
        command = [sys.executable, "-m", "kwspot.runtime.cli", "listen", str(tiny_bundle.path), *args]
        done = subprocess.run(command, input=stdin, capture_output=True, check=True)
        found: list[list[dict]] = []
        for event in map(json.loads, done.stdout.splitlines()):
            if event["event"] == "start":
                found.append([])
            found[-1].append(event)
        return found

    def detections(stream: list[dict]) -> list[tuple[str, float, int]]:
        return [(e["label"], e["score"], e["at_sample"]) for e in stream if e["event"] == "detection"]

    from_files = streams("--wav", *files)
    assert [detections(stream) for stream in from_files] == expected
    assert [(s[-1]["samples"], s[-1]["detections"]) for s in from_files] == [
        (len(sound), len(found)) for sound, found in zip(sounds, expected, strict=True)
    ]
    (from_stdin,) = streams("--stdin", stdin=sounds[0].tobytes())
    assert detections(from_stdin) == expected[0]
    assert from_stdin[-1]["samples"] == len(sounds[0])


@pytest.mark.parametrize("end", ["audio-stop", "audio-start", "half-close", "close"])
def test_a_wyoming_stream_ends_with_its_last_word(tiny_bundle, words, end):
    from wyoming.audio import AudioChunk, AudioStart, AudioStop
    from wyoming.client import AsyncTcpClient
    from wyoming.wake import Detection

    from kwspot.runtime.sinks.events import EventWriter
    from kwspot.runtime.wyoming.server import WyomingServer

    spotter = KeywordSpotter(tiny_bundle)
    sound = next(sound for sound in words if len(heard(spotter, sound, 1280)) == 1)
    ((label, _, at),) = heard(spotter, sound, 1280)
    notes = EventNotes()
    server = WyomingServer("127.0.0.1", 0, lambda: KeywordSpotter(tiny_bundle), EventWriter(RATE_HZ, [notes]))

    def events() -> list[dict]:
        return notes.events

    async def converse() -> tuple[str | None, int | None]:
        serving = asyncio.create_task(server._serve())
        while not events():
            await asyncio.sleep(0.01)
        async with AsyncTcpClient("127.0.0.1", int(events()[0]["source"].rpartition(":")[2])) as client:
            await client.write_event(AudioStart(RATE_HZ, 2, 1).event())
            await client.write_event(AudioChunk(RATE_HZ, 2, 1, sound.tobytes()).event())
            told = None, None
            if end == "audio-stop":
                await client.write_event(AudioStop().event())
            elif end == "audio-start":
                await client.write_event(AudioStart(RATE_HZ, 2, 1).event())
            elif end == "half-close":
                client._writer.write_eof()
            if end != "close":
                detection = Detection.from_event(await asyncio.wait_for(client.read_event(), 30))
                told = detection.name, detection.timestamp
        while not any(event["event"] == "detection" for event in events()):
            await asyncio.sleep(0.01)
        server.stop()
        await serving
        return told

    told = asyncio.run(asyncio.wait_for(converse(), 60))
    assert told == ((None, None) if end == "close" else (label, round(1000 * at / RATE_HZ)))
    assert [(e["label"], e["at_sample"]) for e in events() if e["event"] == "detection"] == [(label, at)]
    assert events()[-1]["samples"] == len(sound)
