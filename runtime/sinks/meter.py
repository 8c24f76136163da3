"""``kwspot listen --meter``: what the microphone and the model say, on a terminal, to set thresholds by."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.detect.decision import Detection
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.features.level import QUIETEST_DB, bar, level_share, power_db
from kwspot.runtime.labels import BACKGROUND_LABELS

REDRAW_S = 0.2
PEAK_S = 5.0
"""How long the highest score of a word stays marked."""

_SHOWN_DETECTIONS = 5


class Meter:
    """A watcher and an event sink that draws on a terminal, five times a second at the most.

    Parameters
    ----------
    spotter
        Its thresholds are marked on the bars.
    cpu_s
        CPU seconds of everything that listens, so far.
    """

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
        manifest = spotter.bundle.manifest
        self._labels = manifest.labels
        self._rate_hz = manifest.features.sample_rate_hz
        self._scores = np.zeros(len(manifest.labels), np.float32)
        self._peaks, self._peak_at = self._scores.copy(), np.zeros(len(manifest.labels))
        self._level_db = self._loudest_db = QUIETEST_DB
        self._last: deque[str] = deque(maxlen=_SHOWN_DETECTIONS)
        self._state, self._lost_samples, self._gaps = "opening", 0, 0
        self._lines_drawn = 0
        self._drawn_at = -REDRAW_S
        self._cpu_before = (clock(), cpu_s())
        self._cpu_percent = 0.0

    def watch(
        self,
        block: NDArray[np.int16],
        scores: Sequence[tuple[int, NDArray[np.float32]]],
        detections: Sequence[Detection],
    ) -> None:
        """Take a block and draw, if it is time to."""
        now = self._clock()
        for smoothed in self._spotter.last_smoothed:
            # After a gap there is no mean, and nothing can fire.
            self._scores = np.zeros_like(self._scores) if smoothed is None else smoothed
            higher = (self._scores >= self._peaks) | (now - self._peak_at > PEAK_S)
            self._peaks[higher], self._peak_at[higher] = self._scores[higher], now
        self._level_db = power_db(block)
        self._loudest_db = max(self._level_db, self._loudest_db - 1.0)
        self._last.extendleft(f"{d.at_s:9.2f} s  {d.label}  {d.score:.2f}" for d in detections)
        if now - self._drawn_at >= REDRAW_S:
            self._draw(now)

    def put(self, event: Mapping[str, object]) -> None:
        """Take what happened to the microphone, and draw it at once."""
        kind = event["event"]
        if kind == "detection":
            return  # watch() sees it with its block
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
        self._draw(self._clock())

    def close(self) -> None:
        """Leave the last picture where it is."""
        self._terminal.flush()

    def _draw(self, now: float) -> None:
        size = shutil.get_terminal_size()
        began, cpu_began = self._cpu_before
        if now - began >= 1.0:
            cpu_s = self._cpu_s()
            self._cpu_percent = 100 * max(0.0, cpu_s - cpu_began) / (now - began)
            self._cpu_before = (now, cpu_s)
        lines = self._picture(size.lines - 1)
        # Up over the last picture; each line clears its own rest.
        up = f"\x1b[{self._lines_drawn}A" if self._lines_drawn else ""
        self._terminal.write(up + "".join(f"\r{line[: size.columns - 1]}\x1b[K\n" for line in lines) + "\x1b[J")
        self._terminal.flush()
        self._lines_drawn = len(lines)
        self._drawn_at = now

    def _picture(self, height: int) -> list[str]:
        words = [i for i, label in enumerate(self._labels) if label not in BACKGROUND_LABELS]
        room = max(1, height - _SHOWN_DETECTIONS - 3)
        if len(words) > room:
            # The words that were highest lately, in the order of the labels.
            words = sorted(sorted(words, key=lambda i: -self._peaks[i])[:room])
        width = max(len(label) for label in (*self._labels, "level"))
        level_bar = bar(level_share(self._level_db), level_share(self._loudest_db))
        thresholds = self._spotter.thresholds
        lines = [f"{'level':{width}} {level_bar} {self._level_db:5.1f} dB of full scale"]
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
