"""What the converted models say about their own tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kwspot.runtime.bundle import MODEL_FILES, ModelFile, TensorInfo, sha256_of
from kwspot.runtime.engines import tensor_info
from kwspot.runtime.errors import ExportError


def describe(models: Mapping[str, bytes]) -> dict[str, ModelFile]:
    """Form of the model → its file, hash and tensors, read from the models themselves.

    An ONNX graph says names and shapes, but keeps the scale and zero point of
    its input and output in nodes; they are those of the TFLite model that it
    was made from, which the parity check then proves.
    """
    described = {}
    for form, content in models.items():
        inputs, outputs = _onnx_tensors(content) if form.endswith("onnx") else _tflite_tensors(content)
        described[form] = ModelFile(MODEL_FILES[form], sha256_of(content), inputs, outputs)
    onnx, tflite = described["int8-onnx"], described["int8-tflite"]
    described["int8-onnx"] = dataclasses.replace(
        onnx, inputs=_scaled_like(onnx.inputs, tflite.inputs), outputs=_scaled_like(onnx.outputs, tflite.outputs)
    )
    return described


def _tflite_tensors(content: bytes) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    return tuple(map(tensor_info, inputs)), tuple(map(tensor_info, outputs))


def _onnx_tensors(content: bytes) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    import onnx

    def info(value: Any) -> TensorInfo:
        tensor = value.type.tensor_type
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
        # A dimension that is not fixed reads as 0 and is refused below, by its shape.
        return TensorInfo(value.name, tuple(int(size.dim_value) for size in tensor.shape.dim), dtype)

    graph = onnx.load_model_from_string(content).graph
    return tuple(map(info, graph.input)), tuple(map(info, graph.output))


def _scaled_like(tensors: tuple[TensorInfo, ...], model: tuple[TensorInfo, ...]) -> tuple[TensorInfo, ...]:
    if [(t.shape, t.dtype) for t in tensors] != [(t.shape, t.dtype) for t in model]:
        raise ExportError(
            f"the ONNX model has tensors {list(tensors)}, the TFLite model it was made from {list(model)}; "
            "expected the same shapes and types: install the versions of the constraints file"
        )
    return tuple(
        dataclasses.replace(tensor, scale=twin.scale, zero_point=twin.zero_point)
        for tensor, twin in zip(tensors, model, strict=True)
    )
