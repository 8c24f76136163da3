"""What ``bundle.json`` says, and what its parts must agree on before anything is run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from kwspot.runtime.false_accept_rate import evidence_line
from kwspot.runtime.features.normalise import Normalisation
from kwspot.runtime.features.quantise import INT8_HIGHEST, INT8_LOWEST
from kwspot.runtime.features.spec import FeatureSpec
from kwspot.runtime.labels import BACKGROUND_LABELS
from kwspot.runtime.model.decision_settings import DecisionSettings
from kwspot.runtime.names import find_label_fault

FORMAT_VERSION = 3
KINDS = ("window", "stream")
MOST_LABELS = 1_000
LONGEST_WINDOW_S = 30
MOST_FFT_SAMPLES = 32_768
_BEYOND = 0.02
"""How far beyond 0 and 1 the scale of a softmax may reach."""

MODEL_FILES = {
    "int8-tflite": "model.int8.tflite",
    "int8-onnx": "model.int8.onnx",
    "float-tflite": "model.float.tflite",
}
"""Form of the model → its file in the bundle."""


@dataclasses.dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor of a model: name, shape, dtype name, and for int8 its scale and zero point."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ModelFile:
    """One form of the model: its file, hash and tensors."""

    file: str
    sha256: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class StatePair:
    """The names of a state's two tensors: its rows in `output` are those of `input` and then the new ones, and the
    last rows of `output` are the next `input`."""

    input: str
    output: str


@dataclasses.dataclass(frozen=True, slots=True)
class VerifierInfo:
    """How the second stage is asked and what its answer counts (:mod:`kwspot.runtime.model.verifier`).

    Parameters
    ----------
    sha256
        Of the weights, ``verifier.npz``.
    trigger_score
        The verifier is asked from this score of a word in the first stage on, 0 to 1.
    weight
        Share of the verifier in the geometric mean of both stages' scores, above 0 and at most 1; the first stage has
        the rest.
    odds
        By how much a word is likelier among what triggers the verifier than in its training.
    places
        At most so many places of the window, 80 ms apart, are verified and averaged.
    golden_scores
        The verifier's scores of one golden sound, one for each label.
    """

    sha256: str
    trigger_score: float
    weight: float
    odds: float
    places: int
    golden_scores: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """All that ``bundle.json`` says.

    The scores of an inference depend on the last ``window_frames`` frames; it
    runs every ``inference_hop_frames`` frames. A model of the kind ``"window"``
    takes all of the window, (1, window_frames, C). One of the kind ``"stream"``
    takes the new frames, (1, inference_hop_frames, 1, C), and its `states`; it
    gives the scores and the new states. Frames come first of the inputs, scores
    first of the outputs. Frames are normalised by ``normalisation`` before they
    are quantised; the scores are a probability for each of ``labels``.
    """

    kind: str
    features: FeatureSpec
    normalisation: Normalisation
    labels: tuple[str, ...]
    window_frames: int
    inference_hop_frames: int
    decision: DecisionSettings
    models: Mapping[str, ModelFile]
    golden_sha256: str
    parameters: int
    macs: int
    accuracy: Mapping[str, Any]
    versions: Mapping[str, str]
    recipe: Mapping[str, Any]
    data_licence: str
    states: tuple[StatePair, ...] = ()
    calibration: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What ``kwspot calibrate`` measured to choose the thresholds; empty where it never ran."""
    verifier: VerifierInfo | None = None
    format_version: int = FORMAT_VERSION

    @property
    def words(self) -> tuple[str, ...]:
        """Return the labels that can fire."""
        return tuple(label for label in self.labels if label not in BACKGROUND_LABELS)

    @property
    def window_samples(self) -> int:
        """Return how many samples the scores of an inference depend on."""
        return self.features.samples_in(self.window_frames)

    @property
    def inference_hop_samples(self) -> int:
        """Return the samples from one inference to the next."""
        return self.inference_hop_frames * self.features.hop_samples

    def to_json(self) -> str:
        """Return the text of ``bundle.json``; raises ValueError where a number is not finite."""
        values = dataclasses.asdict(self)
        return json.dumps({"format_version": values.pop("format_version"), **values}, indent=1, allow_nan=False) + "\n"


def find_inconsistency(manifest: Manifest) -> str | None:
    """Return the first fault of a manifest, as half a sentence; None where there is none."""
    return next(_faults(manifest), None)


