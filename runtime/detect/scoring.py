"""Sound in, scores out: features, the network, and the verifier of a bundle that has one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.features.mfcc import StreamingMfcc
from kwspot.runtime.model.bundle import Bundle
from kwspot.runtime.model.classifier import Results, open_classifier
from kwspot.runtime.model.energy_gate import EnergyGate
from kwspot.runtime.model.engines import Engine
from kwspot.runtime.model.manifest import Manifest
from kwspot.runtime.model.verifier import open_verifier
from kwspot.runtime.model.verifier_session import VerifierSession


def silence_after(manifest: Manifest) -> int:
    """Return how many samples of silence after a sound its last events may need.

    The model's window has to leave the sound behind, and so have the scores
    that are averaged; a frame and an inference end in it. What comes later
    depends on the silence alone.
    """
    spec = manifest.features
    smoothing = math.ceil(manifest.decision.smoothing_ms * spec.sample_rate_hz / 1000)
    return manifest.window_samples + smoothing + spec.window_samples + 2 * manifest.inference_hop_samples


class Scoring:
    """What the decision is fed with; however the sound is sliced, the scores are the same.

    Parameters
    ----------
    gate_db
        See :class:`kwspot.runtime.model.energy_gate.EnergyGate`; None leaves it out.
    """

    def __init__(self, bundle: Bundle, engine: Engine, *, gate_db: float | None = None) -> None:
        manifest = bundle.manifest
        self._silence = np.zeros(silence_after(manifest), np.int16)
        # Frames are of no use before an inference, and cost less together.
        self.features = StreamingMfcc(manifest.features, group=manifest.inference_hop_frames)
        classifier = open_classifier(manifest, engine)
        self.classifier = classifier if gate_db is None else EnergyGate(classifier, manifest, gate_db)
        info = manifest.verifier
        self.verifier = None if info is None else VerifierSession(open_verifier(bundle), manifest, info)

    def push(self, block: NDArray[np.int16]) -> Results:
        """Take sound, int16 (n,), and return the scores that it completes.

        Raises
        ------
        AudioFormatError
            If the block is not int16 or not one-dimensional.
        """
        frames = self.features.push(block)
        if self.verifier is not None:
            self.verifier.push(block)
        if not len(frames):
            return []
        results = self.classifier.push(frames)
        return results if self.verifier is None else self.verifier.verify(results)

    def finish(self) -> Results:
        """End the stretch of sound: return the scores of the silence after it, and start anew.

        The silence is :func:`silence_after` samples long. What is left of the
        sound in the last window, and what was held back for the next
        inference, is scored there.
        """
        results = self.push(self._silence)
        self.reset()
        return results

    def reset(self) -> None:
        """Begin a new stretch of sound, after digital silence."""
        self.features.reset()
        self.classifier.reset()
        if self.verifier is not None:
            self.verifier.reset()
