"""A window model as a step model: every layer that is taken steps to the window's scores, every other is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kwspot.export.step import StepModel, step_model
from kwspot.runtime.errors import ExportError
from kwspot.train.backend import keras
from kwspot.train.models.tc_cnn import tc_cnn

layers = keras.layers
FRAMES, COEFFICIENTS = 49, 12


def built(body: Callable[[Any], Any], frames: int = FRAMES) -> Any:
    """A window model with weights, and norms with statistics, that are none of the defaults."""
    keras.utils.set_random_seed(3)
    features = keras.Input((frames, COEFFICIENTS))
    model = keras.Model(features, body(features))
    rng = np.random.default_rng(4)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, weights.shape) for weights in layer.get_weights()])
    return model


def stepped(step: StepModel, frames: np.ndarray) -> list[np.ndarray]:
    """The scores of each step along frames (n, C), after states of zeros."""
    source, *states = step.model.inputs
    hop = source.shape[1]
    tensors = {state.name: np.zeros(state.shape, np.float32) for state in states}
    scores = []
    for start in range(0, len(frames), hop):
        said = step.model({"features": frames[None, start : start + hop, None], **tensors})
        scores.append(np.asarray(said["scores"])[0])
        for state, paired in step.states:
            tensors[state] = np.asarray(said[paired])[:, -tensors[state].shape[1] :]
    return scores


def residual(x: Any) -> Any:
    return tc_cnn(x, 3, front=4, bands=4, pictures=1, channels=48, blocks=2, kernel=5)


def strided(x: Any) -> Any:
    """Strides, dilation, both activations, a depthwise stride, a maximum at the end."""
    x = layers.Conv1D(64, 5, strides=2, activation="relu")(x)
    x = layers.DepthwiseConv1D(3, depth_multiplier=2, use_bias=True)(x)
    x = layers.Activation("tanh")(x)
    x = layers.SpatialDropout1D(0.1)(x)
    x = layers.Conv1D(64, 3, dilation_rate=3, padding="valid")(x)
    x = layers.DepthwiseConv1D(3, strides=2)(x)
    return layers.Dense(3, activation="softmax")(layers.GlobalMaxPooling1D()(x))


def picture(x: Any) -> Any:
    """Bands that are padded and strided, a delayed residual path that skips two convolutions."""
    x = layers.Reshape((FRAMES, COEFFICIENTS, 1))(x)
    x = layers.Conv2D(8, (1, 3), padding="same", strides=(1, 2))(x)
    x = layers.BatchNormalization()(x)
    y = layers.Conv2D(8, (4, 1))(x)
    y = layers.Conv2D(8, (4, 1), activation="relu")(y)
    x = layers.Add()([layers.Cropping2D(((4, 2), (0, 0)))(x), y])
    x = layers.GlobalAveragePooling2D()(x)
    return layers.Softmax()(layers.Dense(3)(x))


@pytest.mark.parametrize(
    ("body", "hops"),
    [(residual, (2, 4)), (strided, (4, 20)), (picture, (1, 3))],
    ids=lambda v: getattr(v, "__name__", None),
)
def test_stepping_is_the_window(body: Callable[[Any], Any], hops: tuple[int, ...]) -> None:
    model = built(body)
    for hop in hops:
        count = -(-FRAMES // hop) + 3  # steps
        frames = np.random.default_rng(hop).normal(size=(count * hop, COEFFICIENTS)).astype(np.float32)
        scores = stepped(step_model(model, hop), frames)
        ends = [end for end in range(hop, len(frames) + 1, hop) if end >= FRAMES]
        windows = np.stack([frames[end - FRAMES : end] for end in ends])
        assert len(ends) >= 4
        np.testing.assert_allclose(scores[-len(ends) :], np.asarray(model(windows)), atol=2e-6)
        # The scores follow the frames, or equality would show nothing.
        assert np.ptp(scores[-len(ends) :], axis=0).max() > 1e-3


def test_what_is_forgotten_leaves_no_trace() -> None:
    step = step_model(built(residual), 2)
    frames = np.random.default_rng(1).normal(size=(50, COEFFICIENTS)).astype(np.float32)
    before = np.full((6, COEFFICIENTS), 1e3, np.float32)
    np.testing.assert_array_equal(stepped(step, frames)[-1], stepped(step, np.concatenate([before, frames]))[-1])


def test_a_residual_path_shares_the_state_of_the_convolution_it_skips() -> None:
    def wide(x: Any) -> Any:
        return tc_cnn(x, 3, front=16, bands=24, channels=96, blocks=3, kernel=5)

    step = step_model(built(wide), 2)
    # The frames, the joined bands, and the sums of three blocks, of which the mean takes the last.
    shapes = [tuple(tensor.shape) for tensor in step.model.inputs]
    assert shapes == [(1, 2, 1, 12), (1, 3, 1, 12), (1, 4, 1, 96), (1, 4, 1, 96), (1, 4, 1, 96), (1, 10, 1, 96)]
    # One row of each block; the whole window takes 19, 15 and 11 of them.
    assert 3 * (96 * 5 + 96 * 96) < step.macs < 2 * 3 * (96 * 5 + 96 * 96)


def test_rows_that_cost_less_than_a_state_are_computed_again() -> None:
    step = step_model(built(residual), 2)
    # Seven frames before the new ones and the sums of three blocks are remembered, the joined bands are not.
    rows = [tuple(tensor.shape[1:]) for tensor in step.model.inputs]
    assert rows == [(2, 1, 12), (7, 1, 12), (4, 3, 4), (4, 1, 48), (12, 1, 48)]


def conv(**options: Any) -> Callable[[Any], Any]:
    return lambda x: layers.Conv1D(4, 3, name="odd", **options)(x)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (conv(padding="same"), r"odd \(Conv1D\) pads time \(padding = 'same'\)"),
        (conv(padding="causal"), r"odd \(Conv1D\) pads time \(padding = 'causal'\)"),
        (conv(strides=3), r"odd \(Conv1D\) leaves the last 1 of its 49 rows unseen"),
        (conv(groups=2), r"odd \(Conv1D\) has its channels first or in groups"),
        (lambda x: layers.GRU(4, return_sequences=True, name="odd")(x), r"odd \(GRU\) is of a kind"),
        (lambda x: layers.MaxPooling1D(name="odd")(x), r"odd \(MaxPooling1D\) is of a kind"),
        (lambda x: x[:, 1:], r"\(GetItem\) is of a kind"),
        (lambda x: layers.Dense(4, name="odd")(x), r"odd \(Dense\) works on rows"),
        (lambda x: layers.Softmax(name="odd")(x), r"odd \(Softmax\) is a softmax before the end of time"),
        (lambda x: layers.BatchNormalization(axis=1, name="odd")(x), r"odd .* normalises another axis"),
        (lambda x: layers.Reshape((7, 7 * COEFFICIENTS), name="odd")(x), r"odd \(Reshape\) does not leave time"),
        (lambda x: layers.Add(name="odd")([x, layers.Cropping1D((1, 0))(x)[:, :1] * x]), r"is of a kind"),
    ],
)
def test_what_cannot_be_stepped_is_refused_by_name(body: Callable[[Any], Any], says: str) -> None:
    def model(x: Any) -> Any:
        return layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(body(x)))

    with pytest.raises(ExportError, match=says) as caught:
        step_model(built(model), 4)
    assert "--kind window" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_padding_of_time_and_crops_of_bands_are_refused() -> None:
    def pictured(layer: Any) -> Callable[[Any], Any]:
        def model(x: Any) -> Any:
            x = layer(layers.Reshape((FRAMES, COEFFICIENTS, 1))(x))
            return layers.Dense(3)(layers.GlobalAveragePooling2D()(x))

        return model

    for layer, says in (
        (layers.ZeroPadding2D(((1, 0), (1, 1)), name="odd"), "pads time"),
        (layers.Cropping2D(((0, 0), (1, 0)), name="odd"), "crops bands"),
        (layers.Conv2D(4, 3, padding="same", name="odd"), "pads time"),
    ):
        with pytest.raises(ExportError, match=rf"odd \({type(layer).__name__}\) {says}"):
            step_model(built(pictured(layer)), 2)


def test_a_model_that_keeps_time_is_refused() -> None:
    with pytest.raises(ExportError, match=r"\(Conv1D\) is the last and still has time"):
        step_model(built(conv()), 2)


def test_a_layer_used_twice_is_refused() -> None:
    def model(x: Any) -> Any:
        twice = layers.Conv1D(COEFFICIENTS, 3, name="odd")
        return layers.Dense(3)(layers.GlobalAveragePooling1D()(twice(twice(x))))

    with pytest.raises(ExportError, match=r"odd \(Conv1D\) is used more than once"):
        step_model(built(model), 2)


def test_a_hop_must_fit_the_strides() -> None:
    with pytest.raises(ExportError, match=r"a step of 3 frames brings 3 rows to the layer depthwise0, .*--hop-ms"):
        step_model(built(residual), 3)