def _faults(manifest: Manifest) -> Iterator[str]:
    count, features = len(manifest.labels), manifest.features
    if manifest.kind not in KINDS:
        yield f"kind {manifest.kind!r} is unknown to this version, which runs {' and '.join(map(repr, KINDS))}"
    yield from _label_faults(manifest)
    if manifest.inference_hop_frames > manifest.window_frames:
        yield (
            f"inference_hop_frames = {manifest.inference_hop_frames}; "
            f"expected at most window_frames = {manifest.window_frames}"
        )
    if manifest.window_samples > LONGEST_WINDOW_S * features.sample_rate_hz:
        yield f"window_frames = {manifest.window_frames} are more than {LONGEST_WINDOW_S} s of sound"
    if features.window_samples > MOST_FFT_SAMPLES:
        yield f"features.window_ms = {features.window_ms:g} are {features.window_samples:,} samples"
    if len(manifest.normalisation.mean) != features.coefficients:
        yield (
            f"normalisation is for {len(manifest.normalisation.mean)} coefficients, "
            f"features have {features.coefficients}"
        )
    if "int8-tflite" not in manifest.models:
        yield "no int8-tflite model"
    if (manifest.kind == "stream") != bool(manifest.states):
        yield f"kind {manifest.kind!r} with {len(manifest.states)} states"
    if manifest.verifier is not None and len(manifest.verifier.golden_scores) != count:
        yield f"the verifier has {len(manifest.verifier.golden_scores)} golden scores, expected {count}"
    for form, model in manifest.models.items():
        if model.file != MODEL_FILES.get(form):
            yield f"models.{form}.file = {model.file!r}; expected {' or '.join(MODEL_FILES.values())}, of its form"
            return
        if manifest.kind == "stream":
            yield from _state_faults(form, model, manifest)
            shapes = [tensor.shape for tensor in (*model.inputs[:1], *model.outputs[:1])]
            expected = [(1, manifest.inference_hop_frames, 1, features.coefficients), (1, count)]
        else:
            shapes = [tensor.shape for tensor in (*model.inputs, *model.outputs)]
            expected = [(1, manifest.window_frames, features.coefficients), (1, count)]
        if shapes != expected:
            yield f"{form} has shapes {shapes}, but {count} labels and the features need {expected}"
        for tensor in (*model.inputs, *model.outputs):
            if tensor.dtype != form.split("-")[0].replace("float", "float32"):
                yield f"{form}: tensor {tensor.name} is {tensor.dtype}"
            if tensor.dtype == "int8" and (tensor.scale is None or tensor.zero_point is None):
                yield f"{form}: tensor {tensor.name} has no scale or zero point"
        for tensor in model.outputs[:1]:
            if tensor.scale is not None and tensor.zero_point is not None:
                low, high = ((step - tensor.zero_point) * tensor.scale for step in (INT8_LOWEST, INT8_HIGHEST))
                if not (low >= -_BEYOND and high <= 1 + _BEYOND):
                    yield f"{form}: scores are from {low:g} to {high:g}; expected probabilities, 0 to 1"


def _label_faults(manifest: Manifest) -> Iterator[str]:
    labels = manifest.labels
    for label in labels:
        if fault := find_label_fault(label):
            yield f"the label {label!a:.80} cannot be one: {fault}"
    if len(set(labels)) != len(labels) or not 2 <= len(labels) <= MOST_LABELS or not manifest.words:
        yield f"labels {list(labels[:MOST_LABELS])} are not 2 to {MOST_LABELS} different ones with a word among them"
    for word in manifest.decision.thresholds:
        if word not in manifest.words:
            yield f"decision.thresholds names {word!a:.80}; expected some of {', '.join(manifest.words)}"
    if manifest.calibration:
        try:
            evidence_line(manifest.calibration)
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
            yield "calibration is not as 'kwspot calibrate' writes it; empty it ({}) or calibrate again"


def _state_faults(form: str, model: ModelFile, manifest: Manifest) -> Iterator[str]:
    """Yield what would make a state of one step another in the next."""
    for role, tensors, names in (
        ("inputs", model.inputs[1:], [pair.input for pair in manifest.states]),
        ("outputs", model.outputs[1:], [pair.output for pair in manifest.states]),
    ):
        if [tensor.name for tensor in tensors] != names:
            yield f"{form} has the {role} {[tensor.name for tensor in tensors]} where the states are {names}"
            return
    for state, paired in zip(model.inputs[1:], model.outputs[1:], strict=True):
        if (state.scale, state.zero_point, state.dtype) != (paired.scale, paired.zero_point, paired.dtype):
            yield (
                f"{form}: the state {state.name} is {state.dtype} of scale {state.scale} and zero point "
                f"{state.zero_point}, but its pair {paired.name} is "
                f"{paired.dtype} of {paired.scale} and {paired.zero_point}"
            )
        rows, paired_rows = state.shape[1:2], paired.shape[1:2]
        if (state.shape[:1] + state.shape[2:] != paired.shape[:1] + paired.shape[2:]) or not (0,) < rows < paired_rows:
            yield f"{form}: the state {state.name} has shape {state.shape}, its pair {paired.name} {paired.shape}"
