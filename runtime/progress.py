"""How far a long measurement is, on stderr."""

from __future__ import annotations

import sys
import time

SILENT_S = 5.0
"""So long a step says nothing at most."""


class Progress:
    """Prints on stderr what is being done, with the seconds since the start.

    On a terminal a count moves within its line; elsewhere only whole steps are
    written, so that a log stays short.
    """

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._moving = sys.stderr.isatty()
        self._step = ""
        self._shown_at = 0.0

    @property
    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._start

    def step(self, what: str) -> None:
        """Begin a new step."""
        self._step = what
        print(f"{self._head()}{what}", file=sys.stderr, flush=True)

    def count(self, done: int, total: int) -> None:
        """Show how much of the step is done."""
        now = time.monotonic()
        if self._moving and (done == total or now - self._shown_at > 0.2):
            self._shown_at = now
            end = "\n" if done == total else ""
            print(f"\r{self._head()}{self._step}: {done:,} of {total:,}", end=end, file=sys.stderr, flush=True)

    def _head(self) -> str:
        return f"{self.seconds:6.1f} s  "


class Reminder:
    """Says on stderr how far something is when it takes long: on a terminal in one line that moves, elsewhere after
    5 seconds, then after 10 more, 20, 40 and so on, so that a log stays short."""

    def __init__(self) -> None:
        self._moving = sys.stderr.isatty()
        self._wait_s = 1.0 if self._moving else SILENT_S
        self._last = time.monotonic()
        self._shown = False

    def say(self, text: str) -> None:
        """Show `text` if it is time to."""
        now = time.monotonic()
        if now - self._last < self._wait_s:
            return
        self._last, self._shown = now, True
        if self._moving:
            print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)
        else:
            self._wait_s *= 2
            print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Remove the line that moves; what comes next stands in its place."""
        if self._moving and self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = False
