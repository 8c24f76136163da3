"""Recordings through the deployed detector: sounds to scores once, scores to events at any thresholds.

Everything that measures or calibrates a bundle hears its recordings here, so
that what is scored is what `listen` does: the same features, engine and
verifier, the same silence after the end of a sound, and the same decision.
Scores take the time; the decision at other thresholds is replayed on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.sound_file import open_sound, read_sound
from kwspot.runtime.audio.sound_lists import Utterance
from kwspot.runtime.detect.decision import Decision, Detection
from kwspot.runtime.detect.scoring import Scoring
from kwspot.runtime.model.bundle import Bundle
from kwspot.runtime.model.classifier import Results
from kwspot.runtime.model.decision_settings import NEVER
from kwspot.runtime.model.engines import open_engine
from kwspot.runtime.model.manifest import Manifest

_BLOCK_S = 60
_PHASE_STEP = 617
"""Samples by which the start moves from sound to sound, since no speaker waits for a hop; shares no factor with any."""

_ROUNDING = 1e-5
"""A mean in float32 may lie so far above the greatest of its scores."""

Report = Callable[[int, int], None]
"""Called with how many sounds are done, and of how many."""


@dataclass(frozen=True)
class Scored:
    """The scores of a sound, one row for each inference.

    `at` int64 (n,) counts the samples from the first of the sound up to the
    inference; those of the silence after the sound come after its last sample.
    `scores` is float32 (n, labels).
    """

    at: NDArray[np.int64]
    scores: NDArray[np.float32]

    @classmethod
    def join(cls, parts: Sequence[Scored]) -> Scored:
        """Return the scores of a stream from those of its parts in order."""
        return cls(np.concatenate([part.at for part in parts]), np.concatenate([part.scores for part in parts]))

    def peak(self, columns: Sequence[int]) -> float:
        """Return a bound that no mean of these labels' scores exceeds."""
        return float(self.scores[:, columns].max(initial=0.0)) + _ROUNDING


@dataclass(frozen=True)
class ScoredUtterance(Utterance):
    """An utterance and its scores."""

    scored: Scored


@dataclass(frozen=True)
class ScoredNegative:
    """A sound without the words: how long it is, and its scores."""

    path: Path
    seconds: float
    scored: Scored


class Scorer:
    """The int8 detector up to its scores, verifier included, as the runtime runs it.

    Parameters
    ----------
    engine
        As for :func:`~kwspot.runtime.model.engines.open_engine`.
    """

    def __init__(self, bundle: Bundle, engine: str | None = None) -> None:
        self._manifest = bundle.manifest
        self.rate_hz = bundle.manifest.features.sample_rate_hz
        opened = open_engine(bundle, engine)
        self.engine_name = opened.name
        self._scoring = Scoring(bundle, opened)

    def push(self, sound: NDArray[np.int16]) -> Scored:
        """Return the scores that a further stretch of the stream, int16 (n,), completes."""
        block = _BLOCK_S * self.rate_hz
        parts = (self._scoring.push(sound[start : start + block]) for start in range(0, len(sound), block))
        return self._scored([result for results in parts for result in results])

    def finish(self) -> Scored:
        """End the stream as `listen` does at the end of a sound, and return the scores of the silence after it."""
        return self._scored(self._scoring.finish())

    def score(self, sound: NDArray[np.int16], number: int = 0) -> Scored:
        """Return the scores of a sound, int16 (n,), that is a stream of its own.

        Parameters
        ----------
        number
            The sound's place in its list: where it begins between two hops follows from it.
        """
        return self.score_blocks([sound], number)

    def score_blocks(self, blocks: Iterable[NDArray[np.int16]], number: int = 0) -> Scored:
        """Return the scores of a sound that comes in blocks, as :meth:`score` does."""
        self._scoring.reset()
        lead = number * _PHASE_STEP % self._manifest.inference_hop_samples
        parts = [self.push(np.zeros(lead, np.int16)), *map(self.push, blocks), self.finish()]
        scored = Scored.join(parts)
        return Scored(scored.at - lead, scored.scores)

    def score_utterances(self, utterances: Sequence[Utterance], report: Report) -> list[ScoredUtterance]:
        """Return every utterance with its scores."""
        scored = []
        for number, one in enumerate(utterances):
            scores = self.score(read_sound(one.path, self.rate_hz), number)
            scored.append(ScoredUtterance(one.path, one.word, one.speaker, scores))
            report(number + 1, len(utterances))
        return scored

    def score_negatives(self, paths: Sequence[Path], report: Report) -> list[ScoredNegative]:
        """Return every negative with its scores; the silence after it is not counted as time."""
        scored = []
        for number, path in enumerate(paths):
            heard = 0

            def blocks(path: Path) -> Iterator[NDArray[np.int16]]:
                nonlocal heard
                with open_sound(path) as sound:  # which may be hours long
                    for block in sound.mono(self.rate_hz):
                        heard += len(block)
                        yield block

            scores = self.score_blocks(blocks(path), number)
            scored.append(ScoredNegative(path, heard / self.rate_hz, scores))
            report(number + 1, len(paths))
        return scored

    def _scored(self, results: Results) -> Scored:
        at = [self._manifest.features.samples_in(frames_seen) for frames_seen, _ in results]
        scores = np.array([scores for _, scores in results], np.float32)  # (n, labels)
        return Scored(np.array(at, np.int64), scores.reshape(-1, len(self._manifest.labels)))


class Replay:
    """The bundle's own decision at chosen thresholds, on scores that are there already.

    Parameters
    ----------
    thresholds
        Word → threshold; a word that is not named never fires. None takes the bundle's own.
    """

    def __init__(self, manifest: Manifest, thresholds: Mapping[str, float] | None = None) -> None:
        self._decision = Decision.from_manifest(manifest)
        thresholds = self._decision.thresholds if thresholds is None else thresholds
        self._labels = manifest.labels
        for word in manifest.words:
            self._decision.set_threshold(word, thresholds.get(word, NEVER))
        self._columns = [manifest.labels.index(word) for word in thresholds]
        self._least = np.array(list(thresholds.values()), np.float32) - np.float32(_ROUNDING)

    def events(self, scored: Scored) -> list[Detection]:
        """Return what fires in a stream of its own; `at_sample` counts as ``scored.at`` does.

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

    def fires(self, word: str, scored: Scored) -> bool:
        """Return whether a word fires in a stream of its own."""
        return any(event.label == word for event in self.events(scored))

    def best_mean(self, word: str, scored: Scored) -> float:
        """Return the highest mean that a word comes to."""
        span = self._decision.averaged_scores
        scores = scored.scores[:, self._labels.index(word)]
        return 0.0 if len(scores) < span else float(np.convolve(scores, np.full(span, 1 / span), "valid").max())
