"""onnxruntime on the CPU, and a stream in it with its tensors bound once."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from kwspot.runtime.errors import BundleDamagedError, EngineError
from kwspot.runtime.model.engines import StreamSession, Tensor, import_library, model_fault
from kwspot.runtime.model.manifest import ModelFile, TensorInfo


class OnnxEngine:
    """onnxruntime on the CPU."""

    name = "onnx"

    @classmethod
    def load_library(cls) -> ModuleType:
        return import_library(cls.name, "onnxruntime")

    @classmethod
    def open_session(cls, model: bytes) -> Any:
        """Return onnxruntime's session of a model: one thread, all in integers."""
        onnxruntime = cls.load_library()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # On x86-64 onnxruntime would turn int8 into uint8 and leave some convolutions in float between the two. That is
        # quicker, but a sum that falls between two steps is then rounded otherwise than in LiteRT, about once in 300
        # clips of a deep net. With this, its default on ARM, all is in integers and the scores are the same.
        options.add_session_config_entry("session.qdqisint8allowed", "1")
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def __init__(self, model: bytes, expected: ModelFile) -> None:
        try:
            self._session = self.open_session(model)
        except EngineError:
            raise  # it is the engine that cannot be loaded
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise model_fault(self.name, "load", expected.file, error) from error
        self._file = expected.file
        self.inputs, self.outputs = expected.inputs, expected.outputs
        # The graph does not carry the scales of its inputs and outputs; the manifest does.
        found = [(t.name, tuple(t.shape), t.type) for t in (*self._session.get_inputs(), *self._session.get_outputs())]
        types = {"int8": "tensor(int8)", "float32": "tensor(float)"}
        wanted = [(t.name, t.shape, types[t.dtype]) for t in (*self.inputs, *self.outputs)]
        if sorted(found) != sorted(wanted):
            raise BundleDamagedError(
                f"{expected.file} has tensors {found}, bundle.json says {wanted}; export the bundle again"
            )
        self._input_names = [tensor.name for tensor in self.inputs]
        self._output_names = [tensor.name for tensor in self.outputs]

    def infer(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        try:
            return list(self._session.run(self._output_names, dict(zip(self._input_names, tensors, strict=True))))
        except Exception as error:
            raise model_fault(self.name, "run", self._file, error) from error

    def session(self) -> StreamSession:
        try:
            return OnnxSession(self._session, self._file, self.inputs, self.outputs)
        except Exception as error:
            raise model_fault(self.name, "run", self._file, error) from error


class OnnxSession:
    """Two sets of state buffers in an onnxruntime session: what one step writes the next one reads, without a copy."""

    def __init__(self, session: Any, file: str, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> None:
        self._session, self._file = session, file
        self.frames: Tensor = np.zeros(inputs[0].shape, inputs[0].dtype)
        self.scores: Tensor = np.zeros(outputs[0].shape, outputs[0].dtype)
        # Pairs [set][state], as the model writes them; their last rows are what it reads.
        pairs = [[np.zeros(paired.shape, paired.dtype) for paired in outputs[1:]] for _ in range(2)]
        self._states = [
            [paired[:, -state.shape[1] :] for paired, state in zip(side, inputs[1:], strict=True)] for side in pairs
        ]
        self._bindings = [
            self._bind(inputs, [self.frames, *self._states[side]], outputs, [self.scores, *pairs[1 - side]])
            for side in range(2)
        ]
        self._pairs = pairs  # the bindings hold addresses alone
        self._side = 0

    def _bind(
        self,
        inputs: Sequence[TensorInfo],
        given: Sequence[Tensor],
        outputs: Sequence[TensorInfo],
        said: Sequence[Tensor],
    ) -> Any:
        binding = self._session.io_binding()
        for bind, tensors, arrays in ((binding.bind_input, inputs, given), (binding.bind_output, outputs, said)):
            for tensor, array in zip(tensors, arrays, strict=True):
                bind(tensor.name, "cpu", 0, np.dtype(tensor.dtype).type, tensor.shape, array.ctypes.data)
        return binding

    def step(self) -> None:
        side = self._side
        self._side = 1 - side
        try:
            self._session.run_with_iobinding(self._bindings[side])
        except Exception as error:
            raise model_fault(OnnxEngine.name, "run", self._file, error) from error

    def states(self) -> list[Tensor]:
        return [state.copy() for state in self._states[self._side]]

    def set_states(self, states: Sequence[Tensor]) -> None:
        for state, values in zip(self._states[self._side], states, strict=True):
            state[...] = values
