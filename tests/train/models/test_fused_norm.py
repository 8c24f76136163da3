"""Normalisations that train by quicker kernels: what they give and what they learn is what the formula says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kwspot.train.backend import keras, tensorflow
from kwspot.train.models.fused_norm import with_fused_norms
from kwspot.train.models.sub_spectral_norm import SubSpectralNorm

layers = keras.layers


def model_of(norm: Any, shape: tuple[int, ...]) -> Any:
    keras.utils.set_random_seed(3)
    return keras.Sequential([keras.Input(shape), norm, layers.Flatten(), layers.Dense(2)])


def trained(model: Any) -> list[Any]:
    """Weights after some steps, so that gradients of gamma, beta and the input's side all have told."""
    model.compile(keras.optimizers.SGD(0.5), "mse")
    rng = np.random.default_rng(5)
    for _ in range(6):
        model.train_on_batch(rng.normal(2, 3, (16, *model.input_shape[1:])), rng.normal(size=(16, 2)))
    return list(model.get_weights())


@pytest.mark.parametrize("shape", [(7, 3), (5, 4, 3), (3,)])
def test_a_fused_model_learns_what_kerass_own_learns(shape: tuple[int, ...]) -> None:
    options = {"momentum": 0.7, "epsilon": 1e-2}
    expected = trained(model_of(layers.BatchNormalization(**options), shape))
    fused = with_fused_norms(model_of(layers.BatchNormalization(**options), shape))
    called = fused.layers[0].call
    assert "partial" in type(called).__name__  # or the comparison would say nothing
    for weight, judge in zip(trained(fused), expected, strict=True):
        np.testing.assert_allclose(weight, judge, rtol=1e-3, atol=1e-4)


def test_what_is_saved_is_kerass_own_and_says_the_same(tmp_path: Path) -> None:
    model = with_fused_norms(model_of(layers.BatchNormalization(), (5, 3)))
    trained(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[0]) is layers.BatchNormalization
    x = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded(x), model(x))


@pytest.mark.parametrize("odd", [{"axis": 1}, {"scale": False}, {"center": False}])
def test_a_normalisation_that_the_kernel_has_not_stays_as_it_is(odd: dict[str, Any]) -> None:
    model = model_of(layers.BatchNormalization(**odd), (5, 3))
    before = trained(model_of(layers.BatchNormalization(**odd), (5, 3)))
    for weight, judge in zip(trained(with_fused_norms(model)), before, strict=True):
        np.testing.assert_array_equal(weight, judge)


def test_one_that_is_not_to_be_trained_keeps_its_statistics() -> None:
    norm = layers.BatchNormalization()
    model = with_fused_norms(model_of(norm, (5, 3)))
    norm.trainable = False
    trained(model)
    np.testing.assert_array_equal(norm.moving_mean, np.zeros(3))


def test_the_gradient_of_sub_spectral_norm_is_that_of_its_formula() -> None:
    rng = np.random.default_rng(6)
    norm = SubSpectralNorm(2)
    norm.build((None, 7, 4, 3))
    norm.set_weights([rng.normal(size=w.shape) if w.trainable else w.numpy() for w in norm.weights])
    x = tensorflow.constant(rng.normal(1, 2, (6, 7, 4, 3)), "float32")
    towards = rng.normal(size=x.shape).astype(np.float32)
    gamma, beta = (v.value for v in norm.trainable_variables)

    def formula(x: Any) -> Any:
        cut = tensorflow.reshape(x, (6, 7, 2, 2, 3))
        mean, variance = tensorflow.nn.moments(cut, (0, 1, 3), keepdims=True)
        y = (cut - mean) / tensorflow.sqrt(variance + 1e-3) * gamma + beta
        return tensorflow.reshape(y, x.shape)

    gradients = []
    for outputs_of in (lambda x: norm(x, training=True), formula):
        with tensorflow.GradientTape() as tape:
            tape.watch(x)
            loss = tensorflow.reduce_sum(tensorflow.sin(outputs_of(x)) * towards)
        gradients.append([loss, *tape.gradient(loss, [x, gamma, beta])])
    for ours, judge in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, judge, rtol=1e-3, atol=1e-4)
