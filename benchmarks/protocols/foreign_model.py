"""Any .tflite or .onnx classifier with one input and one output, as it comes: no bundle, no manifest."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.child import run_child
from kwspot.runtime.errors import EngineError
from kwspot.runtime.features.quantise import dequantise
from kwspot.runtime.model.bundle import Bundle
from kwspot.runtime.model.classifier import open_classifier
from kwspot.runtime.model.engines import open_engine

WARM_UP, LEAST_RUNS, REPEATS = 10, 10, 5
"""Of MLPerf Tiny's performance mode: inferences before the clock starts, the least that are timed, and how often."""


class ModelFileError(EngineError):
    """A model file that cannot be run as a classifier of one input and one output."""


@dataclass(frozen=True)
class Entry:
    """What a model takes or gives: shape without unknown sizes, dtype, and for int8 scale and zero point."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float | None
    zero_point: int | None


class ForeignModel(Protocol):
    """A model in an engine."""

    engine: str
    entry: Entry
    leaving: Entry

    def infer(self, values: NDArray[Any]) -> NDArray[Any]:
        """Run once on values of exactly ``entry``'s shape and dtype."""


class LiteRtModel:
    """A .tflite in LiteRT, one thread."""

    engine = "litert"

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            self._interpreter = Interpreter(model_content=path.read_bytes(), num_threads=1)
        except (ValueError, RuntimeError) as error:
            raise ModelFileError(f"{path} is no TFLite model ({error}); expected a .tflite") from None
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        _one_of_each(path, len(inputs), len(outputs))
        signature = [int(size) for size in inputs[0]["shape_signature"]]
        _fixed(path, signature)
        self._interpreter.allocate_tensors()
        self._given, self._said = inputs[0]["index"], outputs[0]["index"]
        self.entry, self.leaving = _tflite_entry(inputs[0]), _tflite_entry(outputs[0])

    def infer(self, values: NDArray[Any]) -> NDArray[Any]:
        """Run once."""
        self._interpreter.set_tensor(self._given, values)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._said))


class OnnxModel:
    """An .onnx in onnxruntime, one thread, all in integers as in the runtime."""

    engine = "onnx"

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.qdqisint8allowed", "1")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise ModelFileError(f"{path} is no ONNX model ({error}); expected an .onnx") from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        _one_of_each(path, len(inputs), len(outputs))
        _fixed(path, list(inputs[0].shape))
        self._given = inputs[0].name
        # An ONNX graph keeps the scale of its input in a node, and files of features need none.
        self.entry, self.leaving = (
            Entry(tuple(t.shape), _onnx_dtype(path, t.type), None, None) for t in (inputs[0], outputs[0])
        )

    def infer(self, values: NDArray[Any]) -> NDArray[Any]:
        """Run once."""
        return np.asarray(self._session.run(None, {self._given: values})[0])


class StreamModel:
    """A stream bundle, which hears a whole clip hop by hop; features are frames, not yet normalised."""

    def __init__(self, bundle: Bundle, engine: str) -> None:
        manifest = bundle.manifest
        self.engine = engine
        self._classifier = open_classifier(manifest, open_engine(bundle, engine))
        real = np.dtype(np.float32)
        self.entry = Entry((manifest.window_frames, manifest.features.coefficients), real, None, None)
        self.leaving = Entry((len(manifest.labels),), real, None, None)

    def infer(self, values: NDArray[Any]) -> NDArray[Any]:
        """Hear one clip."""
        return self._classifier.score_clip(values)


def _one_of_each(path: Path, inputs: int, outputs: int) -> None:
    if (inputs, outputs) != (1, 1):
        raise ModelFileError(
            f"{path} has {inputs} inputs and {outputs} outputs; expected one of each, features in and scores out: "
            "a model with states can be measured as a bundle of kwspot"
        )


def _fixed(path: Path, shape: list[Any]) -> None:
    # A batch of any size is one of one clip here; any other size that is open has no meaning.
    if any(not isinstance(size, int) or size < 1 for size in shape):
        raise ModelFileError(
            f"{path} takes features of the dynamic shape {shape}; expected a fixed one: convert it with a batch of 1"
        )


def _tflite_entry(details: dict[str, Any]) -> Entry:
    scale, zero_point = details["quantization"]
    dtype = np.dtype(details["dtype"])
    quantised = dtype == np.int8 and scale
    shape = tuple(int(size) for size in details["shape"])
    return Entry(shape, dtype, float(scale) if quantised else None, int(zero_point) if quantised else None)


def _onnx_dtype(path: Path, name: str) -> np.dtype[Any]:
    known = {"tensor(int8)": np.int8, "tensor(uint8)": np.uint8, "tensor(float)": np.float32}
    if name not in known:
        raise ModelFileError(f"{path} takes or gives {name}; expected int8, uint8 or float32")
    return np.dtype(known[name])


def onnx_of(tflite: Path, folder: Path) -> Path:
    """The ONNX form of a .tflite, made by the program tf2onnx.

    Raises
    ------
    ModelFileError
        If tf2onnx cannot convert it.
    """
    target = folder / "model.onnx"

    def failure(said: str) -> ModelFileError:
        return ModelFileError(f"tf2onnx cannot convert {tflite}: {said}; give the .onnx itself with --onnx FILE")

    command = [sys.executable, "-P", "-m", "tf2onnx.convert", "--opset", "17", "--tflite", str(tflite.resolve())]
    run_child([*command, "--output", str(target)], failure, folder=folder)
    if not target.is_file():
        raise failure("it wrote no file")
    return target


def open_models(path: Path, onnx: Path | None) -> list[ForeignModel]:
    """The model in LiteRT and in onnxruntime; an .onnx in onnxruntime alone.

    Raises
    ------
    ModelFileError
        If it is not there, or not of one input and one output of fixed shape.
    """
    for file in (path, *([] if onnx is None else [onnx])):
        if not file.is_file():
            raise ModelFileError(f"{file} is not there; expected a .tflite or .onnx file")
    if path.suffix == ".onnx":
        return [OnnxModel(path)]
    model = LiteRtModel(path)
    if onnx is not None:
        return [model, OnnxModel(onnx)]
    with tempfile.TemporaryDirectory(prefix="kwspot-model-") as name:
        return [model, OnnxModel(onnx_of(path, Path(name)))]


def scores_of(model: ForeignModel, features: NDArray[Any]) -> NDArray[np.float32]:
    """Scores (n, classes) of features (n, …) of the model's dtype, of as many values as its input has."""
    given = features.reshape(len(features), *model.entry.shape)
    said = np.stack([model.infer(clip).reshape(-1) for clip in given])
    if model.leaving.scale is not None and model.leaving.zero_point is not None:
        return dequantise(said, model.leaving.scale, model.leaving.zero_point)
    return said.astype(np.float32)


def timed(model: ForeignModel, features: NDArray[Any], seconds: float) -> dict[str, Any]:
    """Inferences per second: for each of the first inputs a warm-up, then for so long; their median counts."""
    rates, latencies = [], []
    for clip in features[:REPEATS].reshape(-1, *model.entry.shape):
        for _ in range(WARM_UP):
            model.infer(clip)
        start = time.perf_counter()
        runs = 0
        while runs < LEAST_RUNS or time.perf_counter() - start < seconds:
            model.infer(clip)
            runs += 1
        spent = time.perf_counter() - start
        rates.append(runs / spent)
        latencies.append(1e6 * spent / runs)
    middle = float(np.median(rates))
    return {"inferences_per_s": middle, "us": float(np.median(latencies)), "repeats": len(rates), "seconds": seconds}
