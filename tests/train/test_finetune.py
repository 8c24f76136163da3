"""Fine-tuning: int8 in the midst of training equals the runtime's, and a run becomes another run."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kwspot.runtime import cli
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.features.quantise import dequantise, quantise
from kwspot.runtime.run_folder import read_run
from kwspot.train import cli as train_cli
from kwspot.train.backend import keras, tensorflow
from kwspot.train.config.config import Config, load_preset, preset_names
from kwspot.train.config.tables import AugmentConfig, DataConfig, ModelConfig, TrainingConfig
from kwspot.train.experiments import finetune as experiment
from kwspot.train.experiments.qat import (
    WithFakeQuantisedKernel,
    copy_back,
    fake_quantised,
    fake_quantised_kernel,
    quantised_form,
    scale_and_zero_point,
)
from kwspot.train.fit.trainer import prepare, train
from kwspot.train.models.batch_norm_folding import WITH_KERNEL, fold_batch_norms
from kwspot.train.models.registry import build, is_recurrent, training_form
from kwspot.train.models.sub_spectral_norm import SubSpectralNorm

layers = keras.layers
CONFIG = Config(
    model=ModelConfig("ds-cnn", {"channels": 4, "blocks": 1, "dropout": 0.1}),
    data=DataConfig(words=("low", "high")),
    augment=AugmentConfig(time_shift_ms=20),
    training=TrainingConfig(epochs=2, batch_size=24, learning_rate=2e-2, average_decay=0.5),
)


def gradient(function: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
    variable = tensorflow.Variable(x)
    with tensorflow.GradientTape() as tape:
        y = tensorflow.reduce_sum(function(variable))
    return np.asarray(tape.gradient(y, variable))


@settings(max_examples=60, deadline=None)
@given(st.floats(-50, 50), st.floats(0.01, 90), st.integers(0, 2**16))
def test_fake_quant_is_the_runtimes_quantise_and_dequantise(low: float, width: float, seed: int) -> None:
    scale, zero_point = scale_and_zero_point(low, low + width)
    x = np.random.default_rng(seed).uniform(low - width, low + 2 * width, 64).astype(np.float32)
    steps = quantise(x, np.float32(scale), zero_point)
    expected = dequantise(steps, scale, zero_point)
    found = np.asarray(fake_quantised(x, scale, zero_point))
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, abs(low) + width))
    assert fake_quantised(np.zeros(1, np.float32), scale, zero_point)[0] == 0


def test_halves_go_to_the_even_step_and_what_is_outside_saturates() -> None:
    x = np.array([0.25, 0.75, 1.25, -0.25, 500.0, -500.0], np.float32)
    assert np.asarray(fake_quantised(x, 0.5, 10)).tolist() == [0.0, 1.0, 1.0, 0.0, 58.5, -69.0]


def test_gradients_pass_inside_the_range_and_not_outside() -> None:
    x = np.array([-500.0, -3.3, 0.1, 7.9, 500.0], np.float32)
    assert gradient(lambda v: fake_quantised(v, 0.5, 10), x).tolist() == [0, 1, 1, 1, 0]
    kernel = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32)
    np.testing.assert_array_equal(gradient(lambda v: fake_quantised_kernel(v, (0, 1)), kernel), np.ones_like(kernel))


def test_a_kernel_has_one_scale_for_each_output() -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32) * np.array([1, 10, 0.01, 0], np.float32)
    found = np.asarray(fake_quantised_kernel(kernel, (0, 1)))
    for k in range(3):
        scale = np.abs(kernel[..., k]).max() / 127
        np.testing.assert_allclose(found[..., k], np.rint(kernel[..., k] / scale) * scale, rtol=1e-5)
        assert len(np.unique(np.rint(found[..., k] / scale))) == 6
    assert not found[..., 3].any()
    depthwise = WithFakeQuantisedKernel(layers.DepthwiseConv2D((3, 1), name="d"))
    depthwise.build((None, 5, 2, 7))
    assert depthwise._axes == (0, 1, 3)  # (3, 1, C, 1): a scale for each C


def with_statistics(model: Any) -> Any:
    rng = np.random.default_rng(5)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization | SubSpectralNorm):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.weights])
    return model


@pytest.fixture(scope="module")
def plain() -> Any:
    """A DS-CNN with batch normalisation folded."""
    keras.utils.set_random_seed(1)
    trained = with_statistics(build("ds-cnn", 12, 10, 3, channels=4, blocks=1))
    model = fold_batch_norms(trained)
    x = np.random.default_rng(0).normal(size=(5, 12, 10)).astype(np.float32)
    np.testing.assert_allclose(model(x), trained(x), atol=1e-5)
    return model


def test_int8_is_where_tflite_rounds_and_weights_come_home(plain: Any) -> None:
    x = np.random.default_rng(0).normal(size=(30, 12, 10)).astype(np.float32)
    form = quantised_form(plain, x)
    rounded = [layer.name for layer in form.layers if type(layer).__name__ == "FakeQuantised"]
    assert rounded == [
        "features_int8", "conv_relu_output_int8", "depthwise1_relu_output_int8", "pointwise1_relu_output_int8",
        "mean_output_int8",
    ]  # fmt: skip
    difference = np.abs(np.asarray(form(x)) - np.asarray(plain(x)))
    assert 0 < difference.max() < 0.05
    before = plain.get_weights()
    copy_back(form, plain)  # nothing was trained: nothing moves
    for a, b in zip(before, plain.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)

    targets = np.eye(3, dtype=np.float32)[np.arange(30) % 3]
    with tensorflow.GradientTape() as tape:
        loss = tensorflow.reduce_mean(keras.losses.categorical_crossentropy(targets, form(x, training=True)))
    gradients = tape.gradient(loss, form.trainable_weights)
    assert len(gradients) == len(plain.trainable_weights) == 8
    assert all(np.abs(np.asarray(g)).max() > 0 for g in gradients)
    for weight in form.trainable_weights:
        weight.assign_add(0.25 * tensorflow.ones_like(weight))
    copy_back(form, plain)
    for a, b in zip(before, plain.get_weights(), strict=True):
        np.testing.assert_allclose(b, a + 0.25, atol=1e-6)
    plain.set_weights(before)


@pytest.mark.parametrize(
    "name",
    [n for n in preset_names() if not is_recurrent(name := load_preset(n).model.name) and name != "bc-resnet"],
)
def test_every_preset_that_is_not_recurrent_has_an_int8_form(
    name: str,
) -> None:
    """BC-ResNet has a file of its own, `test_bc_resnet.py`."""
    config = load_preset(name)
    shape = (config.frames, config.features.coefficients)
    keras.utils.set_random_seed(2)
    plain = fold_batch_norms(with_statistics(training_form(config.model.name, *shape, 3, **config.model.options)))
    x = np.random.default_rng(3).normal(size=(6, *shape)).astype(np.float32)
    form = quantised_form(plain, x)
    kernels = [layer for layer in plain.layers if isinstance(layer, WITH_KERNEL) and layer.trainable]
    assert len([layer for layer in form.layers if isinstance(layer, WithFakeQuantisedKernel)]) == len(kernels)
    difference = np.abs(np.asarray(form(x)) - np.asarray(plain(x)))
    assert 0 < difference.max() < 0.1


def test_int8_average_pooling_has_the_scale_of_its_input() -> None:
    inputs = keras.Input((4, 4, 2))
    y = layers.Reshape((4, 2, 4))(layers.ReLU(name="relu")(inputs))
    model = keras.Model(inputs, layers.AveragePooling2D((4, 2), name="pool")(y))
    x = np.random.default_rng(0).uniform(0, 9, (8, 4, 4, 2)).astype(np.float32)
    form = quantised_form(model, x)
    assert form.get_layer("pool_output_int8").scale == form.get_layer("relu_output_int8").scale > 8.5 / 255


def finetune(*args: object) -> int:
    return cli.guarded(lambda: experiment.main([str(arg) for arg in args]))


@pytest.fixture(scope="module")
def source(tone_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "source"
    train(prepare(DataFolder(tone_folder), CONFIG, "tiny"), run)
    return run


@pytest.mark.parametrize("form", ["quantised", "float"])
def test_a_run_becomes_another(form: str, source: Path, tone_folder: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    assert finetune(source, f"--{form}", "--epochs", 2, "--run", tmp_path / "new") == 0
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before
    new, old = read_run(tmp_path / "new"), read_run(source)
    assert new.config["finetune"]["form"] == form
    assert new.config["finetune"]["run"] == str(source)
    assert new.config["training"]["learning_rate"] == pytest.approx(1e-3)
    assert (new.config["training"]["epochs"], new.config["training"]["average_decay"]) == (2, 0)
    assert new.config["normalisation"] == old.config["normalisation"]
    assert new.metrics["macs"] == old.metrics["macs"]
    model = keras.models.load_model(new.model_path)
    # Nothing of ours, nothing to fold: what export wants.
    kinds = {type(layer).__name__ for layer in model.layers}
    assert kinds == {"InputLayer", "Reshape", "Conv2D", "DepthwiseConv2D", "ReLU", "GlobalAveragePooling2D", "Dropout", "Dense"}  # fmt: skip  # noqa: E501
    start = fold_batch_norms(keras.models.load_model(old.model_path))
    moved = [np.abs(a - b).max() for a, b in zip(model.get_weights(), start.get_weights(), strict=True)]
    assert 0 < max(moved) < 0.1  # a few steps at a small rate, from where the run ended


class Interrupted:
    """Ctrl-C in the second epoch."""

    def __init__(self, examples: Any) -> None:
        self._examples = examples

    def __len__(self) -> int:
        return len(self._examples)

    def epoch(self, epoch: int) -> Iterator[Any]:
        for batch in self._examples.epoch(epoch):
            if epoch == 2:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch


def test_resumed_it_ends_as_if_never_stopped(source: Path, tone_folder: Path, tmp_path: Path) -> None:
    from kwspot.train.experiments.finetune import finetuning_config, network_from, prepare_finetuning

    old = read_run(source)
    config = finetuning_config(train_cli.recorded_config(old.config), 2)
    task = prepare_finetuning(old, DataFolder(tone_folder), config, quantised=True)

    def network_of(task: Any) -> Any:
        return network_from(old, data=tone_folder, quantised=True, task=task)

    train(task, tmp_path / "whole", network_of=network_of)
    cut = dataclasses.replace(task, examples=Interrupted(task.examples))
    assert train(cut, tmp_path / "cut", network_of=network_of).interrupted
    assert finetune(source, "--quantised", "--epochs", 2, "--run", tmp_path / "cut", "--resume") == 0
    one, other = (keras.models.load_model(tmp_path / name / "model.keras").get_weights() for name in ("whole", "cut"))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_mistakes(source: Path, tone_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for args, message in (
        ((source, "--float", "--run", source, "--overwrite"), "is the run to start from; name another folder"),
        ((source, "--float", "--run", tmp_path / "n", "--epochs", 0), "--epochs 0; expected 1 or more"),
        ((tmp_path / "none", "--float", "--run", tmp_path / "n"), "does not exist; expected a run folder"),
        ((source, "--float", "--run", tone_folder), "exists and is no run folder"),
        ((source, "--float", "--run", tmp_path / "n", "--data", tmp_path / "gone"), "does not exist"),
    ):
        assert finetune(*args) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not (tmp_path / "n").exists()


def test_a_recurrent_run_is_refused(source: Path, tone_folder: Path) -> None:
    from kwspot.runtime.errors import RunError
    from kwspot.train.experiments.finetune import prepare_finetuning

    recurrent = dataclasses.replace(CONFIG, model=ModelConfig("gru"))
    with pytest.raises(RunError, match="recurrent model gru, which cannot be fine-tuned"):
        prepare_finetuning(read_run(source), DataFolder(tone_folder), recurrent, quantised=False)
