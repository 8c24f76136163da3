"""Scales at which no addition of an int8 model falls between two steps, so that every engine rounds it alike.

An int8 addition gives ``round(a * s_a / s_out + b * s_b / s_out)``. XNNPACK computes
it in fixed point, onnxruntime in float; of 100,000 sums one or two come so near
a half that the two differ, and a step in one block becomes several in the
scores. Here the two ratios are made fractions of one odd number M: then every
sum is a multiple of 1/M, none is nearer to a half than 1/(2 M), and no engine's
error is as large. A scale grows by 1/M of the output's at most.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kwspot.export.tensors import operator_name

ODD = 1023
"""Half of 1/1023 is 4.9e-4 of a step. XNNPACK's multipliers have 20 bits, which is 1.2e-4 at most; float32 3e-5."""

SAME_SCALE = ("CONCATENATION", "EXPAND_DIMS", "PAD", "RESHAPE", "SLICE", "SQUEEZE", "STRIDED_SLICE", "TRANSPOSE")
"""Operations whose inputs and output have one scale."""

WITH_BIAS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
"""Operations with a bias in steps of the input's scale times the weights'."""


def requantise_additions(tflite: bytes) -> bytes:
    """Move the scales of the additions of an int8 TFLite model by less than a thousandth of their outputs'."""
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(tflite))
    (graph,) = model.subgraphs
    names = [operator_name(code) for code in model.operatorCodes]
    operators = [(names[operator.opcodeIndex], operator) for operator in graph.operators]
    groups = _groups(graph, operators)
    scales = {group: float(graph.tensors[group].quantization.scale[0]) for group in set(groups.values())}
    moved: dict[int, float] = {}
    settled: set[int] = set()
    # From the last addition to the first: the output of one is an input of the next.
    for name, operator in reversed(operators):
        if name != "ADD" or not all(index in groups for index in operator.inputs):
            continue
        out, *inputs = (groups[index] for index in (operator.outputs[0], *operator.inputs))
        settled.add(out)
        unit = moved.get(out, scales[out]) / ODD
        for group in inputs:
            # One that is settled is also added elsewhere; the parity check has the last word on it.
            if group not in settled:
                settled.add(group)
                moved[group] = math.ceil(scales[group] / unit - 1e-3) * unit
    for index, group in groups.items():
        if group in moved:
            graph.tensors[index].quantization.scale = np.array([moved[group]], np.float32)
    for name, operator in operators:
        source = groups.get(operator.inputs[0]) if name in WITH_BIAS else None
        # An index of -1 is no bias.
        if source in moved and len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            _rescale_bias(model, graph.tensors[operator.inputs[2]], moved[source] / scales[source])
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _groups(graph: Any, operators: list[tuple[str, Any]]) -> dict[int, int]:
    """Index of each int8 tensor that is computed → the first of those that must have its scale."""
    computed = {int(index) for _, operator in operators for index in operator.outputs} | set(map(int, graph.inputs))
    group = {index: index for index in computed if _quantised(graph.tensors[index])}
    for name, operator in operators:
        if name not in SAME_SCALE:
            continue
        joined = {group[index] for index in (*operator.inputs, *operator.outputs) if index in group}
        for index, old in group.items():
            if old in joined:
                group[index] = min(joined)
    return group


def _quantised(tensor: Any) -> bool:
    return tensor.quantization is not None and tensor.quantization.scale is not None


def _rescale_bias(model: Any, tensor: Any, factor: float) -> None:
    """Return the same bias in steps that are `factor` times as large."""
    buffer = model.buffers[tensor.buffer]
    steps = np.asarray(buffer.data, np.uint8).view(np.int32)
    buffer.data = np.rint(steps / factor).astype(np.int32).view(np.uint8)
    tensor.quantization.scale = (np.asarray(tensor.quantization.scale) * factor).astype(np.float32)
