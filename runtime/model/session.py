"""A streaming model with its tensors bound once: write the frames, step, read the scores.

The states of a step are the inputs of the next. What has to be copied for it
differs from engine to engine, so each has a stepper of its own.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.model.bundle import TensorInfo

Tensor = NDArray[Any]


class StreamSession(Protocol):
    """A model of frames and states.

    `frames` (1, hop, 1, C) is written before a step and `scores` (1, L) read
    after it; both are the engine's own memory.
    """

    frames: Tensor
    scores: Tensor

    def step(self) -> None:
        """Run once; the new states become those of the next step."""

    def states(self) -> list[Tensor]:
        """A copy of the states that the next step will start from."""

    def set_states(self, states: Sequence[Tensor]) -> None:
        """Put them back."""


class TfliteSession:
    """The tensors of a classic TFLite interpreter, in its own memory.

    ``set_tensor`` and ``get_tensor`` of six states cost as much as the model;
    here a state is one copy within the interpreter's memory, which LiteRT asks
    for: its inputs and outputs do not share memory.
    """

    def __init__(self, interpreter: Any, input_indices: Sequence[int], output_indices: Sequence[int]) -> None:
        self._interpreter = interpreter  # it owns the memory
        self._invoke = interpreter.invoke
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
    """An array over a tensor of an interpreter whose tensors have been allocated.

    The interpreter's own view would do, but it refuses to run while one is
    alive. It moves its tensors when they are allocated or resized, and neither
    happens here again.
    """
    view = interpreter.tensor(index)()
    shape, dtype, size = view.shape, view.dtype, view.nbytes
    address = view.ctypes.data
    del view
    return np.frombuffer((ctypes.c_byte * size).from_address(address), dtype).reshape(shape)


class OnnxSession:
    """Two sets of state buffers in an onnxruntime session: what one step writes the next one reads, without a copy."""

    def __init__(self, session: Any, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> None:
        self._session = session
        self.frames: Tensor = np.zeros(inputs[0].shape, inputs[0].dtype)
        self.scores: Tensor = np.zeros(outputs[0].shape, outputs[0].dtype)
        # Twins [set][state], as the model writes them; their last rows are what it reads.
        twins = [[np.zeros(paired.shape, paired.dtype) for paired in outputs[1:]] for _ in range(2)]
        self._states = [
            [paired[:, -state.shape[1] :] for paired, state in zip(side, inputs[1:], strict=True)] for side in twins
        ]
        self._bindings = [
            self._bind(inputs, [self.frames, *self._states[side]], outputs, [self.scores, *twins[1 - side]])
            for side in range(2)
        ]
        self._twins = twins
        self._side = 0

    def _bind(
        self,
        inputs: Sequence[TensorInfo],
        given: Sequence[Tensor],
        outputs: Sequence[TensorInfo],
        said: Sequence[Tensor],
    ) -> Any:
        binding = self._session.io_binding()
        for bind, tensors, arrays in (
            (binding.bind_input, inputs, given),
            (binding.bind_output, outputs, said),
        ):
            for tensor, array in zip(tensors, arrays, strict=True):
                bind(tensor.name, "cpu", 0, np.dtype(tensor.dtype).type, tensor.shape, array.ctypes.data)
        return binding

    def step(self) -> None:
        side = self._side
        self._side = 1 - side
        self._session.run_with_iobinding(self._bindings[side])

    def states(self) -> list[Tensor]:
        return [state.copy() for state in self._states[self._side]]

    def set_states(self, states: Sequence[Tensor]) -> None:
        for state, values in zip(self._states[self._side], states, strict=True):
            state[...] = values
