"""int8 in the midst of training: values are rounded as on the device, gradients pass as if they were not.

Weights: one scale for each output channel, symmetric, -127 to 127. Activations:
one scale and zero point for a tensor, -128 to 127. Both as TFLite has them.

References
----------
Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", arXiv:1712.05877; Bengio et al., the
straight-through estimator, arXiv:1308.3432.
"""

from __future__ import annotations

from typing import Any

from kwspot.runtime.features.quantise import INT8_HIGHEST, INT8_LOWEST
from kwspot.train.backend import keras
from kwspot.train.models.batch_norm_folding import DEPTHWISE

ops = keras.ops


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
    """A kernel with one scale for each output channel; `axes` are the others. The gradient is 1."""
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
