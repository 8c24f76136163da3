"""The models by name: normalised features in, float32 (T, C); probabilities of the labels out, (L,).

T frames (at most one batch axis before), C coefficients, L labels. A shape is
written where it changes. Convolutions see the frames as a picture with one
channel, (T, C, 1).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from kwspot.runtime.errors import ConfigError
from kwspot.train.backend import keras
from kwspot.train.config.toml_table import check_known
from kwspot.train.models.batch_norm_folding import fold_batch_norms
from kwspot.train.models.bc_resnet import bc_resnet
from kwspot.train.models.blocks import batch_norm_relu, dropout_layer, picture, softmax
from kwspot.train.models.sub_spectral_norm import SubSpectralNorm
from kwspot.train.models.tc_cnn import tc_cnn

layers = keras.layers


def perceptron(features: Any, labels: int) -> Any:
    """Build one dense layer over all frames at once."""
    x = layers.Flatten(name="flatten")(features)  # (T * C)
    return softmax(x, labels)


def conv1(features: Any, labels: int, *, filters: int = 32, pool: int = 2, dense: int = 128) -> Any:
    """Build one 3×3 convolution, pooling, one hidden layer."""
    x = picture(features)  # (T, C, 1)
    x = layers.Conv2D(filters, 3, activation="relu", name="conv1")(x)  # (T - 2, C - 2, filters)
    x = layers.MaxPooling2D(pool, name="pool1")(x)  # ((T - 2) // pool, (C - 2) // pool, filters)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(dense, activation="relu", name="dense")(x)  # (dense)
    return softmax(x, labels)


def conv2(
    features: Any,
    labels: int,
    *,
    filters: int = 32,
    filters2: int = 64,
    dense: int = 128,
    dropout: float = 0.0,
    dense_dropout: float = 0.0,
) -> Any:
    """Build two 3×3 convolutions, each with pooling and dropout (0: none), one hidden layer, dropout again."""
    x = picture(features)  # (T, C, 1)
    x = layers.Conv2D(filters, 3, activation="relu", name="conv1")(x)  # (T - 2, C - 2, filters)
    x = layers.MaxPooling2D(2, name="pool1")(x)  # ((T - 2) // 2, (C - 2) // 2, filters)
    x = dropout_layer(x, dropout, "dropout1")
    x = layers.Conv2D(filters2, 3, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(2, name="pool2")(x)  # (((T - 2) // 2 - 2) // 2, ..., filters2)
    x = dropout_layer(x, dropout, "dropout2")
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(dense, activation="relu", name="dense")(x)  # (dense)
    x = dropout_layer(x, dense_dropout, "dropout3")
    return softmax(x, labels)


def conv1d(features: Any, labels: int, *, filters: int = 64, kernel: int = 5, dropout: float = 0.3) -> Any:
    """Build two convolutions over time, the coefficients as channels; then the mean over time."""
    x = layers.Conv1D(filters, kernel, activation="relu", name="conv1")(features)  # (T - kernel + 1, filters)
    x = layers.MaxPooling1D(2, name="pool1")(x)  # ((T - kernel + 1) // 2, filters)
    x = layers.Conv1D(filters, kernel, activation="relu", name="conv2")(x)
    x = layers.GlobalAveragePooling1D(name="mean")(x)  # (filters)
    x = layers.Dropout(dropout, name="dropout")(x)
    return softmax(x, labels)


def lstm(features: Any, labels: int, *, unroll: bool, units: int = 48, dropout: float = 0.2) -> Any:
    """Long short-term memory, and its last state."""
    x = layers.LSTM(units, unroll=unroll, name="lstm")(features)  # (units)
    x = layers.Dropout(dropout, name="dropout")(x)
    return softmax(x, labels)


def gru(features: Any, labels: int, *, unroll: bool, units: int = 48, dropout: float = 0.2) -> Any:
    """Gated recurrent units, and their last state."""
    x = layers.GRU(units, unroll=unroll, name="gru")(features)  # (units)
    x = layers.Dropout(dropout, name="dropout")(x)
    return softmax(x, labels)


def ds_cnn(features: Any, labels: int, *, channels: int = 64, blocks: int = 4, dropout: float = 0.3) -> Any:
    """Build a convolution and `blocks` depthwise separable ones, then the mean; MLPerf Tiny's at 49×10 and 64 channels.

    References
    ----------
    Zhang et al., "Hello Edge", arXiv:1711.07128; Banbury et al., "MLPerf Tiny
    Benchmark", arXiv:2106.07597.
    """
    x = picture(features)  # (T, C, 1)
    x = layers.Conv2D(channels, (10, 4), strides=2, padding="same", use_bias=False, name="conv")(x)
    x = batch_norm_relu(x, "conv")  # (ceil(T / 2), ceil(C / 2), channels)
    for k in range(1, blocks + 1):
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"depthwise{k}")(x)
        x = batch_norm_relu(x, f"depthwise{k}")
        x = layers.Conv2D(channels, 1, use_bias=False, name=f"pointwise{k}")(x)
        x = batch_norm_relu(x, f"pointwise{k}")
    x = layers.GlobalAveragePooling2D(name="mean")(x)  # (channels)
    x = layers.Dropout(dropout, name="dropout")(x)
    return softmax(x, labels)


MODELS: dict[str, Callable[..., Any]] = {
    "perceptron": perceptron,
    "conv1": conv1,
    "conv2": conv2,
    "conv2-dropout": functools.partial(conv2, dropout=0.25, dense_dropout=0.5),
    "conv1d": conv1d,
    "lstm": lstm,
    "gru": gru,
    "ds-cnn": ds_cnn,
    "tc-cnn": tc_cnn,
    "bc-resnet": bc_resnet,
}
"""Name → function of the input (and of ``unroll`` if it is recurrent) that returns the output; its keywords are
the options of the table [model]."""


def is_recurrent(name: str) -> bool:
    """Return whether a model takes any number of frames until it is unrolled."""
    return "unroll" in inspect.signature(_function(name)).parameters


def build(
    name: str, frames: int | None, coefficients: int, labels: int, /, *, unroll: bool = False, **options: Any
) -> Any:
    """Build a Keras model with fresh weights.

    Parameters
    ----------
    frames
        T of the input; None, any number, is for recurrent models not unrolled.
    unroll
        Write the recurrence out, step by step, as the int8 converter needs it;
        says nothing to the other models.
    options
        Those of the model.

    Raises
    ------
    ConfigError
        If there is no such model or option, a value is of the wrong type, or
        the input is too small for the layers.
    """
    function = _function(name)
    if frames is None and not is_recurrent(name):
        raise ConfigError(f"model {name} needs a fixed number of frames; only recurrent models take any")
    checked = _checked_options(name, function, options)
    if is_recurrent(name):
        checked["unroll"] = unroll
    features = keras.Input((frames, coefficients), name="features")
    try:
        scores = function(features, labels, **checked)
    except ValueError as error:
        raise ConfigError(
            f"model {name} cannot be built on {frames} frames of {coefficients} coefficients "
            f"({str(error).splitlines()[0]}); change the options of [model] or the features"
        ) from None
    return keras.Model(features, scores, name=name.replace("-", "_"))


def training_form(name: str, frames: int, coefficients: int, labels: int, /, **options: Any) -> Any:
    """Return the model as it is trained: a recurrent one takes any number of frames."""
    _checked_options(name, _function(name), options)  # here, where a user's "unroll" is no argument of ours
    return build(name, None if is_recurrent(name) else frames, coefficients, labels, **options)


def export_form(model: Any, name: str, frames: int, labels: int, /, **options: Any) -> Any:
    """Return the model of fixed length with the weights of `model`, of Keras's own layers alone.

    Recurrences are unrolled; of a model with sub-spectral normalisation all normalisation is folded.
    """
    if any(isinstance(layer, SubSpectralNorm) for layer in model.layers):
        return fold_batch_norms(model)
    fixed = build(name, frames, model.input_shape[-1], labels, unroll=True, **options)
    fixed.set_weights(model.get_weights())
    return fixed


def _function(name: str) -> Callable[..., Any]:
    check_known(name, MODELS, "model")
    return MODELS[name]


def _checked_options(name: str, function: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """Options of the right name and type, and positive (a rate of dropout: 0 to below 1)."""
    known = {
        key: parameter.default
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and key != "unroll"
    }
    for key, value in options.items():
        check_known(key, known, "option", f" of model {name}")
        if isinstance(known[key], float):
            fits, expected = isinstance(value, int | float) and 0 <= value < 1, "a number from 0 to below 1"
        else:
            fits, expected = isinstance(value, int) and value >= 1, "a whole number of at least 1"
        if not fits or isinstance(value, bool):
            raise ConfigError(f"model.{key} = {value!r}; expected {expected}")
    return dict(options)
