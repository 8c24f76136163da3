"""What an open microphone costs above a file: CPU seconds per hour of sound.

::

    python -m kwspot.benchmarks.microphone_cost BUNDLE [--device NAME] [--seconds 60]

Hears the microphone for a while, keeps its blocks, then gives the same blocks to the
same spotter from a WAV file: once at the microphone's pace, since a processor that
has slept meanwhile does the same work slower, and once without a pause. Counted is
the CPU time of this process and of the one that records
(:mod:`kwspot.runtime.capture`); what a sound server costs is not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import wave
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.bundle import load_bundle
from kwspot.runtime.cli import guarded
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.microphone import Microphone
from kwspot.runtime.sources import BLOCK_SAMPLES, wav_blocks
from kwspot.runtime.spotter import KeywordSpotter

WARM_UP_S = 2.0
"""Before counting: caches fill and the engine makes its plans."""


def _of_microphone(
    spotter: KeywordSpotter, device: str | int | None, rate_hz: int, seconds: float
) -> tuple[float, float, list[NDArray[np.int16]]]:
    """CPU seconds of this process and of the one that records, and the blocks that were heard."""
    blocks: list[NDArray[np.int16]] = []
    heard_s = here_before = there_before = 0.0
    with Microphone(device, rate_hz=rate_hz) as microphone:
        for item in microphone:
            if not isinstance(item, np.ndarray):
                continue  # a gap or an outage: the time is not counted as sound
            if not here_before and heard_s >= WARM_UP_S:
                here_before, there_before = time.process_time(), microphone.cpu_s()
            spotter.push(item)
            heard_s += len(item) / rate_hz
            if here_before:
                blocks.append(item)
                if heard_s >= WARM_UP_S + seconds:
                    return time.process_time() - here_before, microphone.cpu_s() - there_before, blocks
    raise AssertionError("a microphone ends only when it is stopped")


def _cpu_s(spotter: KeywordSpotter, blocks: Iterable[NDArray[np.int16]], pause_s: float = 0.0) -> float:
    before, began = time.process_time(), time.monotonic()
    for number, block in enumerate(blocks):
        if pause_s:
            time.sleep(max(0.0, began + number * pause_s - time.monotonic()))
        spotter.push(block)
    return time.process_time() - before


def main(argv: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m kwspot.benchmarks.microphone_cost", description=__doc__)
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle folder, or the name of one that ships with the kit")
    parser.add_argument("--device", metavar="NAME", help="number or part of the name of a microphone: kwspot devices")
    parser.add_argument("--engine", metavar="NAME", help="litert, tflite or onnx (default: the first installed)")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="to hear (default: %(default)g)")
    args = parser.parse_args(argv)
    if args.seconds <= 0:
        raise ConfigError(f"--seconds {args.seconds:g}; expected more than 0")
    bundle = load_bundle(args.bundle)
    rate_hz = bundle.manifest.features.sample_rate_hz
    spotter = KeywordSpotter(bundle, engine=args.engine)
    device = int(args.device) if args.device and args.device.isdecimal() else args.device
    here_s, there_s, blocks = _of_microphone(spotter, device, rate_hz, args.seconds)
    sound = np.concatenate(blocks)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "heard.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, rate_hz, 0, "NONE", ""))
            file.writeframes(sound.astype("<i2", copy=False).tobytes())
        of_paced_file_s = _cpu_s(spotter, wav_blocks(path, rate_hz=rate_hz), BLOCK_SAMPLES / rate_hz)
        of_file_s = _cpu_s(spotter, wav_blocks(path, rate_hz=rate_hz))
    same_blocks = [sound[start : start + BLOCK_SAMPLES] for start in range(0, len(sound), BLOCK_SAMPLES)]
    of_memory_s = _cpu_s(spotter, same_blocks)
    per_hour = 3600 / (len(sound) / rate_hz)
    print(f"{bundle.manifest.name}, {spotter.engine_name}, {len(sound) / rate_hz:.1f} s heard; CPU seconds per hour")
    for name, cpu_s in (
        ("microphone", here_s + there_s),
        ("  of it in the recording process", there_s),
        ("file at the same pace", of_paced_file_s),
        ("file without a pause", of_file_s),
        ("microphone above file, same pace", here_s + there_s - of_paced_file_s),
        ("features, inference and decision", of_memory_s),
    ):
        print(f"{name:34}{cpu_s * per_hour:8.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
