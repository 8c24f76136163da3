"""A stream of sound to events: however it arrives and whichever engine runs, the events are the same."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kwspot.runtime import cli
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.errors import AudioFormatError, ConfigError
from kwspot.runtime.model.bundle import load_bundle

RATE_HZ = 16_000


def stream_of(clips, minutes: float, seed: int = 3) -> tuple[np.ndarray, list[tuple[str, int]]]:
    """Clips with gaps of faint noise between them, and each word with the sample where its clip ends."""
    rng = np.random.default_rng(seed)
    parts, words, samples = [], [], 0
    while samples < minutes * 60 * RATE_HZ:
        clip = clips[rng.integers(len(clips))]
        for sound, word in (
            (np.rint(rng.normal(0, 8, rng.integers(RATE_HZ // 2, 2 * RATE_HZ))).astype(np.int16), None),
            (read_sound(clip.path, RATE_HZ), clip.word),
        ):
            parts.append(sound)
            samples += len(sound)
            if word:
                words.append((word, samples))
    return np.concatenate([*parts, np.zeros(RATE_HZ, np.int16)]), words


def pushed(spotter: KeywordSpotter, sound: np.ndarray, block_samples: int) -> list[tuple[str, float, int]]:
    spotter.reset()
    found = []
    for start in range(0, len(sound), block_samples):
        found += spotter.push(sound[start : start + block_samples])
    return [(d.label, round(d.score, 4), d.at_sample) for d in found]


def events_of(output: str) -> list[dict]:
    return [json.loads(line) for line in output.splitlines()]


def detections_of(output: str) -> list[tuple[str, float, int]]:
    return [(e["label"], e["score"], e["at_sample"]) for e in events_of(output) if e["event"] == "detection"]


def listen(*args: object, stdin: bytes | None = None) -> str:
    command = [sys.executable, "-m", "kwspot.runtime.cli", "listen", *map(str, args)]
    return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout.decode()


@pytest.fixture(scope="module")
def tone_stream(tone_folder):
    return stream_of(DataFolder(tone_folder).clips("test", ["low", "high"]), minutes=1)


def test_the_words_of_a_stream_are_found_in_their_places(tiny_bundle, tone_stream):
    sound, words = tone_stream
    found = pushed(KeywordSpotter(tiny_bundle), sound, 1280)
    heard = [
        (word, end)
        for word, end in words
        if any(label == word and end - RATE_HZ < at < end + RATE_HZ // 2 for label, _, at in found)
    ]
    assert len(words) > 20
    assert len(heard) >= 0.9 * len(words), set(words) - set(heard)
    assert len(found) <= 1.1 * len(words)


@pytest.mark.parametrize("block_samples", [1, 319, 320, 321, 4096])
def test_blocks_of_any_size_give_the_same_events(tiny_bundle, tone_stream, block_samples):
    sound = tone_stream[0][: 20 * RATE_HZ]
    spotter = KeywordSpotter(tiny_bundle)
    assert pushed(spotter, sound, block_samples) == pushed(spotter, sound, len(sound)) != []
    assert spotter.samples_seen == len(sound)


def test_a_file_and_standard_input_give_the_events_of_push(save_wav, tiny_bundle, tone_stream, tmp_path):
    sound = tone_stream[0]
    expected = pushed(KeywordSpotter(tiny_bundle), sound, 1280)
    path = save_wav(tmp_path / "stream.wav", sound)
    from_file = listen(tiny_bundle.path, "--wav", path)
    assert detections_of(from_file) == expected
    assert detections_of(listen(tiny_bundle.path, "--stdin", stdin=sound.tobytes())) == expected
    events = events_of(from_file)
    assert [events[0]["event"], events[-1]["event"]] == ["start", "stop"]
    assert events[0]["words"] == ["low", "high"]
    assert {key: value for key, value in events[-1].items() if key != "time"} == {
        "event": "stop", "source": str(path), "samples": len(sound), "at_s": round(len(sound) / RATE_HZ, 4),
        "detections": len(expected), "lost_samples": 0,
    }  # fmt: skip


def test_litert_and_onnx_give_identical_events(tiny_bundle, tone_stream):
    by_engine = [pushed(KeywordSpotter(tiny_bundle, engine=name), tone_stream[0], 1280) for name in ("litert", "onnx")]
    assert by_engine[0] == by_engine[1] != []


def test_tflite_gives_the_same_labels_within_one_hop(save_wav, tiny_bundle, tone_stream, tflite_python, tmp_path):
    path = save_wav(tmp_path / "stream.wav", tone_stream[0])
    command = [tflite_python, "-m", "kwspot.runtime.cli", "listen", str(tiny_bundle.path), "--engine", "tflite"]
    output = subprocess.run([*command, "--wav", str(path)], capture_output=True, text=True, check=True).stdout
    ours = pushed(KeywordSpotter(tiny_bundle, engine="litert"), tone_stream[0], 1280)
    same_within_one_hop(detections_of(output), ours, tiny_bundle)


def same_within_one_hop(theirs, ours, bundle):
    """Same labels; only a detection that came by a hair may move further: tflite-runtime rounds twice, LiteRT once."""
    assert [label for label, _, _ in theirs] == [label for label, _, _ in ours]
    hop, decision = bundle.manifest.inference_hop_samples, bundle.manifest.decision
    moved = [(a, b) for a, b in zip(theirs, ours, strict=True) if abs(a[2] - b[2]) > hop]
    assert len(moved) <= len(ours) // 100
    for pair in moved:
        label, score, _ = min(pair, key=lambda detection: detection[2])
        assert score - decision.thresholds.get(label, decision.default_threshold) <= 0.02


def test_lost_samples_move_the_clock_and_start_anew(tiny_bundle, tone_stream):
    sound = tone_stream[0][: 20 * RATE_HZ]
    spotter = KeywordSpotter(tiny_bundle)
    plain = pushed(spotter, sound, 1280)
    spotter.reset()
    spotter.skip(12_345)
    shifted = [(d.label, round(d.score, 4), d.at_sample - 12_345) for d in spotter.push(sound)]
    assert shifted == plain
    assert spotter.samples_seen == 12_345 + len(sound)


def test_reset_is_a_new_stream(tiny_bundle, tone_stream):
    spotter = KeywordSpotter(tiny_bundle)
    first = pushed(spotter, tone_stream[0][: 15 * RATE_HZ], 777)
    assert pushed(spotter, tone_stream[0][: 15 * RATE_HZ], 1000) == first


def test_thresholds_by_option(save_wav, tiny_bundle, tone_stream, tmp_path, capsys):
    path = save_wav(tmp_path / "stream.wav", tone_stream[0])
    assert cli.main(["listen", str(tiny_bundle.path), "--wav", str(path), "--threshold", "low=1"]) == 0
    assert {label for label, score, _ in detections_of(capsys.readouterr().out) if score < 0.999} == {"high"}
    for option, says in (
        ("low", "expected WORD=NUMBER"),
        ("low=high", "expected WORD=NUMBER"),
        ("0.5", "expected WORD=NUMBER"),
        ("low=1.5", "expected 0 to 1"),
        ("middle=0.5", "this bundle hears low, high"),
    ):
        assert cli.main(["listen", str(tiny_bundle.path), "--wav", str(path), "--threshold", option]) == 2
        said = capsys.readouterr()
        assert says in said.err
        assert said.err.count("\n") == 1
        assert not said.out


def test_several_files_are_streams_of_their_own(tiny_bundle, tone_folder, capsys):
    paths = [str(clip.path) for clip in DataFolder(tone_folder).clips("test", ["low"])[:3]]
    assert cli.main(["listen", str(tiny_bundle.path), "--wav", *paths]) == 0
    events = events_of(capsys.readouterr().out)
    assert [e["source"] for e in events if e["event"] == "start"] == paths
    assert all(e["samples"] == RATE_HZ for e in events if e["event"] == "stop")


def test_a_truncated_file_ends_with_its_totals_and_exit_2(save_wav, tiny_bundle, tone_stream, tmp_path, capsys):
    path = save_wav(tmp_path / "stream.wav", tone_stream[0][: 4 * RATE_HZ])
    path.write_bytes(path.read_bytes()[:-RATE_HZ])
    assert cli.main(["listen", str(tiny_bundle.path), "--wav", str(path)]) == 2
    said = capsys.readouterr()
    assert "is truncated" in said.err
    assert events_of(said.out)[-1]["event"] == "stop"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_with_totals_and_exit_0(tiny_bundle, number):
    command = [sys.executable, "-m", "kwspot.runtime.cli", "listen", str(tiny_bundle.path), "--stdin"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert json.loads(process.stdout.readline())["event"] == "start"
    process.stdin.write(bytes(3200))
    process.stdin.flush()
    process.send_signal(number)
    output, error = process.communicate(timeout=20)
    assert process.returncode == 0, error
    assert events_of(output.decode())[-1]["event"] == "stop"


def test_a_reader_that_leaves_ends_it_quietly(save_wav, tiny_bundle, tone_stream, tmp_path):
    path = save_wav(tmp_path / "stream.wav", tone_stream[0])
    command = f"'{sys.executable}' -m kwspot.runtime.cli listen '{tiny_bundle.path}' --wav '{path}' | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["event"] == "start"
    assert "Traceback" not in done.stderr


def test_a_block_of_another_type_changes_nothing(tiny_bundle, tone_stream):
    spotter = KeywordSpotter(tiny_bundle)
    with pytest.raises(AudioFormatError):
        spotter.push(tone_stream[0].astype(np.float32))
    assert spotter.samples_seen == 0
    with pytest.raises(ConfigError, match="no engine 'tpu'"):
        KeywordSpotter(tiny_bundle, engine="tpu")


def test_the_engines_of_a_bundle_agree_with_its_golden_vectors(tiny_bundle):
    from kwspot.runtime.model.engines import open_engine
    from kwspot.runtime.model.golden import check_golden

    for name in ("litert", "onnx"):
        result = check_golden(tiny_bundle, open_engine(tiny_bundle, name))
        assert result.feature_error <= 2e-4
        assert result.score_steps <= 1
        assert result.same_labels


@pytest.fixture(scope="module")
def real_stream(recordings):
    clips = DataFolder(recordings / "speech_commands").clips("validation", ["bed", "cat", "happy"])
    return stream_of(clips, minutes=10)


def test_ten_minutes_of_real_clips(save_wav, tutorial_bundle, real_stream, tmp_path, tflite_python):
    """The same events from a file, from standard input and from push, in blocks of any size, in all engines."""
    sound, words = real_stream
    assert len(sound) >= 600 * RATE_HZ
    expected = pushed(KeywordSpotter(tutorial_bundle, engine="litert"), sound, 1280)
    path = save_wav(tmp_path / "stream.wav", sound)
    assert detections_of(listen(tutorial_bundle.path, "--wav", path)) == expected
    assert detections_of(listen(tutorial_bundle.path, "--stdin", stdin=sound.tobytes())) == expected
    for block_samples in (1, 319, 320, 321, 4096):
        assert pushed(KeywordSpotter(tutorial_bundle), sound, block_samples) == expected
    assert pushed(KeywordSpotter(tutorial_bundle, engine="onnx"), sound, 1280) == expected
    command = [tflite_python, "-m", "kwspot.runtime.cli", "listen", str(tutorial_bundle.path), "--engine", "tflite"]
    output = subprocess.run([*command, "--wav", str(path)], capture_output=True, text=True, check=True).stdout
    same_within_one_hop(detections_of(output), expected, tutorial_bundle)
    heard = sum(
        any(label == word and end - RATE_HZ < at < end + RATE_HZ // 2 for label, _, at in expected)
        for word, end in words
    )
    assert heard >= 0.9 * len(words)


@pytest.fixture(scope="module")
def tutorial_bundle():
    return load_bundle("tutorial")


def test_the_shipped_bundles_are_whole(capsys):
    assert cli.main(["bundles"]) == 0
    said = capsys.readouterr().out
    assert "tutorial: bed, cat, happy" in said
    assert Path(said.splitlines()[-1].strip()).is_dir()
