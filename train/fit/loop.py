"""The epochs: train, validate, keep the best, write a checkpoint, say one line.

All state of a training between two epochs is one file, so a killed training
loses at most one epoch, and one that goes on ends as if it had never stopped.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.errors import RunError
from kwspot.runtime.files import whole_file
from kwspot.runtime.progress import Reminder
from kwspot.runtime.run_folder import CHECKPOINT_FOLDER, History
from kwspot.train.backend import keras
from kwspot.train.config.tables import TrainingConfig
from kwspot.train.data.pipeline import Batch, Frames
from kwspot.train.fit.averaging import Average
from kwspot.train.fit.run_writer import write_history
from kwspot.train.models.fused_norm import with_fused_norms

_STATE_FILE = "state.npz"
_EVALUATION_BATCH = 256


class Examples(Protocol):
    """What is trained on, in batches."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch, counted from 1; the same each time it is asked."""
        ...


@dataclasses.dataclass
class FitResult:
    """How far a training has come; ``diverged`` says where the loss was no number any more."""

    history: History = dataclasses.field(default_factory=list)
    best_epoch: int = 0
    best_weights: list[NDArray[Any]] = dataclasses.field(default_factory=list)
    interrupted: bool = False
    diverged: str = ""

    @property
    def epochs_run(self) -> int:
        """Epochs that have ended."""
        return len(self.history)

    @property
    def best(self) -> dict[str, float]:
        """Return the row of the best epoch."""
        return self.history[self.best_epoch - 1]

    def take(self, row: dict[str, float], weights: list[NDArray[Any]]) -> None:
        """One more epoch; the best has the highest accuracy on validation, of equals the lowest loss."""
        self.history.append(row)
        if not self.best_epoch or _rank(row) > _rank(self.best):
            self.best_epoch, self.best_weights = self.epochs_run, weights


def _rank(row: dict[str, float]) -> tuple[float, float]:
    return row["val_accuracy"], -row["val_loss"]


def compile_model(model: Any, training: TrainingConfig, examples: int) -> Any:
    """Give a model AdamW, its schedule and the loss, and return it; `examples` are those of an epoch."""
    steps = math.ceil(examples / training.batch_size)
    total, warm_up = steps * training.epochs, round(steps * training.warm_up_epochs)
    rate: Any = training.learning_rate
    if training.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warm_up else rate,
            max(1, total - warm_up),
            warmup_target=rate if warm_up else None,
            warmup_steps=warm_up,
        )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=training.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=training.label_smoothing)
    with_fused_norms(model).compile(optimizer, loss, metrics=["accuracy"])
    optimizer.build(model.trainable_variables)
    return model


def fit(
    model: Any,
    examples: Examples,
    validation: tuple[Frames, NDArray[np.float32]],
    training: TrainingConfig,
    run: Path,
    *,
    resume: bool = False,
    ended: Callable[[History], None] | None = None,
) -> FitResult:
    """Train a compiled model to the last epoch, or until Ctrl-C; leaves the best epoch's weights in it.

    Ctrl-C ends the training after the batch at hand (a second one at once),
    and ``result.interrupted`` says so; a loss that is no number ends it, too,
    and ``result.diverged`` says where. `ended` is told the history at the start
    and after each epoch.

    Raises
    ------
    RunError
        If there is nothing to resume from.
    """
    state = run / CHECKPOINT_FOLDER / _STATE_FILE
    average = Average(model, training.average_decay) if training.average_decay else None
    fit_result = _load(state, model, average) if resume else FitResult()
    write_history(run, fit_result.history)
    if ended is not None:
        ended(fit_result.history)
    with _Interruption() as interruption:
        for epoch in range(fit_result.epochs_run + 1, training.epochs + 1):
            try:
                row = _train_epoch(model, examples, epoch, interruption, average)
                if row is None:
                    fit_result.interrupted = True
                    break
                kept = model.get_weights() if average is None else average.weights()
                started = time.perf_counter()
                row |= _validate(model, kept, *validation, training.label_smoothing)
                row["validation_s"] = time.perf_counter() - started
                _demand_number(row["val_loss"], f"on validation after epoch {epoch}")
            except _Diverged as error:
                fit_result.diverged = (
                    f"{error}: lower training.learning_rate ({training.learning_rate:g}) and train anew"
                )
                break
            fit_result.take(row, kept)
            _save(state, model, average, fit_result)
            write_history(run, fit_result.history)
            if ended is not None:
                ended(fit_result.history)
            print(_line(fit_result, training.epochs), file=sys.stderr, flush=True)
    if fit_result.best_epoch:
        model.set_weights(fit_result.best_weights)
    return fit_result


class _Diverged(Exception):
    """The loss is no number any more, and no batch that follows would make it one."""


def _demand_number(loss: float, where: str) -> None:
    if not math.isfinite(loss):
        raise _Diverged(f"the loss is {loss} {where}; expected a number")


