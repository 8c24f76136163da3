"""The running average of weights: what it is, and that it is what is validated, kept and resumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.run_folder import read_run
from kwspot.train.backend import keras
from kwspot.train.config.config import Config
from kwspot.train.config.tables import AugmentConfig, DataConfig, ModelConfig, TrainingConfig
from kwspot.train.fit.averaging import Average
from kwspot.train.fit.trainer import TrainingTask, prepare, train

CONFIG = Config(
    model=ModelConfig("ds-cnn", {"channels": 4, "blocks": 1, "dropout": 0.1}),
    data=DataConfig(words=("low", "high")),
    augment=AugmentConfig(time_shift_ms=20),
    training=TrainingConfig(epochs=3, batch_size=24, learning_rate=2e-2, average_decay=0.9),
)


def test_it_is_the_average_by_hand_of_weights_and_statistics() -> None:
    keras.utils.set_random_seed(1)
    layers = keras.layers
    norm = layers.BatchNormalization(momentum=0.5)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, use_bias=False), norm])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.optimizer.build(model.trainable_variables)
    average = Average(model, 0.4)
    expected = [w.copy() for w in model.get_weights()]
    rng = np.random.default_rng(0)
    for n in range(1, 13):
        model.train_on_batch(rng.normal(size=(8, 3)), rng.normal(size=(8, 2)))
        average.take()
        decay = min(0.4, (1 + n) / (10 + n))
        expected = [decay * a + (1 - decay) * w for a, w in zip(expected, model.get_weights(), strict=True)]
    for a, b, w in zip(average.weights(), expected, model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
        assert np.abs(a - w).max() > 1e-5  # of the kernel, gamma, beta, and both statistics


@pytest.fixture(scope="module")
def task(tone_folder: Path) -> TrainingTask:
    return prepare(DataFolder(tone_folder), CONFIG, "tiny")


@pytest.fixture(scope="module")
def whole(task: TrainingTask, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "whole"
    train(task, run)
    return run


def weights_of(run: Path) -> list[np.ndarray]:
    return keras.models.load_model(run / "model.keras").get_weights()


def test_it_is_validated_and_kept_and_the_training_goes_on_without_it(
    whole: Path, task: TrainingTask, tmp_path: Path
) -> None:
    without = dataclasses.replace(CONFIG.training, average_decay=0.0)
    plain = dataclasses.replace(task, config=dataclasses.replace(CONFIG, training=without))
    train(plain, tmp_path / "plain")
    ours, theirs = read_run(whole).history, read_run(tmp_path / "plain").history
    assert [row["loss"] for row in ours] == [row["loss"] for row in theirs]  # the weights go the same way
    assert [row["val_loss"] for row in ours] != [row["val_loss"] for row in theirs]
    frames, targets = task.validation
    model = keras.models.load_model(whole / "model.keras")
    loss = keras.losses.categorical_crossentropy(targets, model.predict_on_batch(frames))
    assert float(np.mean(loss)) == pytest.approx(read_run(whole).metrics["validation"]["loss"], rel=1e-4)


class Killed(BaseException):
    """Power is gone."""


class CutShort:
    def __init__(self, examples: Any) -> None:
        self._examples = examples

    def __len__(self) -> int:
        return len(self._examples)

    def epoch(self, epoch: int) -> Iterator[Any]:
        for k, batch in enumerate(self._examples.epoch(epoch)):
            if (epoch, k) == (3, 1):
                raise Killed
            yield batch


def test_resumed_it_is_the_same_to_the_last_bit(whole: Path, task: TrainingTask, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(dataclasses.replace(task, examples=CutShort(task.examples)), tmp_path / "run")
    train(task, tmp_path / "run", resume=True)
    for a, b in zip(weights_of(whole), weights_of(tmp_path / "run"), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_that_is_none(decay: float) -> None:
    with pytest.raises(ConfigError, match=r"training.average_decay = .*; expected 0 to below 1"):
        TrainingConfig(average_decay=decay)
