"""How fast a bundle runs on this machine, features included: the whole listening loop, hop by hop."""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.model.golden import synthetic_sound

WARM_UP_HOPS = 20
"""Before the first that counts: caches fill and the engine makes its plans."""


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
        """Time to work over time to listen; above 1 sound is lost."""
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
