"""Batch normalisation with statistics and parameters of its own for each sub-band of the frequencies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.train.backend import keras
from kwspot.train.model_blocks import MOMENTUM

ops = keras.ops

_EPSILON = 1e-3  # that of keras.layers.BatchNormalization


class SubSpectralNorm(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """(T, F, C) → (T, F, C): `bands` equal stretches of F, each channel normalised over time and its stretch.

    Only for training: a run keeps the model with this folded into layers of
    Keras itself (:mod:`kwspot.train.folding`), so that whoever loads it needs
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
        mean, variance = self.moving_mean, self.moving_variance
        if training:
            mean, square = self._of_bands(ops.mean(rows, axis=0)), self._of_bands(ops.mean(rows * rows, axis=0))
            variance = ops.maximum(square - mean * mean, 0)
            for running, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
                running.assign(MOMENTUM * running + (1 - MOMENTUM) * now)
        scale = self.gamma * ops.rsqrt(variance + _EPSILON)
        offset = self.beta - mean * scale
        shape = (self.bands, frequencies // self.bands, channels)
        scale, offset = (ops.reshape(ops.broadcast_to(w, shape), (-1,)) for w in (scale, offset))
        return ops.reshape(rows * scale + offset, (-1, frames, frequencies, channels))

    def _of_bands(self, columns: Any) -> Any:
        """Means of columns, (F · C), as those of sub-bands, (bands, 1, C)."""
        shape = (self.bands, -1, self.gamma.shape[-1])
        return ops.mean(ops.reshape(columns, shape), axis=1, keepdims=True)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """That of the input."""
        return shape

    def affine(self, frequencies: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What it does after training, ``x * scale + offset``: two arrays of shape (frequencies, C)."""
        gamma, beta, mean, variance = (np.asarray(w)[:, 0] for w in self.get_weights())  # (bands, C) each
        scale = gamma / np.sqrt(variance + _EPSILON)
        rows = frequencies // self.bands
        return np.repeat(scale, rows, axis=0), np.repeat(beta - mean * scale, rows, axis=0)
