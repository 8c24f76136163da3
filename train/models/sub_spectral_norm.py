"""Batch normalisation with statistics and parameters of its own for each sub-band of the frequencies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.train.backend import keras, tensorflow
from kwspot.train.models.blocks import MOMENTUM

ops = keras.ops

_EPSILON = 1e-3  # that of keras.layers.BatchNormalization


class SubSpectralNorm(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """(T, F, C) → (T, F, C): `bands` equal stretches of F, each channel normalised over time and its stretch.

    Only for training: a run keeps the model with this folded into layers of
    Keras itself (:mod:`kwspot.train.models.batch_norm_folding`), so that whoever loads it needs
    nothing of ours.

    Raises
    ------
    ValueError
        If F is no multiple of `bands`.

    References
    ----------
    Chang et al., "SubSpectral Normalization for Neural Audio Data Processing", arXiv:2103.13620.
    """

    def __init__(self, bands: int, **options: Any) -> None:
        super().__init__(**options)
        self.bands = bands

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Weights, each (bands, 1, C), to be seen beside (bands, F / bands, C)."""
        frequencies, channels = shape[2], shape[3]
        if frequencies is None or channels is None or frequencies % self.bands:
            raise ValueError(f"{frequencies} frequencies cannot be cut into {self.bands} equal sub-bands")
        weight = (self.bands, 1, channels)
        self.gamma = self.add_weight(name="gamma", shape=weight, initializer="ones")
        self.beta = self.add_weight(name="beta", shape=weight, initializer="zeros")
        self.moving_mean = self.add_weight(name="moving_mean", shape=weight, initializer="zeros", trainable=False)
        self.moving_variance = self.add_weight(
            name="moving_variance", shape=weight, initializer="ones", trainable=False
        )

    def call(self, x: Any, training: bool = False) -> Any:
        """Normalise by the batch in training, else by the running statistics."""
        _, frames, frequencies, channels = x.shape
        rows = ops.reshape(x, (-1, frequencies * channels))  # each column (f, c): sums over rows are quick
        if training:
            rows, mean, variance = _normalised(rows, self.gamma.value, self.beta.value)
            for running, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
                running.assign(MOMENTUM * running + (1 - MOMENTUM) * now)
        else:
            scale = self.gamma * ops.rsqrt(self.moving_variance + _EPSILON)
            offset = self.beta - self.moving_mean * scale
            rows = rows * _columns(scale, frequencies) + _columns(offset, frequencies)
        return ops.reshape(rows, (-1, frames, frequencies, channels))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """That of the input."""
        return shape

    def affine(self, frequencies: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what it does after training, ``x * scale + offset``: two arrays of shape (frequencies, C)."""
        gamma, beta, mean, variance = (np.asarray(w)[:, 0] for w in self.get_weights())  # (bands, C) each
        scale = gamma / np.sqrt(variance + _EPSILON)
        rows = frequencies // self.bands
        return np.repeat(scale, rows, axis=0), np.repeat(beta - mean * scale, rows, axis=0)


@tensorflow.custom_gradient  # type: ignore[untyped-decorator]  # TensorFlow has no types
def _normalised(rows: Any, gamma: Any, beta: Any) -> Any:
    """Columns (N, F · C) by the statistics of their sub-bands, and these: mean and variance, (bands, 1, C) each.

    The gradient is written out, for what TensorFlow derives from the formula
    goes over the rows once for each of its steps. The statistics have none.
    """
    bands, _, channels = gamma.shape
    frequencies = rows.shape[1] // channels
    ones = tensorflow.ones((1, tensorflow.shape(rows)[0]))  # a product with them is the quickest sum of columns
    values = tensorflow.cast(tensorflow.shape(rows)[0] * (frequencies // bands), rows.dtype)

    def sums(columns: Any) -> Any:
        """Of sub-bands, (bands, 1, C)."""
        return tensorflow.reduce_sum(tensorflow.reshape(ones @ columns, (bands, -1, channels)), axis=1, keepdims=True)

    mean = sums(rows) / values
    variance = tensorflow.maximum(sums(rows * rows) / values - mean * mean, 0)
    inverse = tensorflow.math.rsqrt(variance + _EPSILON)
    scale = gamma * inverse
    outputs = rows * _columns(scale, frequencies) + _columns(beta - mean * scale, frequencies)

    def gradient(of_outputs: Any, *_: Any) -> tuple[Any, Any, Any]:
        of_beta = sums(of_outputs)
        of_gamma = (sums(of_outputs * rows) - mean * of_beta) * inverse
        slope = scale * inverse * of_gamma / values
        level = slope * mean - scale * of_beta / values
        of_rows = of_outputs * _columns(scale, frequencies) - rows * _columns(slope, frequencies)
        return of_rows + _columns(level, frequencies), of_gamma, of_beta

    return (outputs, mean, variance), gradient


def _columns(of_bands: Any, frequencies: int) -> Any:
    """(bands, 1, C), the same for each frequency of a sub-band → (F · C)."""
    bands, _, channels = of_bands.shape
    return ops.reshape(ops.broadcast_to(of_bands, (bands, frequencies // bands, channels)), (-1,))
