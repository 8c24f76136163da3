"""Golden vectors: sound → features → scores, kept in the bundle, to be found again on every board."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.features.level import to_int16
from kwspot.runtime.features.mfcc import mfcc
from kwspot.runtime.features.spec import INT16_FULL_SCALE
from kwspot.runtime.model.bundle import Bundle, Manifest
from kwspot.runtime.model.classifier import open_classifier
from kwspot.runtime.model.engines import Engine
from kwspot.runtime.model.verifier import Verifier, open_verifier

FEATURE_TOLERANCE = 2e-4
"""Largest difference of a feature between two machines, in decibels."""
VERIFIER_TOLERANCE = 1e-3
"""Largest difference of a probability of the verifier, which is in float32."""


@dataclasses.dataclass(frozen=True)
class GoldenVectors:
    """Sound int16 (n, samples), features float32 (n, frames, coefficients), scores float32 (n, labels)."""

    sound: NDArray[np.int16]
    features: NDArray[np.float32]
    scores: NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """As the content of ``golden.npz``."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, sound=self.sound, features=self.features, scores=self.scores)
        return buffer.getvalue()

    @classmethod
    def of(cls, bundle: Bundle) -> GoldenVectors:
        """Those of a bundle."""
        with np.load(io.BytesIO(bundle.golden_bytes()), allow_pickle=False) as arrays:
            return cls(arrays["sound"], arrays["features"], arrays["scores"])


@dataclasses.dataclass(frozen=True)
class GoldenResult:
    """Largest differences from the golden vectors."""

    feature_error: float
    score_steps: float
    """In steps of the int8 output (1 / 256 of a probability, as a rule)."""
    same_labels: bool


def synthetic_sound(samples: int) -> NDArray[np.int16]:
    """Sounds that try every range, int16 (6, samples): zeros, one quiet and one full-scale
    noise, a chirp, clicks, and a square wave that saturates at both ends."""
    rng = np.random.default_rng(20_180_410)
    time = np.arange(samples) / samples
    noise = rng.standard_normal(samples)
    rows = [
        np.zeros(samples),
        30 * noise,
        12_000 * noise,
        20_000 * np.sin(2 * np.pi * (100 + 1_500 * time) * time * 2) * np.hanning(samples),
        30_000.0 * (np.arange(samples) % 1_777 == 0),
        40_000 * np.sign(np.sin(2 * np.pi * 220 * time)),
    ]
    return to_int16(np.array(rows) / INT16_FULL_SCALE)


def make_golden(manifest: Manifest, engine: Engine) -> GoldenVectors:
    """Golden vectors of a model that is being exported, by its int8 form."""
    sound = synthetic_sound(manifest.window_samples)
    features = np.stack([mfcc(row, manifest.features) for row in sound])
    classifier = open_classifier(manifest, engine)
    return GoldenVectors(sound, features, np.stack([classifier.score_clip(frames) for frames in features]))


def check_golden(bundle: Bundle, engine: Engine) -> GoldenResult:
    """Run the golden vectors of a bundle on this machine, in this engine."""
    golden = GoldenVectors.of(bundle)
    features = np.stack([mfcc(row, bundle.manifest.features) for row in golden.sound])
    classifier = open_classifier(bundle.manifest, engine)
    scores = np.stack([classifier.score_clip(frames) for frames in features])
    step = engine.outputs[0].scale or 1.0
    return GoldenResult(
        feature_error=float(np.abs(features - golden.features).max()),
        score_steps=float(np.abs(scores - golden.scores).max() / step),
        same_labels=bool((scores.argmax(axis=1) == golden.scores.argmax(axis=1)).all()),
    )


def golden_verifier_scores(look: Verifier) -> NDArray[np.float32]:
    """Scores of a verifier at the chirp of :func:`synthetic_sound`, float32 (labels,)."""
    return look.look(synthetic_sound(look.samples)[3])


def verifier_error(bundle: Bundle) -> float | None:
    """Largest difference of the verifier's golden scores on this machine; None if the bundle looks once."""
    info = bundle.manifest.verifier
    if info is None:
        return None
    return float(np.abs(golden_verifier_scores(open_verifier(bundle)) - np.array(info.golden_scores)).max())
