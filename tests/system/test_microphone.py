"""The microphone through the real PortAudio and ALSA: what it hears, and what becomes of it when something fails."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from virtual_microphone import BLOCK_SAMPLES, RATE_HZ, Listener, Player, Pulse

from kwspot.runtime.audio import capture_link
from kwspot.runtime.audio.microphone import Microphone, microphone_blocks
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.audio.sources import Gap
from kwspot.runtime.detect.spotter import KeywordSpotter

POSITIONS = np.arange(-30_000, 30_000).astype(np.int16)
"""A sound whose samples say where they are, modulo 60,000."""


@pytest.fixture
def listening():
    """Starts listeners, and ends those that a failed test has left."""
    listeners = []

    def start(*args) -> Listener:
        listeners.append(Listener(*args))
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.kill()


@pytest.fixture
def playing():
    players = []

    def start(*args, **kwargs) -> Player:
        players.append(Player(*args, **kwargs))
        return players[-1]

    yield start
    for player in players:
        player.close()


@pytest.fixture
def busy_cores():
    """Both cores kept busy, and one more."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range((os.cpu_count() or 1) + 1)]
    yield
    for burner in burners:
        burner.kill()
        burner.wait()


@pytest.fixture(scope="module")
def words(tone_folder) -> np.ndarray:
    """A word every second and a half."""
    clips = DataFolder(tone_folder).clips("test", ["low", "high"])
    pause = np.zeros(RATE_HZ // 2, np.int16)
    parts = [part for clip in clips[:: len(clips) // 6] for part in (pause, read_sound(clip.path, RATE_HZ))]
    return np.concatenate(parts)


def detections_of(events) -> list[tuple[str, float, int]]:
    return [(e["label"], e["score"], e["at_sample"]) for e in events if e["event"] == "detection"]


def expected_of(bundle, sound) -> list[tuple[str, float, int]]:
    return [(d.label, round(d.score, 4), d.at_sample) for d in KeywordSpotter(bundle).push(sound)]


def test_the_events_of_a_fifo_are_those_of_the_file_to_the_sample(
    tmp_path, tiny_bundle, words, listening, playing, busy_cores
):
    fifo, config = tmp_path / "fifo", tmp_path / "asound.conf"
    os.mkfifo(fifo)
    config.write_text(
        "</usr/share/alsa/alsa.conf>\n"
        f'pcm.fifomic {{ type file slave.pcm "null" file "/dev/null" infile "{fifo}" format "raw" }}\n'
        'pcm.!default "fifomic"\n'
    )
    sound = np.concatenate([words, np.zeros(RATE_HZ, np.int16)])
    expected = expected_of(tiny_bundle, sound)
    assert len(expected) >= 5
    keep = os.open(fifo, os.O_RDWR)  # so that ALSA does not wait for a writer
    try:
        listener = listening(tiny_bundle.path, {"ALSA_CONFIG_PATH": str(config)}, "--device", "fifomic")
        listener.wait_for("start")
        player = playing(fifo, sound, repeat=False)
        assert player.played.wait(120)
        listener.wait_for("detection", len(expected))
        stop = listener.stop()
    finally:
        os.close(keep)
    assert detections_of(listener.events) == expected
    assert stop["samples"] >= len(sound)
    assert stop["lost_samples"] == 0


def test_pulseaudio_loses_no_sample_while_the_cores_are_busy(
    tiny_bundle, words, pulse, playing, monkeypatch, busy_cores
):
    for name, value in pulse.settings.items():
        monkeypatch.setenv(name, value)
    marked = np.concatenate([POSITIONS[:4000], words])
    lead = np.zeros(2 * RATE_HZ, np.int16)
    heard = np.empty(0, np.int16)
    live = KeywordSpotter(tiny_bundle)
    found = []
    with Microphone("pmic") as microphone:
        microphone.wait_until_open()
        player = playing(pulse.pipe, np.concatenate([lead, marked]), repeat=False)
        for block in microphone:
            assert isinstance(block, np.ndarray), block
            heard = np.concatenate([heard, block])
            found += [(d.label, round(d.score, 4), d.at_sample) for d in live.push(block)]
            if player.played.is_set() and len(heard) > len(lead) + len(marked) + RATE_HZ:
                break
    (start,) = (i for i in np.flatnonzero(heard == marked[0]) if (heard[i : i + 4000] == marked[:4000]).all())
    np.testing.assert_array_equal(heard[start : start + len(marked)], marked)
    assert found == expected_of(tiny_bundle, heard)
    assert len(found) >= 5


def test_a_daemon_that_is_killed_and_restarted(tiny_bundle, words, pulse, listening, playing):
    listener = listening(tiny_bundle.path, pulse.settings)
    listener.wait_for("start")
    began = time.monotonic()
    playing(pulse.pipe, words)
    listener.wait_for("detection", 2)
    pulse.kill()
    lost = listener.wait_for("device_lost")
    assert lost["at_sample"] > 0
    pulse.start()
    playing(pulse.pipe, words)
    back = listener.wait_for("device_back")
    gap = listener.wait_for("gap")
    assert gap["cause"] == "device lost"
    assert gap["reset"]
    assert abs(gap["lost_s"] - back["away_s"]) < 0.2
    listener.wait_for_detection_after("device_back")
    stop = listener.stop()
    assert abs(stop["at_s"] - (time.monotonic() - began)) < 3
    assert len(listener.all("device_lost")) == 1


def test_a_writer_that_stops_for_five_seconds(tiny_bundle, words, pulse, listening, playing):
    listener = listening(tiny_bundle.path, pulse.settings)
    listener.wait_for("start")
    player = playing(pulse.pipe, words)
    listener.wait_for("detection", 2)
    player.pause()
    paused = time.monotonic()
    lost = listener.wait_for("device_lost")
    assert lost["reason"] == "no sound for 3 s"
    time.sleep(max(0.0, paused + 5 - time.monotonic()))
    player.resume()
    back = listener.wait_for("device_back")
    assert 4 < back["away_s"] < time.monotonic() - paused + 1
    assert listener.wait_for("gap")["lost_s"] == pytest.approx(back["away_s"], abs=0.2)
    listener.wait_for_detection_after("device_back")
    listener.stop()


def test_stopped_while_the_device_hangs(tiny_bundle, words, pulse, listening, playing):
    listener = listening(tiny_bundle.path, pulse.settings)
    listener.wait_for("start")
    player = playing(pulse.pipe, words)
    listener.wait_for("detection")
    player.pause()
    time.sleep(1.0)  # hangs, and has not been noticed yet
    assert listener.stop()["detections"] >= 1

    player.resume()
    listener = listening(tiny_bundle.path, pulse.settings)
    listener.wait_for("detection")
    player.pause()
    lost = listener.wait_for("device_lost")
    time.sleep(1.0)
    stop = listener.stop()
    # The time away is accounted for, though the device never came back.
    (gap,) = listener.all("gap")
    assert gap["lost_s"] > 3.5
    assert stop["samples"] == lost["at_sample"] + gap["lost_samples"]
    assert not listener.all("device_back")


def test_a_slow_consumer_is_told_exactly_what_it_missed(pulse, playing, monkeypatch):
    for name, value in pulse.settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(capture_link, "QUEUE_BYTES", 40_000)
    playing(pulse.pipe, POSITIONS)
    at = None
    missed = 0
    heard_after = 0
    with Microphone() as microphone:
        for number, item in enumerate(microphone):
            if isinstance(item, Gap):
                assert item.cause == "queue full"
                assert at is not None
                missed += item.lost_samples
                at += item.lost_samples
                continue
            where = item.astype(np.int64) + 30_000
            if at is not None:
                assert where[0] == at % 60_000
            np.testing.assert_array_equal(where, (where[0] + np.arange(len(where))) % 60_000)
            at = int(where[-1]) + 1
            heard_after += missed > 0
            if number == 10:
                time.sleep(3.0)  # the queue holds about 0.7 s
            if heard_after > 10:
                break
    assert RATE_HZ < missed < 4 * RATE_HZ
    assert missed % BLOCK_SAMPLES == 0


def test_the_python_interface_gets_a_gap_for_what_was_lost(pulse, playing, monkeypatch):
    for name, value in pulse.settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(capture_link, "QUEUE_BYTES", 40_000)
    playing(pulse.pipe, np.full(RATE_HZ, 7, np.int16))
    blocks = microphone_blocks()
    for _ in range(10):
        assert (next(blocks) == 7).any()
    time.sleep(2.0)
    with pytest.warns(RuntimeWarning, match="queue full"):
        (gap, *_) = (item for item in (next(blocks) for _ in range(100)) if isinstance(item, Gap))
    assert gap.cause == "queue full"
    assert gap.lost_samples > 0.5 * RATE_HZ
    blocks.close()


def test_without_descriptors_or_processes_it_is_opened_again_later(tiny_bundle, words, pulse, listening, playing):
    player = playing(pulse.pipe, words)
    listener = listening(tiny_bundle.path, pulse.settings)
    listener.wait_for("detection")
    pid = listener.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    player.pause()  # no sound for 3 s is a device that hangs
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    listener.wait_for("device_lost")
    time.sleep(4)  # several attempts
    assert listener.process.poll() is None, listener.process.stderr.read()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    player.resume()
    listener.wait_for("device_back")
    listener.wait_for_detection_after("device_back")
    listener.stop()


@pytest.mark.parametrize("hangs_s", [0.0, 0.2, 1.0, 3.5, 5.0])
def test_a_device_that_hangs_does_not_hold_the_end(tiny_bundle, words, pulse, listening, playing, hangs_s):
    player = playing(pulse.pipe, words)
    listener = listening(tiny_bundle.path, pulse.settings)
    listener.wait_for("start")
    player.pause()
    time.sleep(hangs_s)
    began = time.monotonic()
    listener.stop()
    assert time.monotonic() - began < 3.0  # two seconds, and what a busy machine adds


@pytest.mark.parametrize(("channel", "heard"), [("1", {"low"}), ("2", {"high"}), ("mean", {"low", "high"})])
def test_a_channel_of_two_or_their_mean(tmp_path, tiny_bundle, tone_folder, listening, playing, channel, heard):
    """The left says low, the right says high, by turns."""
    pause = np.zeros(RATE_HZ // 2, np.int16)
    said = []
    for word in ("low", "high"):
        sounds = [read_sound(clip.path, RATE_HZ) for clip in DataFolder(tone_folder).clips("test", [word])]
        # A loud one: the mean has half of it.
        said.append(np.concatenate([pause, max(sounds, key=lambda sound: int(np.abs(sound.astype(int)).max()))]))
    low, high = said
    stereo = np.stack([np.append(low, 0 * high), np.append(0 * low, high)], axis=1)  # (n, 2)
    server = Pulse(tmp_path, channels=2)
    try:
        server.start()
        listener = listening(tiny_bundle.path, server.settings, "--device", "pmic", "--channel", channel)
        listener.wait_for("start")
        playing(server.pipe, stereo)
        listener.wait_for("detection", 2)  # of one channel, with the other's word between them
        listener.stop()
    finally:
        server.kill()
    assert {event["label"] for event in listener.all("detection")} == heard


def test_no_microphone_is_one_line_that_says_what_else_there_is(tmp_path, tiny_bundle):
    cards = Path("/proc/asound/cards")
    if cards.exists() and "no soundcards" not in cards.read_text():
        pytest.skip("this machine has a sound card")
    config = tmp_path / "asound.conf"
    config.write_text("</usr/share/alsa/alsa.conf>\n")
    record = ["record", "lamp", "--to", str(tmp_path / "mine")]
    for command in (["listen", str(tiny_bundle.path)], ["devices"], record):
        done = subprocess.run(
            [sys.executable, "-m", "kwspot.runtime.cli", *command],
            env={**os.environ, "ALSA_CONFIG_PATH": str(config)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert "no microphone was found; expected one: plug one in" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
        assert not done.stdout
    assert not (tmp_path / "mine").exists()


def test_devices_and_a_wrong_name(tiny_bundle, pulse):
    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kwspot.runtime.cli", *args]
        settings = {**os.environ, **pulse.settings}
        return subprocess.run(command, env=settings, capture_output=True, text=True, check=False)

    listed = run("devices")
    assert listed.returncode == 0, listed.stderr
    (line,) = (line for line in listed.stdout.splitlines() if " pmic " in line)
    assert "ALSA" in line
    assert "16000, 44100, 48000" in line
    for options, says in (
        (("--device", "nowhere"), "'nowhere' cannot be opened"),
        (("--device", "999"), "999 cannot be opened"),
        (("--device", "pmic", "--channel", "99"), "expected --channel up to that"),
        (("--channel", "0"), "expected a number from 1, or mean"),
    ):
        said = run("listen", str(tiny_bundle.path), *options)
        assert said.returncode == 2
        assert says in said.stderr.splitlines()[-1]
        assert not said.stdout
    assert "pmic" in run("listen", "--device", "nowhere").stderr


def test_every_line_of_the_page_runs(pulse, words, playing, tmp_path):
    page = (Path(__file__).parents[2] / "docs/microphone.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    lines = [re.sub(r"\s+#.*", "", line) for block in blocks for line in block.splitlines()]
    assert len(lines) == 4
    playing(pulse.pipe, words)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    for line in lines:
        command = line
        if line.startswith("kwspot listen"):  # until it has begun, then as Ctrl-C does
            command = (
                f"set -m; coproc {line}; read -r -u ${{COPROC[0]}} first; echo $first; kill -INT $COPROC_PID; wait"
            )
        done = subprocess.run(
            ["bash", "-c", command],
            env={**os.environ, **pulse.settings, "PATH": path},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or (line == "kwspot doctor" and done.returncode == 1), (line, done.stderr)
        assert done.stdout, line


def test_without_portaudio_the_library_is_named(tmp_path, tiny_bundle):
    (tmp_path / "sitecustomize.py").write_text("import ctypes.util\nctypes.util.find_library = lambda name: None\n")
    for command in (["listen", str(tiny_bundle.path)], ["devices"]):
        done = subprocess.run(
            [sys.executable, "-m", "kwspot.runtime.cli", *command],
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        said = done.stderr.splitlines()[-1]
        assert "PortAudio cannot be loaded" in said
        assert "sudo apt install libportaudio2" in said
        assert not done.stdout
