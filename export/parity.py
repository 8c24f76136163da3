"""Proof, on real clips, that the converted models say what the trained one says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.export.convert import Converted
from kwspot.runtime.errors import ExportError
from kwspot.runtime.features.quantise import quantise
from kwspot.runtime.model.engines import Engine
from kwspot.runtime.model.manifest import ModelFile
from kwspot.runtime.model.onnx_engine import OnnxEngine
from kwspot.runtime.model.tflite_engine import LiteRtEngine

MOST_ONNX_STEPS = 1
"""Of the int8 output: LiteRT and onnxruntime round the last step each in its own way."""

MOST_ONNX_STEPS_RECURRENT = 16
"""Where a recurrence is unrolled, the sums of each of its steps are rounded anew (LiteRT adds in fixed point,
onnxruntime in float), and one step that differs goes through all that follow. Seen: 14. No label may differ."""

MOST_FLOAT_ERROR = 1e-4
"""Of a probability: float32 sums in another order. Weights that were quantised differ by 1e-3 and more."""


@dataclasses.dataclass(frozen=True)
class Parity:
    """How the converted models compare on `clips` real clips.

    ``onnx_steps`` is the largest difference of the int8 ONNX model from the
    int8 TFLite model, in steps of the output; ``float_error`` that of the float
    TFLite model from Keras. ``same_label`` counts the clips that int8 and float
    give the same label; the rest is correct labels.
    """

    clips: int
    onnx_steps: int
    float_error: float
    same_label: int
    float_correct: int
    int8_correct: int

    def to_dict(self) -> dict[str, Any]:
        """As the manifest's ``accuracy``."""
        return {"part": "validation", **dataclasses.asdict(self)}


def check_parity(
    converted: Converted, files: Mapping[str, ModelFile], features: NDArray[np.float32], truth: NDArray[np.intp]
) -> Parity:
    """Run the converted models on clips and compare.

    Parameters
    ----------
    files
        Form of the model → its description.
    features : float32, shape (clips, T, C)
        Normalised.
    truth : shape (clips,)
        Index of each clip's label.

    Raises
    ------
    ExportError
        If the trained model gives scores that are not finite, or on any clip
        the ONNX model is more than :data:`MOST_ONNX_STEPS` from the int8
        TFLite model (:data:`MOST_ONNX_STEPS_RECURRENT` and of another label),
        or the float TFLite model more than :data:`MOST_FLOAT_ERROR` from Keras.
    """
    check_finite(converted)
    models, clips = converted.models, len(features)
    litert = _scores(LiteRtEngine(models["int8-tflite"], files["int8-tflite"]), features)
    onnx = _scores(OnnxEngine(models["int8-onnx"], files["int8-onnx"]), features)
    floats = _scores(LiteRtEngine(models["float-tflite"], files["float-tflite"]), features)
    parity = Parity(
        clips=clips,
        onnx_steps=int(np.abs(onnx.astype(np.int16) - litert.astype(np.int16)).max()),
        float_error=float(np.abs(floats - converted.keras_scores).max()),
        same_label=count_label(litert, floats.argmax(1)),
        float_correct=count_label(floats, truth),
        int8_correct=count_label(litert, truth),
    )
    most_steps = MOST_ONNX_STEPS_RECURRENT if converted.recurrent else MOST_ONNX_STEPS
    other_label = clips - count_label(litert, onnx.argmax(1))
    if parity.onnx_steps > most_steps or (converted.recurrent and other_label):
        raise ExportError(
            f"the int8 ONNX model differs from the int8 TFLite model by {parity.onnx_steps} steps on {clips} clips and "
            f"in the label of {other_label}, expected at most {most_steps} steps and no label; no bundle was written: "
            "install the versions of the constraints file"
        )
    if not parity.float_error <= MOST_FLOAT_ERROR:  # not a number counts as too much
        raise ExportError(
            f"the float TFLite model differs from the Keras model by {parity.float_error:.2g} on {clips} clips, "
            f"expected at most {MOST_FLOAT_ERROR:g}; no bundle was written: "
            "install the versions of the constraints file"
        )
    return parity


def _scores(engine: Engine, features: NDArray[np.float32]) -> NDArray[Any]:
    """Return the output as the engine gives it, int8 or float32 (clips, L)."""
    tensor = engine.inputs[0]
    scaled: NDArray[Any] = features
    if tensor.scale is not None and tensor.zero_point is not None:
        scaled = quantise(features, tensor.scale, tensor.zero_point)
    return np.concatenate([engine.infer([clip[None]])[0] for clip in scaled])


def check_finite(converted: Converted) -> None:
    """Raise ExportError if the trained model gives a score that is no number."""
    if not np.isfinite(converted.keras_scores).all():
        raise ExportError("the trained model gives scores that are not finite; train again with a lower learning rate")


def count_label(scores: NDArray[Any], label_of: NDArray[np.intp]) -> int:
    """Count the rows of scores, (n, L), that are highest at a given label, (n,)."""
    return int(np.count_nonzero(scores.argmax(1) == label_of))
