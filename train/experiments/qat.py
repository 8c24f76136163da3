"""A model that trains as its int8 form computes.

Where int8 rounds: the kernels, the input, and the output of each operation as
TFLite fuses them (a rectifier with the layer before it). The ranges are those of
the activations on calibration clips, as in the post-training quantisation that
export does afterwards, and stay as they are while the model is fine-tuned.
Values are rounded as TFLite does, gradients pass as if they were not: a kernel
has a scale for each output channel, -127 to 127, any other tensor one scale and
zero point, -128 to 127.

References
----------
Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", arXiv:1712.05877; Bengio et al., the
straight-through estimator, arXiv:1308.3432.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.errors import RunError
from kwspot.runtime.features.quantise import INT8_HIGHEST, INT8_LOWEST
from kwspot.train.backend import keras
from kwspot.train.models.batch_norm_folding import DEPTHWISE, WITH_KERNEL, copy_layer, find_users, rebuild

layers, ops = keras.layers, keras.ops

# What moves numbers, or does nothing after training: its output has the range of its input.
_MOVES = (
    layers.Reshape, layers.Flatten, layers.Permute, layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D,
    layers.ZeroPadding1D, layers.ZeroPadding2D, layers.Cropping1D, layers.Cropping2D,
    layers.MaxPooling1D, layers.MaxPooling2D,
)  # fmt: skip
_COMPUTES = (
    *WITH_KERNEL, layers.ReLU, layers.Activation, layers.Add, layers.Multiply,
    layers.AveragePooling1D, layers.AveragePooling2D, layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D,
)  # fmt: skip
# int8 pooling has the scale of its input.
_POOLS = (layers.AveragePooling1D, layers.AveragePooling2D)
_BATCH = 64

# TFLite's own for the sigmoid, whatever the clips say: all of 0 to 1.
_SIGMOID = (1 / 256, -128)


def quantised_form(model: Any, calibration: NDArray[np.float32]) -> Any:
    """Return the model with int8 in its midst, and the same weights; :func:`copy_back` brings them home.

    Parameters
    ----------
    model
        Of fixed length, without normalisation (:func:`kwspot.train.models.batch_norm_folding.fold_batch_norms`).
    calibration : float32, shape (clips, T, C)
        Normalised features that give the ranges of the activations.

    Raises
    ------
    RunError
        If it has a layer of which it is not known where int8 rounds.
    """
    for layer in model.layers:
        if not isinstance(layer, (layers.InputLayer, *_MOVES, *_COMPUTES)):
            raise RunError(
                f"layer {layer.name} ({type(layer).__name__}) cannot be fine-tuned in int8; expected a model of "
                "convolutions, dense layers and pooling: fine-tune it with --float"
            )
    users = find_users(model)
    rounded = [layer for layer in model.layers if _rounds(layer, users)]
    ranges = _ranges(model, rounded, calibration)
    start = model.inputs[0]

    def build(layer: Any, inputs: Any) -> Any:
        if layer.input is start:
            inputs = FakeQuantised(*scale_and_zero_point(*ranges[id(start)]), name="features_int8")(inputs)
        if isinstance(layer, WITH_KERNEL) and layer.trainable:
            inner = type(layer).from_config(layer.get_config())
            output = WithFakeQuantisedKernel(inner)(inputs)
            inner.set_weights(layer.get_weights())
        else:
            same, output = copy_layer(layer, inputs)
            same.set_weights(layer.get_weights())  # a kernel that is not trained is a mean, the same in int8
        if id(layer.output) not in ranges:
            return output
        if isinstance(layer, layers.Activation) and layer.activation is keras.activations.sigmoid:
            scale, zero_point = _SIGMOID
        else:
            scaled_as = layer.input if isinstance(layer, _POOLS) else layer.output
            scale, zero_point = scale_and_zero_point(*_range_of(scaled_as, ranges))
        return FakeQuantised(scale, zero_point, name=f"{layer.name}_output_int8")(output)

    return rebuild(model, build)


def copy_back(quantised: Any, model: Any) -> None:
    """Copy the weights of a quantised form into the model that it was made of."""
    for layer in quantised.layers:
        if isinstance(layer, WithFakeQuantisedKernel):
            model.get_layer(layer.inner.name).set_weights(layer.inner.get_weights())


def _rounds(layer: Any, users: dict[int, list[Any]]) -> bool:
    """Return whether int8 writes the output of this layer with a range of its own."""
    if not isinstance(layer, _COMPUTES):
        return False
    if getattr(layer, "activation", None) is keras.activations.softmax:
        return False  # the scores, and their logits: the loss wants them unrounded
    following = users.get(id(layer.output), [])
    fused = len(following) == 1 and isinstance(following[0], layers.ReLU)
    return not fused


def _range_of(tensor: Any, ranges: dict[int, tuple[float, float]]) -> tuple[float, float]:
    """Its own, or that of what was moved to become it."""
    while id(tensor) not in ranges:
        tensor = tensor._keras_history.operation.input
    return ranges[id(tensor)]


def _ranges(model: Any, rounded: list[Any], calibration: NDArray[np.float32]) -> dict[int, tuple[float, float]]:
    """``id`` of a tensor → least and greatest value on the clips; of the input and of the outputs of `rounded`."""
    tensors = {"features": model.inputs[0], **{layer.name: layer.output for layer in rounded}}
    ranges: dict[int, tuple[float, float]] = {}
    probe = keras.Model(model.inputs[0], tensors)
    for start in range(0, len(calibration), _BATCH):
        # Called, not predicted: to compile a graph for two batches takes longer than they do.
        for name, values in probe(calibration[start : start + _BATCH], training=False).items():
            low, high = ranges.get(id(tensors[name]), (np.inf, -np.inf))
            seen = np.asarray(values)
            ranges[id(tensors[name])] = min(low, float(seen.min())), max(high, float(seen.max()))
    return ranges


def scale_and_zero_point(low: float, high: float) -> tuple[float, int]:
    """Of a tensor whose values go from `low` to `high`; zero is always one of the 256 values."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / (INT8_HIGHEST - INT8_LOWEST) or 1.0
    return scale, min(INT8_HIGHEST, max(INT8_LOWEST, round(INT8_LOWEST - low / scale)))


