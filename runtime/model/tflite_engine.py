"""LiteRT and tflite-runtime: the classic TFLite interpreter, and a stream with its tensors bound once."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from kwspot.runtime.errors import BundleDamagedError, EngineError
from kwspot.runtime.model.engines import StreamSession, Tensor, import_library, model_fault
from kwspot.runtime.model.manifest import ModelFile, TensorInfo
from kwspot.runtime.standard_streams import without_native_chatter

INTERPRETER_ERRORS = (RuntimeError, ValueError, SystemError, TypeError, KeyError, IndexError, OverflowError)
"""What the interpreter raises about a model that is not sound."""


class _TfliteInterpreter:
    """What LiteRT and tflite-runtime share: the classic interpreter."""

    name: str
    module: str

    def __init__(self, model: bytes, expected: ModelFile) -> None:
        library = self.load_library()
        try:
            with without_native_chatter():
                self._interpreter = library.Interpreter(model_content=model, num_threads=1)
                self._interpreter.allocate_tensors()
            given, made = self._interpreter.get_input_details(), self._interpreter.get_output_details()
            inputs, self._input_indices = self._match(given, expected.inputs, expected)
            outputs, self._output_indices = self._match(made, expected.outputs, expected)
        except INTERPRETER_ERRORS as error:
            raise model_fault(self.name, "load", expected.file, error) from error
        self._file = expected.file
        self.inputs, self.outputs = inputs, outputs

    @classmethod
    def load_library(cls) -> ModuleType:
        return import_library(cls.name, cls.module)

    @staticmethod
    def _match(
        details: list[dict[str, Any]], expected: tuple[TensorInfo, ...], model: ModelFile
    ) -> tuple[tuple[TensorInfo, ...], list[int]]:
        """Return the model's tensors in the manifest's order (by name: an engine's own order is arbitrary)."""
        found = {tensor["name"]: (tensor_info(tensor), int(tensor["index"])) for tensor in details}
        infos = {name: info for name, (info, _) in found.items()}
        if infos != {info.name: info for info in expected}:
            raise BundleDamagedError(
                f"{model.file} has tensors {list(infos.values())}, bundle.json says {list(expected)}; "
                "export the bundle again"
            )
        return expected, [found[info.name][1] for info in expected]

    def infer(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        try:
            for index, tensor in zip(self._input_indices, tensors, strict=True):
                self._interpreter.set_tensor(index, tensor)
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(index) for index in self._output_indices]
        except INTERPRETER_ERRORS as error:
            raise model_fault(self.name, "run", self._file, error) from error

    def session(self) -> StreamSession:
        def invoke() -> None:
            try:
                self._interpreter.invoke()
            except INTERPRETER_ERRORS as error:
                raise model_fault(self.name, "run", self._file, error) from error

        try:
            return TfliteSession(self._interpreter, invoke, self._input_indices, self._output_indices)
        except INTERPRETER_ERRORS as error:
            raise model_fault(self.name, "run", self._file, error) from error


def tensor_info(details: dict[str, Any]) -> TensorInfo:
    """Read one entry of an interpreter's ``get_input_details()`` or ``get_output_details()``."""
    scale, zero_point = details["quantization"]
    quantised = np.dtype(details["dtype"]) == np.int8
    return TensorInfo(
        name=details["name"],
        shape=tuple(int(size) for size in details["shape"]),
        dtype=np.dtype(details["dtype"]).name,
        scale=float(scale) if quantised else None,
        zero_point=int(zero_point) if quantised else None,
    )


class LiteRtEngine(_TfliteInterpreter):
    """ai-edge-litert, today's TensorFlow Lite; the default."""

    name = "litert"
    module = "ai_edge_litert.interpreter"


class TfliteEngine(_TfliteInterpreter):
    """tflite-runtime 2.14, the last; for Python 3.11 and 32-bit boards."""

    name = "tflite"
    module = "tflite_runtime.interpreter"

    @classmethod
    def load_library(cls) -> ModuleType:
        library = super().load_library()
        # The import succeeds with numpy 2, and every Interpreter then dies with a SystemError.
        if int(np.__version__.partition(".")[0]) >= 2:
            raise EngineError(
                f"tflite-runtime needs numpy below 2 and numpy {np.__version__} is installed: "
                "pip install 'numpy<2', or choose --engine litert"
            )
        return library


class TfliteSession:
    """The tensors of a classic TFLite interpreter, in its own memory.

    ``set_tensor`` and ``get_tensor`` of six states cost as much as the model;
    here a state is one copy within the interpreter's memory, which LiteRT asks
    for: its inputs and outputs do not share memory.
    """

    def __init__(
        self, interpreter: Any, invoke: Callable[[], None], input_indices: Sequence[int], output_indices: Sequence[int]
    ) -> None:
        self._interpreter = interpreter  # it owns the memory
        self._invoke = invoke
        inputs = [_memory_of(interpreter, index) for index in input_indices]
        outputs = [_memory_of(interpreter, index) for index in output_indices]
        self.frames, self.scores = inputs[0], outputs[0]
        self._states = inputs[1:]
        self._loops = [
            (state, paired[:, -state.shape[1] :]) for state, paired in zip(inputs[1:], outputs[1:], strict=True)
        ]

    def step(self) -> None:
        self._invoke()
        for state, new in self._loops:
            state[...] = new

    def states(self) -> list[Tensor]:
        return [state.copy() for state in self._states]

    def set_states(self, states: Sequence[Tensor]) -> None:
        for state, values in zip(self._states, states, strict=True):
            state[...] = values


def _memory_of(interpreter: Any, index: int) -> Tensor:
    """Return an array over a tensor of an interpreter whose tensors have been allocated.

    The interpreter's own view would do, but it refuses to run while one is
    alive. It moves its tensors when they are allocated or resized, and neither
    happens here again.
    """
    view = interpreter.tensor(index)()
    shape, dtype, size = view.shape, view.dtype, view.nbytes
    address = view.ctypes.data
    del view
    return np.frombuffer((ctypes.c_byte * size).from_address(address), dtype).reshape(shape)
