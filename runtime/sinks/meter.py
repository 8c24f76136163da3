"""``kwspot listen --meter``: what the microphone and the model say, on a terminal, to set thresholds by."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.features.level import QUIETEST_DB, bar, level_share, power_db
from kwspot.runtime.labels import BACKGROUND_LABELS
from kwspot.runtime.sinks.observer import Event, Heard, Observer, SinkContext
from kwspot.runtime.standard_streams import show_picture

REDRAW_S = 0.2
PEAK_S = 5.0
"""How long the highest score of a word stays marked."""

FALLS_DB = 2.5
"""By so much the mark of the loudest level falls from one picture to the next."""

_SHOWN_DETECTIONS = 5


class Meter(Observer):
    """Draws on a terminal five times a second, on a thread of its own, so that a terminal that stops delays nothing.

    Parameters
    ----------
    spotter
        Its thresholds are marked on the bars.
    cpu_s
        CPU seconds of everything that listens, so far.
    """

    name = "meter"

    def __init__(
        self,
        terminal: TextIO,
        spotter: KeywordSpotter,
        *,
        cpu_s: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._terminal, self._cpu_s, self._clock = terminal, cpu_s, clock
        self._spotter = spotter
        spotter.keeps_smoothed = True
        manifest = spotter.bundle.manifest
        self._labels = manifest.labels
        self._rate_hz = manifest.features.sample_rate_hz
        self._scores = np.zeros(len(manifest.labels), np.float32)
        self._peaks, self._peak_at = self._scores.copy(), np.zeros(len(manifest.labels))
        self._block: NDArray[np.int16] = np.empty(0, np.int16)
        self._loudest_db = QUIETEST_DB
        self._last: deque[str] = deque(maxlen=_SHOWN_DETECTIONS)
        self._state, self._lost_samples, self._gaps = "opening", 0, 0
        self._lines_drawn = 0
        self._cpu_before = (clock(), cpu_s())
        self._cpu_percent = 0.0
        self._values = threading.Lock()
        """Held while the values of a picture are changed or read, never while it is drawn."""
        self._screen = threading.Lock()
        """Held while something is written on the terminal."""
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="meter", daemon=True)
        self._thread.start()

    def watch(self, heard: Heard) -> None:
        """Take the values of a block."""
        now = self._clock()
        with self._values:
            for smoothed in heard.smoothed:
                # After a gap there is no mean, and nothing can fire.
                self._scores = np.zeros_like(self._scores) if smoothed is None else smoothed
                higher = (self._scores >= self._peaks) | (now - self._peak_at > PEAK_S)
                self._peaks[higher], self._peak_at[higher] = self._scores[higher], now
            self._block = heard.block
            self._last.extendleft(f"{d.at_s:9.2f} s  {d.label}  {d.score:.2f}" for d in heard.detections)

    def put(self, event: Event) -> None:
        """Take what happened to the microphone."""
        kind = event["event"]
        with self._values:
            if kind == "gap":
                lost = event["lost_samples"]
                assert isinstance(lost, int)
                self._lost_samples += lost
                self._gaps += 1
                if event["reset"]:
                    self._scores = np.zeros_like(self._scores)
            elif kind == "device_lost":
                self._state = f"lost: {event['reason']}; trying to open it again"
            elif kind in ("start", "device_back"):
                self._state = "open"

    def print_above(self, text: str) -> None:
        """Print whole lines where the picture stands, and the picture below them."""
        with self._screen:
            self._draw(text)

    def close(self, within_s: float = 2.0) -> None:
        """Leave a last picture where it is."""
        self._closed.set()
        self._thread.join(within_s)
        show_picture(None)

    def _work(self) -> None:
        with contextlib.suppress(OSError):  # the terminal has gone
            while not self._closed.wait(REDRAW_S):
                self.print_above("")
            self.print_above("")

    def _draw(self, above: str) -> None:
        size = shutil.get_terminal_size()
        now = self._clock()
        began, cpu_began = self._cpu_before
        if now - began >= 1.0:
            cpu_s = self._cpu_s()
            self._cpu_percent = 100 * max(0.0, cpu_s - cpu_began) / (now - began)
            self._cpu_before = (now, cpu_s)
        with self._values:
            lines = self._picture(size.lines - 1)
        # Up over the last picture; each line clears its own rest.
        up = f"\x1b[{self._lines_drawn}A" if self._lines_drawn else ""
        if above:
            up += f"\r\x1b[J{above}"
        self._terminal.write(up + "".join(f"\r{line[: size.columns - 1]}\x1b[K\n" for line in lines) + "\x1b[J")
        self._terminal.flush()
        self._lines_drawn = len(lines)

    def _picture(self, height: int) -> list[str]:
        words = [i for i, label in enumerate(self._labels) if label not in BACKGROUND_LABELS]
        room = max(1, height - _SHOWN_DETECTIONS - 3)
        if len(words) > room:
            # The words that were highest lately, in the order of the labels.
            words = sorted(sorted(words, key=lambda i: -self._peaks[i])[:room])
        width = max(len(label) for label in (*self._labels, "level"))
        level_db = power_db(self._block)
        self._loudest_db = max(level_db, self._loudest_db - FALLS_DB)
        level_bar = bar(level_share(level_db), level_share(self._loudest_db))
        thresholds = self._spotter.thresholds
        lines = [f"{'level':{width}} {level_bar} {level_db:5.1f} dB of full scale"]
        for i in words:
            label = self._labels[i]
            threshold = thresholds[label]
            score, peak = float(self._scores[i]), self._peaks[i]
            lines.append(
                f"{label:{width}} {bar(score, threshold)} {score:5.2f}  highest {peak:.2f}, fires from {threshold:g}"
            )
        lost_s = self._lost_samples / self._rate_hz
        lines.append(
            f"microphone {self._state}; CPU {self._cpu_percent:.1f} %; lost {self._lost_samples} samples "
            f"({lost_s:.2f} s) in {self._gaps} gaps"
        )
        lines.append("last detections:")
        return [*lines, *(self._last or ["        none"])]


def open_sink(value: object, context: SinkContext) -> Meter:
    """Open what ``--meter`` asks for."""
    if not sys.stderr.isatty():
        raise ConfigError("--meter draws on a terminal, and standard error is none: leave it out, or do not redirect")
    meter = Meter(sys.stderr, context.one_spotter("--meter"), cpu_s=context.cpu_s)
    show_picture(meter.print_above)
    return meter
