"""The run folder, read: what a training leaves behind, enough to export it and to repeat it.

::

    RUN/config.toml          resolved (below)
    RUN/model.keras          the best epoch; input (1 clip: T x C) normalised features, output softmax over the labels;
                             of fixed length, recurrent layers unrolled: keras.models.load_model is enough to export it
    RUN/history.csv          a row an epoch: HISTORY_COLUMNS
    RUN/metrics.json         of the best epoch on the validation part (below)
    RUN/*.png                learning_curves, confusion, gallery
    RUN/tensorboard/         learning curves for TensorBoard, if they were asked for
    RUN/checkpoint/          only while training, or after it was interrupted

Keys of ``config.toml``:

- ``protocol``: ``"kwspot"``; ``"tutorial"`` and ``"tutorial-speakers"`` are for comparison only and cannot be exported
- ``preset``: name of the preset or stem of the configuration file
- ``labels``: list of str, in the order of the model's output
- ``calibration``: list of str, training clips for int8 calibration, relative to ``data.folder``, read as training read
  them: ``mfcc(fit_length(read_sound(path, rate), spec.samples_in(T)), spec)``, then normalised
- ``[features]``: the keys of ``FeatureSpec``
- ``[normalisation]``: ``mean``, ``std``: lists of C floats
- ``[model]``: ``name``, and its options
- ``[data]``: ``folder`` (absolute), the keys of the configuration, ``noise`` (``"recorded"``, ``"made"`` or
  ``"none"``), and ``[data.counts.train]``, ``[data.counts.validation]``: label → examples of an epoch
- ``[unknown]``, ``[augment]``, ``[training]``: as in ``kwspot.train.config.tables``
- ``[start]``: ``from``, ``sha256`` of the weights it began with, if it did
- ``[versions]``: package → version

A run of the tutorial protocol has no ``[normalisation]``, ``calibration`` or usable ``[features]``.

Keys of ``metrics.json``: ``best_epoch``, ``epochs_run``, ``epochs``, ``train_accuracy`` and ``train_loss`` (running
means of the best epoch, with dropout and augmentation on), ``validation`` (``correct``, ``total``, ``accuracy``,
``loss``, ``per_label``: label → [correct, total], ``confusion``: rows spoken, columns predicted), ``parameters``,
``macs``, ``minutes``, ``time`` (``waiting_s``, ``step_s``, ``validation_s``, ``training_clips_per_s``,
``pipeline_clips_per_s``), and ``benchmark`` after a test of the Speech Commands benchmark.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kwspot.runtime.errors import ConfigError, KwspotError, RunError
from kwspot.runtime.features.normalise import Normalisation
from kwspot.runtime.features.spec import FeatureSpec
from kwspot.runtime.model.manifest_check import read_as
from kwspot.runtime.toml_file import read_toml

CONFIG_FILE = "config.toml"
MODEL_FILE = "model.keras"
HISTORY_FILE = "history.csv"
METRICS_FILE = "metrics.json"
CHECKPOINT_FOLDER = "checkpoint"
HISTORY_COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "clips_per_s", "seconds")

PROTOCOL = "kwspot"
"""Runs of other protocols are for comparison only: their features cannot be streamed."""

History = list[dict[str, float]]
"""A row an epoch, by HISTORY_COLUMNS."""


@dataclass(frozen=True)
class Run:
    """A run folder with a model in it; what a file of it says wrongly is a RunError where it is asked for."""

    path: Path
    config: Mapping[str, Any]

    @property
    def model_path(self) -> Path:
        """Return the Keras model of the best epoch: normalised features in, softmax out."""
        return self.path / MODEL_FILE

    @property
    def finished(self) -> bool:
        """Return whether the training ran to its last epoch."""
        return not (self.path / CHECKPOINT_FOLDER).exists()

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Return the labels in the order of the model's output."""
        with self._reading(CONFIG_FILE):
            return tuple(_typed(self.config["labels"], list))

    @cached_property
    def features(self) -> FeatureSpec:
        """Return the features that the model takes."""
        self._demand_protocol()
        with self._reading(CONFIG_FILE):
            return read_as(FeatureSpec, self.config["features"], "features")

    @cached_property
    def normalisation(self) -> Normalisation:
        """Return what the features go through before the model."""
        self._demand_protocol()
        with self._reading(CONFIG_FILE):
            return read_as(Normalisation, self.config["normalisation"], "normalisation")

    @cached_property
    def window_frames(self) -> int:
        """Return the number of frames in one input of the model."""
        features = self.features
        with self._reading(CONFIG_FILE):
            return features.frames_in(_typed(self.config["data"]["clip_ms"], int) * features.sample_rate_hz // 1000)

    @property
    def clip_samples(self) -> int:
        """Samples that one input of the model covers; every clip is fitted to it."""
        return self.features.samples_in(self.window_frames)

    @cached_property
    def model_name(self) -> str:
        """Return the kind of model, a name of ``kwspot.train.models.registry``."""
        with self._reading(CONFIG_FILE):
            return str(self.config["model"]["name"])

    @cached_property
    def data_folder(self) -> Path:
        """Return the recordings it was trained on."""
        with self._reading(CONFIG_FILE):
            return Path(self.config["data"]["folder"])

    @cached_property
    def calibration(self) -> tuple[str, ...]:
        """Training clips for int8 calibration, relative to the data folder."""
        self._demand_protocol()
        with self._reading(CONFIG_FILE):
            names = tuple(_typed(self.config["calibration"], list))
        if not names:
            raise RunError(f"{self.path}: {CONFIG_FILE} lists no calibration clips; expected some: train again")
        return names

    @cached_property
    def metrics(self) -> Mapping[str, Any]:
        """Return the content of ``metrics.json``."""
        with self._reading(METRICS_FILE):
            found: dict[str, Any] = _typed(json.loads((self.path / METRICS_FILE).read_text(encoding="utf-8")), dict)
            return found

    @property
    def parameters(self) -> int:
        """Weights of the model."""
        with self._reading(METRICS_FILE):
            return int(self.metrics["parameters"])

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        with self._reading(METRICS_FILE):
            return int(self.metrics["macs"])

    @cached_property
    def history(self) -> History:
        """Return the rows of ``history.csv``, at least one."""
        with self._reading(HISTORY_FILE):
            rows = read_history(self.path)
        if not rows:
            raise RunError(f"{self.path / HISTORY_FILE} has no epoch; expected a run that was trained to its end")
        return rows

    def check_exportable(self) -> None:
        """Raise RunError now if anything is missing that an export asks for later."""
        self._demand_protocol()
        _ = (self.labels, self.features, self.normalisation, self.window_frames, self.model_name)
        _ = (self.data_folder, self.calibration, self.parameters, self.macs)

    def _demand_protocol(self) -> None:
        protocol = self.config.get("protocol")
        if protocol != PROTOCOL:
            raise RunError(
                f"{self.path} was trained by the protocol {protocol!r}, which is for comparison only and cannot be "
                f"exported; expected {PROTOCOL!r}: train again with kwspot train"
            )

    @contextmanager
    def _reading(self, file: str) -> Iterator[None]:
        try:
            yield
        except RunError:
            raise
        except (KeyError, TypeError, ValueError, OSError, KwspotError) as error:
            raise RunError(
                f"{self.path}: {file} does not fit ({type(error).__name__}: {error}); "
                "expected it as 'kwspot train' wrote it: train again"
            ) from error


def read_run(path: str | os.PathLike[str]) -> Run:
    """Read a run folder that has a model in it.

    Raises
    ------
    RunError
        If it is no run folder, or was cut short before its model was written.
    """
    path = Path(path)
    config = read_run_config(path)
    for name in (MODEL_FILE, METRICS_FILE):
        if not (path / name).is_file():
            raise RunError(
                f"{path} is unfinished: it has no {name}; expected a run that was trained to its end: "
                "go on with 'kwspot train --resume'"
            )
    return Run(path, config)


def read_run_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read ``config.toml`` of a run folder, whole or cut short."""
    path = Path(path)
    file = path / CONFIG_FILE
    if not file.is_file():
        state = f"has no {CONFIG_FILE}" if path.is_dir() else "does not exist"
        raise RunError(f"{path} {state}; expected a run folder that 'kwspot train' wrote: check the path")
    try:
        return read_toml(file)
    except ConfigError as error:
        raise RunError(f"{error}; expected it as 'kwspot train' wrote it: train again") from None


def read_history(path: str | os.PathLike[str]) -> History:
    """Read the rows of ``history.csv`` of a run folder, whole or cut short."""
    with (Path(path) / HISTORY_FILE).open(newline="", encoding="utf-8") as stream:
        return [{key: float(row[key]) for key in HISTORY_COLUMNS} for row in csv.DictReader(stream)]


def is_run(path: str | os.PathLike[str]) -> bool:
    """Return whether a folder is a run, whole or cut short."""
    return (Path(path) / CONFIG_FILE).is_file()


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
