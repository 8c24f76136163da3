"""Does this machine compute what the bundle says, by golden vectors through every stage, and how fast."""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from kwspot.runtime.detect.decision import Decision
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.model.bundle import Bundle
from kwspot.runtime.model.engines import ENGINES, Engine
from kwspot.runtime.model.golden import (
    FEATURE_TOLERANCE,
    VERIFIER_TOLERANCE,
    check_golden,
    synthetic_sound,
    verifier_error,
)

STREAM_FACTOR = 4
"""So many times as far in a stream, whose states carry a difference on, at sounds that end abruptly. tflite-runtime is
15 steps away on x86-64, LiteRT and onnxruntime none."""

WARM_UP_HOPS = 20
"""Before the first that counts: caches fill and the engine makes its plans."""


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that was tried: whether it passed, and what was seen."""

    name: str
    passed: bool
    seen: str


def run_checks(bundle: Bundle, engine: Engine) -> list[Check]:
    """Compare features, scores, their times and the decision of this machine with what the bundle says."""
    found = check_golden(bundle, engine)
    most = ENGINES[engine.name].score_steps
    labels = "" if found.same_labels else ", and the labels differ"
    return [
        Check(
            "features",
            found.feature_error <= FEATURE_TOLERANCE,
            f"{found.feature_error:.1e} from the bundle's, at most {FEATURE_TOLERANCE:g}",
        ),
        Check(
            "scores",
            found.score_steps <= most + 0.5 and found.same_labels,
            f"{found.score_steps:.0f} steps of int8 from the bundle's, at most {most}{labels}",
        ),
        Check(
            "stream",
            found.stream_steps <= STREAM_FACTOR * most + 0.5 and found.same_times,
            f"{found.stream_steps:.0f} steps of int8 from the bundle's, at most {STREAM_FACTOR * most}"
            if found.same_times
            else "scores at other times than the bundle's: another hop or window",
        ),
        *_check_verifier(bundle),
        _check_decision(bundle),
    ]


def _check_verifier(bundle: Bundle) -> list[Check]:
    error = verifier_error(bundle)
    if error is None:
        return []
    seen = f"{error:.1e} from the bundle's, at most {VERIFIER_TOLERANCE:g}"
    return [Check("verifier", error <= VERIFIER_TOLERANCE, seen)]


def _check_decision(bundle: Bundle) -> Check:
    """Make each label certain for a while: each word has to fire once, when the mean says so, and nothing else."""
    manifest = bundle.manifest
    settings, hop = manifest.decision, manifest.inference_hop_samples
    rate_hz = manifest.features.sample_rate_hz
    decision = Decision.from_manifest(manifest)
    hops_each = 1 + int((settings.smoothing_ms + settings.refractory_ms) * rate_hz / 1000) // hop + 1
    span = round(settings.smoothing_ms * rate_hz / 1000) + hop
    fired, at_sample, wrong = [], 0, False
    for label in range(len(manifest.labels)):
        certain = np.zeros(len(manifest.labels), np.float32)
        certain[label] = 1.0
        began = at_sample
        for _ in range(hops_each):
            at_sample += hop
            for detection in decision.push(certain, at_sample):
                fired.append(detection.label)
                wrong |= detection.label != manifest.labels[label] or detection.at_sample > began + span
    passed = fired == list(manifest.words) and not wrong
    seen = f"{len(fired)} detections of {len(manifest.words)} words, each once and in its time"
    return Check("decision", passed, seen)


@dataclasses.dataclass(frozen=True)
class Speed:
    """Time of `hops` hops in milliseconds, and the share of one core that listening takes."""

    hops: int
    hop_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_share: float

    @property
    def real_time_factor(self) -> float:
        """Return time to work over time to listen; above 1 sound is lost."""
        return self.p50_ms / self.hop_ms


def measure(spotter: KeywordSpotter, hops: int) -> Speed:
    """Push `hops` hops of synthetic sound, one at a time, as a microphone would without the waiting."""
    manifest = spotter.bundle.manifest
    hop = manifest.inference_hop_samples
    clips = synthetic_sound(max(manifest.window_samples, hop))
    sound = clips.reshape(-1)
    blocks = np.split(sound[: len(sound) // hop * hop], len(sound) // hop)
    spotter.reset()
    for number in range(WARM_UP_HOPS):
        spotter.push(blocks[number % len(blocks)])
    times_ms = np.empty(hops)
    cpu_start = time.process_time()
    for number in range(hops):
        start = time.perf_counter()
        spotter.push(blocks[number % len(blocks)])
        times_ms[number] = 1000 * (time.perf_counter() - start)
    cpu_s = time.process_time() - cpu_start
    spotter.reset()
    p50, p95, p99 = (float(value) for value in np.percentile(times_ms, (50, 95, 99)))
    hop_ms = 1000 * hop / manifest.features.sample_rate_hz
    return Speed(hops, hop_ms, p50, p95, p99, 1000 * cpu_s / (hops * hop_ms))
