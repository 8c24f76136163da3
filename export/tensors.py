"""What the converted models say about their own tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from kwspot.export.step import FRAMES, SCORES
from kwspot.runtime.errors import ExportError
from kwspot.runtime.model.bundle import sha256_of
from kwspot.runtime.model.manifest import MODEL_FILES, ModelFile, StatePair, TensorInfo
from kwspot.runtime.model.tflite_engine import tensor_info


def describe(models: Mapping[str, bytes], states: Sequence[StatePair] = ()) -> dict[str, ModelFile]:
    """Form of the model → its file, hash and tensors, read from the models themselves, in the manifest's order.

    An ONNX graph says names and shapes, but keeps the scale and zero point of
    its inputs and outputs in nodes; they are those of the TFLite model that it
    was made from, which the parity check then proves.

    Raises
    ------
    ExportError
        If the ONNX model has other tensors than the TFLite model, or a state's
        output another scale or zero point than its input.
    """
    wanted_inputs = [FRAMES, *(pair.input for pair in states)]
    wanted_outputs = [SCORES, *(pair.output for pair in states)]
    described = {}
    for form, content in models.items():
        inputs, outputs = _onnx_tensors(content) if form.endswith("onnx") else _tflite_tensors(content)
        described[form] = ModelFile(
            MODEL_FILES[form], sha256_of(content), _in_order(inputs, wanted_inputs), _in_order(outputs, wanted_outputs)
        )
    tflite = described["int8-tflite"]
    if onnx := described.get("int8-onnx"):
        described["int8-onnx"] = dataclasses.replace(
            onnx, inputs=_scaled_like(onnx.inputs, tflite.inputs), outputs=_scaled_like(onnx.outputs, tflite.outputs)
        )
    for state, paired in zip(tflite.inputs[1:], tflite.outputs[1:], strict=True):
        if (state.scale, state.zero_point) != (paired.scale, paired.zero_point):
            raise ExportError(
                f"the state {state.name} has scale {state.scale} and zero point {state.zero_point}, its pair "
                f"{paired.name} {paired.scale} and {paired.zero_point}; expected the same, or a stream would drift: "
                "install the versions of the constraints file"
            )
    return described


def operator_name(code: Any) -> str:
    """Return what the schema calls an operator code of a TFLite model, such as ``CONV_2D``."""
    from ai_edge_litert import schema_py_generated as schema

    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return next(name for name, value in vars(schema.BuiltinOperator).items() if value == number)


def _in_order(tensors: tuple[TensorInfo, ...], names: Sequence[str]) -> tuple[TensorInfo, ...]:
    by_name = {tensor.name: tensor for tensor in tensors}
    if sorted(by_name) != sorted(names):
        raise ExportError(
            f"the converted model has tensors {sorted(by_name)}, expected {sorted(names)}: "
            "install the versions of the constraints file"
        )
    return tuple(by_name[name] for name in names)


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
        dataclasses.replace(tensor, scale=paired.scale, zero_point=paired.zero_point)
        for tensor, paired in zip(tensors, model, strict=True)
    )
