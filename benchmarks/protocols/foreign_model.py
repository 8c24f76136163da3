"""Any .tflite or .onnx classifier with one input and one output, as it comes: no bundle, no manifest."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.child import run_child
from kwspot.runtime.errors import EngineError
from kwspot.runtime.features.quantise import dequantise
from kwspot.runtime.files import scratch_folder
from kwspot.runtime.model.bundle import Bundle
from kwspot.runtime.model.classifier import open_classifier
from kwspot.runtime.model.engines import open_engine
from kwspot.runtime.model.onnx_engine import OnnxEngine

WARM_UP, LEAST_RUNS, REPEATS = 10, 10, 5
"""Of MLPerf Tiny's performance mode: inferences before the clock starts, the least that are timed, and how often."""


class ModelFileError(EngineError):
    """A model file that cannot be run as a classifier of one input and one output."""


@dataclass(frozen=True)
class Entry:
    """What a model takes or gives: shape (empty where any is taken), dtype, and for int8 scale and zero point."""

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
        """Run once on values of ``entry``'s shape; return the output of shape (1, classes)."""


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
        shape = _shape_of_one_clip(path, [int(size) for size in inputs[0]["shape_signature"]])
        self._given, self._said = inputs[0]["index"], outputs[0]["index"]
        self._interpreter.resize_tensor_input(self._given, shape)
        self._interpreter.allocate_tensors()
        self.entry, self.leaving = _tflite_entry(inputs[0], shape), _tflite_entry(outputs[0], ())

    def infer(self, values: NDArray[Any]) -> NDArray[Any]:
        """Run once on values of ``entry``'s shape; return the output of shape (1, classes)."""
        self._interpreter.set_tensor(self._given, values)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._said))


class OnnxModel:
    """An .onnx in onnxruntime, one thread, all in integers as in the runtime."""

    engine = "onnx"

    def __init__(self, path: Path) -> None:
        try:
            self._session = OnnxEngine.open_session(path.read_bytes())
        except EngineError:
            raise
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise ModelFileError(f"{path} is no ONNX model ({error}); expected an .onnx") from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        _one_of_each(path, len(inputs), len(outputs))
        shape = _shape_of_one_clip(path, inputs[0].shape)
        self._given = inputs[0].name
        # An ONNX graph keeps the scale of its input in a node, and files of features need none.
        self.entry = Entry(shape, _onnx_dtype(path, inputs[0].type), None, None)
        self.leaving = Entry((), _onnx_dtype(path, outputs[0].type), None, None)

    def infer(self, values: NDArray[Any]) -> NDArray[Any]:
        """Run once on values of ``entry``'s shape; return the output of shape (1, classes)."""
        return np.asarray(self._session.run(None, {self._given: values})[0])


class StreamModel:
    """A stream bundle, which hears a whole clip hop by hop; features are frames, not yet normalised."""

    def __init__(self, bundle: Bundle, engine: str) -> None:
        manifest = bundle.manifest
        self.engine = engine
        self._classifier = open_classifier(manifest, open_engine(bundle, engine))
        real = np.dtype(np.float32)
        self.entry = Entry((manifest.window_frames, manifest.features.coefficients), real, None, None)
        self.leaving = Entry((), real, None, None)

    def infer(self, values: NDArray[Any]) -> NDArray[Any]:
        """Run once on values of ``entry``'s shape; return the output of shape (1, classes)."""
        return self._classifier.score_clip(values)


def _one_of_each(path: Path, inputs: int, outputs: int) -> None:
    if (inputs, outputs) != (1, 1):
        raise ModelFileError(
            f"{path} has {inputs} inputs and {outputs} outputs; expected one of each, features in and scores out: "
            "a model with states can be measured as a bundle of kwspot"
        )


def _shape_of_one_clip(path: Path, shape: Sequence[Any]) -> tuple[int, ...]:
    """Return the shape of a model's input for one clip: a batch of any size, the first axis, is one of 1."""
    fixed = [isinstance(size, int) and size >= 1 for size in shape]
    if not shape or not all(fixed[1:]):
        raise ModelFileError(
            f"{path} takes features of the dynamic shape {list(shape)}; expected one that is open in the batch alone, "
            "its first size: convert it with the other sizes fixed"
        )
    return (shape[0] if fixed[0] else 1, *shape[1:])


def _tflite_entry(details: dict[str, Any], shape: tuple[int, ...]) -> Entry:
    scale, zero_point = details["quantization"]
    dtype = np.dtype(details["dtype"])
    quantised = dtype == np.int8 and scale
    return Entry(shape, dtype, float(scale) if quantised else None, int(zero_point) if quantised else None)


def _onnx_dtype(path: Path, name: str) -> np.dtype[Any]:
    known = {"tensor(int8)": np.int8, "tensor(uint8)": np.uint8, "tensor(float)": np.float32}
    if name not in known:
        raise ModelFileError(f"{path} takes or gives {name}; expected int8, uint8 or float32")
    return np.dtype(known[name])


def onnx_of(tflite: Path, folder: Path) -> Path:
    """Convert a .tflite to ONNX with the program tf2onnx."""
    target = folder / "model.onnx"

    def failure(output: str) -> ModelFileError:
        return ModelFileError(f"tf2onnx cannot convert {tflite}: {output}; give the .onnx itself with --onnx FILE")

    command = [sys.executable, "-P", "-m", "tf2onnx.convert", "--opset", "17", "--tflite", str(tflite.resolve())]
    run_child([*command, "--output", str(target)], failure, folder=folder)
    if not target.is_file():
        raise failure("it wrote no file")
    return target


def open_models(path: Path, onnx: Path | None) -> list[ForeignModel]:
    """Open the model in LiteRT and in onnxruntime; an .onnx in onnxruntime alone."""
    for file in (path, *([] if onnx is None else [onnx])):
        if not file.is_file():
            raise ModelFileError(f"{file} is not there; expected a .tflite or .onnx file")
    if path.suffix == ".onnx":
        return [OnnxModel(path)]
    model = LiteRtModel(path)
    if onnx is not None:
        return [model, OnnxModel(onnx)]
    with scratch_folder("model") as name:
        return [model, OnnxModel(onnx_of(path, Path(name)))]


def scores_of(model: ForeignModel, features: NDArray[Any]) -> NDArray[np.float32]:
    """Score features (n, …) of the model's dtype, of as many values as its input has; return scores (n, classes)."""
    given = features.reshape(len(features), *model.entry.shape)
    outputs = np.stack([model.infer(clip).reshape(-1) for clip in given])
    if model.leaving.scale is not None and model.leaving.zero_point is not None:
        return dequantise(outputs, model.leaving.scale, model.leaving.zero_point)
    return outputs.astype(np.float32)


def time_inferences(model: ForeignModel, features: NDArray[Any], seconds: float) -> dict[str, Any]:
    """Time inferences of features (n, …): so long on each of the first inputs, after a warm-up; the median counts."""
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
