"""The listener's end of :mod:`kwspot.runtime.audio.capture`: start it, take its packets, kill it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

from kwspot.runtime.audio.devices import need_sounddevice
from kwspot.runtime.errors import DeviceError

QUEUE_BYTES = 400_000
"""Of the queue, as the kernel counts: it adds about 700 bytes to a packet and rounds up to powers of two, so that
some 90 blocks of 80 ms at 16 kHz (7 s) and 45 at 48 kHz fit. Unprivileged processes get about 416,000 at most."""

_LARGEST_PACKET = 65_536
_REAPED_WITHIN_S = 0.2


class CaptureProcess:
    """A process that holds a microphone."""

    def __init__(self, device: str | int | None, rate_hz: int, channel: int | str | None) -> None:
        try:
            need_sounddevice()
            self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._process = self._start(theirs, device, rate_hz, channel)
        except OSError as error:
            raise DeviceError(
                f"the process that holds the microphone cannot be started ({error.strerror}); expected a free file "
                "descriptor, process and memory: end what is not needed, or raise the limits (ulimit -a)"
            ) from error

    def _start(
        self, theirs: socket.socket, device: str | int | None, rate_hz: int, channel: int | str | None
    ) -> subprocess.Popen[bytes]:
        try:
            # The kernel doubles what is asked for.
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, QUEUE_BYTES // 2)
            request = json.dumps({"device": device, "rate_hz": rate_hz, "channel": channel}, allow_nan=False)
            return subprocess.Popen(
                [sys.executable, "-m", "kwspot.runtime.audio.capture", str(theirs.fileno()), request],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # ALSA talks there about devices that nobody asked for. What matters comes as a packet.
                stderr=subprocess.DEVNULL,
            )
        except OSError:
            self._socket.close()
            raise

    def receive(self, timeout_s: float) -> bytes | None:
        """Return the next packet; None if none came in time; empty if none will ever come."""
        self._socket.settimeout(timeout_s)
        try:
            return self._socket.recv(_LARGEST_PACKET)
        except TimeoutError:
            return None
        except ConnectionError:
            return b""

    def close(self) -> None:
        """Let the microphone go. Never waits for the device."""
        self._process.kill()
        self._socket.close()
        try:
            self._process.wait(_REAPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            # Stuck in the kernel. It dies when its device answers; subprocess reaps it at the next start.
            return

    def cpu_s(self) -> float:
        """Return the CPU seconds that the microphone has cost so far."""
        try:
            with open(f"/proc/{self._process.pid}/stat", "rb") as file:  # noqa: PTH123 - twice as quick, each second
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class CaptureProcesses:
    """Real microphones, and the clock that they live by; tests have others of both."""

    def open(self, device: str | int | None, rate_hz: int, channel: int | str | None) -> CaptureProcess:
        """Start recording; the first packet says whether it worked."""
        return CaptureProcess(device, rate_hz, channel)

    def now_s(self) -> float:
        """Return the monotonic clock, that of the packets."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
