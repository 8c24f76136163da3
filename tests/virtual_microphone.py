"""Microphones without a sound card, for tests: the real PortAudio and ALSA, with a FIFO, PulseAudio or JACK behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

RATE_HZ = 16_000
BLOCK_SAMPLES = 1280
PATIENCE_S = 60.0
"""For a busy machine; nothing that works needs a tenth of it."""


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


class Player:
    """Writes blocks into a pipe in real time, sound (n,) or (n, channels) over and over, until it is closed."""

    def __init__(self, pipe: Path, sound: np.ndarray, *, repeat: bool = True) -> None:
        self._sound, self._repeat = sound, repeat
        self._go, self._end = threading.Event(), threading.Event()
        self._go.set()
        # Read-write, so that neither opening nor writing waits for a reader, and a dead one breaks nothing.
        self._fd = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        self.played = threading.Event()
        self._thread = threading.Thread(target=self._play)
        self._thread.start()

    def _play(self) -> None:
        began, at = time.monotonic(), 0
        while not self._end.wait(max(0.0, began + at / RATE_HZ - time.monotonic())):
            if not self._go.is_set():
                self._go.wait()
                began = time.monotonic() - at / RATE_HZ
            if not self._repeat and at >= len(self._sound):
                self.played.set()
                block = np.zeros((BLOCK_SAMPLES, *self._sound.shape[1:]), np.int16)
            else:
                block = np.take(self._sound, range(at, at + BLOCK_SAMPLES), axis=0, mode="wrap")
            at += BLOCK_SAMPLES
            with contextlib.suppress(BlockingIOError):  # where nobody reads, the sound is gone, as it is in a room
                os.write(self._fd, block.tobytes())

    def pause(self) -> None:
        self._go.clear()

    def resume(self) -> None:
        self._go.set()

    def close(self) -> None:
        self._end.set()
        self._go.set()
        self._thread.join()
        os.close(self._fd)


class Pulse:
    """A PulseAudio daemon whose only source is a pipe, and the environment in which it is ALSA's default."""

    def __init__(self, folder: Path, *, channels: int = 1) -> None:
        if shutil.which("pulseaudio") is None:
            pytest.skip("pulseaudio is not installed: sudo apt install pulseaudio libasound2-plugins")
        self._folder, self._channels = folder, channels
        self._socket, self.pipe = folder / "s.sock", folder / "pipe"
        config = folder / "asound.conf"
        config.write_text(
            "</usr/share/alsa/alsa.conf>\n"
            f'pcm.pmic {{ type pulse server "unix:{self._socket}" device "pmic" }}\n'
            f'ctl.pmic {{ type pulse server "unix:{self._socket}" }}\n'
            'pcm.!default "pmic"\n'
        )
        self.settings = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "ALSA_CONFIG_PATH": str(config)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm=yes", "--realtime=no"]
        command += ["--high-priority=no", "-L", f"module-native-protocol-unix socket={self._socket} auth-anonymous=1"]
        source = f"module-pipe-source source_name=pmic file={self.pipe} rate={RATE_HZ} format=s16le"
        source += f" channels={self._channels}"
        self._process = subprocess.Popen(
            [*command, "-L", source],
            env={**os.environ, **self.settings},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: self._socket.exists() and self.pipe.exists())

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        # What a daemon that is killed leaves behind keeps the next from starting.
        for path in (self._socket, self.pipe, *self._folder.glob("pulse*/pid"), *self._folder.glob("*/pulse*/pid")):
            path.unlink(missing_ok=True)


