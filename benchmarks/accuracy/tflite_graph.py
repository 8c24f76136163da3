"""The operators of a float and an int8 TFLite model side by side, and models made of both.

The converter makes both from one graph, so that the n-th operator of one is
the n-th of the other, once those that only quantise are left out. Models are
read and written by the schema that LiteRT itself brings.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.errors import BundleError

_ONLY_CONVERT = frozenset(("QUANTIZE", "DEQUANTIZE"))
_OF_TENSORFLOW = re.compile(r"[A-Z]\w*|(batchnorm|add|mul|convolution|depthwise|concat|strided_slice)(_?\d+)?")
"""Parts of a name that TensorFlow gave and no person."""

_FLOAT32, _INT8 = 0, 9
"""Of the schema's ``TensorType``."""


@dataclass(frozen=True)
class Operator:
    """One operator: its kind as the schema calls it, and the indices of the tensors it reads and writes."""

    kind: str
    inputs: tuple[int, ...]
    output: int
    name: str


def read_graph(model: bytes) -> Any:
    """Return the schema's ``ModelT`` of a model with one graph."""
    from ai_edge_litert import schema_py_generated as schema

    # The schema reads whatever bytes it is given; the file identifier is the only mark of a model.
    graphs = schema.ModelT.InitFromPackedBuf(model, 0) if model[4:8] == b"TFL3" else None
    if graphs is None or len(graphs.subgraphs) != 1:
        raise BundleError("the model is no TFLite model of one graph; expected one that 'kwspot export' wrote")
    return graphs


