"""A Keras model to float TFLite, int8 TFLite and int8 ONNX.

All that needs TensorFlow happens in a process of its own: its converter writes
to both standard streams from C++, and some models make it die of a segmentation
fault. The process reads and writes files in a folder, see :func:`_work`.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.bundle import MODEL_FILES
from kwspot.runtime.errors import ExportError

ONNX_OPSET = 17
NEEDED = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert", "soundfile", "soxr")
INPUT_NAME, OUTPUT_NAME = "features", "scores"


@dataclasses.dataclass(frozen=True)
class Converted:
    """The forms of a model (see :data:`MODEL_FILES`) and what the Keras model said about the parity clips."""

    models: dict[str, bytes]
    keras_scores: NDArray[np.float32]
    versions: dict[str, str]
    recurrent: bool


def check_installed() -> None:
    """Raise ExportError if a package that export needs is missing."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(f"export needs {', '.join(missing)}, not installed here: pip install 'kwspot[export]'")


def convert(model: Path, calibration: NDArray[np.float32], parity: NDArray[np.float32]) -> Converted:
    """Convert a Keras model.

    Parameters
    ----------
    model
        ``.keras`` file, (n, T, C) float32 to softmax (n, L).
    calibration : float32, shape (clips, T, C)
        Normalised features of which the ranges of all activations are learnt.
    parity : float32, shape (clips, T, C)
        Normalised features that the Keras model is asked about.

    Raises
    ------
    ExportError
        If the model does not take features of this shape or cannot be
        converted; the message names a log that is kept.
    """
    with tempfile.TemporaryDirectory(prefix="kwspot-export-") as name:
        folder = Path(name)
        np.save(folder / "calibration.npy", calibration)
        np.save(folder / "parity.npy", parity)
        with (folder / "log").open("w") as log:
            done = subprocess.run(
                # -P: the folder a user stands in may hold a train/ or an onnx/ of its own.
                [sys.executable, "-P", "-m", "kwspot.export.convert", str(model.resolve()), name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"},
                check=False,
            )
        if done.returncode != 0:
            raise _failure(model, folder, done.returncode)
        facts = json.loads((folder / "facts.json").read_text())
        return Converted(
            models={form: (folder / file).read_bytes() for form, file in MODEL_FILES.items()},
            keras_scores=np.load(folder / "scores.npy"),
            versions=facts["versions"],
            recurrent=facts["recurrent"],
        )


def _failure(model: Path, folder: Path, returncode: int) -> ExportError:
    text = (folder / "log").read_text(errors="replace")
    handle, kept = tempfile.mkstemp(prefix="kwspot-export-", suffix=".log")
    with os.fdopen(handle, "w") as file:
        file.write(text)
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "no message").strip()
    reason = f"the converter died of signal {-returncode}" if returncode < 0 else last
    return ExportError(
        f"{model} cannot be converted: {reason}; expected a model of fixed length, of operations that TFLite has "
        f"in int8: see {kept}"
    )


def _float_tflite(model: Any) -> bytes:
    import tensorflow as tf

    # No optimisation at all: DEFAULT alone would make the weights int8.
    return bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


def _int8_tflite(model: Any, calibration: NDArray[np.float32]) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([clip[None]] for clip in calibration)  # (1, T, C) each
    # Only int8 kernels: what has none is an error, not a float island in the graph.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def _int8_onnx(tflite: Path) -> bytes:
    import onnx
    import tf2onnx

    # tf2onnx answers with the model and a store of large tensors, which nets this small have none of.
    model, _ = tf2onnx.convert.from_tflite(str(tflite), opset=ONNX_OPSET)
    graph = model.graph
    names = {graph.input[0].name: INPUT_NAME, graph.output[0].name: OUTPUT_NAME}
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _work(model_path: Path, folder: Path) -> None:
    """``calibration.npy`` and ``parity.npy`` in the folder → the models, ``scores.npy`` and ``facts.json``."""
    import keras
    import onnx
    import tensorflow as tf
    import tf2onnx

    calibration, parity = np.load(folder / "calibration.npy"), np.load(folder / "parity.npy")
    trained = keras.saving.load_model(model_path, compile=False)
    shape = tuple(trained.input_shape[1:])
    if any(size not in (None, wanted) for size, wanted in zip(shape, parity.shape[1:], strict=True)):
        raise ValueError(f"the model takes features of shape {shape}, the run's are {parity.shape[1:]}")
    np.save(folder / "scores.npy", np.asarray(trained.predict(parity, verbose=0), np.float32))

    # One window at a time on the board: a batch of 1, fixed, so that no engine has to resize.
    features = keras.Input(batch_shape=(1, *parity.shape[1:]), dtype="float32", name=INPUT_NAME)
    model = keras.Model(features, {OUTPUT_NAME: trained(features, training=False)})
    (folder / MODEL_FILES["float-tflite"]).write_bytes(_float_tflite(model))
    int8 = folder / MODEL_FILES["int8-tflite"]
    int8.write_bytes(_int8_tflite(model, calibration))
    (folder / MODEL_FILES["int8-onnx"]).write_bytes(_int8_onnx(int8))
    versions = {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "tf2onnx": tf2onnx.__version__,
        "onnx": onnx.__version__,
    }
    recurrent = any(isinstance(layer, keras.layers.RNN) for layer in trained.layers)
    (folder / "facts.json").write_text(json.dumps({"versions": versions, "recurrent": recurrent}))


if __name__ == "__main__":
    _work(Path(sys.argv[1]), Path(sys.argv[2]))
