"""The energy gate: while it is quiet, no inference is made. It is optional."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.errors import ConfigError
from kwspot.runtime.model.classifier import Classifier, Results
from kwspot.runtime.model.manifest import Manifest


class EnergyGate:
    """A classifier that rests while all that the model would see is quiet.

    It closes when every frame that the model sees, and those of one more hop,
    lay below `level_db`, and then repeats the scores of that quiet. The frames
    are kept: at the first louder one the classifier starts anew with the last
    ``window_frames`` of them. A model forgets what is older, so from there on
    its scores are, to the last bit, those without a gate.

    Parameters
    ----------
    level_db
        Of the loudest mel band of a frame, decibels, reference full scale;
        digital silence is ``10 * log10(log_floor)``, -60 as a rule. To be
        chosen far below the noise of the room: a word that begins below it
        is heard late or not at all.

    Raises
    ------
    ConfigError
        If `level_db` is not above digital silence, so that the gate never
        closed, or not below 0; or if the features are MFCC, in which the
        level of a band cannot be read.
    """

    def __init__(self, classifier: Classifier, manifest: Manifest, level_db: float) -> None:
        spec = manifest.features
        if spec.kind != "log-mel":
            raise ConfigError(f"this bundle has {spec.kind} features; a gate needs log-mel: leave it out")
        silence_db = 10.0 * math.log10(spec.log_floor)
        if not silence_db < level_db < 0.0:
            raise ConfigError(
                f"gate = {level_db:g} dB; expected more than digital silence, {silence_db:g} dB, and less than 0"
            )
        self._classifier = classifier
        self._hop = manifest.inference_hop_frames
        hops_seen = math.ceil(manifest.window_frames / self._hop)
        self._recent: deque[NDArray[np.float32]] = deque(maxlen=hops_seen)
        self._hops_to_rest = hops_seen + 1
        self._level_db = level_db
        self.skipped = 0
        """How many inferences were not made, since the start."""
        self._frames_seen = self._quiet_hops = 0
        self._resting = False
        self._scores = np.empty(0, np.float32)

    def push(self, frames: NDArray[np.float32]) -> Results:
        """Take whole hops of frames, float32 (k * inference_hop_frames, coefficients); return scores for each hop."""
        levels = np.maximum.reduce(frames, axis=1).tolist()
        results: Results = []
        for start in range(0, len(frames), self._hop):
            end = start + self._hop
            results.append(self._push_hop(frames[start:end], max(levels[start:end]) < self._level_db))
        return results

    def _push_hop(self, frames: NDArray[np.float32], quiet: bool) -> tuple[int, NDArray[np.float32]]:
        self._frames_seen += self._hop
        self._quiet_hops = self._quiet_hops + 1 if quiet else 0
        if self._quiet_hops > self._hops_to_rest:
            self.skipped += 1
            self._resting = True
        else:
            if self._resting:
                self._resting = False
                self._classifier.reset()
                for before in self._recent:
                    self._classifier.push(before)
            ((_, self._scores),) = self._classifier.push(frames)
        self._recent.append(frames)
        return self._frames_seen, self._scores

    def score_clip(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score one clip, without the gate; the stream starts anew."""
        scores = self._classifier.score_clip(frames)
        self.reset()
        return scores

    def reset(self) -> None:
        """Go back to digital silence."""
        self._classifier.reset()
        self._recent.clear()
        self._frames_seen = self._quiet_hops = 0
        self._resting = False
