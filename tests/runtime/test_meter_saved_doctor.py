"""What a person sees of listening: the meter, the saved sounds, the doctor; and the resampling in between."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from kwspot.runtime import cli
from kwspot.runtime.audio.recordings import DataFolder, read_sound
from kwspot.runtime.audio.resample import StreamResampler
from kwspot.runtime.audio.sources import DeviceBack, DeviceLost, Gap
from kwspot.runtime.board import doctor_checks
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.errors import DeviceError
from kwspot.runtime.listen.loop import listen
from kwspot.runtime.sinks.events import EventWriter
from kwspot.runtime.sinks.meter import Meter
from kwspot.runtime.sinks.saved_events import SavedEvents

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def words(tone_folder) -> np.ndarray:
    clips = DataFolder(tone_folder).clips("test", ["low", "high"])
    pause = np.zeros(RATE_HZ // 2, np.int16)
    return np.concatenate([p for clip in clips[:: len(clips) // 6] for p in (pause, read_sound(clip.path, RATE_HZ))])


def hear(bundle, items, *watchers) -> list[dict]:
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
    return np.split(sound, range(size, len(sound), size))


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


def test_the_meter_shows_level_scores_thresholds_losses(tiny_bundle, words):
    terminal, now = io.StringIO(), iter(np.arange(0, 1e4, 0.08))
    word = tiny_bundle.manifest.words[0]
    spotter = KeywordSpotter(tiny_bundle, thresholds={word: 0.5})
    cpu = iter(np.arange(0, 1e3, 0.05))
    meter = Meter(terminal, spotter, cpu_s=lambda: next(cpu), clock=lambda: next(now))
    items = [*blocks_of(words), DeviceLost("no sound for 3 s"), DeviceBack("mic", 4.0), Gap(32_000, "device lost")]
    events = hear(tiny_bundle, items, meter)
    pictures = terminal.getvalue().split("\x1b[J")
    assert any("microphone lost: no sound for 3 s; trying to open it again" in picture for picture in pictures)
    last = pictures[-2]
    assert "microphone open" in last
    assert "lost 32000 samples (2.00 s) in 1 gaps" in last
    assert f"{word} " in last
    assert "fires from 0.5" in last
    assert " dB of full scale" in last
    assert "CPU" in last
    detection = [event for event in events if event["event"] == "detection"][-1]
    assert f"{detection['at_s']:.2f} s  {detection['label']}  {detection['score']:.2f}" in last
    # Five times a second at the most, beside what happens to the device.
    assert len(pictures) < len(words) / RATE_HZ * 5 + 6


def test_the_meter_shows_no_score_where_the_decision_has_no_mean_yet(tiny_bundle, words):
    spotter = KeywordSpotter(tiny_bundle)
    hop = tiny_bundle.manifest.inference_hop_samples
    meter = Meter(io.StringIO(), spotter, cpu_s=lambda: 0.0, clock=lambda: 0.0)
    means = []
    for block in [*blocks_of(words, hop)[:60], None, *blocks_of(words, hop)[60:70]]:
        if block is None:
            meter.put({"event": "gap", "lost_samples": 99 * hop, "reset": True})
            spotter.skip(99 * hop)
            assert not meter._scores.any()
        else:
            meter.watch(block, spotter.last_scores, spotter.push(block))
            means.append((spotter.last_smoothed[-1] if spotter.last_smoothed else None, meter._scores))
    shown = [scores for mean, scores in means if mean is not None]
    assert len(shown) > 40
    assert any(scores.max() > 0.5 for scores in shown)
    assert means[60][0] is None  # the first hop after the gap
    assert all(not scores.any() for mean, scores in means if mean is None)


def test_the_meter_needs_a_terminal(tiny_bundle, save_wav, words, tmp_path, capsys):
    path = save_wav(tmp_path / "a.wav", words)
    assert cli.main(["listen", str(tiny_bundle.path), "--wav", str(path), "--meter"]) == 2
    assert "--meter draws on a terminal" in capsys.readouterr().err


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
def test_resampling_in_blocks_is_resampling_at_once_and_counts_every_sample(rate_hz):
    import soxr

    rng = np.random.default_rng(1)
    sound = np.cumsum(rng.normal(0, 50, 5 * rate_hz)) % 8_000 - 4_000
    sound = sound.astype(np.int16)
    resampler = StreamResampler(rate_hz, RATE_HZ)
    whole = soxr.resample(sound / 32_768, rate_hz, RATE_HZ, quality="HQ") * 32_768
    given = [resampler.push(block) for block in blocks_of(sound, rate_hz * 80 // 1000)]
    tail, lost = resampler.skip(12_345)
    out = np.concatenate([*given, tail])
    assert abs(len(out) - len(whole)) <= 1
    size = min(len(out), len(whole))
    assert np.abs(out[:size] - whole[:size]).max() <= 1
    assert len(out) + lost == round((len(sound) + 12_345) * RATE_HZ / rate_hz)
    again = np.concatenate([*(resampler.push(block) for block in blocks_of(sound, 999)), resampler.skip(0)[0]])
    assert abs(len(again) - len(whole)) <= 1


def test_without_soxr_a_device_of_another_rate_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "soxr", None)
    StreamResampler(RATE_HZ, RATE_HZ)
    with pytest.raises(DeviceError, match=r"48000 Hz .* 16000 Hz; .* pip install 'kwspot\[files\]'"):
        StreamResampler(48_000, RATE_HZ)


def test_real_clips_at_48_khz_give_the_labels_of_the_original_within_one_hop(recordings):
    import soxr

    from kwspot.runtime.model.bundle import load_bundle

    bundle = load_bundle("tutorial")
    clips = DataFolder(recordings / "speech_commands").clips("validation", ["bed", "cat", "happy"])[::12][:30]
    pause = np.zeros(RATE_HZ // 2, np.int16)
    sound = np.concatenate([part for clip in clips for part in (pause, read_sound(clip.path, RATE_HZ))])
    copy = np.rint(soxr.resample(sound.astype(float), RATE_HZ, 48_000, quality="VHQ")).clip(-32_768, 32_767)
    resampler = StreamResampler(48_000, RATE_HZ)
    heard = np.concatenate([resampler.push(block) for block in blocks_of(copy.astype(np.int16), 3840)])
    ours, theirs = KeywordSpotter(bundle).push(sound), KeywordSpotter(bundle).push(heard)
    assert [detection.label for detection in theirs] == [detection.label for detection in ours]
    assert len(ours) >= 20
    hop = bundle.manifest.inference_hop_samples
    assert all(abs(a.at_sample - b.at_sample) <= hop for a, b in zip(ours, theirs, strict=True))


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_doctor_reads_a_board_that_is_not_well(tmp_path):
    def found() -> dict[str, doctor_checks.Finding]:
        return {finding.subject: finding for finding in doctor_checks.processor(root=tmp_path)}

    assert found() == {}
    put(tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n")
    put(tmp_path / "sys/class/thermal/thermal_zone0/temp", "84500\n")
    put(tmp_path / "sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n")
    sick = found()
    assert set(sick) == {"governor", "temperature", "throttling"}
    assert all(finding.todo for finding in sick.values())
    assert "under-voltage now" in sick["throttling"].seen
    put(tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n")
    put(tmp_path / "sys/class/thermal/thermal_zone0/temp", "48000\n")
    put(tmp_path / "sys/devices/platform/soc/soc:firmware/get_throttled", "0\n")
    assert not any(finding.todo for finding in found().values())


def test_the_doctor_finds_rights_and_sound_server(tmp_path, monkeypatch):
    def unplugged():
        raise DeviceError("PortAudio cannot be loaded; expected libportaudio2: sudo apt install libportaudio2")

    monkeypatch.setattr("kwspot.runtime.audio.devices.input_devices", unplugged)
    put(tmp_path / "dev/snd/pcmC0D0c", "")
    put(tmp_path / "run/user/1000/pulse/native", "")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    environment = {"XDG_RUNTIME_DIR": "/run/user/1000"}
    found = {finding.subject: finding for finding in doctor_checks.sound(root=tmp_path, environment=environment)}
    assert found["portaudio"].todo == "sudo apt install libportaudio2"
    assert found["sound card"].todo.startswith("sudo usermod -aG ")
    assert found["sound server"].seen == "PulseAudio in /run/user/1000"
    alone = {finding.subject: finding for finding in doctor_checks.sound(root=tmp_path, environment={})}
    assert "loginctl enable-linger" in alone["sound server"].todo


def test_the_doctor_runs_every_engine_that_is_installed():
    command = [sys.executable, "-m", "kwspot.runtime.cli", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    for engine in ("litert", "onnx"):
        assert f"OK    engine {engine}: computes what " in done.stdout
    lines = done.stdout.splitlines()
    assert all(line.startswith(("OK    ", "LOOK  ")) for line in lines[: len(lines) - done.returncode])
    assert ("LOOK" in done.stdout) == (done.returncode == 1)
