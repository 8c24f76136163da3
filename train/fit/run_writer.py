"""The run folder: what a training leaves behind, enough to export and to repeat it.

::

    RUN/config.toml          resolved (below)
    RUN/model.keras          the best epoch; input (1 clip: T x C) normalised features, output softmax over the labels;
                             of fixed length, recurrent layers unrolled: keras.models.load_model is enough to export it
    RUN/history.csv          a row an epoch: HISTORY_COLUMNS
    RUN/metrics.json         of the best epoch on the validation part (below)
    RUN/*.png                learning_curves, confusion, gallery
    RUN/tensorboard/         learning curves for TensorBoard, if they were asked for
    RUN/checkpoint/          only while training, or after it was interrupted

Keys of ``config.toml`` (``tomllib`` reads it; other rooms rely on these):

- ``protocol``: ``"kwspot"``; ``"tutorial"`` and ``"tutorial-speakers"`` are for comparison only and cannot be exported
- ``preset``: name of the preset or stem of the configuration file
- ``labels``: list of str, in the order of the model's output
- ``calibration``: list of str, training clips for int8 calibration, relative to ``data.folder``, read as training read
  them: ``mfcc(fit_length(read_sound(path, rate), spec.samples_in(T)), spec)``, then normalised
- ``[features]``: the keys of ``FeatureSpec``
- ``[normalisation]``: ``mean``, ``std``: lists of C floats
- ``[model]``: ``name``, and its options
- ``[data]``: ``folder`` (absolute), ``words``, ``clip_ms``, ``unknown_share``, ``silence_share``, ``licence``,
  ``noise`` (``"recorded"``, ``"made"`` or ``"none"``), and ``[data.counts.train]``, ``[data.counts.validation]``:
  label → examples of an epoch
- ``[augment]``, ``[training]``: as in :mod:`kwspot.train.config.config`
- ``[versions]``: package → version

A seed run has no ``[normalisation]``, ``calibration`` or usable ``[features]``.

Keys of ``metrics.json``: ``best_epoch``, ``epochs_run``, ``epochs``, ``train_accuracy`` and ``train_loss`` (running
means of the best epoch, with dropout and augmentation on), ``validation`` (``correct``, ``total``, ``accuracy``,
``loss``, ``per_label``: label → [correct, total], ``confusion``: rows spoken, columns heard), ``parameters``,
``macs``, ``minutes``, ``time`` (see :mod:`kwspot.train.fit.time_spent`), and with ``--benchmark`` ``benchmark`` (see
:mod:`kwspot.train.experiments.speech_commands_benchmark`).
"""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kwspot.runtime.errors import RunError
from kwspot.runtime.features.normalise import Normalisation
from kwspot.runtime.files import whole_file
from kwspot.train.config.toml_text import to_toml

CONFIG_FILE = "config.toml"
MODEL_FILE = "model.keras"
HISTORY_FILE = "history.csv"
METRICS_FILE = "metrics.json"
CHECKPOINT_FOLDER = "checkpoint"
HISTORY_COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "clips_per_s", "seconds")

PROTOCOL = "kwspot"

History = list[dict[str, float]]
"""A row an epoch, by HISTORY_COLUMNS."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run folder with a model in it."""

    path: Path
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]
    history: History

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the model's output."""
        return tuple(self.config["labels"])

    @property
    def model_path(self) -> Path:
        """The best epoch, of fixed length."""
        return self.path / MODEL_FILE

    @property
    def normalisation(self) -> Normalisation:
        """What the model's input has been through."""
        if "normalisation" not in self.config:
            raise RunError(
                f"{self.path} was trained by protocol {self.config['protocol']}, which is for comparison only; "
                "train without --protocol"
            )
        return Normalisation.from_dict(self.config["normalisation"])

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Run:
        """Read a run folder; RunError if it is none, or was cut short before its artefacts were written."""
        path = Path(path)
        config = read_run_config(path)
        missing = [name for name in (MODEL_FILE, METRICS_FILE, HISTORY_FILE) if not (path / name).is_file()]
        if missing:
            raise RunError(f"{path} has no {missing[0]}, its training was cut short; go on with kwspot train --resume")
        return cls(path, config, json.loads((path / METRICS_FILE).read_text()), read_history(path))


def read_run_config(path: Path) -> dict[str, Any]:
    """What ``config.toml`` of a run folder says."""
    file = path / CONFIG_FILE
    if not file.is_file():
        seen = "has no config.toml" if path.is_dir() else "does not exist"
        raise RunError(f"{path} {seen}; expected a run folder: train one with kwspot train --run {path}")
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{file} is damaged ({error}); train again with --overwrite") from None


def write_run_config(path: Path, values: Mapping[str, Any]) -> None:
    """Write ``config.toml``, whole."""
    with whole_file(path / CONFIG_FILE) as file:
        file.write_text(to_toml(values), encoding="utf-8")


def write_metrics(path: Path, values: Mapping[str, Any]) -> None:
    """Write ``metrics.json``, whole."""
    with whole_file(path / METRICS_FILE) as file:
        file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def write_history(path: Path, history: Iterable[Mapping[str, float]]) -> None:
    """Write ``history.csv``, whole."""
    with whole_file(path / HISTORY_FILE) as file, file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, HISTORY_COLUMNS)
        writer.writeheader()
        writer.writerows({key: f"{row[key]:.6g}" for key in HISTORY_COLUMNS} for row in history)


def read_history(path: Path) -> History:
    """The rows of ``history.csv``."""
    with (path / HISTORY_FILE).open(newline="") as stream:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]


def is_run(path: Path) -> bool:
    """Whether a folder is a run, whole or cut short."""
    return (path / CONFIG_FILE).is_file()


def check_free(path: Path, *, overwrite: bool) -> None:
    """Refuse a place that is taken; with `overwrite` only what is no run folder is refused."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not is_run(path):
        raise RunError(f"{path} exists and is no run folder; name another place with --run")
    if not overwrite:
        half = (path / CHECKPOINT_FOLDER).is_dir()
        way = "go on with --resume, or replace it with --overwrite" if half else "replace it with --overwrite"
        raise RunError(f"{path} exists; {way}, or name another place with --run")


def clear(path: Path) -> None:
    """Remove a run folder, if it is there; :func:`check_free` has been asked before."""
    if path.exists():
        shutil.rmtree(path)
