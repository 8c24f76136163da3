"""What several tests share: tones instead of words, and a small bundle that knows them."""

from __future__ import annotations

import json
import os
import wave
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kwspot.runtime.audio.recordings import DataFolder, part_of_speaker, read_sound
from kwspot.runtime.features.mfcc import mfcc
from kwspot.runtime.features.normalise import Normalisation
from kwspot.runtime.features.spec import FeatureSpec
from kwspot.runtime.model.bundle import Bundle

if TYPE_CHECKING:
    from kwspot.export.convert import Converted

RATE_HZ = 16_000
TONES_HZ = {"low": (300.0, 600.0), "high": (1_500.0, 2_500.0), "_silence_": None}
SPEAKERS = {"train": 6, "validation": 3, "test": 3}
UTTERANCES = 8


def _no_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Where all is installed that a test may miss (KWSPOT_NO_SKIPS=1), a skip hides a fault: make it one."""
    if os.environ.get("KWSPOT_NO_SKIPS") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"KWSPOT_NO_SKIPS=1, but the test was skipped: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _no_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _no_skip(report)
    return report


def tone_clip(word: str, rng: np.random.Generator, *, samples: int = RATE_HZ) -> NDArray[np.int16]:
    """A burst of 0.3 to 0.6 s somewhere in faint noise, int16 (samples,); for ``_silence_`` the noise alone."""
    sound = rng.normal(0, 20, samples)
    band = TONES_HZ[word]
    if band is not None:
        length = int(rng.uniform(0.3, 0.6) * RATE_HZ)
        start = int(rng.integers(0, samples - length))
        phase = 2 * np.pi * (rng.uniform(*band) * np.arange(length) / RATE_HZ + rng.uniform())
        sound[start : start + length] += 10 ** rng.uniform(3.3, 4.2) * np.sin(phase) * np.hanning(length) ** 0.25
    return np.clip(np.rint(sound), -32_768, 32_767).astype(np.int16)


def write_wav(path: Path, samples: NDArray[np.int16], rate_hz: int = RATE_HZ) -> Path:
    """Mono 16-bit PCM by the standard library."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


@pytest.fixture(scope="session")
def save_wav() -> Callable[..., Path]:
    """:func:`write_wav`, for tests."""
    return write_wav


@pytest.fixture(scope="session")
def tone_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of one-second tones with the words low, high and _silence_, by speakers in all parts."""
    root = tmp_path_factory.mktemp("data") / "tones"
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


@pytest.fixture(scope="session")
def tiny_run(tone_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder as ``kwspot train`` writes it: a few hundred parameters that tell the tones apart."""
    from kwspot.train.backend import keras

    def model(features: Any, labels: int) -> Any:
        layers = keras.layers
        x = layers.Conv1D(8, 5, strides=2, activation="relu")(features)
        x = layers.Conv1D(8, 3, activation="relu")(x)
        x = layers.GlobalMaxPooling1D()(x)
        return layers.Dense(labels, activation="softmax")(x)

    return _trained(model, "tiny", 25, tone_folder, tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="session")
def tiny_stream_run(tone_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of the model that is made to be a stream, as small as it can be."""
    from kwspot.train.models.tc_cnn import tc_cnn

    def model(features: Any, labels: int) -> Any:
        return tc_cnn(features, labels, front=4, bands=4, channels=16, blocks=2, dropout=0.0)

    return _trained(model, "tc-cnn", 12, tone_folder, tmp_path_factory.mktemp("runs") / "tiny-stream")


def _trained(model: Callable[[Any, int], Any], name: str, epochs: int, tone_folder: Path, run: Path) -> Path:
    """A run folder of a model, (features, labels) → scores, that was trained on the tones."""
    from kwspot.train.backend import keras
    from kwspot.train.config.toml_text import to_toml

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
        "features": spec.to_dict(),
        "normalisation": normalisation.to_dict(),
        "model": {"name": name},
        "data": {"folder": str(tone_folder), "words": list(labels), "clip_ms": 1000},
        "versions": {"keras": keras.__version__},
    }
    (run / "config.toml").write_text(to_toml(config))
    return run


@pytest.fixture(scope="session")
def tiny_bundle(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A real bundle of `tiny_run`; copy its folder (``.path``) before changing anything in it."""
    from kwspot.export.pipeline import export_run

    bundle, _ = export_run(tiny_run, tmp_path_factory.mktemp("bundles") / "tiny.kws")
    return bundle


@pytest.fixture(scope="session")
def stream_export(tiny_stream_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Converted]:
    """A real stream bundle of `tiny_stream_run`, and what the converter gave for it."""
    from kwspot.export import pipeline

    kept = []

    def keeping(*args: Any, **options: Any) -> Converted:
        kept.append(original(*args, **options))
        return kept[0]

    original = pipeline.convert
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "convert", keeping)
        patch.setattr(pipeline, "STREAM_MINUTES", 1)
        bundle, _ = pipeline.export_run(tiny_stream_run, tmp_path_factory.mktemp("bundles") / "tiny-stream.kws")
    return bundle, kept[0]


@pytest.fixture(scope="session")
def stream_bundle(stream_export: tuple[Bundle, Converted]) -> Bundle:
    """A real stream bundle; copy its folder (``.path``) before changing anything in it."""
    return stream_export[0]


@pytest.fixture(scope="session")
def tflite_python() -> str:
    """Python of the environment that holds tflite-runtime and numpy 1."""
    python = Path(os.environ.get("KWSPOT_TFLITE_PYTHON", Path(__file__).parents[1] / ".venv-tflite/bin/python"))
    if not python.exists():
        pytest.skip(f"no {python}: 'make test' makes it where there is a Python 3.11")
    return str(python)


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Real recordings: the folder that KWSPOT_RECORDINGS names."""
    folder = os.environ.get("KWSPOT_RECORDINGS")
    if not folder:
        pytest.skip("KWSPOT_RECORDINGS names no folder of real recordings")
    return Path(folder)
