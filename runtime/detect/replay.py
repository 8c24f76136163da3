"""Sound through the streaming detector once, and its scores through the bundle's own decision as often as needed.

Scores are what costs time; the decision at another threshold is replayed on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.detect.decision import Decision, Detection
from kwspot.runtime.detect.scoring import Scoring
from kwspot.runtime.model.bundle import Bundle, Manifest
from kwspot.runtime.model.engines import open_engine

AFTER_S = 1.0
"""So long after the end of a take a detection still belongs to it."""

NEVER = 2.0
"""A threshold that no score reaches."""

_BLOCK_S = 60
_PHASE_STEP = 617
"""Samples by which the start moves from sound to sound, since no speaker waits for a hop; shares no factor with any."""

_ROUNDING = 1e-5
"""A mean in float32 may lie so far above the greatest of its scores."""


@dataclass(frozen=True)
class Scored:
    """The scores of a stretch of sound: `at` int64 (n,), samples heard until each, and `scores` float32 (n, labels)."""

    at: NDArray[np.int64]
    scores: NDArray[np.float32]

    def peak(self, columns: Sequence[int]) -> float:
        """No mean of these labels' scores is greater."""
        return float(self.scores[:, columns].max(initial=0.0)) + _ROUNDING


class StreamScores:
    """The int8 detector up to its scores, as the runtime runs it."""

    def __init__(self, bundle: Bundle, engine: str | None) -> None:
        self._manifest = bundle.manifest
        self._rate_hz = bundle.manifest.features.sample_rate_hz
        opened = open_engine(bundle, engine)
        self.engine_name = opened.name
        self._scoring = Scoring(bundle, opened)

    def push(self, sound: NDArray[np.int16]) -> Scored:
        """The scores that a stretch of sound, int16 (n,), completes; what comes next goes on after it."""
        at: list[int] = []
        scores: list[NDArray[np.float32]] = []
        block = _BLOCK_S * self._rate_hz
        for start in range(0, len(sound), block):
            for frames_seen, said in self._scoring.push(sound[start : start + block]):
                at.append(self._manifest.features.samples_in(frames_seen))
                scores.append(said)
        shape = (-1, len(self._manifest.labels))
        return Scored(np.array(at, np.int64), np.array(scores, np.float32).reshape(shape))

    def alone(self, sound: NDArray[np.int16], number: int) -> Scored:
        """A sound as a stream of its own: silence before it, :data:`AFTER_S` of silence after it.

        Parameters
        ----------
        number
            Of the sound in its list: where it begins between two hops follows from it.
        """
        self._scoring.reset()
        lead = np.zeros(number * _PHASE_STEP % self._manifest.inference_hop_samples, np.int16)
        tail = np.zeros(round(AFTER_S * self._rate_hz), np.int16)
        return self.push(np.concatenate([lead, sound, tail]))


class Replay:
    """The bundle's own decision at chosen thresholds, on scores that are there already.

    Parameters
    ----------
    thresholds
        Word → threshold; a word that is not named never fires.
    """

    def __init__(self, manifest: Manifest, thresholds: Mapping[str, float]) -> None:
        self._decision = Decision(
            manifest.decision,
            manifest.labels,
            score_hop_samples=manifest.inference_hop_samples,
            sample_rate_hz=manifest.features.sample_rate_hz,
        )
        for word in manifest.words:
            self._decision.set_threshold(word, thresholds.get(word, NEVER))
        self._columns = [manifest.labels.index(word) for word in thresholds]
        self._least = np.array(list(thresholds.values()), np.float32) - np.float32(_ROUNDING)

    @property
    def averaged_scores(self) -> int:
        """How many scores a mean is of."""
        return self._decision.averaged_scores

    def events(self, scored: Scored) -> list[Detection]:
        """What fires in a stream of its own.

        A mean is not above the greatest of its scores. So where no score of a
        word has reached its threshold for as long as a mean is, nothing can
        fire and what fired has fallen below: such stretches are left out, in
        whole spans of a mean, and the events are the same to the last bit.
        """
        loud = np.flatnonzero((scored.scores[:, self._columns] >= self._least).any(axis=1))
        if not len(loud):
            return []
        self._decision.rewind()
        span = self._decision.averaged_scores
        # The decision keeps its last scores in a ring and adds them as they lie there: each keeps its place.
        spans = np.unique((loud // span)[:, None] + np.array([-1, 0, 1]))
        near = (spans[:, None] * span + np.arange(span)).ravel()
        return [
            detection
            for i in near[(near >= 0) & (near < len(scored.at))]
            for detection in self._decision.push(scored.scores[i], int(scored.at[i]))
        ]
