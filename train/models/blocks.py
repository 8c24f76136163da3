"""Pieces that several models share."""

from __future__ import annotations

from typing import Any

from kwspot.train.backend import keras

layers = keras.layers

# Of the running statistics. Keras's 0.99 needs hundreds of batches to follow, and a small folder has few in an epoch.
MOMENTUM = 0.9


def picture(features: Any) -> Any:
    """Reshape frames to a picture with one channel, (T, C) → (T, C, 1)."""
    _, frames, coefficients = features.shape
    return layers.Reshape((frames, coefficients, 1), name="picture")(features)


def dropout_layer(x: Any, rate: float, name: str) -> Any:
    """Add dropout, or nothing at a rate of 0."""
    return layers.Dropout(rate, name=name)(x) if rate > 0 else x


def batch_norm_relu(x: Any, name: str) -> Any:
    """Batch normalisation and the rectifier."""
    x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def softmax(x: Any, labels: int) -> Any:
    """Add the probabilities of the labels, (L)."""
    return layers.Dense(labels, activation="softmax", name="scores")(x)  # (L)
