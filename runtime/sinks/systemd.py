"""Report to the service manager that listening has begun, and regularly that it goes on.

The protocol is sd_notify(3): datagrams to the socket that NOTIFY_SOCKET names.
If they stay away for WATCHDOG_USEC, systemd starts the service anew.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Sequence

from kwspot.runtime.sinks.observer import Event, Heard, Observer

WATCHDOG_SHARE = 4
"""Keep-alives in the time after which one is missed."""


class ServiceManager(Observer):
    """Reports to the manager how listening is: each block of sound is a sign of life.

    Parameters
    ----------
    address
        Path of the socket; a leading ``@`` stands for an abstract one.
    watchdog_s
        Within this time a sign of life is due; None: nobody waits for one.
    """

    def __init__(self, address: str, watchdog_s: float | None) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._every_s = None if watchdog_s is None else watchdog_s / WATCHDOG_SHARE
        self._due_s = 0.0
        self._detections = 0

    @classmethod
    def from_environment(cls) -> ServiceManager | None:
        """Return the manager that started this process, if it wants reports."""
        address = os.environ.get("NOTIFY_SOCKET")
        if not address:
            return None
        microseconds = os.environ.get("WATCHDOG_USEC")
        for_us = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        return cls(address, int(microseconds) / 1e6 if microseconds and for_us else None)

    def put(self, event: Event) -> None:
        """Ready at the start; a detection and a lost device show in the status."""
        kind = event["event"]
        if kind == "start":
            self._send(f"READY=1\nSTATUS=listening to {event['source']} for {', '.join(map(str, _words(event)))}")
        elif kind == "detection":
            self._detections += 1
            self._send(f"STATUS={self._detections} detections, the last: {event['label']} {event['score']}")
        elif kind == "device_lost":
            self._send("STATUS=the microphone is lost; looking for it")

    def watch(self, heard: Heard) -> None:
        """Give a sign of life, when one is due."""
        self.alive()

    def alive(self) -> None:
        """Give a sign of life, when one is due."""
        if self._every_s is None or time.monotonic() < self._due_s:
            return
        self._due_s = time.monotonic() + self._every_s
        self._send("WATCHDOG=1")

    def close(self, within_s: float = 2.0) -> None:
        """Report the end, or a pause in which the settings are read again."""
        self._socket.close()

    def _send(self, text: str) -> None:
        # A manager that does not read, or is gone, must not stop the loop.
        with contextlib.suppress(OSError):
            self._socket.sendto(text.encode(), self._address)


def _words(event: Event) -> Sequence[object]:
    words = event["words"]
    return words if isinstance(words, list) else []
