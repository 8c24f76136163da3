"""A finished run trained on for a few epochs: in int8, or in float as the control of the same length."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.recordings import DataFolder, fit_length, read_sound
from kwspot.runtime.errors import RunError
from kwspot.runtime.features.mfcc import mfcc
from kwspot.runtime.run_folder import Run
from kwspot.train.backend import keras
from kwspot.train.config.config import Config
from kwspot.train.experiments.qat import copy_back, quantised_form
from kwspot.train.fit.trainer import Network, TrainingTask, prepare
from kwspot.train.models.batch_norm_folding import fold_batch_norms
from kwspot.train.models.registry import is_recurrent

RATE_SHARE = 0.05
"""Of the learning rate that the run was trained with: small enough to keep what it knows."""


def finetuning_config(config: Config, epochs: int) -> Config:
    """The run's own, but for a few epochs that begin at a small rate and need no average to be steady."""
    training = dataclasses.replace(
        config.training,
        epochs=epochs,
        learning_rate=config.training.learning_rate * RATE_SHARE,
        warm_up_epochs=0.0,
        schedule="cosine",
        average_decay=0.0,
    )
    return dataclasses.replace(config, training=training)


def prepare_finetuning(source: Run, folder: DataFolder, config: Config, *, quantised: bool) -> TrainingTask:
    """Return the task that the run had, with a note of where its weights come from.

    Raises
    ------
    RunError
        If the run is recurrent, was made by another protocol, or the recordings
        are no longer those that it was trained on.
    """
    if is_recurrent(config.model.name):
        raise RunError(
            f"{source.path} holds the recurrent model {config.model.name}, which cannot be fine-tuned in its unrolled "
            "form; expected a model of convolutions: train it longer instead"
        )
    was = source.normalisation  # also refuses the protocols for comparison
    task = prepare(folder, config, source.config["preset"])
    if task.labels != source.labels or not _alike(task.resolved["normalisation"], was.to_dict()):
        raise RunError(
            f"{folder.root} is not what {source.path} was trained on (other labels, or features of another mean); "
            "expected the same recordings: train anew, or say with --data where they are"
        )
    note = {
        "run": str(source.path.resolve()),
        "model_sha256": hashlib.sha256(source.model_path.read_bytes()).hexdigest(),
        "form": "quantised" if quantised else "float",
    }
    return dataclasses.replace(task, resolved={**task.resolved, "normalisation": was.to_dict(), "finetune": note})


def _alike(one: dict[str, list[float]], other: dict[str, list[float]]) -> bool:
    """The same recordings, up to the rounding of another numpy or FFT: a thousandth of a decibel."""
    return all(len(one[key]) == len(other[key]) and np.allclose(one[key], other[key], atol=1e-3) for key in other)


def network_from(source: Run, *, data: Path, quantised: bool, task: TrainingTask) -> Network:
    """The run's model with normalisation folded, in int8 if so asked; what is kept is the plain folded model."""
    plain = fold_batch_norms(keras.saving.load_model(source.model_path, compile=False))
    if not quantised:
        return Network(trained=plain, kept=lambda trained: trained)
    form = quantised_form(plain, _calibration(source, data, task))

    def kept(trained: Any) -> Any:
        copy_back(trained, plain)
        return plain

    return Network(trained=form, kept=kept)


def _calibration(source: Run, data: Path, task: TrainingTask) -> NDArray[np.float32]:
    """Normalised features of the clips that the run lists, float32 (clips, T, C)."""
    spec = task.config.features
    sounds = (read_sound(data / name, spec.sample_rate_hz) for name in source.config["calibration"])
    frames = [mfcc(fit_length(sound, task.config.clip_samples), spec) for sound in sounds]
    return source.normalisation.apply(np.stack(frames))
