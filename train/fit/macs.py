"""What a model costs: parameters, and multiply-accumulates per inference.

Counted are the products of layers with weights. Not counted: biases,
activations, pooling, the elementwise products of recurrent gates, and batch
normalisation, which is folded into the layer before it on export.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from kwspot.train.backend import keras

layers = keras.layers


class Cost(NamedTuple):
    """Of one model."""

    parameters: int
    macs: int


def count_cost(model: Any) -> Cost:
    """Count all weights of a model of fixed length, batch normalisation included, and its multiply-accumulates.

    Raises
    ------
    TypeError
        If a layer has weights but no rule here: counting it as 0 would be a lie.
    ValueError
        If an input has no fixed length.
    """
    return Cost(model.count_params(), _macs(model))


def _macs(model: Any) -> int:
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            total += _macs(layer)
        else:
            total += layer_macs(layer) * len(layer._inbound_nodes)
    return total


def layer_macs(layer: Any) -> int:
    """Multiply-accumulates of one use of a layer."""
    if not layer.weights or isinstance(layer, layers.BatchNormalization):
        return 0
    read, written = _shape(layer, layer.input), _shape(layer, layer.output)
    # Subclasses before their base: DepthwiseConv2D and SeparableConv2D are no Conv2D in Keras 3.
    if isinstance(layer, layers.Conv1D | layers.Conv2D):
        places = math.prod(written[:-1])
        return places * math.prod(layer.kernel_size) * (read[-1] // layer.groups) * layer.filters
    if isinstance(layer, layers.DepthwiseConv1D | layers.DepthwiseConv2D):
        return math.prod(written) * math.prod(layer.kernel_size)  # one input channel for each output
    if isinstance(layer, layers.SeparableConv1D | layers.SeparableConv2D):
        places, middle = math.prod(written[:-1]), read[-1] * layer.depth_multiplier
        return places * middle * (math.prod(layer.kernel_size) + layer.filters)
    if isinstance(layer, layers.Dense):
        return math.prod(written[:-1]) * read[-1] * layer.units
    if isinstance(layer, layers.LSTM):
        return int(read[0] * 4 * layer.units * (read[-1] + layer.units))
    if isinstance(layer, layers.GRU):
        return int(read[0] * 3 * layer.units * (read[-1] + layer.units))
    if isinstance(layer, layers.SimpleRNN):
        return int(read[0] * layer.units * (read[-1] + layer.units))
    raise TypeError(f"layer {layer.name} ({type(layer).__name__}) has weights but no rule for its multiply-accumulates")


def _shape(layer: Any, tensor: Any) -> tuple[int, ...]:
    """Without the batch axis."""
    shape = tuple(tensor.shape[1:])
    if None in shape:
        raise ValueError(f"layer {layer.name} has the shape {shape}; count the model of fixed length")
    return shape
