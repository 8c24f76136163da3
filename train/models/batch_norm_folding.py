"""Batch normalisation folded into the layers before it: the same function, of layers that int8 computes well."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.train.backend import keras
from kwspot.train.models.sub_spectral_norm import SubSpectralNorm

layers = keras.layers

DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
WITH_KERNEL = (layers.Conv1D, layers.Conv2D, *DEPTHWISE, layers.Dense)


def rebuild(model: Any, build: Callable[[Any, Any], Any]) -> Any:
    """Build a model of the same wiring; ``build(layer, inputs)`` says what takes the place of each layer.

    `inputs` is a tensor, or a list for a layer that takes several. Every layer
    must be used once.
    """
    start = keras.Input(model.input_shape[1:], name="features")
    made = {id(model.inputs[0]): start}
    for layer in model.layers:
        if isinstance(layer, layers.InputLayer):
            continue
        taken = layer.input
        inputs = [made[id(t)] for t in taken] if isinstance(taken, list) else made[id(taken)]
        made[id(layer.output)] = build(layer, inputs)
    return keras.Model(start, made[id(model.outputs[0])], name=model.name)


def copy_layer(layer: Any, inputs: Any, **changes: Any) -> tuple[Any, Any]:
    """Return a new layer of the same configuration but for `changes`, and its output; the weights are fresh."""
    new = type(layer).from_config({**layer.get_config(), **changes})
    return new, new(inputs)


def find_users(model: Any) -> dict[int, list[Any]]:
    """Return ``id`` of a tensor → the layers that take it."""
    users: dict[int, list[Any]] = {}
    for layer in model.layers:
        if not isinstance(layer, layers.InputLayer):
            taken = layer.input
            for tensor in taken if isinstance(taken, list) else [taken]:
                users.setdefault(id(tensor), []).append(layer)
    return users


def fold_batch_norms(model: Any) -> Any:
    """Return the model as it is after training, without normalisations, of Keras's own layers alone.

    Batch normalisation goes into the kernel and the bias before it. Sub-spectral
    normalisation has a scale for each (frequency, channel): the greatest of a
    channel goes into the kernel before it, the rest (at most 1) becomes a
    depthwise convolution over (T, 1, F · C). Every step then has weights with a
    scale for each of its channels in int8, where a product with a table of
    constants would have one for all.

    A mean of an even number of values becomes a convolution, which is not
    trained: of int8 values it often lies between two of them, and LiteRT and
    onnxruntime do not go to the same one (of 10 values in 5 % of the means).

    Raises
    ------
    TypeError
        If a normalisation does not come alone behind a layer with a linear kernel.
    """
    users = find_users(model)
    norm_of: dict[str, Any] = {}
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization | SubSpectralNorm):
            norm_of[_kernel_before(layer, users).name] = layer

    def build(layer: Any, inputs: Any) -> Any:
        if isinstance(layer, SubSpectralNorm):
            return _build_affine(layer, inputs)
        if isinstance(layer, layers.BatchNormalization):
            return inputs
        if isinstance(layer, layers.AveragePooling2D) and _is_even_mean(layer):
            return _build_mean(layer, inputs)
        if layer.name not in norm_of:
            new, output = copy_layer(layer, inputs)
            new.set_weights(layer.get_weights())
            return output
        norm = norm_of[layer.name]
        if isinstance(norm, SubSpectralNorm):
            new, output = copy_layer(layer, inputs)
            scale, _ = norm.affine(norm.input.shape[2])
            new.set_weights([_scale_kernel(layer, _greatest_of_channel(scale))])
            return output
        new, output = copy_layer(layer, inputs, use_bias=True)
        kernel, bias = _fold_weights(layer, norm)
        new.set_weights([kernel, bias])
        return output

    return rebuild(model, build)


def _kernel_before(norm: Any, users: dict[int, list[Any]]) -> Any:
    """Return the layer whose output `norm` normalises; a choice of rows between the two changes nothing."""
    tensor = norm.input
    while True:
        layer = tensor._keras_history.operation
        if len(users[id(tensor)]) > 1:
            break
        if isinstance(layer, layers.MaxPooling2D) and layer.pool_size == (1, 1):
            tensor = layer.input
            continue
        linear = isinstance(layer, WITH_KERNEL) and layer.activation is keras.activations.linear
        if linear and not (isinstance(norm, SubSpectralNorm) and layer.use_bias):
            return layer
        break
    raise TypeError(f"{norm.name} does not come alone behind a linear layer with a kernel, but behind {layer.name}")


def _scale_kernel(layer: Any, factor: NDArray[np.float32]) -> NDArray[np.float32]:
    """Multiply each output of the kernel by a factor, (channels,)."""
    kernel = np.asarray(layer.get_weights()[0])
    # A depthwise kernel is (..., C, 1), any other (..., in, out).
    return kernel * (factor[:, None] if isinstance(layer, DEPTHWISE) else factor)


def _fold_weights(layer: Any, norm: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    weights = iter(norm.get_weights())
    channels = norm.input.shape[-1]
    gamma = next(weights) if norm.scale else np.ones(channels, np.float32)
    beta = next(weights) if norm.center else np.zeros(channels, np.float32)
    mean, variance = next(weights), next(weights)
    scale = gamma / np.sqrt(variance + norm.epsilon)
    bias = layer.get_weights()[1] if layer.use_bias else 0.0
    return _scale_kernel(layer, scale), (bias - mean) * scale + beta


def _greatest_of_channel(scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the greatest of each channel, (F, C) → (C,); 1 for a channel that is scaled to nothing."""
    most = np.abs(scale).max(axis=0)
    return np.where(most > 0, most, 1).astype(np.float32)


def _is_even_mean(pooling: Any) -> bool:
    # With padding the number of values would differ from place to place.
    return pooling.padding == "valid" and math.prod(pooling.pool_size) % 2 == 0


def _build_mean(pooling: Any, inputs: Any) -> Any:
    mean = layers.DepthwiseConv2D(
        pooling.pool_size, strides=pooling.strides, use_bias=False, trainable=False, name=pooling.name
    )
    y = mean(inputs)
    mean.set_weights([np.full(mean.kernel.shape, 1 / math.prod(pooling.pool_size), np.float32)])
    return y


def _build_affine(norm: SubSpectralNorm, inputs: Any) -> Any:
    _, frames, frequencies, channels = inputs.shape
    scale, offset = norm.affine(frequencies)  # (F, C) each
    rest = scale / _greatest_of_channel(scale)
    flat = layers.Reshape((frames, 1, frequencies * channels), name=f"{norm.name}_flat")(inputs)
    affine = layers.DepthwiseConv2D(1, name=norm.name)
    y = affine(flat)
    affine.set_weights([rest.reshape(1, 1, -1, 1), offset.reshape(-1)])
    return layers.Reshape((frames, frequencies, channels), name=f"{norm.name}_bands")(y)
