"""Which layers can be fed step by step, how many rows each sees, and the layer of the step model.

The layout is (1, rows, bands, channels) throughout; a tensor (rows, channels)
of the window model has one band here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from kwspot.runtime.errors import ExportError


def refuse(layer: Any, why: str) -> ExportError:
    """Return the error that names a layer."""
    return ExportError(
        f"the layer {layer.name} ({type(layer).__name__}) {why}, so the model cannot be exported as a stream; "
        "expected convolutions without padding over time, and what works on each row alone: "
        "export it with --kind window, or train a streaming preset"
    )


@dataclasses.dataclass(frozen=True)
class LayerStep:
    """How one layer is fed step by step.

    An output row sees `kernel_rows` input rows and the next one begins
    `stride` rows later; the last `delay_rows` of the input are not seen yet.
    With `whole` the layer sees all rows of the window and time ends there.
    `macs_per_row` are the multiply-accumulates of an output row. `moves_only`
    layers compute nothing.
    """

    layer: Any
    build: Callable[[Sequence[Any]], Any]
    stride: int = 1
    kernel_rows: int = 1
    delay_rows: int = 0
    dropped_rows: int = 0
    whole: bool = False
    macs_per_row: int = 0
    moves_only: bool = False

    @property
    def inputs(self) -> list[Any]:
        """Tensors of the window model that the layer takes."""
        taken = self.layer.input
        return list(taken) if isinstance(taken, list | tuple) else [taken]

    def out_rows(self, rows: Sequence[int]) -> int:
        """Length in time of the output in the window model, 0 where it has none."""
        if self.whole or not rows[0]:
            return 0
        if len(set(rows)) > 1:
            raise refuse(self.layer, f"joins {' and '.join(map(str, rows))} rows")
        left = rows[0] - self.delay_rows - self.dropped_rows - self.kernel_rows
        if left < 0 or left % self.stride:
            raise refuse(self.layer, f"leaves the last {left % self.stride} of its {rows[0]} rows unseen")
        return left // self.stride + 1

    def rows_seen(self, computed_rows: int, rows: int) -> int:
        """Return how many of the last rows of an input it takes to compute so many of the last output rows."""
        if self.whole or not rows:
            return rows
        return (computed_rows - 1) * self.stride + self.kernel_rows + self.delay_rows

    def pick(self, tail: Any, computed_rows: int, rows: int) -> Any:
        """Return those rows of a tail, without the delayed ones."""
        if not rows:
            return tail
        available = tail.shape[1]
        first, end = available - self.rows_seen(computed_rows, rows), available - self.delay_rows
        return tail if (first, end) == (0, available) else tail[:, first:end]


def _pairs(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[-1])


def _new(kind: str, layer: Any, **options: Any) -> Any:
    """Return a layer of Keras without weights, with the name of another."""
    import keras

    return getattr(keras.layers, kind)(name=layer.name, **options)


def _weighted(layer: Any, kind: str, changes: dict[str, Any], shape: tuple[int, ...] | None = None) -> Any:
    """Return a layer with the weights of another, its kernel in another shape where one is given."""
    import keras

    config = {**layer.get_config(), **changes}

    def build(tensors: Sequence[Any]) -> Any:
        (x,) = tensors
        paired = getattr(keras.layers, kind).from_config(config)
        paired.build(x.shape)
        weights = layer.get_weights()
        if shape is not None:
            weights[0] = weights[0].reshape(shape)
        paired.set_weights(weights)
        return paired(x)

    return build


def _convolution(layer: Any) -> LayerStep:
    config = layer.get_config()
    flat = layer.kernel.ndim == 3  # over time alone: (rows, channels, filters)
    depthwise = type(layer).__name__.startswith("Depthwise")
    size, strides, dilation = (_pairs(config[key]) for key in ("kernel_size", "strides", "dilation_rate"))
    if config.get("data_format") not in (None, "channels_last") or config.get("groups", 1) != 1:
        raise refuse(layer, "has its channels first or in groups")
    changes: dict[str, Any] = {}
    if flat:
        # A depthwise convolution takes the same stride both ways; with one band it matters not.
        size, strides, dilation = (size[0], 1), (strides[0], strides[0] if depthwise else 1), (dilation[0], 1)
        changes = {"kernel_size": size, "strides": strides, "dilation_rate": dilation}
    if config["padding"] != "valid":
        if size[0] > 1 or strides[0] > 1:
            raise refuse(layer, f"pads time (padding = {config['padding']!r})")
        if flat:
            changes["padding"] = "valid"
    kernel = tuple(layer.kernel.shape)
    shape = (kernel[0], 1, *kernel[1:]) if flat else None
    bands = 1 if flat else int(layer.output.shape[2])
    return LayerStep(
        layer,
        _weighted(layer, "DepthwiseConv2D" if depthwise else "Conv2D", changes, shape),
        stride=strides[0],
        kernel_rows=(size[0] - 1) * dilation[0] + 1,
        macs_per_row=bands * math.prod(kernel),
    )


def _norm(layer: Any) -> LayerStep:
    if layer.get_config()["axis"] not in (-1, len(layer.output.shape) - 1):
        raise refuse(layer, "normalises another axis than the channels")
    return LayerStep(layer, _weighted(layer, "BatchNormalization", {"axis": -1}))


def _activation(layer: Any) -> LayerStep:
    softmax = type(layer).__name__ == "Softmax" or layer.get_config().get("activation") == "softmax"
    # Over channels; with all of time inside it would be another function of each step.
    if softmax and len(layer.output.shape) != 2:
        raise refuse(layer, "is a softmax before the end of time")
    return LayerStep(layer, lambda x: type(layer).from_config(layer.get_config())(x[0]))


def _dropout(layer: Any) -> LayerStep:
    return LayerStep(layer, lambda x: x[0], moves_only=True)


def _dense(layer: Any) -> LayerStep:
    if len(layer.output.shape) != 2:
        raise refuse(layer, "works on rows; a convolution of one row does the same")
    return LayerStep(layer, _weighted(layer, "Dense", {}), macs_per_row=math.prod(layer.kernel.shape))


def _reshape(layer: Any) -> LayerStep:
    before, after = layer.input.shape, layer.output.shape
    if len(after) not in (3, 4) or before[1] != after[1]:
        raise refuse(layer, "does not leave time as it is")
    target = (1, after[2]) if len(after) == 3 else (after[2], after[3])  # (bands, channels)
    return LayerStep(
        layer, lambda x: _new("Reshape", layer, target_shape=(x[0].shape[1], *target))(x[0]), moves_only=True
    )


def _padding(layer: Any) -> LayerStep:
    over_time, over_bands = layer.padding
    if tuple(over_time) != (0, 0):
        raise refuse(layer, "pads time")
    padding = ((0, 0), tuple(over_bands))
    return LayerStep(layer, lambda x: _new("ZeroPadding2D", layer, padding=padding)(x[0]), moves_only=True)


def _cropping(layer: Any) -> LayerStep:
    start, end = layer.cropping
    if isinstance(start, tuple):  # of a picture: rows, then bands
        (start, end), over_bands = layer.cropping
        if tuple(over_bands) != (0, 0):
            raise refuse(layer, "crops bands")
    return LayerStep(layer, lambda x: x[0], delay_rows=int(end), dropped_rows=int(start), moves_only=True)


def _add(layer: Any) -> LayerStep:
    return LayerStep(layer, lambda x: _new("Add", layer)(list(x)))


def _pooling(layer: Any) -> LayerStep:
    if layer.get_config().get("keepdims"):
        raise refuse(layer, "keeps a dimension for time")
    kind = type(layer).__name__.replace("1D", "2D")
    return LayerStep(layer, lambda x: _new(kind, layer)(x[0]), whole=True)


LAYERS: dict[str, Callable[[Any], LayerStep]] = {
    "Activation": _activation,
    "Add": _add,
    "BatchNormalization": _norm,
    "Conv1D": _convolution,
    "Conv2D": _convolution,
    "Cropping1D": _cropping,
    "Cropping2D": _cropping,
    "Dense": _dense,
    "DepthwiseConv1D": _convolution,
    "DepthwiseConv2D": _convolution,
    "Dropout": _dropout,
    "GlobalAveragePooling1D": _pooling,
    "GlobalAveragePooling2D": _pooling,
    "GlobalMaxPooling1D": _pooling,
    "GlobalMaxPooling2D": _pooling,
    "ReLU": _activation,
    "Reshape": _reshape,
    "Softmax": _activation,
    "SpatialDropout1D": _dropout,
    "SpatialDropout2D": _dropout,
    "ZeroPadding2D": _padding,
}
"""Keras class → how such a layer is fed; every other one is refused by its name."""
