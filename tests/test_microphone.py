"""The microphone, through the real PortAudio and ALSA: a PulseAudio daemon of the test's own plays a stream into it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from kwspot.runtime.errors import DeviceError
from kwspot.runtime.microphone import Microphone
from kwspot.runtime.recordings import DataFolder, read_sound
from kwspot.runtime.sources import Gap
from kwspot.runtime.spotter import KeywordSpotter

RATE_HZ = 16_000


def wait_for(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


@pytest.fixture
def pulse_microphone(tmp_path):
    """Environment in which ALSA's default and "pmic" are a pipe, and the pipe: 16-bit mono at 16 kHz goes in."""
    if shutil.which("pulseaudio") is None:
        pytest.skip("pulseaudio is not installed: sudo apt install pulseaudio libasound2-plugins")
    socket, pipe = tmp_path / "s.sock", tmp_path / "pipe"
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm=yes", "--realtime=no"]
    command += ["--high-priority=no", "-L", f"module-native-protocol-unix socket={socket} auth-anonymous=1"]
    command += ["-L", f"module-pipe-source source_name=pmic file={pipe} rate={RATE_HZ} channels=1 format=s16le"]
    config = tmp_path / "asound.conf"
    config.write_text(
        "</usr/share/alsa/alsa.conf>\n"
        f'pcm.pmic {{ type pulse server "unix:{socket}" device "pmic" }}\n'
        f'ctl.pmic {{ type pulse server "unix:{socket}" }}\n'
        'pcm.!default "pmic"\n'
    )
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as daemon:
        try:
            wait_for(lambda: socket.exists() and pipe.exists())
            yield {**environment, "ALSA_CONFIG_PATH": str(config)}, pipe
        finally:
            daemon.terminate()


def play(pipe: Path, sound: np.ndarray, stop: threading.Event) -> None:
    """Write sound into the pipe in real time, then silence until told to stop."""
    step = RATE_HZ // 50
    with pipe.open("wb", buffering=0) as file:
        began = time.monotonic()
        written = 0
        while not stop.is_set():
            block = sound[written : written + step]
            file.write(np.pad(block, (0, step - len(block))).tobytes())
            written += step
            time.sleep(max(0.0, began + written / RATE_HZ - time.monotonic()))


def test_a_stream_through_portaudio_gives_the_labels_of_the_file(tiny_bundle, tone_folder, pulse_microphone):
    environment, pipe = pulse_microphone
    rng = np.random.default_rng(5)
    clips = rng.permutation(np.array(DataFolder(tone_folder).clips("test", ["low", "high"]), dtype=object))[:6]
    pause = np.zeros(RATE_HZ // 2, np.int16)
    parts = [part for clip in clips for part in (pause, read_sound(clip.path, RATE_HZ))]
    sound = np.concatenate([pause, pause, *parts])
    expected = [detection.label for detection in KeywordSpotter(tiny_bundle).push(sound)]
    assert len(expected) >= 5

    command = [sys.executable, "-m", "kwspot.runtime.cli", "listen", str(tiny_bundle.path), "--device", "pmic"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    events = [json.loads(process.stdout.readline())]
    assert events[0]["event"] == "start"
    stop = threading.Event()
    player = threading.Thread(target=play, args=(pipe, sound, stop))
    player.start()
    time.sleep(len(sound) / RATE_HZ + 1.0)
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=20)
    stop.set()
    player.join()
    events += [json.loads(line) for line in output.splitlines()]
    assert process.returncode == 0, error
    assert [event["label"] for event in events if event["event"] == "detection"] == expected
    assert events[-1]["event"] == "stop"
    assert events[-1]["samples"] >= len(sound)


def test_no_microphone_is_one_line_that_says_what_else_there_is(tmp_path, tiny_bundle):
    cards = Path("/proc/asound/cards")
    if cards.exists() and "no soundcards" not in cards.read_text():
        pytest.skip("this machine has a sound card")
    config = tmp_path / "asound.conf"
    config.write_text("</usr/share/alsa/alsa.conf>\n")
    command = [sys.executable, "-m", "kwspot.runtime.cli", "listen", str(tiny_bundle.path)]
    environment = {**os.environ, "ALSA_CONFIG_PATH": str(config)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no microphone was found; plug one in, or use --wav FILE or --stdin" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not done.stdout


class Stalled:
    """Stands in for the stream: the callback is called by the test."""

    def __init__(self, **_: object) -> None:
        pass

    def start(self) -> None: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...


class Status:
    def __init__(self, overflow: bool = False) -> None:
        self.input_overflow = overflow


@pytest.fixture
def stalled(monkeypatch):
    import sounddevice

    monkeypatch.setattr(sounddevice, "RawInputStream", Stalled)
    return Microphone(block_samples=1280)


def test_what_does_not_fit_into_the_queue_is_a_gap_in_its_place(stalled):
    block = np.arange(1280, dtype=np.int16)
    room = stalled._queue.maxsize
    for _ in range(room + 3):
        stalled._on_block(block.tobytes(), 1280, None, Status())
    received = iter(stalled)
    for _ in range(room):
        np.testing.assert_array_equal(next(received), block)
    stalled._on_block(block.tobytes(), 1280, None, Status())
    assert next(received) == Gap(3 * 1280)
    np.testing.assert_array_equal(next(received), block)


def test_an_overflow_that_portaudio_reports_is_never_dropped(stalled):
    block = np.zeros(1280, np.int16)
    stalled._on_block(block.tobytes(), 1280, None, Status())
    stalled._on_block(block.tobytes(), 1280, None, Status(overflow=True))
    received = iter(stalled)
    assert isinstance(next(received), np.ndarray)
    assert isinstance(next(received), Gap)
    assert isinstance(next(received), np.ndarray)


def test_a_microphone_that_falls_silent_is_an_error_and_not_a_wait_for_ever(stalled, monkeypatch):
    monkeypatch.setattr("kwspot.runtime.microphone.LOST_AFTER_S", 0.05)
    with pytest.raises(DeviceError, match="has delivered nothing"):
        next(iter(stalled))


def test_without_portaudio_the_library_is_named():
    code = (
        "import ctypes.util\nctypes.util.find_library = lambda name: None\n"
        "from kwspot.runtime.microphone import Microphone\nfrom kwspot.runtime import KwspotError\n"
        "try: Microphone()\nexcept KwspotError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "PortAudio cannot be loaded" in said
    assert "sudo apt install libportaudio2" in said
