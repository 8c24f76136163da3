"""One runtime in its own environment, measured over the same sound again and again.

A script by itself: it runs where kwspot is not installed, so it imports
nothing of ours but for our own runtime. After loading it prints one line of
JSON; for each line on standard input it runs over the sound once and prints
one more; when standard input ends it prints its peak memory.

::

    python peer_worker.py RUNTIME MODEL SOUND.s16 BLOCK_SAMPLES
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Push = Callable[[NDArray[np.int16]], int]
    """Takes a block, returns how many words were heard in it."""


def kwspot(bundle: str) -> Push:
    """Open our own."""
    from kwspot.runtime import KeywordSpotter, load_bundle

    spotter = KeywordSpotter(load_bundle(bundle), engine="litert")
    return lambda block: len(spotter.push(block))


def pymicro_wakeword(_model: str) -> Push:
    """Open an int8 streaming model with 10 ms frames, as its README feeds it."""
    from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model

    word, features = MicroWakeWord.from_builtin(Model.OKAY_NABU), MicroWakeWordFeatures()

    def push(block: NDArray[np.int16]) -> int:
        return sum(bool(word.process_streaming(frame)) for frame in features.process_streaming(block.tobytes()))

    return push


def porcupine(_model: str) -> Push:
    """Open Porcupine, which takes frames of 512 samples, cut from the blocks."""
    import numpy as np
    import pvporcupine

    engine = pvporcupine.create(keywords=["porcupine"])
    rest = np.empty(0, np.int16)

    def push(block: NDArray[np.int16]) -> int:
        nonlocal rest
        sound, heard, size = np.concatenate((rest, block)), 0, engine.frame_length
        for start in range(0, len(sound) - size + 1, size):
            heard += engine.process(sound[start : start + size]) >= 0
        rest = sound[len(sound) // size * size :]
        return heard

    return push


def openwakeword(_model: str) -> Push:
    """Open openWakeWord, which takes blocks as they come and works in steps of 80 ms."""
    import os

    import openwakeword as package
    from openwakeword.model import Model

    (path,) = (p for p in package.get_pretrained_model_paths() if "alexa" in os.path.basename(p))  # noqa: PTH119
    model = Model(wakeword_model_paths=[path])
    return lambda block: sum(score > 0.5 for score in model.predict(block).values())


def librosa_window(bundle: str) -> Push:
    """Do what hobby scripts do: librosa's features of the last second, for each block, into an int8 TFLite model."""
    import librosa
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    manifest = json.loads((Path(bundle) / "bundle.json").read_text())
    spec, tensor = manifest["features"], manifest["models"]["int8-tflite"]["inputs"][0]
    mean, std = np.array(manifest["normalisation"]["mean"]), np.array(manifest["normalisation"]["std"])
    interpreter = Interpreter(str(Path(bundle) / "model.int8.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    rate_hz, last = spec["sample_rate_hz"], np.zeros(spec["sample_rate_hz"], np.int16)

    def push(block: NDArray[np.int16]) -> int:
        nonlocal last
        last = np.concatenate((last, block))[-rate_hz:]
        mel = librosa.feature.melspectrogram(
            y=last / np.float32(32768), sr=rate_hz, n_fft=round(spec["window_ms"] * rate_hz / 1000),
            hop_length=round(spec["hop_ms"] * rate_hz / 1000), center=False,
            n_mels=spec["mel_bands"], fmin=spec["low_hz"], fmax=spec["high_hz"],
        )  # fmt: skip
        frames = librosa.power_to_db(mel, amin=spec["log_floor"], top_db=None).T[-tensor["shape"][1] :]
        steps = np.rint((frames - mean) / std / tensor["scale"]) + tensor["zero_point"]
        interpreter.set_tensor(source["index"], steps.clip(-128, 127).astype(np.int8)[None])
        interpreter.invoke()
        return int(interpreter.get_tensor(target["index"]).max() > 100)

    return push


RUNTIMES = {
    "kwspot": kwspot,
    "pymicro-wakeword": pymicro_wakeword,
    "porcupine": porcupine,
    "openwakeword": openwakeword,
    "librosa-window": librosa_window,
}


def run_over(push: Push, blocks: list[NDArray[np.int16]]) -> dict[str, Any]:
    """Measure the CPU seconds of all threads over blocks, int16 (n,), then the time of each block."""
    start = time.process_time()
    heard = sum(push(block) for block in blocks)
    cpu_s = time.process_time() - start
    clock, times = time.perf_counter_ns, []
    for block in blocks:
        begun = clock()
        push(block)
        times.append(clock() - begun)
    times.sort()
    p50, p99 = (times[int(share * (len(times) - 1))] / 1000 for share in (0.5, 0.99))
    return {"cpu_s": cpu_s, "p50_us": p50, "p99_us": p99, "heard": int(heard)}


def _peak_rss_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def main() -> None:
    """Measure what the arguments name, as often as standard input has lines."""
    name, model, sound_file, block_samples = sys.argv[1:]
    wall, cpu = time.perf_counter(), time.process_time()
    push = RUNTIMES[name](model)
    loaded = {"load_s": time.perf_counter() - wall, "load_cpu_s": time.process_time() - cpu}
    import numpy as np

    sound, size = np.fromfile(sound_file, "<i2").astype(np.int16), int(block_samples)
    blocks = [sound[start : start + size] for start in range(0, len(sound) - size + 1, size)]
    for block in blocks[:50]:
        push(block)
    print(json.dumps(loaded, allow_nan=False), flush=True)
    for _ in sys.stdin:
        print(json.dumps(run_over(push, blocks), allow_nan=False), flush=True)
    print(json.dumps({"rss_mb": _peak_rss_mb()}, allow_nan=False), flush=True)


if __name__ == "__main__":
    main()