def fake_quantised(x: Any, scale: float, zero_point: int) -> Any:
    """``dequantise(quantise(x))`` as the runtime does it; the gradient is 1, outside the range 0."""
    inside = ops.clip(x, (INT8_LOWEST - zero_point) * scale, (INT8_HIGHEST - zero_point) * scale)
    steps = ops.clip(ops.round(x / scale) + zero_point, INT8_LOWEST, INT8_HIGHEST)
    return inside + ops.stop_gradient((steps - zero_point) * scale - inside)


def fake_quantised_kernel(kernel: Any, axes: tuple[int, ...]) -> Any:
    """Return a kernel with one scale for each output channel; `axes` are the others. The gradient is 1."""
    most = ops.max(ops.abs(kernel), axis=axes, keepdims=True)
    scale = ops.where(most > 0, most, 1.0) / INT8_HIGHEST
    return kernel + ops.stop_gradient(ops.round(kernel / scale) * scale - kernel)


class FakeQuantised(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """The output of a layer in int8, its range given."""

    def __init__(self, scale: float, zero_point: int, **options: Any) -> None:
        super().__init__(**options)
        self.scale, self.zero_point = scale, zero_point

    def call(self, x: Any) -> Any:
        """Of the same shape."""
        return fake_quantised(x, self.scale, self.zero_point)


class WithFakeQuantisedKernel(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Another layer with a kernel, which it computes with in int8; the bias stays as it is (int32 on the device)."""

    def __init__(self, inner: Any, **options: Any) -> None:
        super().__init__(name=f"{inner.name}_int8", **options)
        self.inner = inner

    def build(self, shape: Any) -> None:
        """Build the inner layer."""
        self.inner.build(shape)
        # A depthwise kernel is (..., C, 1), any other (..., in, out).
        axes = tuple(range(len(self.inner.kernel.shape)))
        self._axes = (*axes[:-2], axes[-1]) if isinstance(self.inner, DEPTHWISE) else axes[:-1]

    def call(self, x: Any) -> Any:
        """What the inner layer says with the rounded kernel."""
        weights = [
            fake_quantised_kernel(w, self._axes) if w is self.inner.kernel else w
            for w in self.inner.trainable_variables
        ]
        output, _ = self.inner.stateless_call(weights, [], x)
        return output

    def compute_output_shape(self, shape: Any) -> Any:
        """That of the inner layer."""
        return self.inner.compute_output_shape(shape)
