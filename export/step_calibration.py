"""The steps of a float model along clips: what an int8 model of them is calibrated on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.export.step import FRAMES


def steps_along(
    step_model: bytes, states: Sequence[tuple[str, str]], clips: NDArray[np.float32]
) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield all inputs of each step, by name, as a listening board would: the noise before a word, then the clip.

    The noise is the first frame of the clip, which lasts. Digital silence there
    would make a jump that no room makes, and ranges of its own: with it the
    scores of an int8 model were a third farther from those in float.

    Parameters
    ----------
    step_model
        Float TFLite of a step.
    states
        Names of each state's input and output.
    clips : float32, shape (clips, T, C)
        Normalised.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=step_model, num_threads=1)
    interpreter.allocate_tensors()
    inputs = {tensor["name"]: tensor for tensor in interpreter.get_input_details()}
    outputs = {tensor["name"]: tensor["index"] for tensor in interpreter.get_output_details()}
    hop = int(inputs[FRAMES]["shape"][1])
    length = clips.shape[1]
    # So much that no step of the clip knows of anything before it, and the last step ends with the clip.
    frames_before = length + -2 * length % hop
    for clip in clips:
        before = np.repeat(clip[:1], frames_before, axis=0)
        tensors = {name: np.zeros(tensor["shape"], np.float32) for name, tensor in inputs.items()}
        for number, frames in enumerate(np.split(np.concatenate([before, clip]), (frames_before + length) // hop)):
            tensors[FRAMES] = frames[None, :, None]
            for name, tensor in tensors.items():
                interpreter.set_tensor(inputs[name]["index"], np.ascontiguousarray(tensor))
            interpreter.invoke()
            if number * hop >= length:  # the states before are still those of no sound at all
                yield dict(tensors)
            for state, paired in states:
                tensors[state] = interpreter.get_tensor(outputs[paired])[:, -tensors[state].shape[1] :]
