"""Sound in, scores out: features, the network, and the verifier of a bundle that has one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.features.mfcc import StreamingMfcc
from kwspot.runtime.model.bundle import Bundle
from kwspot.runtime.model.classifier import Results, open_classifier
from kwspot.runtime.model.energy_gate import Gate
from kwspot.runtime.model.engines import Engine
from kwspot.runtime.model.verifier import VerifierSession, open_verifier


class Scoring:
    """What the decision is fed with; however the sound is sliced, the scores are the same.

    Parameters
    ----------
    gate_db
        See :class:`kwspot.runtime.model.energy_gate.Gate`; None leaves it out.
    """

    def __init__(self, bundle: Bundle, engine: Engine, *, gate_db: float | None = None) -> None:
        manifest = bundle.manifest
        # Frames are of no use before an inference, and cost less together.
        self.features = StreamingMfcc(manifest.features, group=manifest.inference_hop_frames)
        classifier = open_classifier(manifest, engine)
        self.classifier = classifier if gate_db is None else Gate(classifier, manifest, gate_db)
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
            self.verifier.hear(block)
        if not len(frames):
            return []
        results = self.classifier.push(frames)
        return results if self.verifier is None else self.verifier.check(results)

    def reset(self) -> None:
        """A new stretch of sound, after digital silence."""
        self.features.reset()
        self.classifier.reset()
        if self.verifier is not None:
            self.verifier.reset()
