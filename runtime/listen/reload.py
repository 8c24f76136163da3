"""SIGHUP: the settings are read again, and listening goes on with them; or with those before, if they are wrong."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType

from kwspot.runtime.errors import KwspotError


class Begun:
    """A sink that only knows whether a stream has begun."""

    def __init__(self) -> None:
        self.begun = False

    def put(self, event: Mapping[str, object]) -> None:
        """Any event: the first is the start."""
        self.begun = True

    def close(self) -> None:
        """Nothing to close."""


class HangUp:
    """SIGHUP ends the listening as SIGTERM does, but is remembered."""

    def __init__(self) -> None:
        self._came = False
        signal.signal(signal.SIGHUP, self._handle)

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        self._came = True
        # Only while somebody listens does SIGTERM have a handler; else it would end the process.
        if callable(signal.getsignal(signal.SIGTERM)):
            signal.raise_signal(signal.SIGTERM)

    def came(self) -> bool:
        """Whether it came since the last time this was asked."""
        came, self._came = self._came, False
        return came


def listen_until_stopped(
    read: Callable[[], argparse.Namespace], listen: Callable[[argparse.Namespace, Begun], None]
) -> None:
    """Read the settings and listen; after a SIGHUP once more.

    Raises
    ------
    KwspotError
        What is wrong with the settings at the start. Later it is said on standard
        error, and listening goes on as before.
    """
    args = read()
    if args.config is None:
        listen(args, Begun())
        return
    hang_up = HangUp()
    before: argparse.Namespace | None = None
    while True:
        begun = Begun()
        try:
            listen(args, begun)
        except KwspotError as error:
            if begun.begun or before is None:
                raise
            _say(error)
            args, before = before, None
            continue
        if not hang_up.came():
            return
        before = args
        try:
            args = read()
        except KwspotError as error:
            _say(error)


def _say(error: KwspotError) -> None:
    print(f"kwspot: {error}; going on with the settings before", file=sys.stderr, flush=True)
