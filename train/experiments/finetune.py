"""Train a finished run on for a few epochs: in int8, or in float as the control of the same length.

::

    python -m kwspot.train.experiments.finetune RUN --quantised --run NEW
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import fit_length, read_sound
from kwspot.runtime.cli import guarded
from kwspot.runtime.errors import ConfigError, RunError
from kwspot.runtime.features.mfcc import mfcc
from kwspot.runtime.run_folder import Run, read_run
from kwspot.train.backend import keras
from kwspot.train.cli import recorded_config, report
from kwspot.train.config.config import Config
from kwspot.train.data.download import sha256_of
from kwspot.train.experiments.qat import copy_back, quantised_form
from kwspot.train.fit.trainer import Network, TrainingTask, check_place, prepare, train
from kwspot.train.models.batch_norm_folding import fold_batch_norms
from kwspot.train.models.registry import is_recurrent

_PROGRAM = "kwspot.train.experiments.finetune"
_EPOCHS = 5

RATE_SHARE = 0.05
"""Of the learning rate that the run was trained with: small enough to keep what it knows."""


def finetuning_config(config: Config, epochs: int) -> Config:
    """Return the run's own configuration with few epochs, which begin at a small rate and without an average."""
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
        "model_sha256": sha256_of(source.model_path),
        "form": "quantised" if quantised else "float",
    }
    return dataclasses.replace(task, resolved={**task.resolved, "normalisation": was.to_dict(), "finetune": note})


def _alike(one: dict[str, list[float]], other: dict[str, list[float]]) -> bool:
    """Return whether two normalisations agree, up to another numpy's or FFT's rounding: a thousandth of a decibel."""
    return all(len(one[key]) == len(other[key]) and np.allclose(one[key], other[key], atol=1e-3) for key in other)


def network_from(source: Run, *, data: Path, quantised: bool, task: TrainingTask) -> Network:
    """Return the run's model with normalisation folded, in int8 if so asked; what is kept is the plain folded model."""
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {_PROGRAM}",
        description="Train a finished run on for a few epochs at a small rate, on the recordings it was trained on; "
        "for a model that loses accuracy in int8. What is written is a run like any other.",
    )
    parser.add_argument("source", metavar="RUN", type=Path, help="run folder to start from; it stays as it is")
    parser.add_argument("--run", type=Path, required=True, metavar="NEW", help="folder to write")
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--quantised", action="store_true", help="round weights and activations as int8 does")
    form.add_argument("--float", action="store_true", help="round nothing: the control of the same length")
    parser.add_argument("--epochs", type=int, default=_EPOCHS, metavar="N", help=f"default: {_EPOCHS}")
    parser.add_argument("--data", type=Path, metavar="DIR", help="recordings (default: those RUN was trained on)")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on where a fine-tuning was stopped")
    again.add_argument("--overwrite", action="store_true", help="replace NEW")
    return parser


def main(argv: Sequence[str]) -> int:
    """Fine-tune; returns 0, or 130 after Ctrl-C."""
    args = _parser().parse_args(argv)
    if args.epochs < 1:
        raise ConfigError(f"--epochs {args.epochs}; expected 1 or more")
    if args.run.resolve() == args.source.resolve():
        raise RunError(f"--run {args.run} is the run to start from; name another folder to write")
    source = read_run(args.source)
    data = args.data or Path(source.config["data"]["folder"])
    folder = DataFolder(data)
    check_place(args.run, resume=args.resume, overwrite=args.overwrite)
    config = finetuning_config(recorded_config(source.config), args.epochs)
    task = prepare_finetuning(source, folder, config, quantised=args.quantised)
    fit_result = train(
        task,
        args.run,
        network_of=lambda task: network_from(source, data=data, quantised=args.quantised, task=task),
        resume=args.resume,
        overwrite=args.overwrite,
    )
    asked = [arg for arg in argv if arg not in ("--overwrite", "--resume")]
    return report(fit_result, args.run, args.epochs, shlex.join(["python", "-m", _PROGRAM, *asked, "--resume"]))


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
