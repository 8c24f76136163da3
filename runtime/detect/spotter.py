"""Sound in, detections out: scores and decision in a row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.sources import Gap
from kwspot.runtime.detect.decision import Decision, Detection
from kwspot.runtime.detect.scoring import Scoring
from kwspot.runtime.model.bundle import Bundle
from kwspot.runtime.model.classifier import Results
from kwspot.runtime.model.engines import open_engine

KEEPS_STATE_MS = 80
"""A gap up to this long is heard as silence; after a longer one listening starts anew.

Of 60 real words with a gap somewhere in them (57 are heard without one), silence and a new start keep 56 and 38 at
40 ms, 49 and 37 at 80 ms, 37 and 35 at 160 ms.
"""


class KeywordSpotter:
    """Listens to a stream of sound, block by block.

    However the sound is sliced into blocks, the detections are the same.

    Parameters
    ----------
    bundle
        From :func:`kwspot.runtime.load_bundle`.
    engine
        As for :func:`~kwspot.runtime.model.engines.open_engine`.
    thresholds
        Word → threshold, in place of the bundle's.
    precision
        ``"int8"``, or ``"float"`` to compare.
    gate_db
        No inference while all that the model would see lies below this level: see
        :class:`kwspot.runtime.model.energy_gate.EnergyGate`.

    Raises
    ------
    EngineError
        If the engine is not installed or cannot load the model.
    ConfigError
        If a threshold or the gate is out of range, or a threshold is for a word the bundle does not hear.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        engine: str | None = None,
        thresholds: Mapping[str, float] | None = None,
        precision: str = "int8",
        gate_db: float | None = None,
    ) -> None:
        manifest = bundle.manifest
        self.bundle = bundle
        self._spec = manifest.features
        settings = manifest.decision.with_thresholds(thresholds or {}, manifest.labels)
        opened = open_engine(bundle, engine, precision=precision)
        self.engine_name = opened.name
        self._scoring = Scoring(bundle, opened, gate_db=gate_db)
        self._decision = Decision.from_manifest(manifest, settings)
        self.samples_seen = 0
        """The sample clock: all samples pushed or reported lost since the first."""
        self._hop_samples = self._spec.hop_samples
        self._start = self._start_of(0)
        """Frame k, counted from 1, of this stretch of sound ends at ``_start + k * _hop_samples``."""
        self._last: Results = []
        self.keeps_smoothed = False
        """Whether `last_smoothed` is filled: it costs a thirtieth of the loop, and only who shows it needs it."""
        self.last_smoothed: list[NDArray[np.float32] | None] = []
        """The decision's mean, float32 (labels,), after each of `last_scores`; None where it has none yet."""

    @property
    def last_scores(self) -> list[tuple[int, NDArray[np.float32]]]:
        """Return (at_sample, scores float32 (labels,)) of each inference of the last :meth:`push`."""
        return [(self._start + frames_seen * self._hop_samples, scores) for frames_seen, scores in self._last]

    @property
    def thresholds(self) -> dict[str, float]:
        """Return word → threshold, as it is now."""
        return self._decision.thresholds

    def set_threshold(self, word: str, threshold: float) -> None:
        """Let a word fire from another score on, 0 to 1."""
        self._decision.set_threshold(word, threshold)

    def starts_anew_after(self, gap: Gap) -> bool:
        """Return whether a gap is too long to be heard as silence."""
        return gap.lost_samples > KEEPS_STATE_MS * self._spec.sample_rate_hz // 1000

    def push(self, block: NDArray[np.int16] | Gap) -> list[Detection]:
        """Take sound, int16 (n,) at the bundle's rate, and return the detections that it completes.

        A gap in the sound moves the clock on. Up to 80 ms of it are heard as silence;
        after a longer one listening starts anew, as by :meth:`skip`.

        Raises
        ------
        AudioFormatError
            If the block is not int16 or not one-dimensional.
        """
        if isinstance(block, Gap):
            if self.starts_anew_after(block):
                self.skip(block.lost_samples)
                return []
            block = np.zeros(block.lost_samples, np.int16)
        self._last, self.last_smoothed = self._scoring.push(block), []
        self.samples_seen += len(block)
        return self._decide(self._last)

    def finish(self) -> list[Detection]:
        """End the stream of sound, and return the detections that only the silence after it completes.

        A word is decided when its end has moved into the model's window and
        its scores have been averaged, which takes sound after it. A file or a
        recording that ends with its word has none, so call this at the end of
        every finite sound: the silence that is needed is pushed here.

        The clock stands still: no detection has an `at_sample` after
        `samples_seen`. What is pushed next is heard as after a gap;
        :meth:`reset` begins a new stream.

        Examples
        --------
        >>> from kwspot.runtime import load_bundle, wav_blocks
        >>> spotter = KeywordSpotter(load_bundle("commands"))
        >>> for block in wav_blocks("word.wav"):  # doctest: +SKIP
        ...     detections += spotter.push(block)
        >>> detections = spotter.finish()
        """
        end = self.samples_seen
        found = self._decide(self._scoring.finish())
        self._start_stretch(end)
        return [dataclasses.replace(detection, at_sample=min(end, detection.at_sample)) for detection in found]

    def _decide(self, results: Results) -> list[Detection]:
        detections: list[Detection] = []
        for frames_seen, scores in results:
            detections += self._decision.push(scores, self._start + frames_seen * self._hop_samples)
            if self.keeps_smoothed:
                self.last_smoothed.append(self._decision.smoothed)
        return detections

    def skip(self, lost_samples: int) -> None:
        """Move the clock on over sound that was lost, and listen anew after the gap."""
        self.samples_seen += lost_samples
        self._start_stretch(self.samples_seen)

    def reset(self) -> None:
        """Begin a new stream, whose clock starts at 0."""
        self.samples_seen = 0
        self._decision.rewind()
        self._start_stretch(0)

    def _start_of(self, at_sample: int) -> int:
        return at_sample + self._spec.samples_in(1) - self._hop_samples

    def _start_stretch(self, at_sample: int) -> None:
        self._start = self._start_of(at_sample)
        self._last, self.last_smoothed = [], []
        self._scoring.reset()
        self._decision.reset()
