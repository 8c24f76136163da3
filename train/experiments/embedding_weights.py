"""Writes ``weights/speech-embedding.npz`` from the TFLite file of Google's speech embedding.

::

    python -m kwspot.train.experiments.embedding_weights embedding_model.tflite

The file comes with openWakeWord and in the wheel ``pyopen-wakeword``, under the Apache licence 2.0.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.files import whole_file
from kwspot.train.word.verifier import EMBEDDING


def read_convolutions(model: Path) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Kernels, float32 (time, mel, in, out), and biases, float32 (out,), in the order in which they are computed."""
    from ai_edge_litert.interpreter import Interpreter

    # Without the delegate that would take the operators out of the list.
    interpreter = Interpreter(str(model), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    found: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
    for operator in interpreter._get_ops_details():
        if operator["op_name"] == "CONV_2D":
            kernel, bias = (int(index) for index in operator["inputs"][1:])
            values = interpreter.get_tensor(kernel).transpose(1, 2, 3, 0)
            found.setdefault(kernel, (values, interpreter.get_tensor(bias)))
    return list(found.values())


def quantised(convolutions: list[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> dict[str, NDArray[Any]]:
    """Quantise to the arrays of ``model.embedding.SpeechEmbedding``: int8, a scale for each output channel."""
    arrays: dict[str, NDArray[Any]] = {}
    for k, (kernel, bias) in enumerate(convolutions):
        scale = np.abs(kernel).max(axis=(0, 1, 2)) / np.float32(127)
        arrays[f"{k}/weight"] = np.round(kernel / scale).astype(np.int8)
        arrays[f"{k}/scale"], arrays[f"{k}/bias"] = scale, bias
    return arrays


if __name__ == "__main__":
    with whole_file(EMBEDDING) as file:
        np.savez_compressed(file, **quantised(read_convolutions(Path(sys.argv[1]))))  # type: ignore[arg-type]
