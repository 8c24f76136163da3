"""The steps of a float model along clips: what an int8 model of them is calibrated on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.export.streaming import FRAMES


def steps_along(
    step_model: bytes,
    states: Sequence[tuple[str, str]],
    clips: NDArray[np.float32],
    silence: NDArray[np.float32],
) -> Iterator[dict[str, NDArray[Any]]]:
    """All inputs of each step, by name, as a listening board would give them: silence, then the clip.

    Parameters
    ----------
    step_model
        Float TFLite of a step.
    states
        Names of each state's input and output.
    clips : float32, shape (clips, T, C)
        Normalised.
    silence : float32, shape (C,)
        A normalised frame of digital silence.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=step_model, num_threads=1)
    interpreter.allocate_tensors()
    inputs = {tensor["name"]: tensor for tensor in interpreter.get_input_details()}
    outputs = {tensor["name"]: tensor["index"] for tensor in interpreter.get_output_details()}
    hop = int(inputs[FRAMES]["shape"][1])
    length = clips.shape[1]
    # So much silence that no step knows of anything before it, and the last step ends with the clip.
    before = np.tile(silence, (length + -2 * length % hop, 1))
    for clip in clips:
        tensors = {name: np.zeros(tensor["shape"], np.float32) for name, tensor in inputs.items()}
        for number, frames in enumerate(np.split(np.concatenate([before, clip]), (len(before) + length) // hop)):
            tensors[FRAMES] = frames[None, :, None]
            for name, tensor in tensors.items():
                interpreter.set_tensor(inputs[name]["index"], np.ascontiguousarray(tensor))
            interpreter.invoke()
            if number * hop >= length:  # the states before are still those of no sound at all
                yield dict(tensors)
            for state, twin in states:
                tensors[state] = interpreter.get_tensor(outputs[twin])[:, -tensors[state].shape[1] :]
