"""Golden vectors: sound → features → scores, kept in the bundle, to be found again on every board."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.errors import BundleDamagedError
from kwspot.runtime.features.level import to_int16
from kwspot.runtime.features.mfcc import mfcc
from kwspot.runtime.features.spec import INT16_FULL_SCALE
from kwspot.runtime.model.bundle import GOLDEN_FILE, Bundle
from kwspot.runtime.model.classifier import open_classifier
from kwspot.runtime.model.engines import Engine
from kwspot.runtime.model.manifest import Manifest
from kwspot.runtime.model.npz import ArraySpec, read_npz
from kwspot.runtime.model.verifier import Verifier, open_verifier

FEATURE_TOLERANCE = 2e-4
"""Largest difference of a feature between two machines, in decibels."""
MOST_SAMPLES = 4_000_000
"""Of golden sound, so that a check of it takes seconds."""
VERIFIER_TOLERANCE = 1e-3
"""Largest difference of a probability of the verifier, which is in float32."""


@dataclasses.dataclass(frozen=True)
class GoldenVectors:
    """What an export computed, as ``golden.npz`` holds it.

    Parameters
    ----------
    sound : int16, shape (n, window_samples)
        :func:`synthetic_sound`.
    features : float32, shape (n, window_frames, coefficients)
        Of each sound.
    scores : float32, shape (n, labels)
        Of each sound as a clip of its own.
    at_samples : int64, shape (k,)
        Where each score ends when the sounds are heard one after another, as a stream.
    stream_scores : float32, shape (k, labels)
        Of the stream.
    labels : uint8, shape (m,)
        The labels in the order of the scores, in UTF-8, one a line.
    """

    sound: NDArray[np.int16]
    features: NDArray[np.float32]
    scores: NDArray[np.float32]
    at_samples: NDArray[np.int64]
    stream_scores: NDArray[np.float32]
    labels: NDArray[np.uint8]

    def to_bytes(self) -> bytes:
        """Return the content of ``golden.npz``."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **vars(self))
        return buffer.getvalue()

    @classmethod
    def of(cls, bundle: Bundle) -> GoldenVectors:
        """Read the golden vectors of a bundle.

        Raises
        ------
        BundleDamagedError
            If ``golden.npz`` does not hold them, in the shapes that the manifest needs.
        """
        manifest = bundle.manifest
        features, labels = manifest.features, len(manifest.labels)
        named = str(bundle.path / GOLDEN_FILE)
        expected = {
            "sound": ArraySpec(("int16",), (None, manifest.window_samples)),
            "features": ArraySpec(("float32",), (None, manifest.window_frames, features.coefficients)),
            "scores": ArraySpec(("float32",), (None, labels)),
            "at_samples": ArraySpec(("int64",), (None,)),
            "stream_scores": ArraySpec(("float32",), (None, labels)),
            "labels": ArraySpec(("uint8",), (None,)),
        }
        golden = cls(**read_npz(bundle.golden_bytes(), expected, named))
        rows = {len(golden.sound), len(golden.features), len(golden.scores)}
        if len(rows) > 1 or 0 in rows or len(golden.at_samples) != len(golden.stream_scores):
            raise BundleDamagedError(f"{named} holds arrays of different lengths; export the bundle again")
        if golden.sound.size > MOST_SAMPLES:
            raise BundleDamagedError(
                f"{named} holds {golden.sound.size:,} samples; expected at most {MOST_SAMPLES:,}: "
                "export the bundle again"
            )
        return golden


@dataclasses.dataclass(frozen=True)
class GoldenResult:
    """Largest differences from the golden vectors; score differences are in steps of the int8 output."""

    feature_error: float
    score_steps: float
    same_labels: bool
    """Whether each clip's highest score is that of the same label."""
    stream_steps: float
    same_times: bool
    """Whether the stream has its scores at the same samples."""


def synthetic_sound(samples: int) -> NDArray[np.int16]:
    """Make sounds that try every range, int16 (6, samples): zeros, one quiet and one full-scale
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
    """Compute the golden vectors of a model that is being exported, by its int8 form."""
    sound = synthetic_sound(manifest.window_samples)
    features, scores, at_samples, stream_scores = _compute(manifest, engine, sound)
    return GoldenVectors(sound, features, scores, at_samples, stream_scores, _lines_of(manifest.labels))


def check_golden(bundle: Bundle, engine: Engine) -> GoldenResult:
    """Run the golden vectors of a bundle on this machine, in this engine.

    Raises
    ------
    BundleDamagedError
        If they were made for other labels, or for these in another order.
    """
    golden = GoldenVectors.of(bundle)
    if not np.array_equal(golden.labels, _lines_of(bundle.manifest.labels)):
        made_for = ", ".join(golden.labels.tobytes().decode(errors="replace").splitlines())
        raise BundleDamagedError(
            f"{bundle.path} has the labels {', '.join(bundle.manifest.labels)}, but its model was exported with "
            f"{made_for!a:.200}; put them back in this order, or export the bundle again"
        )
    features, scores, at_samples, stream_scores = _compute(bundle.manifest, engine, golden.sound)
    step = engine.outputs[0].scale or 1.0
    same_times = np.array_equal(at_samples, golden.at_samples)
    return GoldenResult(
        feature_error=float(np.abs(features - golden.features).max()),
        score_steps=float(np.abs(scores - golden.scores).max() / step),
        same_labels=bool((scores.argmax(axis=1) == golden.scores.argmax(axis=1)).all()),
        stream_steps=float(np.abs(stream_scores - golden.stream_scores).max(initial=0.0) / step) if same_times else 0.0,
        same_times=same_times,
    )


def _compute(
    manifest: Manifest, engine: Engine, sound: NDArray[np.int16]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Return features, scores, and the samples and scores of the stream, as :class:`GoldenVectors` has them."""
    spec = manifest.features
    classifier = open_classifier(manifest, engine)
    features = np.stack([mfcc(row, spec) for row in sound])
    scores = np.stack([classifier.score_clip(frames) for frames in features])
    stream = classifier.push(mfcc(sound.reshape(-1), spec))
    at_samples = np.array([spec.samples_in(frames_seen) for frames_seen, _ in stream], np.int64)
    return features, scores, at_samples, np.stack([scores for _, scores in stream])


def _lines_of(labels: tuple[str, ...]) -> NDArray[np.uint8]:
    return np.frombuffer("\n".join(labels).encode(), np.uint8)


def golden_verifier_scores(verifier: Verifier) -> NDArray[np.float32]:
    """Compute the scores of a verifier at the chirp of :func:`synthetic_sound`, float32 (labels,)."""
    return verifier.score(synthetic_sound(verifier.samples)[3])


def verifier_error(bundle: Bundle) -> float | None:
    """Return the largest difference of the verifier's golden scores on this machine; None without a verifier."""
    info = bundle.manifest.verifier
    if info is None:
        return None
    return float(np.abs(golden_verifier_scores(open_verifier(bundle)) - np.array(info.golden_scores)).max())
