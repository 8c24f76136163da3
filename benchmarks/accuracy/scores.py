"""Every form of a model on the same clips: float Keras, float TFLite, int8 in each engine.

A stage is scored as it is deployed: through the runtime's features, its
quantisation and its classifier. The features are computed once for all.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.benchmarks.accuracy.tflite_graph import exchange_weights
from kwspot.runtime.audio.recordings import Clip, DataFolder
from kwspot.runtime.audio.sound_file import fit_length, read_sound
from kwspot.runtime.errors import DataFolderError, RecordingError, RunError
from kwspot.runtime.features.mfcc import mfcc
from kwspot.runtime.intervals import wilson_interval
from kwspot.runtime.labels import UNKNOWN
from kwspot.runtime.model.bundle import Bundle
from kwspot.runtime.model.classifier import open_classifier
from kwspot.runtime.model.engines import Engine, open_engine
from kwspot.runtime.model.manifest import Manifest
from kwspot.runtime.model.tflite_engine import LiteRtEngine
from kwspot.runtime.run_folder import read_run
from kwspot.runtime.standard_streams import without_native_chatter

NOTHING = -1
"""Predicted where nothing fired, though a word was spoken."""


@dataclass(frozen=True)
class LabelledClips:
    """What all stages are scored on: `truth` are label indices (n,), `frames` float32 (n, window_frames, C)."""

    clips: list[Clip]
    truth: NDArray[np.intp]
    frames: NDArray[np.float32]


@dataclass(frozen=True)
class Stage:
    """One form of the model and its predictions: `predicted` label indices (n,), `score` of that label (n,).

    A word that did not fire is :data:`NOTHING`. `scores` (n, labels) are those
    of all labels, of a stage that has them.
    """

    name: str
    predicted: NDArray[np.intp]
    score: NDArray[np.float32]
    scores: NDArray[np.float32] | None = None

    @classmethod
    def from_scores(cls, name: str, scores: NDArray[np.float32]) -> Stage:
        """Make a stage from scores (n, labels); of equal scores the first label wins, as when listening."""
        return cls(name, scores.argmax(axis=1), scores.max(axis=1), scores)


def labels_of_words(words: Sequence[str], labels: Sequence[str], where: Path) -> dict[str, int]:
    """Return word of the folder → index of its label; a word that is no label is ``_unknown_``."""
    strangers = [word for word in words if word not in labels]
    if strangers and UNKNOWN not in labels:
        raise DataFolderError(
            f"{where} holds words that the bundle does not know and it has no {UNKNOWN}: {', '.join(strangers)}; "
            f"its labels are {', '.join(labels)}: choose folders with --words"
        )
    return {word: labels.index(word if word in labels else UNKNOWN) for word in words}


def load_clips(folder: DataFolder, part: str, words: Sequence[str] | None, manifest: Manifest) -> LabelledClips:
    """Return the clips of a part, each fitted to the model's window, as frames of features."""
    clips = folder.clips(part, words)
    if not clips:
        counts = ", ".join(f"{other} {len(folder.clips(other, words))}" for other in ("train", "validation", "test"))
        raise DataFolderError(f"{folder.root} has no clips in its part {part}; it has {counts}: choose with --part")
    label_of = labels_of_words(sorted({clip.word for clip in clips}), manifest.labels, folder.root)
    frames = np.empty((len(clips), manifest.window_frames, manifest.features.coefficients), np.float32)
    unreadable = []
    for row, clip in zip(frames, clips, strict=True):
        try:
            sound = read_sound(clip.path, manifest.features.sample_rate_hz)
        except RecordingError as error:
            unreadable.append(error)
            continue
        row[...] = mfcc(fit_length(sound, manifest.window_samples), manifest.features)
    if unreadable:
        # An accuracy over the rest would be that of other data.
        raise RecordingError(f"{len(unreadable)} of {len(clips)} clips cannot be read, the first: {unreadable[0]}")
    return LabelledClips(clips, np.array([label_of[clip.word] for clip in clips], np.intp), frames)


def engine_stage(bundle: Bundle, engine: str, precision: str, frames: NDArray[np.float32]) -> Stage:
    """Score clips, float32 (n, window_frames, C), in an engine: ``int8-litert``, ``float-tflite`` and so on."""
    scores = clip_scores(bundle, open_engine(bundle, engine, precision=precision), frames)
    # There is one float model, a .tflite: its stage is named after the file, not the engine.
    return Stage.from_scores("float-tflite" if precision == "float" else f"int8-{engine}", scores)


def clip_scores(bundle: Bundle, engine: Engine, frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return scores, float32 (n, labels), of clips, float32 (n, window_frames, C)."""
    classifier = open_classifier(bundle.manifest, engine)
    # One buffer may serve every clip: each row is a copy.
    return np.array([classifier.score_clip(clip).copy() for clip in frames], np.float32)


def weights_stage(bundle: Bundle, frames: NDArray[np.float32]) -> Stage:
    """Score clips (n, window_frames, C) with the int8 model's weights in the float model: ``int8-weights``."""
    model = exchange_weights(bundle.model_bytes("float-tflite"), bundle.model_bytes("int8-tflite"))
    engine = LiteRtEngine(model, bundle.manifest.models["float-tflite"])
    return Stage.from_scores("int8-weights", clip_scores(bundle, engine, frames))


def keras_stage(run: Path, bundle: Bundle, frames: NDArray[np.float32]) -> Stage:
    """Score clips, float32 (n, window_frames, C), with the run's Keras model, as the run normalises them."""
    trained = read_run(run)
    for what, here, there in (
        ("features", asdict(trained.features), asdict(bundle.manifest.features)),
        ("labels", list(trained.labels), list(bundle.manifest.labels)),
    ):
        if here != there:
            raise RunError(f"{run} has {what} {here}, the bundle {there}; expected the run it was exported from")
    # Both are read by the import: a model of kwspot is one of TensorFlow, and its notes on builds are not for users.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with without_native_chatter():
        import keras

        model = keras.saving.load_model(trained.model_path, compile=False)
        scores = model.predict(trained.normalisation.apply(frames), batch_size=256, verbose=0)
    return Stage.from_scores("float-keras", scores)


def summary(stages: Sequence[Stage], truth: NDArray[np.intp], labels: Sequence[str]) -> dict[str, Any]:
    """Return ``clips``, ``stages`` and ``agreement`` of ``kwspot.accuracy/1``; `truth` are label indices (n,).

    ``loss_points`` are percentage points below the first float stage, and None
    where none was scored.
    """
    base = next((stage for stage in stages if stage.name.startswith("float-")), None)
    base_correct = None if base is None else int((base.predicted == truth).sum())
    rows = []
    for stage in stages:
        right = stage.predicted == truth
        correct, total = int(right.sum()), len(truth)
        rows.append(
            {
                "name": stage.name,
                "correct": correct,
                "accuracy": correct / total,
                "ci95": list(wilson_interval(correct, total)),
                "loss_points": None if base_correct is None else 100.0 * (base_correct - correct) / total,
                "per_label": {
                    label: [int(right[truth == index].sum()), int((truth == index).sum())]
                    for index, label in enumerate(labels)
                },
            }
        )
    agreement = {
        f"{a.name}~{b.name}": float((a.predicted == b.predicted).mean()) for a, b in itertools.combinations(stages, 2)
    }
    return {"clips": len(truth), "stages": rows, "agreement": agreement}
