"""One training from a data folder to a run folder."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.errors import RunError, name_some
from kwspot.runtime.features.normalise import Normalisation
from kwspot.runtime.files import whole_file, write_whole_json
from kwspot.runtime.run_folder import CHECKPOINT_FOLDER, METRICS_FILE, MODEL_FILE, PROTOCOL, read_run_config
from kwspot.train.backend import make_deterministic, tensorflow
from kwspot.train.config.config import Config
from kwspot.train.config.toml_table import differences
from kwspot.train.data.clips import ClipSet, calibration_clips, load_clips, noise_kind, notes_on
from kwspot.train.data.pipeline import Frames, features_of, fixed_examples, training_examples
from kwspot.train.fit import run_writer
from kwspot.train.fit.event_files import EventFiles
from kwspot.train.fit.loop import Examples, FitResult, compile_model, fit, score_frames
from kwspot.train.fit.macs import Cost, count_cost
from kwspot.train.fit.pretrained import Start, load_into
from kwspot.train.fit.time_spent import describe_time, time_spent
from kwspot.train.models.registry import export_form, training_form

# TensorFlow is asked itself: its distribution has several names.
_PACKAGES = ("kwspot", "keras", "numpy", "soundfile", "soxr")


@dataclasses.dataclass(frozen=True)
class TrainingTask:
    """What a model is to learn: made from recordings, trained on by :func:`train`.

    `resolved` is what ``config.toml`` will say, `gallery` a clip of each label
    to draw (int16), or nothing.
    """

    config: Config
    labels: tuple[str, ...]
    frames: int
    coefficients: int
    examples: Examples
    validation: tuple[Frames, NDArray[np.float32]]
    resolved: Mapping[str, Any]
    gallery: Mapping[str, NDArray[np.int16]]


def prepare(
    folder: DataFolder, config: Config, preset: str, *, normalisation: Normalisation | None = None
) -> TrainingTask:
    """Read the recordings and make examples of them; the mean and deviation of the features are measured here,
    unless they are given, as for weights that were trained behind others."""
    for note in notes_on(folder, config):  # and the user's mistakes before minutes of reading
        print(f"{folder.root}: {note}", file=sys.stderr)
    train, validation = load_clips(folder, config)
    if noise_kind(folder, config) == "made":
        print(f"{folder.root} has no _background_noise_: noise to mix in is made (white, pink, brown)", file=sys.stderr)
    spec = config.features
    if normalisation is None:
        clean = features_of(train.samples, spec)  # (N, T, C)
        normalisation = Normalisation.from_frames(clean.reshape(-1, spec.coefficients))
    validated = fixed_examples(validation, config, normalisation)
    data = {
        "folder": str(folder.root.resolve()),
        **config.to_dict()["data"],
        "words": [label for label in train.labels if not label.startswith("_")],
        "noise": noise_kind(folder, config),
        "counts": {"train": train.counts, "validation": validation.counts},
    }
    resolved = {
        "protocol": PROTOCOL,
        "preset": preset,
        "labels": list(train.labels),
        "calibration": calibration_clips(train, config.training.seed),
        **config.to_dict(),
        "data": data,
        "normalisation": normalisation.to_dict(),
        "versions": versions(),
    }
    return TrainingTask(
        config=config,
        labels=train.labels,
        frames=config.frames,
        coefficients=spec.coefficients,
        examples=training_examples(train, config, normalisation),
        validation=(validated.frames, validated.targets),
        resolved=resolved,
        gallery=_one_of_each(train),
    )


@dataclasses.dataclass(frozen=True)
class Network:
    """A model to train; ``kept`` makes of it the one of fixed length that the run keeps."""

    trained: Any
    kept: Callable[[Any], Any]


def build_fresh(task: TrainingTask) -> Network:
    """Build the model of the configuration, with fresh weights."""
    model, labels = task.config.model, len(task.labels)
    return Network(
        trained=training_form(model.name, task.frames, task.coefficients, labels, **model.options),
        kept=lambda trained: export_form(trained, model.name, task.frames, labels, **model.options),
    )


def begin_with(task: TrainingTask, name: str, start: Start) -> tuple[TrainingTask, Callable[[TrainingTask], Network]]:
    """Return the task with a note of the weights it begins with, and what builds the model with them where they fit."""

    def network_of(task: TrainingTask) -> Network:
        network = build_fresh(task)
        kept_fresh = load_into(network.trained, start)
        print(f"begins with the weights of {name}, but for {', '.join(kept_fresh) or 'none'}", file=sys.stderr)
        return network

    resolved = {**task.resolved, "start": {"from": name, "sha256": start.sha256}}
    return dataclasses.replace(task, resolved=resolved), network_of


def train(
    task: TrainingTask,
    run: Path,
    *,
    network_of: Callable[[TrainingTask], Network] = build_fresh,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: bool = False,
) -> FitResult:
    """Train, and leave a run folder.

    After Ctrl-C (``result.interrupted``) it holds the best epoch so far and
    the checkpoint; if no epoch had ended, there is no folder. A training that
    diverges leaves the same, and is an error.

    Raises
    ------
    RunError
        If `run` is in the way, cannot be resumed or was made otherwise, or the
        training diverges.
    """
    check_place(run, resume=resume, overwrite=overwrite)
    with run_writer.hold_run(run):
        check_place(run, resume=resume, overwrite=overwrite, held=True)  # it may have come since
        return _train(task, run, network_of=network_of, resume=resume, tensorboard=tensorboard)


def _train(
    task: TrainingTask, run: Path, *, network_of: Callable[[TrainingTask], Network], resume: bool, tensorboard: bool
) -> FitResult:
    if resume:
        _check_same(run, task.resolved)
    config = task.config
    make_deterministic(config.training.seed)
    network = network_of(task)
    model = compile_model(network.trained, config.training, len(task.examples))
    spent = count_cost(network.kept(model))
    print(
        f"{config.model.name}: {spent.parameters} parameters, {spent.macs} multiply-accumulates per inference; "
        f"{len(task.examples)} examples an epoch, {len(task.validation[0])} to validate on",
        file=sys.stderr,
    )
    if not resume:
        run_writer.clear(run)
        run_writer.write_run_config(run, task.resolved)
    try:
        ended = EventFiles(run) if tensorboard else None
        fit_result = fit(model, task.examples, task.validation, config.training, run, resume=resume, ended=ended)
    finally:
        if not (run / CHECKPOINT_FOLDER).is_dir():
            run_writer.clear(run)  # no epoch has ended: nothing to keep
    if fit_result.best_epoch:
        _write_artefacts(run, network.kept(model), task, fit_result, spent)
    if fit_result.diverged:
        left = (
            f"{run} keeps epoch {fit_result.best_epoch}"
            if fit_result.best_epoch
            else "no epoch had ended, nothing is kept"
        )
        raise RunError(f"{fit_result.diverged}; {left}")
    if fit_result.best_epoch and not fit_result.interrupted:
        shutil.rmtree(run / CHECKPOINT_FOLDER)
    return fit_result


def check_place(run: Path, *, resume: bool, overwrite: bool, held: bool = False) -> None:
    """Raise an error if a training may not go to `run`, or another is in it and it is not held by us; asked before
    the recordings are read, too."""
    if not held:
        run_writer.check_not_held(run)
    if not resume:
        run_writer.check_free(run, overwrite=overwrite)
        return
    read_run_config(run)  # refuses what is no run folder
    if not (run / CHECKPOINT_FOLDER).is_dir():
        done = (run / METRICS_FILE).is_file()
        state = "has run to its end" if done else "stopped before its first epoch ended"
        raise RunError(f"{run} {state}, there is nothing to resume; train anew with --overwrite or another --run")


def versions() -> dict[str, str]:
    """Package → version, of what a training depends on."""
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), "tensorflow": str(tensorflow.__version__), **found}


def _check_same(run: Path, resolved: Mapping[str, Any]) -> None:
    there = dict(read_run_config(run))
    here = dict(resolved)
    for other in (there, here):
        other.pop("versions", None)  # a newer library may go on with old weights
    changed = differences(there, here)
    if changed:
        raise RunError(
            f"{run} was trained otherwise: {name_some(changed, 4)}; resume with the options it was started with, or "
            "name another --run"
        )


def _write_artefacts(run: Path, fixed: Any, task: TrainingTask, fit_result: FitResult, spent: Cost) -> None:
    from kwspot.train.fit.pictures import draw_confusion, draw_gallery, draw_learning_curves

    with whole_file(run / MODEL_FILE) as file:
        fixed.save(file)
    frames, targets = task.validation
    truth = targets.argmax(axis=1)
    heard = score_frames(fixed, frames).argmax(axis=1)
    confusion = confusion_matrix(truth, heard, len(task.labels))
    best, time = fit_result.best, time_spent(fit_result.history, task.examples)
    print(describe_time(time), file=sys.stderr)
    write_whole_json(
        run / METRICS_FILE,
        {
            "best_epoch": fit_result.best_epoch,
            "epochs_run": fit_result.epochs_run,
            "epochs": task.config.training.epochs,
            "train_accuracy": best["accuracy"],
            "train_loss": best["loss"],
            "validation": {
                "correct": int(np.trace(confusion)),
                "total": int(confusion.sum()),
                "accuracy": float(np.trace(confusion) / confusion.sum()),
                "loss": best["val_loss"],
                "per_label": {
                    label: [int(confusion[k, k]), int(confusion[k].sum())] for k, label in enumerate(task.labels)
                },
                "confusion": confusion.tolist(),
            },
            "parameters": spent.parameters,
            "macs": spent.macs,
            "minutes": round(sum(row["seconds"] for row in fit_result.history) / 60, 2),
            "time": time,
        },
    )
    draw_learning_curves(run, fit_result.history, fit_result.best_epoch)
    draw_confusion(run, confusion, task.labels)
    if task.gallery:
        draw_gallery(run, task.gallery, task.config.features)


def confusion_matrix(truth: NDArray[np.int64], heard: NDArray[np.int64], labels: int) -> NDArray[np.int64]:
    """Count clips by label (rows) and prediction (columns), int64 (labels, labels)."""
    counts = np.zeros((labels, labels), np.int64)
    np.add.at(counts, (truth, heard), 1)
    return counts


def _one_of_each(clips: ClipSet) -> dict[str, NDArray[np.int16]]:
    """Return the first clip of each label; of silence a piece of noise."""
    chosen = {}
    for k, label in enumerate(clips.labels):
        found = np.flatnonzero(clips.label_of == k)
        chosen[label] = (
            clips.samples[found[0]]
            if len(found)
            else clips.noise.silence(np.random.default_rng(0), clips.samples.shape[1])
        )
    return chosen
