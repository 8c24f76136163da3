"""BC-ResNet: convolutions over frequency on the picture, over time on its mean, which is broadcast back to it."""

from __future__ import annotations

from typing import Any

from kwspot.train.backend import keras
from kwspot.train.models.blocks import MOMENTUM, batch_norm_relu, picture, softmax
from kwspot.train.models.sub_spectral_norm import SubSpectralNorm

layers = keras.layers

# Of the paper's table 1: channels for a width of 1, and blocks; the second and third stage halve F.
_STAGES = ((8, 2), (12, 2), (16, 4), (20, 4))
_HALVING = (1, 2)
_HEAD = 32
SUB_BANDS = 5


def bc_resnet(features: Any, labels: int, *, width: int = 1, dropout: float = 0.1) -> Any:
    """BC-ResNet-`width`; the paper's at 40 log-mel bands every 10 ms.

    C, the bands, must be a multiple of 40: halved three times, they are five
    sub-bands or a multiple. Of the paper's, only the padding over frequency
    differs where it is halved: TensorFlow's "same" adds the odd row at the end.

    References
    ----------
    Kim et al., "Broadcasted Residual Learning for Efficient Keyword Spotting",
    Interspeech 2021, arXiv:2106.04140.
    """
    x = picture(features)  # (T, C, 1)
    x = layers.Conv2D(16 * width, 5, strides=(1, 2), padding="same", use_bias=False, name="conv")(x)
    x = batch_norm_relu(x, "conv")  # (T, F, 16 width), F = C / 2
    for stage, (channels, blocks) in enumerate(_STAGES):
        for block in range(blocks):
            name = f"stage{stage + 1}_{block + 1}"
            halve = stage in _HALVING and block == 0  # F = C / 2, C / 4, C / 8, C / 8
            x = _block(x, channels * width, dilation=2**stage, halve=halve, dropout=dropout, name=name)
    x = layers.ZeroPadding2D(((2, 2), (0, 0)), name="head_pad")(x)
    x = layers.DepthwiseConv2D(5, use_bias=False, name="head_depthwise")(x)  # (T, F - 4, 20 width)
    x = layers.Conv2D(_HEAD * width, 1, use_bias=False, name="head")(x)
    x = batch_norm_relu(x, "head")  # (T, F - 4, 32 width)
    x = layers.GlobalAveragePooling2D(name="mean")(x)  # (32 width)
    return softmax(x, labels)


def _block(x: Any, channels: int, *, dilation: int, halve: bool, dropout: float, name: str) -> Any:
    """Add a broadcast residual: x + f2(x) + broadcast(f1(mean over F of f2(x))); no x where the channels change."""
    normal = x.shape[-1] == channels
    y = x
    if not normal:
        y = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_widen")(y)
        y = batch_norm_relu(y, f"{name}_widen")
    y = layers.DepthwiseConv2D((1, 3), padding="same", use_bias=False, name=f"{name}_frequency")(y)
    if halve:  # a stride in one direction alone, which TensorFlow's depthwise convolution has not
        y = layers.MaxPooling2D(1, strides=(1, 2), name=f"{name}_halve")(y)
    y = SubSpectralNorm(SUB_BANDS, name=f"{name}_frequency_norm")(y)  # (T, F, channels)
    z = layers.AveragePooling2D((1, y.shape[2]), name=f"{name}_mean")(y)  # (T, 1, channels)
    z = layers.DepthwiseConv2D(
        (3, 1), dilation_rate=(dilation, 1), padding="same", use_bias=False, name=f"{name}_time"
    )(z)
    z = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_time_norm")(z)
    z = _swish(z, f"{name}_time")
    z = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_mix")(z)
    z = layers.SpatialDropout2D(dropout, name=f"{name}_dropout")(z)
    if normal:
        y = layers.Add(name=f"{name}_add")([y, x])  # first, as TensorFlow's optimiser would have it in any case
    y = layers.Add(name=f"{name}_broadcast")([z, y])  # (T, 1, channels) + (T, F, channels)
    return layers.ReLU(name=f"{name}_relu")(y)


def _swish(x: Any, name: str) -> Any:
    """x · sigmoid(x), in two layers as int8 computes it: each of them rounds."""
    gate = layers.Activation("sigmoid", name=f"{name}_gate")(x)
    return layers.Multiply(name=f"{name}_swish")([x, gate])
