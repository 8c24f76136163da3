"""Models whose convolutions over time have no padding, so that a stream can feed them step by step."""

from __future__ import annotations

from typing import Any

from kwspot.train.backend import keras
from kwspot.train.models.blocks import MOMENTUM, batch_norm_relu, dropout_layer, picture, softmax

layers = keras.layers


def tc_cnn(
    features: Any,
    labels: int,
    *,
    front: int = 16,
    bands: int = 24,
    pictures: int = 0,
    channels: int = 96,
    blocks: int = 4,
    kernel: int = 5,
    dropout: float = 0.1,
) -> Any:
    """Build a small picture network over frequency, then depthwise separable residual convolutions over time.

    The front sees 3 frames by 3 bands, so a voice may be a little higher or
    lower, and `pictures` residual blocks see the same of its output; the blocks
    behind them take all bands of a step (two frames) as channels. Every
    convolution over time is valid: what a step says does not depend on where
    the window ends.

    References
    ----------
    Choi et al., "Temporal Convolution for Real-time Keyword Spotting on Mobile
    Devices" (TC-ResNet), arXiv:1904.03814; Majumdar and Ginsburg,
    "MatchboxNet", arXiv:2004.08531, for the separable residual blocks.
    """
    x = picture(features)  # (T, C, 1)
    x = layers.ZeroPadding2D(((0, 0), (1, 1)), name="pad1")(x)
    x = layers.Conv2D(front, 3, strides=(1, 2), use_bias=False, name="conv")(x)
    x = batch_norm_relu(x, "conv")  # (T - 2, C // 2, front)
    x = layers.ZeroPadding2D(((0, 0), (1, 1)), name="pad2")(x)
    x = layers.DepthwiseConv2D(3, strides=2, use_bias=False, name="depthwise0")(x)
    x = layers.Conv2D(bands, 1, use_bias=False, name="pointwise0")(x)
    x = batch_norm_relu(x, "pointwise0")  # (S, C // 4, bands), S = (T - 4 + 1) // 2
    for k in range(1, pictures + 1):
        y = layers.ZeroPadding2D(((0, 0), (1, 1)), name=f"picture{k}_pad")(x)
        y = layers.DepthwiseConv2D(3, use_bias=False, name=f"picture{k}_depthwise")(y)
        y = layers.Conv2D(bands, 1, use_bias=False, name=f"picture{k}_pointwise")(y)
        y = batch_norm_relu(y, f"picture{k}_pointwise")
        x = layers.Cropping2D(((1, 1), (0, 0)), name=f"picture{k}_crop")(x)
        x = layers.Add(name=f"picture{k}_add")([x, y])  # (S - 2, C // 4, bands); this is S from here on
    x = layers.Reshape((x.shape[1], x.shape[2] * x.shape[3]), name="steps")(x)  # (S, C // 4 * bands)
    x = layers.Conv1D(channels, 1, use_bias=False, name="mix")(x)
    x = batch_norm_relu(x, "mix")  # (S, channels)
    before = (kernel - 1) // 2
    for k in range(1, blocks + 1):
        y = layers.DepthwiseConv1D(kernel, use_bias=False, name=f"depthwise{k}")(x)
        y = layers.BatchNormalization(momentum=MOMENTUM, name=f"depthwise{k}_norm")(y)  # (S - kernel + 1, channels)
        y = layers.Conv1D(channels, 1, use_bias=False, name=f"pointwise{k}")(y)
        y = batch_norm_relu(y, f"pointwise{k}")
        x = layers.Cropping1D((before, kernel - 1 - before), name=f"crop{k}")(x)
        x = layers.Add(name=f"add{k}")([x, y])
    x = layers.GlobalAveragePooling1D(name="mean")(x)  # (channels)
    x = dropout_layer(x, dropout, "dropout")
    return softmax(x, labels)
