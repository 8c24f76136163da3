"""From scores per hop to detections: mean, threshold, refractory time.

A word fires when the mean of its last scores is the highest of all labels and
reaches the word's threshold. It then has to fall below its threshold, and no
word fires for the refractory time, so that one utterance is one detection.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.labels import BACKGROUND_LABELS
from kwspot.runtime.model.decision_settings import DecisionSettings
from kwspot.runtime.model.manifest import Manifest


@dataclasses.dataclass(frozen=True, slots=True)
class Detection:
    """A word that was detected.

    ``at_sample`` is the index just after the last sample of the window that
    decided, counted from the first sample of the stream; ``score`` is the mean
    that reached the threshold, 0 to 1.
    """

    label: str
    score: float
    at_sample: int
    sample_rate_hz: int

    @property
    def at_s(self) -> float:
        """Return `at_sample` in seconds."""
        return self.at_sample / self.sample_rate_hz


class Decision:
    """Scores in, detections out; any slicing of the scores gives the same detections.

    A hop takes constant time, and nothing is allocated until a word fires.
    """

    def __init__(
        self, settings: DecisionSettings, labels: Sequence[str], *, score_hop_samples: int, sample_rate_hz: int
    ) -> None:
        self._labels = tuple(labels)
        self._rate = sample_rate_hz
        hop_ms = 1000.0 * score_hop_samples / sample_rate_hz
        self._span = max(1, round(settings.smoothing_ms / hop_ms))
        self._recent = np.zeros((self._span, len(labels)), np.float32)
        self._total = np.zeros(len(labels), np.float32)
        self._refractory_samples = round(settings.refractory_ms * sample_rate_hz / 1000)
        self._thresholds = [settings.threshold_of(label) for label in labels]
        self._fires_from_sample = 0
        self._fired: list[int] = []
        """Labels that fired and have not fallen below their thresholds since."""
        self.reset()

    @classmethod
    def from_manifest(cls, manifest: Manifest, settings: DecisionSettings | None = None) -> Decision:
        """Return the decision of a bundle, by other settings where some are given."""
        return cls(
            manifest.decision if settings is None else settings,
            manifest.labels,
            score_hop_samples=manifest.inference_hop_samples,
            sample_rate_hz=manifest.features.sample_rate_hz,
        )

    def push(self, scores: NDArray[np.float32], at_sample: int) -> list[Detection]:
        """Take the scores of one hop, float32 (labels,), that were decided at `at_sample`."""
        self._recent[self._count % self._span] = scores
        self._count += 1
        if self._count < self._span:
            return []
        # The whole span is summed anew: it is short, and a sum that is carried along would drift.
        total, span, thresholds = self._total, self._span, self._thresholds
        np.add.reduce(self._recent, axis=0, out=total)
        if self._fired:
            self._fired = [label for label in self._fired if not total.item(label) / span < thresholds[label]]
        best = int(total.argmax())
        score = total.item(best) / span
        # A score that is no number, or infinite, is above nothing.
        if not thresholds[best] <= score < math.inf or best in self._fired or at_sample < self._fires_from_sample:
            return []
        self._fired.append(best)
        self._fires_from_sample = at_sample + self._refractory_samples
        return [Detection(self._labels[best], score, at_sample, self._rate)]

    @property
    def smoothed(self) -> NDArray[np.float32] | None:
        """Return the mean that is compared with the thresholds, float32 (labels,); None while there is none.

        There is none until a whole span of scores has come since the start or the last gap.
        """
        return self._total / np.float32(self._span) if self._count >= self._span else None

    @property
    def averaged_scores(self) -> int:
        """Return how many scores a mean is of."""
        return self._span

    @property
    def thresholds(self) -> dict[str, float]:
        """Return word → threshold."""
        pairs = zip(self._labels, self._thresholds, strict=True)
        return {label: threshold for label, threshold in pairs if label not in BACKGROUND_LABELS}

    def set_threshold(self, word: str, threshold: float) -> None:
        """Set the threshold of a word from the next scores on."""
        self._thresholds[self._labels.index(word)] = threshold

    def reset(self) -> None:
        """Forget all scores, after a gap in the sound; the refractory time goes on."""
        self._count = 0
        self._fired = []

    def rewind(self) -> None:
        """Begin a new stream, whose clock starts at 0."""
        self._fires_from_sample = 0
        self.reset()
