"""A day of sound through the loop, faster than real time: memory stays flat and the sample clock exact.

::

    python -m kwspot.benchmarks.experiments.soak commands --hours 24

The sound is noise that swells, again and again; blocks are of changing
size. Resident memory is read every quarter of an hour of sound, and a line is
laid through the readings after the first hour; less than two hours of sound say
nothing about memory.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.benchmarks.experiments.steps import parser_of
from kwspot.benchmarks.latency.loop_sound import synthetic_sound
from kwspot.runtime.cli import guarded
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.model.bundle import load_bundle
from kwspot.runtime.results import result, write_result

SCHEMA = "kwspot.soak/1"
READINGS_PER_HOUR = 4
FLAT_KB_PER_HOUR = 8.0
"""Two pages: what a reading may wander in an hour without being a leak; 24 h of it are below 0.2 MB."""

_BLOCK_SAMPLES = (1280, 1280, 640, 1, 1279, 1281, 4096, 333)


def _resident_kb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def blocks_of(sound: NDArray[np.int16], samples: int) -> Iterator[NDArray[np.int16]]:
    """Yield so many samples of a sound, int16 (n,), that repeats, in blocks of changing size."""
    place = 0
    for size in itertools.cycle(_BLOCK_SAMPLES):
        if samples <= 0:
            return
        block = sound[place : place + min(size, samples)]
        place = (place + len(block)) % len(sound)
        samples -= len(block)
        yield block


def soak(spotter: KeywordSpotter, sound: NDArray[np.int16], hours: float) -> dict[str, Any]:
    """Push a sound, int16 (n,), for hours; return the content of a result of the schema ``kwspot.soak/1``."""
    rate_hz = spotter.bundle.manifest.features.sample_rate_hz
    per_reading = 3600 * rate_hz // READINGS_PER_HOUR
    detections, at_sample = 0, 0
    resident_kb: list[float] = []
    start = time.process_time()
    for _ in range(round(hours * READINGS_PER_HOUR)):
        for block in blocks_of(sound, per_reading):
            detections += len(spotter.push(block))
            # What the end of the chain believes to have seen, not only the counter at its beginning.
            if spotter.last_scores:
                at_sample = spotter.last_scores[-1][0]
        resident_kb.append(_resident_kb())
    samples = len(resident_kb) * per_reading
    settled = resident_kb[READINGS_PER_HOUR:]
    return {
        "hours": hours,
        "cpu_s_per_hour": (time.process_time() - start) / hours,
        "samples_pushed": samples,
        "samples_seen": spotter.samples_seen,
        "last_inference_at": at_sample,
        "detections": detections,
        "resident_kb": resident_kb,
        "kb_per_hour": float(np.polyfit(range(len(settled)), settled, 1)[0]) * READINGS_PER_HOUR
        if len(settled) >= READINGS_PER_HOUR
        else None,
    }


def main(argv: Sequence[str]) -> int:
    """Run, print, and say by the exit status whether memory was flat and the clock exact."""
    parser = parser_of("soak", __doc__, SCHEMA)
    parser.add_argument("bundle", type=load_bundle, metavar="BUNDLE", help="bundle folder, or the name of one")
    parser.add_argument("--hours", type=float, default=24.0, metavar="H", help="of sound (default: %(default)g)")
    parser.add_argument("--engine", metavar="NAME", help="litert, tflite or onnx (default: the first installed)")
    args = parser.parse_args(argv)
    if args.hours < 1 / READINGS_PER_HOUR:
        raise ConfigError(f"--hours {args.hours:g}; expected 0.25 or more, and 2 to say anything about memory")
    manifest = args.bundle.manifest
    spotter = KeywordSpotter(args.bundle, engine=args.engine)
    sound = synthetic_sound(manifest.features.sample_rate_hz)
    values = result(SCHEMA, args.bundle, soak(spotter, sound, args.hours))
    exact = values["samples_seen"] == values["samples_pushed"]
    # The last inference may lie as far back as what does not fill one more hop.
    behind = values["samples_pushed"] - values["last_inference_at"]
    exact = exact and 0 <= behind < manifest.inference_hop_samples
    slope = values["kb_per_hour"]
    flat = slope is None or abs(slope) <= FLAT_KB_PER_HOUR
    memory = "too short to tell" if slope is None else f"{slope:+.1f} kB per hour: {'flat' if flat else 'GROWS'}"
    text = (
        f"{args.hours:g} h of sound at {values['cpu_s_per_hour']:.2f} CPU s an hour, {values['detections']} heard\n"
        f"sample clock {values['samples_seen']} of {values['samples_pushed']}, last inference {behind} samples before "
        f"the end: {'exact' if exact else 'WRONG'}\n"
        f"memory {values['resident_kb'][0] / 1024:.1f} MB to {values['resident_kb'][-1] / 1024:.1f} MB, {memory}"
    )
    write_result(values, text, args.json)
    return 0 if exact and flat else 1


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