class Listener:
    """``kwspot listen`` as a program, and its events as they come."""

    def __init__(self, bundle: Path, settings: dict[str, str], *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kwspot.runtime.cli", "listen", str(bundle), *options],
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.events: list[dict] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def all(self, kind: str) -> list[dict]:
        return [event for event in self.events if event["event"] == kind]

    def wait_for(self, kind: str, count: int = 1) -> dict:
        wait_for(lambda: len(self.all(kind)) >= count or self.process.poll() is not None)
        assert len(self.all(kind)) >= count, f"{kind} did not come: {self.events}, {self.process.stderr.read()}"
        return self.all(kind)[count - 1]

    def wait_for_detection_after(self, kind: str) -> dict:
        """A detection that came after the last event of a kind."""

        def after() -> list[dict]:
            last = max(i for i, event in enumerate(self.events) if event["event"] == kind)
            return [event for event in self.events[last:] if event["event"] == "detection"]

        wait_for(after)
        return after()[0]

    def stop(self, number: int = signal.SIGTERM) -> dict:
        """End it; the stop event, after a look at the totals."""
        self.process.send_signal(number)
        assert self.process.wait(timeout=PATIENCE_S) == 0
        self._reader.join()
        assert self.process.stderr is not None
        assert "Traceback" not in self.process.stderr.read()
        self.process.stderr.close()
        self.process.stdout.close()
        assert [event["event"] for event in self.events if event["event"] in ("start", "stop")] == ["start", "stop"]
        stop = self.events[-1]
        assert stop["detections"] == len(self.all("detection"))
        assert stop["lost_samples"] == sum(gap["lost_samples"] for gap in self.all("gap"))
        return stop

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()


class Jack:
    """A JACK server that does 48 kHz and nothing else, and a program that plays into its listeners."""

    PLAYER = """
import sys, numpy, sounddevice
sound, at = numpy.fromfile(sys.argv[1], numpy.int16), 0
def fill(out, frames, time, status):
    global at
    out[:, 0] = numpy.take(sound, range(at, at + frames), mode="wrap")
    at += frames
with sounddevice.OutputStream(48_000, 1024, "system", 1, "int16", callback=fill):
    print("playing", flush=True)
    sys.stdin.read()
"""

    def __init__(self, folder: Path) -> None:
        if shutil.which("jackd") is None or shutil.which("jack_connect") is None:
            pytest.skip("jackd is not installed: sudo apt install jackd2")
        self._folder = folder
        self.name = f"kwspot{os.getpid()}"
        self.settings = {
            "JACK_DEFAULT_SERVER": self.name,
            "JACK_NO_START_SERVER": "1",
            "JACK_NO_AUDIO_RESERVATION": "1",
        }
        self._processes: list[subprocess.Popen] = []

    def _run(self, *command: str, **options) -> subprocess.Popen:
        process = subprocess.Popen(
            command, env={**os.environ, **self.settings}, stderr=subprocess.DEVNULL, text=True, **options
        )
        self._processes.append(process)
        return process

    def _ports(self) -> list[str]:
        command, settings = ["jack_lsp"], {**os.environ, **self.settings}
        return subprocess.run(command, env=settings, capture_output=True, text=True, check=False).stdout.split()

    def start(self) -> None:
        self._run("jackd", "--no-realtime", "-n", self.name, "-d", "dummy", "-r", "48000", stdout=subprocess.DEVNULL)
        wait_for(lambda: "system:capture_1" in self._ports())

    def play(self, sound: np.ndarray) -> None:
        """Sound at 48 kHz, over and over, to whoever listens."""
        file = self._folder / "sound.raw"
        sound.tofile(file)
        listeners = [port for port in self._ports() if ":in_" in port]
        player = self._run(sys.executable, "-c", self.PLAYER, str(file), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert player.stdout is not None
        assert player.stdout.readline() == "playing\n"
        (speaker,) = (port for port in self._ports() if ":out_" in port)
        for port in listeners:
            assert self._run("jack_connect", speaker, port).wait() == 0

    def wait_for_listener(self) -> None:
        wait_for(lambda: any(":in_" in port for port in self._ports()))

    def kill(self) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
        self._processes.clear()

    def stop(self) -> None:
        """Let the server go in order: the registry in /dev/shm has room for eight that were killed."""
        for process in reversed(self._processes):
            process.terminate()
            process.wait(PATIENCE_S)
        self.kill()
