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
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from kwspot.export.requantised_additions import requantise_additions
from kwspot.export.step import FRAMES, SCORES, StepModel, step_model
from kwspot.export.step_calibration import steps_along
from kwspot.runtime.errors import ExportError
from kwspot.runtime.files import scratch_folder
from kwspot.runtime.model.manifest import MODEL_FILES, StatePair
from kwspot.runtime.progress import Reminder

ONNX_OPSET = 17
NEEDED = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert", "soundfile", "soxr")
WINDOW_FOLDER = "window"
STAGE_FILE = "stage"
"""What the process is at, for people."""


@dataclasses.dataclass(frozen=True)
class Converted:
    """The forms of a model (see :data:`MODEL_FILES`) and the Keras model's scores of the parity clips.

    A stream has `states`, and `window_models`: the forms ``float-tflite`` and
    ``int8-tflite`` of the model that takes the window as a whole, to compare.
    `macs` are those of a step, None for a window.
    """

    models: dict[str, bytes]
    keras_scores: NDArray[np.float32]
    versions: dict[str, str]
    recurrent: bool
    states: tuple[StatePair, ...] = ()
    macs: int | None = None
    window_models: Mapping[str, bytes] = dataclasses.field(default_factory=dict)


def check_installed() -> None:
    """Raise ExportError if a package that export needs is missing."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(f"export needs {', '.join(missing)}, not installed here: pip install 'kwspot[export]'")


def convert(
    model: Path, calibration: NDArray[np.float32], parity: NDArray[np.float32], *, hop_frames: int | None = None
) -> Converted:
    """Convert a Keras model.

    Parameters
    ----------
    model
        ``.keras`` file, (n, T, C) float32 to softmax (n, L).
    calibration : float32, shape (clips, T, C)
        Normalised features of which the ranges of all activations are learnt.
    parity : float32, shape (clips, T, C)
        Normalised features that the Keras model is asked about.
    hop_frames
        Frames of a step; None for a model that takes the window as a whole.

    Raises
    ------
    ExportError
        If the model does not take features of this shape, cannot be a stream
        of such steps, or cannot be converted; then the message names a log
        that is kept.
    """
    with scratch_folder("export") as folder:
        np.save(folder / "calibration.npy", calibration)
        np.save(folder / "parity.npy", parity)
        # -P: the folder a user stands in may hold a train/ or an onnx/ of its own.
        python = [sys.executable, "-P", "-m", "kwspot.export.convert"]
        with (folder / "log").open("w") as log:
            returncode = _run_and_remind(
                [*python, str(model.resolve()), str(folder), str(hop_frames or 0)], log, folder / STAGE_FILE
            )
        if (folder / "refused").exists():
            raise ExportError(f"{model}: {(folder / 'refused').read_text()}")
        if returncode != 0:
            raise _failure(model, folder, returncode)
        facts = json.loads((folder / "facts.json").read_text())
        window = folder / WINDOW_FOLDER
        return Converted(
            models={form: (folder / file).read_bytes() for form, file in MODEL_FILES.items()},
            keras_scores=np.load(folder / "scores.npy"),
            versions=facts["versions"],
            recurrent=facts["recurrent"],
            states=tuple(StatePair(*pair) for pair in facts["states"]),
            macs=facts["macs"],
            window_models={path.name: path.read_bytes() for path in window.iterdir()} if window.is_dir() else {},
        )


def _run_and_remind(command: Sequence[str], log: IO[str], stage: Path) -> int:
    """Run a process and say now and then what it is at; return its status."""
    reminder = Reminder()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"},
    ) as process:
        try:
            while True:
                try:
                    return process.wait(timeout=0.5)
                except subprocess.TimeoutExpired:
                    reminder.say(f"converting: {stage.read_text() if stage.exists() else 'loading TensorFlow'}")
        finally:
            process.kill()
            reminder.end()


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


def _int8_tflite(model: Any, examples: Callable[[], Iterator[dict[str, NDArray[np.float32]]]]) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = examples
    # Only int8 kernels: what has none is an error, not a float island in the graph.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return requantise_additions(bytes(converter.convert()))


def _plainly_named(tflite: bytes) -> bytes:
    """Name the inputs and outputs of a model as its signature names them; the converter's own names and their
    order are arbitrary, and the ONNX model takes them over."""
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(tflite))
    (signature,) = model.signatureDefs
    for entry in (*signature.inputs, *signature.outputs):
        model.subgraphs[signature.subgraphIndex].tensors[entry.tensorIndex].name = entry.name
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _int8_onnx(tflite: Path) -> bytes:
    import onnx
    import tf2onnx

    # tf2onnx answers with the model and a store of large tensors, which nets this small have none of.
    model, _ = tf2onnx.convert.from_tflite(str(tflite), opset=ONNX_OPSET)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _window_forms(trained: Any, calibration: NDArray[np.float32]) -> dict[str, bytes]:
    import keras

    # One window at a time on the board: a batch of 1, fixed, so that no engine has to resize.
    features = keras.Input(batch_shape=(1, *calibration.shape[1:]), dtype="float32", name=FRAMES)
    model = keras.Model(features, {SCORES: trained(features, training=False)})
    return {
        "float-tflite": _plainly_named(_float_tflite(model)),
        "int8-tflite": _plainly_named(_int8_tflite(model, lambda: ({FRAMES: clip[None]} for clip in calibration))),
    }


def _step_forms(step: StepModel, calibration: NDArray[np.float32]) -> dict[str, bytes]:
    floats = _plainly_named(_float_tflite(step.model))
    return {
        "float-tflite": floats,
        "int8-tflite": _plainly_named(_int8_tflite(step.model, lambda: steps_along(floats, step.states, calibration))),
    }


def _work(model_path: Path, folder: Path, hop_frames: int) -> None:
    """Convert the folder's arrays to the models, ``scores.npy`` and ``facts.json``; or write a line to ``refused``."""
    import keras
    import onnx
    import tensorflow as tf
    import tf2onnx

    def stage(what: str) -> None:
        (folder / STAGE_FILE).write_text(what)

    calibration, parity = np.load(folder / "calibration.npy"), np.load(folder / "parity.npy")
    trained = keras.saving.load_model(model_path, compile=False)
    shape = tuple(trained.input_shape[1:])
    if any(size not in (None, wanted) for size, wanted in zip(shape, parity.shape[1:], strict=True)):
        raise ValueError(f"the model takes features of shape {shape}, the run's are {parity.shape[1:]}")
    try:
        step = step_model(trained, hop_frames) if hop_frames else None
    except ExportError as error:
        (folder / "refused").write_text(str(error))
        return
    stage("scores of the trained model")
    np.save(folder / "scores.npy", np.asarray(trained.predict(parity, verbose=0), np.float32))
    stage("float and int8 TFLite")
    forms = _window_forms(trained, calibration)
    if step is not None:
        (folder / WINDOW_FOLDER).mkdir()
        for form, content in forms.items():
            (folder / WINDOW_FOLDER / form).write_bytes(content)
        stage("float and int8 TFLite of a step")
        forms = _step_forms(step, calibration)
    for form, content in forms.items():
        (folder / MODEL_FILES[form]).write_bytes(content)
    stage("int8 ONNX")
    (folder / MODEL_FILES["int8-onnx"]).write_bytes(_int8_onnx(folder / MODEL_FILES["int8-tflite"]))
    facts = {
        "versions": {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "tf2onnx": tf2onnx.__version__,
            "onnx": onnx.__version__,
        },
        "recurrent": any(isinstance(layer, keras.layers.RNN) for layer in trained.layers),
        "states": step.states if step is not None else (),
        "macs": step.macs if step is not None else None,
    }
    (folder / "facts.json").write_text(json.dumps(facts, allow_nan=False))


if __name__ == "__main__":
    _work(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
