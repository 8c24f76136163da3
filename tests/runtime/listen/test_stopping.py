"""How listening ends, as a process: by signals, by whoever reads or does not read its events, by what is closed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tones import RATE_HZ

from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound

ENDS_WITHIN_S = 3.0
"""A request to stop is to end listening within two seconds; on a machine that is busy with other tests, three."""
BLOCK_BYTES = 2560


class Listening:
    """``kwspot listen`` with a pipe for each of its streams."""

    def __init__(self, *options: object, **streams) -> None:
        command = [sys.executable, "-m", "kwspot.runtime.cli", "listen", *map(str, options)]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.process = subprocess.Popen(command, **{**pipes, **streams}, bufsize=0)
        self.taken_bytes = 0

    def feed(self, sound: bytes, *, in_real_time: bool = True) -> None:
        """Write sound on its standard input, on a thread, over and over in real time or once at full speed."""
        threading.Thread(target=self._feed, args=(sound, in_real_time), daemon=True).start()

    def _feed(self, sound: bytes, in_real_time: bool) -> None:
        began = time.monotonic()
        with contextlib.suppress(OSError, ValueError):
            while in_real_time or self.taken_bytes < len(sound):
                at = self.taken_bytes % len(sound)
                self.process.stdin.write(sound[at : at + BLOCK_BYTES])
                self.taken_bytes += len(sound[at : at + BLOCK_BYTES])
                if in_real_time:
                    time.sleep(max(0.0, began + self.taken_bytes / 2 / RATE_HZ - time.monotonic()))

    def first_event(self) -> dict:
        line = b""
        while not line.endswith(b"\n"):
            line += self.process.stdout.read(1)
        return json.loads(line)

    def ends_within(self, seconds: float = ENDS_WITHIN_S) -> bool:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def start():
    started = []

    def begin(*options, **streams) -> Listening:
        started.append(Listening(*options, **streams))
        return started[-1]

    yield begin
    for listening in started:
        listening.close()


@pytest.fixture(scope="module")
def sound(tone_folder) -> bytes:
    """A word each second, low and high by turns, for a minute."""
    low, high = (DataFolder(tone_folder).clips("test", [word]) for word in ("low", "high"))
    clips = [clip for pair in zip(low, high, strict=True) for clip in pair]
    return np.concatenate([read_sound(clips[i % len(clips)].path, RATE_HZ) for i in range(60)]).tobytes()


def config_of(folder: Path, bundle) -> Path:
    path = folder / "listen.toml"
    path.write_text(f"bundle = {json.dumps(str(bundle.path))}\n")
    return path


@pytest.mark.parametrize("after_s", [0.0, 0.011, 0.05, 0.2, 0.4])
def test_a_hang_up_before_a_signal_to_end_does_not_lose_it(start, tiny_bundle, tmp_path, after_s):
    listening = start("--config", config_of(tmp_path, tiny_bundle), "--stdin")
    listening.feed(bytes(BLOCK_BYTES))
    listening.first_event()
    listening.process.send_signal(signal.SIGHUP)
    time.sleep(after_s)
    listening.process.send_signal(signal.SIGTERM)
    assert listening.ends_within()
    assert listening.process.returncode == 0
    assert json.loads(listening.process.stdout.read().splitlines()[-1])["event"] == "stop"


@pytest.mark.parametrize("after_s", [0.02, 0.1, 0.15, 0.25, 0.4])
def test_signals_while_it_starts_end_it_without_a_traceback(start, tiny_bundle, tmp_path, after_s):
    listening = start("--config", config_of(tmp_path, tiny_bundle), "--stdin")
    time.sleep(after_s)
    listening.process.send_signal(signal.SIGHUP)
    listening.process.send_signal(signal.SIGTERM)
    assert listening.ends_within()
    # By the signal itself, if it came before anything was set up.
    assert listening.process.returncode in (0, -signal.SIGHUP, -signal.SIGTERM)
    assert b"Traceback" not in listening.process.stderr.read()


def test_many_signals_are_one_request(start, tiny_bundle):
    listening = start(tiny_bundle.path, "--stdin")
    listening.first_event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
        listening.process.send_signal(number)
    assert listening.ends_within()
    assert listening.process.returncode == 0
    assert json.loads(listening.process.stdout.read().splitlines()[-1])["event"] == "stop"
    assert b"Traceback" not in listening.process.stderr.read()


def test_what_hangs_is_broken_off_with_its_totals(start, tiny_bundle, tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")  # nobody writes into it: opening it waits
    listening = start(tiny_bundle.path, "--wav", tmp_path / "pipe.wav")
    assert listening.first_event()["event"] == "start"
    listening.process.send_signal(signal.SIGTERM)
    assert listening.ends_within()
    assert listening.process.returncode == 0
    assert json.loads(listening.process.stdout.read().splitlines()[-1])["event"] == "stop"


@pytest.mark.parametrize("repeat", range(5))
def test_a_reader_that_stalls_stops_nothing_and_the_end_is_not_held(start, tiny_bundle, sound, repeat):
    listening = start(tiny_bundle.path, "--stdin")
    fcntl.fcntl(listening.process.stdout, fcntl.F_SETPIPE_SZ, 4096)  # some thirty events
    listening.feed(sound, in_real_time=False)
    deadline = time.monotonic() + 60
    while listening.taken_bytes < len(sound):
        assert time.monotonic() < deadline, f"{listening.taken_bytes} of {len(sound)} bytes were taken"
        time.sleep(0.02)
    listening.process.send_signal(signal.SIGTERM)
    assert listening.ends_within()
    assert re.search(rb"stdout: \d+ of \d+ events were not delivered", listening.process.stderr.read())
    *whole, _ = listening.process.stdout.read().split(b"\n")
    assert all(json.loads(line)["event"] in ("start", "detection") for line in whole)


def test_a_file_waits_for_a_slow_reader_and_loses_no_event(start, tiny_bundle, sound, save_wav, tmp_path):
    path = save_wav(tmp_path / "sound.wav", np.frombuffer(sound, np.int16))
    listening = start(tiny_bundle.path, *["--wav", *[path] * 20])
    fcntl.fcntl(listening.process.stdout, fcntl.F_SETPIPE_SZ, 4096)
    assert not listening.ends_within(3.0)  # it waits for its reader
    output, _ = listening.process.communicate(timeout=60)
    events = [json.loads(line) for line in output.splitlines()]
    stops = [event for event in events if event["event"] == "stop"]
    assert len(stops) == 20
    assert sum(event["event"] == "detection" for event in events) == sum(stop["detections"] for stop in stops) > 900
    assert not any("dropped_events" in stop for stop in stops)


def test_a_reader_that_has_gone_ends_listening_while_nothing_happens(start, tiny_bundle):
    listening = start(tiny_bundle.path, "--stdin")
    listening.feed(bytes(BLOCK_BYTES))
    listening.first_event()
    listening.process.stdout.close()
    assert listening.ends_within()
    assert listening.process.returncode == 0
    assert b"Traceback" not in listening.process.stderr.read()


def test_a_disk_that_is_full_is_told(start, tiny_bundle, sound):
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        listening = start(tiny_bundle.path, "--stdin", stdout=full)
        listening.feed(sound)
        assert listening.ends_within(60)
    assert listening.process.returncode == 2
    assert b"No space left on device" in listening.process.stderr.read().splitlines()[-1]


def test_a_reader_of_messages_that_stalls_stops_nothing(start, tiny_bundle, sound):
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
    os.write(theirs, bytes(4096))
    listening = start(tiny_bundle.path, "--stdin", "--exec", "sh", "-c", "exit 3", stderr=theirs)
    listening.feed(sound, in_real_time=False)
    assert listening.first_event()["event"] == "start"
    assert listening.first_event()["event"] == "detection"
    listening.process.send_signal(signal.SIGTERM)
    assert listening.ends_within()
    assert json.loads(listening.process.stdout.read().splitlines()[-1])["event"] == "stop"
    for descriptor in (ours, theirs):
        os.close(descriptor)


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams_are_no_error_and_no_message_goes_among_the_events(closed, tiny_bundle, sound, tmp_path):
    (tmp_path / "sound.raw").write_bytes(sound)
    command = f"'{sys.executable}' -m kwspot.runtime.cli listen '{tiny_bundle.path}'"
    for source, status in (("--wav none.wav", 2), (f"--stdin <{tmp_path}/sound.raw", 0), ("--stdin", None)):
        done = subprocess.run(
            f"{command} {source if '<' not in source or '0<' not in closed else '--wav none.wav'} {closed}",
            shell=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        expected = {2} if status == 2 or "0<" in closed else {0}
        assert done.returncode in expected, done.stderr
        assert all(line.startswith('{"event": ') for line in done.stdout.splitlines())
        assert "Traceback" not in done.stderr


def test_letters_that_a_terminal_does_not_have_are_escaped(tiny_bundle):
    done = subprocess.run(
        [sys.executable, "-m", "kwspot.runtime.cli", "listen", str(tiny_bundle.path), "--wav", "schön.wav"],
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert b"sch\\xf6n.wav" in done.stderr
    assert b"Traceback" not in done.stderr


def screen_of(written: str) -> list[str]:
    """The lines that stand on a terminal of unlimited height in the end."""
    screen, row, column = [""], 0, 0
    for part in re.finditer(r"\x1b\[(\d*)([A-Za-z])|\r|\n|[^\x1b\r\n]+", written):
        text = part[0]
        if text == "\r":
            column = 0
        elif text == "\n":
            row += 1
            screen += [""] * (row + 1 - len(screen))
        elif part[2] == "A":
            row = max(0, row - int(part[1] or 1))
        elif part[2] == "K":
            screen[row] = screen[row][:column]
        elif part[2] == "J":
            screen[row] = screen[row][:column]
            del screen[row + 1 :]
        else:
            screen[row] = screen[row][:column].ljust(column) + text + screen[row][column + len(text) :]
            column += len(text)
    return screen


def test_the_meter_and_the_events_share_a_terminal(start, tiny_bundle, sound):
    ours, theirs = pty.openpty()
    listening = start(tiny_bundle.path, "--stdin", "--meter", stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = b""

    def read() -> None:
        nonlocal written
        with contextlib.suppress(OSError):  # the other side is closed
            while content := os.read(ours, 65_536):
                written += content

    reader = threading.Thread(target=read)
    reader.start()
    listening.feed(sound)
    time.sleep(6)
    listening.process.send_signal(signal.SIGTERM)
    assert listening.ends_within()
    reader.join(10)
    os.close(ours)
    screen = screen_of(written.decode())
    events = [json.loads(line) for line in screen if line.startswith('{"event"')]
    assert [events[0]["event"], events[-1]["event"]] == ["start", "stop"]
    assert len(events) - 2 == events[-1]["detections"] >= 2
    assert sum(line.startswith("level ") for line in screen) == 1
    assert sum(line == "last detections:" for line in screen) == 1
    assert sum(line.startswith("kwspot: listening to stdin for low, high") for line in screen) == 1


def test_no_line_of_a_native_library_comes_before_the_first_of_ours(tiny_bundle, sound):
    done = subprocess.run(
        [sys.executable, "-m", "kwspot.runtime.cli", "listen", str(tiny_bundle.path), "--stdin", "--engine", "litert"],
        input=sound[: 2 * RATE_HZ],
        capture_output=True,
        check=True,
    )
    (line,) = done.stderr.decode().splitlines()
    assert line == "kwspot: listening to stdin for low, high (bundle tiny, engine litert)"


def test_the_example_ends_on_ctrl_c_without_a_traceback(tiny_bundle, tmp_path):
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    example = Path(__file__).parents[3] / "examples/listen.py"
    code = (
        "import runpy, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background has it ignored
        f"sys.argv = {['listen.py', str(tiny_bundle.path), str(pipe)]}\n"
        f"runpy.run_path({str(example)!r}, run_name='__main__')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    deadline, writer = time.monotonic() + 60, None
    while writer is None:  # until it has opened the pipe to read
        assert time.monotonic() < deadline
        with contextlib.suppress(OSError):
            writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    os.close(writer)
    assert process.returncode == 0
    assert told == b""
