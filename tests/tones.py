"""Tones instead of words: clips, a data folder, and run folders of two small models that were trained on them."""

from __future__ import annotations

import dataclasses
import json
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.parts import part_of_speaker
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.features.mfcc import mfcc
from kwspot.runtime.features.normalise import Normalisation
from kwspot.runtime.features.spec import FeatureSpec

RATE_HZ = 16_000
TONES_HZ = {"low": (300.0, 600.0), "high": (1_500.0, 2_500.0), "_silence_": None}
SPEAKERS = {"train": 6, "validation": 3, "test": 3}
UTTERANCES = 8


def tone_clip(word: str, rng: np.random.Generator, *, samples: int = RATE_HZ) -> NDArray[np.int16]:
    """Make a burst of 0.3 to 0.6 s somewhere in faint noise, int16 (samples,); for ``_silence_`` the noise alone."""
    sound = rng.normal(0, 20, samples)
    band = TONES_HZ[word]
    if band is not None:
        length = int(rng.uniform(0.3, 0.6) * RATE_HZ)
        start = int(rng.integers(0, samples - length))
        phase = 2 * np.pi * (rng.uniform(*band) * np.arange(length) / RATE_HZ + rng.uniform())
        sound[start : start + length] += 10 ** rng.uniform(3.3, 4.2) * np.sin(phase) * np.hanning(length) ** 0.25
    return np.clip(np.rint(sound), -32_768, 32_767).astype(np.int16)


def write_wav(path: Path, samples: NDArray[np.int16], rate_hz: int = RATE_HZ) -> Path:
    """Write mono 16-bit PCM by the standard library; return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def write_tone_folder(root: Path) -> Path:
    """Write a data folder of one-second tones, of speakers in all parts; return it."""
    speakers: list[str] = []
    for part, count in SPEAKERS.items():
        of_part = [name for i in range(200) if part_of_speaker(name := f"speaker{i:03}") == part]
        speakers += of_part[:count]
    for word in TONES_HZ:
        for speaker in speakers:
            rng = np.random.default_rng([sum(word.encode()), int(speaker[-3:])])
            for utterance in range(UTTERANCES):
                write_wav(root / word / f"{speaker}_nohash_{utterance}.wav", tone_clip(word, rng))
    return root


def train_window(tone_folder: Path, run: Path) -> Path:
    """Write a run folder as ``kwspot train`` does: a few hundred parameters that tell the tones apart."""
    from kwspot.train.backend import keras

    def model(features: Any, labels: int) -> Any:
        layers = keras.layers
        x = layers.Conv1D(8, 5, strides=2, activation="relu")(features)
        x = layers.Conv1D(8, 3, activation="relu")(x)
        x = layers.GlobalMaxPooling1D()(x)
        return layers.Dense(labels, activation="softmax")(x)

    return _train(model, "tiny", 25, tone_folder, run)


def train_stream(tone_folder: Path, run: Path) -> Path:
    """Write the run folder of the model that is made to be a stream, as small as it can be."""
    from kwspot.train.models.tc_cnn import tc_cnn

    def model(features: Any, labels: int) -> Any:
        return tc_cnn(features, labels, front=4, bands=4, channels=16, blocks=2, dropout=0.0)

    return _train(model, "tc-cnn", 12, tone_folder, run)


def _train(model: Callable[[Any, int], Any], name: str, epochs: int, tone_folder: Path, run: Path) -> Path:
    """Write the run folder of a model, (features, labels) → scores, that was trained on the tones; return it."""
    import tomli_w

    from kwspot.train.backend import keras

    spec = FeatureSpec(coefficients=12)
    labels = tuple(TONES_HZ)
    clips = DataFolder(tone_folder).clips("train")
    frames = np.stack([mfcc(read_sound(clip.path, RATE_HZ), spec) for clip in clips])  # (n, T, C)
    normalisation = Normalisation.from_frames(frames.reshape(-1, spec.coefficients))
    truth = np.array([labels.index(clip.word) for clip in clips])

    keras.utils.set_random_seed(1)
    features = keras.Input(frames.shape[1:])
    built = keras.Model(features, model(features, len(labels)))
    built.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    built.fit(normalisation.apply(frames), truth, epochs=epochs, batch_size=16, verbose=0)

    run.mkdir()
    built.save(run / "model.keras")
    (run / "metrics.json").write_text(json.dumps({"parameters": built.count_params(), "macs": 12_345}))
    config = {
        "protocol": "kwspot",
        "preset": "tiny",
        "labels": list(labels),
        "calibration": [clip.path.relative_to(tone_folder).as_posix() for clip in clips[::2]],
        "features": dataclasses.asdict(spec),
        "normalisation": normalisation.to_dict(),
        "model": {"name": name},
        "data": {"folder": str(tone_folder), "words": list(labels), "clip_ms": 1000},
        "versions": {"keras": keras.__version__},
    }
    (run / "config.toml").write_text(tomli_w.dumps(config))
    return run