def _train_epoch(
    model: Any, examples: Examples, epoch: int, interruption: _Interruption, average: Average | None
) -> dict[str, float] | None:
    """Train one epoch; return its row of the history without validation, None if it was interrupted."""
    started = time.perf_counter()
    sums = {"loss": 0.0, "accuracy": 0.0}
    waiting_s = step_s = 0.0
    asked = started
    reminder, done = Reminder(), 0
    for batch, (frames, targets) in enumerate(examples.epoch(epoch), 1):
        came = time.perf_counter()
        waiting_s += came - asked
        means = model.train_on_batch(frames, targets, return_dict=True)  # of this batch alone
        _demand_number(float(means["loss"]), f"in batch {batch} of epoch {epoch}")
        if average is not None:
            average.take()
        for key in sums:
            sums[key] += float(means[key]) * len(frames)
        asked = time.perf_counter()
        step_s += asked - came
        done += len(frames)
        reminder.say(f"epoch {epoch}: {done:,} of {len(examples):,} examples")
        if interruption.asked:
            return None
    reminder.end()
    seconds = time.perf_counter() - started
    return {
        "epoch": epoch,
        "loss": sums["loss"] / len(examples),
        "accuracy": sums["accuracy"] / len(examples),
        "clips_per_s": len(examples) / seconds,
        "seconds": seconds,
        "waiting_s": waiting_s,
        "step_s": step_s,
        "learning_rate": float(model.optimizer.learning_rate),
    }


def score_frames(model: Any, frames: Frames) -> NDArray[np.float32]:
    """Return the scores, float32 (N, L), of features, float32 (N, T, C)."""
    starts = range(0, len(frames), _EVALUATION_BATCH)
    return np.concatenate([model.predict_on_batch(frames[k : k + _EVALUATION_BATCH]) for k in starts])


def _validate(
    model: Any, weights: list[NDArray[Any]], frames: Frames, targets: NDArray[np.float32], smoothing: float
) -> dict[str, float]:
    """Loss, the same one as in training, and accuracy on validation of the model with these weights."""
    own = model.get_weights()
    model.set_weights(weights)
    scores = score_frames(model, frames)
    model.set_weights(own)
    losses = keras.losses.categorical_crossentropy(targets, scores, label_smoothing=smoothing)
    right = scores.argmax(axis=1) == targets.argmax(axis=1)
    return {"val_loss": float(np.mean(losses)), "val_accuracy": float(right.mean())}


def _line(fit_result: FitResult, epochs: int) -> str:
    row = fit_result.history[-1]
    left_s = (epochs - fit_result.epochs_run) * sum(r["seconds"] for r in fit_result.history) / fit_result.epochs_run
    best = "  best" if fit_result.best_epoch == fit_result.epochs_run else ""
    return (
        f"epoch {fit_result.epochs_run:{len(str(epochs))}}/{epochs}  loss {row['loss']:.3f} "
        f"accuracy {100 * row['accuracy']:.1f} %  validation {row['val_loss']:.3f} {100 * row['val_accuracy']:.2f} %  "
        f"{row['clips_per_s']:.0f} clips/s  {_duration(left_s)} left{best}"
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _state_of(model: Any, average: Average | None) -> list[Any]:
    """Return all variables that the next batch depends on: weights, random states, the optimiser's, the averages."""
    return [*model.variables, *model.optimizer.variables, *(average.variables if average else ())]


def _save(path: Path, model: Any, average: Average | None, fit_result: FitResult) -> None:
    arrays = {f"state{k}": keras.ops.convert_to_numpy(v) for k, v in enumerate(_state_of(model, average))}
    arrays |= {f"best{k}": weights for k, weights in enumerate(fit_result.best_weights)}
    about = json.dumps({"history": fit_result.history, "best_epoch": fit_result.best_epoch}, allow_nan=False)
    with whole_file(path) as file:
        np.savez(file, about=np.array(about), **arrays)


def _load(path: Path, model: Any, average: Average | None) -> FitResult:
    if not path.is_file():
        raise RunError(f"{path} does not exist, so no epoch had ended; train anew with --overwrite")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            for k, variable in enumerate(_state_of(model, average)):
                variable.assign(arrays[f"state{k}"])
            best = [arrays[f"best{k}"] for k in range(len(model.get_weights()))]
    except (KeyError, ValueError, OSError) as error:
        raise RunError(f"{path} is damaged or of another model ({error}); train anew with --overwrite") from None
    return FitResult(history=about["history"], best_epoch=about["best_epoch"], best_weights=best)


class _Interruption:
    """While it is entered, the first Ctrl-C is noted, and a second one is a KeyboardInterrupt as ever.

    An exception in the midst of a step could come between the weights and the
    checkpoint; a note is read between two batches. Outside the main thread,
    where Python hands out no signals, nothing changes.
    """

    asked = False

    def __enter__(self) -> _Interruption:
        self._is_main = threading.current_thread() is threading.main_thread()
        if self._is_main:
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        # Not print: the signal may have come in the midst of one.
        os.write(2, b"\nkwspot: stopping; the best epoch so far is kept\n")

    def __exit__(self, *_: object) -> None:
        if self._is_main:
            signal.signal(signal.SIGINT, self._before)
