"""One engine, one process: how long a start and each hop take, and how much memory.

Run by ``kwspot bench latency`` as ``python -m``; prints one JSON object. It is
a process of its own so that memory and load time are those of this engine alone.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from itertools import cycle, islice, pairwise
from typing import TYPE_CHECKING, Any

from kwspot.runtime.board.state import peak_rss_mb
from kwspot.runtime.cli import guarded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kwspot.runtime.detect.spotter import KeywordSpotter
    from kwspot.runtime.model.bundle import Bundle

WARM_UP_HOPS = 200
"""Before the first one that counts: caches fill, the engine makes its plans, the clock of the core rises."""

FIRST_HOPS = 10
HISTOGRAM_BINS = 40

VERIFIER = "verifier"
STEPS = ("features", "inference", VERIFIER, "decision", "total")
"""A bundle without a verifier has no such step."""


def _time_hops(bundle: Bundle, engine: str, precision: str, blocks: Iterator[NDArray[np.int16]], hops: int) -> Any:
    """Nanoseconds of each step of each hop, int64 (hops, steps), through the parts of a KeywordSpotter."""
    import numpy as np

    from kwspot.runtime.detect.decision import Decision
    from kwspot.runtime.detect.scoring import Scoring
    from kwspot.runtime.model.engines import open_engine

    manifest = bundle.manifest
    spec = manifest.features
    scoring = Scoring(bundle, open_engine(bundle, engine, precision=precision))
    decision = Decision.from_manifest(manifest)
    # The window of a frame is longer than its hop, so that the first block completes no inference.
    while not scoring.push(next(blocks)):
        pass
    features, classifier, verifier = scoring.features, scoring.classifier, scoring.verifier
    clock = time.perf_counter_ns
    times = np.empty((WARM_UP_HOPS + hops, len(STEPS)), np.int64)
    for row in times:
        block = next(blocks)
        start = clock()
        frames = features.push(block)
        after_features = clock()
        results = classifier.push(frames)
        after_inference = clock()
        if verifier is not None:
            verifier.push(block)
            results = verifier.verify(results)
        after_look = clock()
        ((frames_seen, scores),) = results
        decision.push(scores, spec.samples_in(frames_seen))
        end = clock()
        marks = (start, after_features, after_inference, after_look, end)
        row[:] = *(after - before for before, after in pairwise(marks)), end - start
    return times[WARM_UP_HOPS:]


def _cpu_seconds(spotter: KeywordSpotter, blocks: Iterator[NDArray[np.int16]], hops: int) -> float:
    """Measure the CPU seconds of so many hops, int16 (hop,) each, of all threads, with no clock read in between."""
    for block in islice(blocks, WARM_UP_HOPS):
        spotter.push(block)
    measured = list(islice(blocks, hops))
    start = time.process_time()
    for block in measured:
        spotter.push(block)
    return time.process_time() - start


def _cold_us(spotter: KeywordSpotter, blocks: Iterator[NDArray[np.int16]]) -> float:
    """Time the first hops, int16 (hop,) each; return the longest, in which the engine runs for the first time."""
    longest = 0
    for block in islice(blocks, FIRST_HOPS):
        start = time.perf_counter_ns()
        spotter.push(block)
        longest = max(longest, time.perf_counter_ns() - start)
    return longest / 1000


def measure(bundle_path: str, engine: str, precision: str, sound_path: str, hops: int) -> dict[str, Any]:
    """Measure one of the ``runs`` of the schema ``kwspot.latency/1``; call it once, in a fresh process."""
    start = time.perf_counter()
    from kwspot.runtime.detect.spotter import KeywordSpotter
    from kwspot.runtime.model.bundle import load_bundle

    bundle = load_bundle(bundle_path)
    spotter = KeywordSpotter(bundle, engine=engine, precision=precision)
    load_s = time.perf_counter() - start
    import numpy as np

    manifest = bundle.manifest
    hop_samples = manifest.inference_hop_samples
    sound = np.fromfile(sound_path, "<i2").astype(np.int16, copy=False)
    blocks = cycle(np.split(sound[: len(sound) // hop_samples * hop_samples], len(sound) // hop_samples))
    cold_us = _cold_us(spotter, blocks)
    cpu_s = _cpu_seconds(spotter, blocks, hops)
    # Before the steps are timed, which takes a second engine.
    rss_mb = peak_rss_mb()
    micros = _time_hops(bundle, engine, precision, blocks, hops) / 1000.0
    p50, p95, p99, most = np.percentile(micros, (50, 95, 99, 100), axis=0)  # each (steps,)
    edges = np.geomspace(micros[:, -1].min(), micros[:, -1].max() * 1.001, HISTOGRAM_BINS + 1)
    counts, _ = np.histogram(micros[:, -1], edges)
    hop_s = hop_samples / manifest.features.sample_rate_hz
    return {
        "engine": engine,
        "precision": precision,
        "hop_ms": 1000 * hop_s,
        "hops": hops,
        "us": {
            step: {"p50": float(p50[i]), "p95": float(p95[i]), "p99": float(p99[i]), "max": float(most[i])}
            for i, step in enumerate(STEPS)
            if step != VERIFIER or manifest.verifier is not None
        },
        "histogram": {"edges_us": edges.tolist(), "counts": counts.tolist()},
        "cold_us": cold_us,
        "real_time_factor": cpu_s / (hops * hop_s),
        "cpu_s_per_hour": cpu_s / (hops * hop_s) * 3600,
        "rss_mb": rss_mb,
        "load_s": load_s,
        "threads": 1,
    }


def main(bundle: str, engine: str, precision: str, sound: str, hops: str) -> int:
    """Measure what the arguments name."""
    print(json.dumps(measure(bundle, engine, precision, sound, int(hops)), allow_nan=False))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(*sys.argv[1:])))
