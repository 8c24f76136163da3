"""Save the second before and after each detection as WAV with its scores: to hear false accepts and train on them.

::

    DIR/<label>/<label>-<UTC time>-<number>_nohash_0.wav     a data folder: kwspot data check DIR
    DIR/<label>/<label>-<UTC time>-<number>_nohash_0.json    what was decided, and the scores of the stretch

Bounded in count and bytes: the oldest detection leaves for the newest, those of earlier runs too.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import time
from collections import deque
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.wav import write_wav
from kwspot.runtime.detect.decision import Detection
from kwspot.runtime.files import whole_file
from kwspot.runtime.model.bundle import Bundle
from kwspot.runtime.names import find_label_fault
from kwspot.runtime.sinks.observer import SinkContext
from kwspot.runtime.sinks.queued import Event, Heard, QueuedSink
from kwspot.runtime.standard_streams import say

AROUND_S = 1.0
"""Of sound that is kept on either side of a detection."""

MOST_DETECTIONS, MOST_BYTES = 1000, 100_000_000
"""What a folder may hold: at 16 kHz, 1,000 detections are 64 MB of sound."""

_OURS = re.compile(r".*-(\d{8}T\d{6}Z-\d+\.\d{6})_nohash_0\.wav")
"""What this class wrote; nothing else in the folder is ever removed."""


@dataclasses.dataclass
class _Waiting:
    """A detection whose second after it has not all been heard."""

    detection: Detection
    wall_s: float


class SavedEvents(QueuedSink):
    """Keeps detections in `folder`, on a thread of its own.

    A disk that is full or gone does not end listening: it is said once on standard
    error, and again with the number of what was not kept when all is closed.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        bundle: Bundle,
        *,
        most_detections: int = MOST_DETECTIONS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._bundle = bundle
        self._rate_hz = bundle.manifest.features.sample_rate_hz
        self._around = round(AROUND_S * self._rate_hz)
        self._most_detections, self._most_bytes = most_detections, most_bytes
        ours = [(found[1], path) for path in self._folder.glob("*/*.wav") if (found := _OURS.fullmatch(path.name))]
        self._kept = deque(path for _, path in sorted(ours))
        self._bytes = sum(_size(path) for path in self._kept)
        self._number = self._not_kept = 0
        self._start_stretch(0)
        super().__init__("save-events")

    def _start_stretch(self, at_sample: int) -> None:
        self._waiting: list[_Waiting] = []
        self._end = at_sample  # the sample clock just after `_sound`
        self._sound = np.empty(0, np.int16)
        self._scores: deque[tuple[int, NDArray[np.float32]]] = deque()

    def watch(self, heard: Heard) -> None:
        """Queue a block."""
        self.enqueue(heard)

    def deliver_block(self, heard: Heard) -> None:
        """Keep the sound of a detection until its second after it has been heard."""
        start = heard.end_sample - len(heard.block)
        if start != self._end:  # blocks found no room in the queue
            self._save_all()
            self._start_stretch(start)
        self._sound = np.concatenate((self._sound, heard.block))
        self._end += len(heard.block)
        self._scores.extend(heard.scores)
        self._waiting += [_Waiting(detection, time.time()) for detection in heard.detections]
        while self._waiting and self._end >= self._waiting[0].detection.at_sample + self._around:
            self._save(self._waiting.pop(0))
        needed_from = min([self._end, *(waiting.detection.at_sample for waiting in self._waiting)]) - self._around
        self._sound = self._sound[max(0, len(self._sound) - (self._end - needed_from)) :]
        while self._scores and self._scores[0][0] <= needed_from:
            self._scores.popleft()

    def wants(self, event: Event) -> bool:
        """Whether what is being kept ends here: a stream begins or ends, or sound was lost."""
        return event["event"] in ("start", "stop") or (event["event"] == "gap" and event["reset"] is True)

    def deliver(self, event: Event) -> None:
        """End a stretch of sound, and begin the next."""
        self._save_all()
        if event["event"] != "stop":
            at_sample = event.get("at_sample", 0)
            assert isinstance(at_sample, int)
            self._start_stretch(at_sample)

    def close(self, within_s: float = 2.0) -> None:
        """Keep what is still waiting."""
        super().close(within_s)
        if self._not_kept:
            say(f"{self._not_kept} detections could not be kept in {self._folder}")

    def _save_all(self) -> None:
        for waiting in self._waiting:
            self._save(waiting)
        self._waiting = []

    def _save(self, waiting: _Waiting) -> None:
        try:
            self._write(waiting)
        except OSError as error:
            if not self._not_kept:
                say(
                    f"a detection could not be kept in {self._folder} ({error.strerror}); listening goes on: "
                    "free some space there, or check its permissions"
                )
            self._not_kept += 1

    def _write(self, waiting: _Waiting) -> None:
        detection = waiting.detection
        start = self._end - len(self._sound)
        first = max(start, detection.at_sample - self._around)
        last = min(self._end, detection.at_sample + self._around)
        sound = self._sound[first - start : last - start]
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(waiting.wall_s))
        label = re.sub(r"[^\w.=+-]", "_", detection.label)
        # A bundle's labels are names; whoever brings other ones does not write outside of the folder either.
        inside = detection.label if find_label_fault(detection.label) is None else f"_{label}"
        path = self._folder / inside / f"{label}-{stamp}-{os.getpid()}.{self._number:06}_nohash_0.wav"
        self._number += 1
        with whole_file(path.with_suffix(".json")) as beside:
            beside.write_text(
                json.dumps(self._evidence(waiting, first, last), indent=1, allow_nan=False) + "\n", encoding="utf-8"
            )
        with whole_file(path) as beside:
            write_wav(beside, sound, self._rate_hz)
        self._kept.append(path)
        self._bytes += _size(path)
        while len(self._kept) > self._most_detections or self._bytes > self._most_bytes:
            self._remove(self._kept.popleft())

    def _remove(self, path: Path) -> None:
        # Gone already if a person has moved it, to train on it.
        self._bytes -= _size(path)
        for file in _files_of(path):
            file.unlink(missing_ok=True)

    def _evidence(self, waiting: _Waiting, first: int, last: int) -> dict[str, object]:
        detection, manifest = waiting.detection, self._bundle.manifest
        return {
            "label": detection.label,
            "score": round(detection.score, 4),
            "at_sample": detection.at_sample,
            "at_s": round(detection.at_s, 4),
            "first_sample": first,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(waiting.wall_s)),
            "bundle": self._bundle.name,
            "bundle_hash": self._bundle.hash,
            "labels": list(manifest.labels),
            "scores": [
                {"at_sample": at_sample, "scores": [round(float(score), 4) for score in scores]}
                for at_sample, scores in self._scores
                if first < at_sample <= last
            ],
        }


def _files_of(path: Path) -> list[Path]:
    """Return the files of a detection: its sound, and beside it its scores and the mark that a person gave it."""
    return [path, path.with_suffix(".json")]


def _size(path: Path) -> int:
    """Return the bytes of a detection that is kept; 0 once it is gone."""
    return sum(file.stat().st_size for file in _files_of(path) if file.exists())


def open_sink(value: object, context: SinkContext) -> SavedEvents:
    """Open what ``--save-events DIR`` asks for."""
    return SavedEvents(str(value), context.one_spotter("--save-events").bundle)