def write_graph(graph: Any) -> bytes:
    """Return a model as bytes."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(graph.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def operators(graph: Any) -> list[Operator]:
    """Return the operators in the order in which they run, without those that only quantise."""
    from ai_edge_litert import schema_py_generated as schema

    kinds = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    found = []
    tensors = graph.subgraphs[0].tensors
    for operator in graph.subgraphs[0].operators:
        code = graph.operatorCodes[operator.opcodeIndex]
        kind = kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]
        output = int(operator.outputs[0])
        if kind not in _ONLY_CONVERT:
            inputs = tuple(int(index) for index in operator.inputs)
            found.append(Operator(kind, inputs, output, short_name(tensors[output].name.decode())))
    return found


def short_name(name: str) -> str:
    """Return the part of a tensor's name that the layer was given.

    >>> short_name("functional_1/tc_cnn_1/mix_relu_1/Relu;functional_1/tc_cnn_1/mix_norm_1/batchnorm/add_1")
    'mix_relu'
    >>> short_name("functional_1/conv1d_1/batchnorm/add_1"), short_name("functional_1/depthwise0_1/depthwise1")
    ('conv1d', 'depthwise0')
    >>> short_name("StatefulPartitionedCall_1:0")
    'output'
    """
    parts = name.partition(";")[0].split("/")
    if parts[-1].startswith("StatefulPartitionedCall"):
        return "output"
    layer = next((part for part in reversed(parts) if not _OF_TENSORFLOW.fullmatch(part)), parts[-1])
    # Keras numbers the layers of the copy that the converter is given.
    return layer.removesuffix("_1")


def pair_operators(float_graph: Any, int8_graph: Any) -> list[tuple[Operator, Operator]]:
    """Return each operator of the float model with its pair of the int8 model."""
    ours, theirs = operators(float_graph), operators(int8_graph)
    if [op.kind for op in ours] != [op.kind for op in theirs]:
        place = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a.kind != b.kind), None)
        where = f"of {len(ours)} and {len(theirs)} operators" if place is None else f"from {ours[place].name} on"
        raise BundleError(
            f"the float and the int8 model differ {where}; expected two forms of one graph: export the bundle again"
        )
    return list(zip(ours, theirs, strict=True))


def constant(graph: Any, index: int) -> NDArray[Any] | None:
    """Return the values of a tensor that the model stores, as real numbers of its shape; None for one that is computed.

    Weights in int8 are given as what they stand for: scale × (step − zero point), for each channel its own.
    """
    if index < 0:
        return None
    tensor = graph.subgraphs[0].tensors[index]
    data = graph.buffers[tensor.buffer].data
    if data is None or not len(data) or tensor.type not in (_FLOAT32, _INT8):
        return None
    dtype = np.float32 if tensor.type == _FLOAT32 else np.int8
    values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), dtype).reshape(tensor.shape)
    return values if tensor.type == _FLOAT32 else dequantise_tensor(values, tensor.quantization)


def dequantise_tensor(steps: NDArray[np.int8], quantisation: Any) -> NDArray[np.float32]:
    """Return what int8 steps stand for, float32 of the same shape, with one scale or one for each channel."""
    scale, zero_point = np.asarray(quantisation.scale, np.float32), np.asarray(quantisation.zeroPoint, np.float32)
    along = [1] * steps.ndim
    if len(scale) > 1:
        along[quantisation.quantizedDimension] = -1
    return (steps.astype(np.float32) - zero_point.reshape(along)) * scale.reshape(along)


def exchange_weights(float_model: bytes, int8_model: bytes) -> bytes:
    """Return the float model with the weights of the int8 model: it loses what rounding the weights alone costs."""
    graph, int8_graph = read_graph(float_model), read_graph(int8_model)
    exchanged = 0
    for ours, theirs in pair_operators(graph, int8_graph):
        for index, paired in zip(ours.inputs, theirs.inputs, strict=False):
            rounded = constant(int8_graph, paired)
            if rounded is None or graph.subgraphs[0].tensors[index].type != _FLOAT32:
                continue
            buffer = graph.buffers[graph.subgraphs[0].tensors[index].buffer]
            if 4 * rounded.size != len(buffer.data):
                raise BundleError(f"the weights of {ours.name} differ in size between float and int8: export again")
            buffer.data = np.frombuffer(np.ascontiguousarray(rounded, np.float32).tobytes(), np.uint8)
            exchanged += 1
    if not exchanged:
        raise BundleError("the int8 model has no weights in int8; expected one that 'kwspot export' wrote")
    return write_graph(graph)


def separate_operators(float_model: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """Take the float model apart: every operator reads inputs of the model alone.

    So each can be given what its twin in the int8 model was given, and the
    error that it adds itself is seen.

    Returns
    -------
    The model, and for each of its inputs, in order, (operator, place among the operator's inputs).
    """
    graph = read_graph(float_model)
    subgraph = graph.subgraphs[0]
    entries: list[tuple[int, int]] = []
    indices: list[int] = []
    runs = [operator for operator, _ in _computing(graph)]
    for number, operator in enumerate(runs):
        operator.inputs = np.array(operator.inputs, np.int32)
        for place, index in enumerate(operator.inputs):
            if index < 0 or ((data := graph.buffers[subgraph.tensors[index].buffer].data) is not None and len(data)):
                continue
            entry = copy.copy(subgraph.tensors[index])
            entry.name = f"entry{len(entries)}".encode()
            subgraph.tensors.append(entry)
            operator.inputs[place] = len(subgraph.tensors) - 1
            entries.append((number, place))
            indices.append(len(subgraph.tensors) - 1)
    subgraph.inputs = np.array(indices, np.int32)
    subgraph.outputs = np.array([operator.outputs[0] for operator in runs], np.int32)
    graph.signatureDefs = []
    return write_graph(graph), entries


def _computing(graph: Any) -> Iterator[tuple[Any, Operator]]:
    """Return the schema's operators beside ours; a float model has none that only quantise."""
    yield from zip(graph.subgraphs[0].operators, operators(graph), strict=True)


def calibrated_range(graph: Any, index: int) -> tuple[float, float] | None:
    """Return the least and the greatest number that an int8 tensor can stand for; None for another type."""
    tensor = graph.subgraphs[0].tensors[index]
    if tensor.type != _INT8:
        return None
    low, high = dequantise_tensor(np.array([-128, 127], np.int8), tensor.quantization)
    if not math.isfinite(low) or not math.isfinite(high):
        raise BundleError(f"the tensor {short_name(tensor.name.decode())} has no finite range: export the bundle again")
    return float(low), float(high)
