"""Proof, on real clips and on a long stream, that stepping says what the window says."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from kwspot.export.convert import Converted
from kwspot.export.parity import MOST_ONNX_STEPS, Parity, check_finite, count_label
from kwspot.export.tensors import describe
from kwspot.runtime.errors import ExportError
from kwspot.runtime.model.classifier import Classifier, StreamClassifier, WindowClassifier
from kwspot.runtime.model.manifest import Manifest
from kwspot.runtime.model.onnx_engine import OnnxEngine
from kwspot.runtime.model.tflite_engine import LiteRtEngine
from kwspot.runtime.progress import Reminder

STREAM_MINUTES = 10
_BLOCK_FRAMES = 1000

MOST_FLOAT_ERROR = 1e-5
"""Of a probability. Stepping adds the same products in another order, and nothing else."""


@dataclasses.dataclass(frozen=True)
class StreamParity(Parity):
    """How the step models compare, on clips (see :class:`Parity`) and at every step of a stream.

    ``window_int8_correct`` counts the clips that the int8 model of the whole
    window has right. On the stream, of `stream_steps` steps: the largest
    difference of the float step model from the float window model; for how many
    steps ONNX gives exactly TFLite's int8 scores, and their largest difference
    in steps of the output; and the same for int8 stepping against the int8
    window model, with the steps where both have the same label.
    """

    window_int8_correct: int
    stream_minutes: float
    stream_steps: int
    stream_float_error: float
    stream_onnx_identical: int
    stream_onnx_steps: int
    stream_window_identical: int
    stream_window_steps: int
    stream_window_same_label: int


def check_stream_parity(
    manifest: Manifest,
    converted: Converted,
    clips: NDArray[np.float32],
    truth: NDArray[np.intp],
    stream: NDArray[np.float32],
) -> StreamParity:
    """Run the step models as the runtime will, and compare.

    Parameters
    ----------
    clips : float32, shape (clips, T, C)
        Not normalised.
    truth : shape (clips,)
        Index of each clip's label.
    stream : float32, shape (n, C)
        Frames of a stream, not normalised.

    Raises
    ------
    ExportError
        If the trained model gives scores that are not finite, the float step
        model is more than :data:`MOST_FLOAT_ERROR` from the trained model on
        any clip or from the window model at any step, or the ONNX model more
        than one step of the output from the TFLite model.
    """
    check_finite(converted)
    models, files = converted.models, manifest.models
    floats = LiteRtEngine(models["float-tflite"], files["float-tflite"])
    litert = LiteRtEngine(models["int8-tflite"], files["int8-tflite"])
    onnx = OnnxEngine(models["int8-onnx"], files["int8-onnx"])
    window = dataclasses.replace(manifest, kind="window", states=(), models=describe(converted.window_models))
    window_floats = LiteRtEngine(converted.window_models["float-tflite"], window.models["float-tflite"])
    window_int8 = LiteRtEngine(converted.window_models["int8-tflite"], window.models["int8-tflite"])

    clip_floats, clip_litert, clip_onnx = (
        _clip_scores(StreamClassifier(manifest, engine), clips) for engine in (floats, litert, onnx)
    )
    clip_window = _clip_scores(WindowClassifier(window, window_int8), clips)
    step_floats, step_litert, step_onnx = (
        _step_scores(StreamClassifier(manifest, engine), stream) for engine in (floats, litert, onnx)
    )
    step_window_floats, step_window = (
        _step_scores(WindowClassifier(window, engine), stream) for engine in (window_floats, window_int8)
    )
    parity = StreamParity(
        clips=len(clips),
        onnx_steps=_steps(clip_onnx, clip_litert),
        float_error=float(np.abs(clip_floats - converted.keras_scores).max()),
        same_label=count_label(clip_litert, clip_floats.argmax(1)),
        float_correct=count_label(clip_floats, truth),
        int8_correct=count_label(clip_litert, truth),
        window_int8_correct=count_label(clip_window, truth),
        stream_minutes=round(manifest.features.samples_in(len(stream)) / manifest.features.sample_rate_hz / 60, 2),
        stream_steps=len(step_litert),
        stream_float_error=float(np.abs(step_floats - step_window_floats).max()),
        stream_onnx_identical=_identical(step_onnx, step_litert),
        stream_onnx_steps=_steps(step_onnx, step_litert),
        stream_window_identical=_identical(step_window, step_litert),
        stream_window_steps=_steps(step_window, step_litert),
        stream_window_same_label=count_label(step_window, step_litert.argmax(1)),
    )
    most = max(parity.float_error, parity.stream_float_error)
    if not most <= MOST_FLOAT_ERROR:  # not a number counts as too much
        raise ExportError(
            f"stepping differs from the window by {most:.2g} in float on {len(clips)} clips and "
            f"{parity.stream_steps} steps of a stream, expected at most {MOST_FLOAT_ERROR:g}; no bundle was written: "
            "install the versions of the constraints file"
        )
    steps = max(parity.onnx_steps, parity.stream_onnx_steps)
    if steps > MOST_ONNX_STEPS:
        raise ExportError(
            f"the int8 ONNX model differs from the int8 TFLite model by {steps} steps on {len(clips)} clips and "
            f"{parity.stream_steps} steps of a stream, expected at most {MOST_ONNX_STEPS}; no bundle was written: "
            "install the versions of the constraints file"
        )
    return parity


def _clip_scores(classifier: Classifier, clips: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([classifier.score_clip(clip) for clip in clips])


def _step_scores(classifier: Classifier, frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores, float32 (steps, labels), of a stream, float32 (n, C)."""
    reminder, scores = Reminder(), []
    for start in range(0, len(frames), _BLOCK_FRAMES):
        scores += [found for _, found in classifier.push(frames[start : start + _BLOCK_FRAMES])]
        reminder.say(f"stepped through {start:,} of {len(frames):,} frames")
    reminder.end()
    return np.stack(scores)


def _steps(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> int:
    """Largest difference in steps of an int8 softmax, which are 1/256 each."""
    return int(np.rint(256 * np.abs(ours - theirs)).max())


def _identical(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> int:
    return int(np.count_nonzero((ours == theirs).all(axis=1)))
