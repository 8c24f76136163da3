"""Every model: its shape, its export form, its options."""

from __future__ import annotations

import numpy as np
import pytest

from kwspot.runtime.errors import ConfigError
from kwspot.train.backend import keras
from kwspot.train.config.config import load_preset, preset_names
from kwspot.train.models.registry import MODELS, build, export_form, is_recurrent, training_form

SEED_MODELS = ("perceptron", "conv1", "conv2", "conv2-dropout", "conv1d", "lstm", "gru", "ds-cnn")


def test_the_seeds_models_are_presets() -> None:
    assert set(SEED_MODELS) <= set(preset_names())


@pytest.mark.parametrize("name", [name for name in preset_names() if load_preset(name).model.name != "bc-resnet"])
def test_export_form_says_what_the_trained_model_says(name: str) -> None:
    config = load_preset(name)
    shape = (config.frames, config.features.coefficients)
    keras.utils.set_random_seed(3)
    model = training_form(config.model.name, *shape, 3, **config.model.options)
    for weights in model.weights:  # also what starts as 0 or 1: the statistics of batch normalisation
        weights.assign(np.abs(weights.numpy() + np.random.default_rng(1).normal(0, 0.1, weights.shape)))
    fixed = export_form(model, config.model.name, config.frames, 3, **config.model.options)
    assert fixed.input_shape == (None, *shape)
    assert fixed.output_shape == (None, 3)
    frames = np.random.default_rng(2).normal(size=(4, *shape)).astype(np.float32)
    scores = model.predict_on_batch(frames)
    np.testing.assert_allclose(fixed.predict_on_batch(frames), scores, atol=2e-6)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert [layer.name for layer in fixed.layers] == [layer.name for layer in model.layers]


@pytest.mark.parametrize("name", [name for name in MODELS if is_recurrent(name)])
def test_recurrent_models_take_any_length_until_they_are_unrolled(name: str) -> None:
    model = training_form(name, 49, 10, 2)
    assert model.input_shape == (None, None, 10)
    for frames in (1, 30, 49):
        assert model.predict_on_batch(np.zeros((2, frames, 10), np.float32)).shape == (2, 2)
    assert export_form(model, name, 30, 2).get_layer(name).unroll


def test_other_models_need_a_length() -> None:
    with pytest.raises(ConfigError, match="needs a fixed number of frames"):
        build("conv1", None, 10, 2)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("conv3", {}, "did you mean conv"),
        ("conv1", {"filter": 8}, "did you mean filters"),
        ("perceptron", {"filters": 8}, "it has none"),
        ("conv1", {"filters": 0}, "whole number of at least 1"),
        ("conv1", {"filters": 8.5}, "whole number of at least 1"),
        ("conv1", {"filters": True}, "whole number of at least 1"),
        ("conv2-dropout", {"dropout": 1.0}, "from 0 to below 1"),
        ("lstm", {"unroll": True}, "unknown option unroll"),
        ("lstm", {"frames": 3}, "unknown option frames"),
    ],
)
def test_wrong_options_are_named(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        training_form(name, 49, 10, 2, **options)


def test_an_input_too_small_for_the_layers_is_the_users_mistake() -> None:
    with pytest.raises(ConfigError, match="cannot be built on 4 frames of 4 coefficients"):
        build("conv2", 4, 4, 2)
