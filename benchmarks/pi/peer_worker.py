"""Runs on the emulated board under the counting plugin: another runtime listens to a sound, between marks.

::

    peer_worker.py NAME SOUND.s16 WARM_UP_S SECONDS CORE

Sound comes in blocks of 80 ms, as a microphone may give it; both cut it as they like.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kwspot.benchmarks.pi import marks

RATE_HZ = 16_000
BLOCK = 1_280
"""Samples, 80 ms."""

Listen = Callable[[bytes], None]


def _pymicro_wakeword(_core: str) -> Listen:
    package = importlib.import_module("pymicro_wakeword")
    word = package.MicroWakeWord.from_builtin(package.Model.OKAY_NABU)
    features = package.MicroWakeWordFeatures()

    def listen(block: bytes) -> None:
        for frame in features.process_streaming(block):
            word.process_streaming(frame)

    return listen


def _porcupine(core: str) -> Listen:
    # Its package asks a program of the system for the processor when it is loaded, and knows none after the
    # Cortex-A72; so the one module that matters is loaded by itself and given the library of the nearest core.
    folder = Path(importlib.util.find_spec("pvporcupine").origin).parent  # type: ignore[union-attr, arg-type]
    spec = importlib.util.spec_from_file_location("porcupine", folder / "porcupine.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    nearest = {"cortex-a76": "cortex-a72"}.get(core, core)
    keyword = folder / "resources/keyword_files/raspberry-pi/porcupine_raspberry-pi.ppn"
    library = folder / f"lib/raspberry-pi/{nearest}-aarch64/libpv_porcupine.so"
    engine = module.Porcupine(str(library), str(folder / "lib/common/porcupine_params.pv"), [str(keyword)], [0.5])
    rest = np.empty(0, np.int16)

    def listen(block: bytes) -> None:
        nonlocal rest
        rest = np.concatenate((rest, np.frombuffer(block, np.int16)))
        while len(rest) >= engine.frame_length:
            engine.process(rest[: engine.frame_length].tolist())
            rest = rest[engine.frame_length :]

    return listen


PEERS = {"pymicro-wakeword": _pymicro_wakeword, "porcupine": _porcupine}


def main(name: str, sound_path: str, warm_up_s: int, seconds: int, core: str) -> None:
    """Listen to `seconds` of a sound after a warm-up, counted as region 0."""
    sound = Path(sound_path).read_bytes()
    listen = PEERS[name](core)
    first, end = warm_up_s * RATE_HZ // BLOCK, (warm_up_s + seconds) * RATE_HZ // BLOCK
    blocks = [sound[2 * BLOCK * number : 2 * BLOCK * (number + 1)] for number in range(end)]
    for block in blocks[:first]:
        listen(block)
    marks.begin(0)
    for block in blocks[first:]:
        listen(block)
    marks.end(0)
    marks.report()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
