"""What the parts of a bundle's manifest must agree on before anything is run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kwspot.runtime.model.bundle import Manifest, ModelFile, VerifierInfo

KINDS = ("window", "stream")
FORMAT_VERSION = 3


def find_inconsistency(manifest: Manifest) -> str | None:
    """The first fault of a manifest, as half a sentence; None where there is none."""
    return next(_faults(manifest), None)


def _faults(manifest: Manifest) -> Iterator[str]:
    count, features = len(manifest.labels), manifest.features
    if manifest.kind not in KINDS:
        yield f"kind {manifest.kind!r} is unknown to this version, which runs {' and '.join(map(repr, KINDS))}"
    if len(set(manifest.labels)) != count or count < 2 or not manifest.words:
        yield f"labels {list(manifest.labels)} are not two or more different ones with a word among them"
    if manifest.inference_hop_frames < 1:
        yield f"inference_hop_frames = {manifest.inference_hop_frames}, expected 1 or more"
    if len(manifest.normalisation.mean) != features.coefficients:
        yield (
            f"normalisation is for {len(manifest.normalisation.mean)} coefficients, "
            f"features have {features.coefficients}"
        )
    if "int8-tflite" not in manifest.models:
        yield "no int8-tflite model"
    if (manifest.kind == "stream") != bool(manifest.states):
        yield f"kind {manifest.kind!r} with {len(manifest.states)} states"
    if manifest.verifier is not None:
        yield from _verifier_faults(manifest.verifier, count)
    for form, model in manifest.models.items():
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
            if tensor.dtype == "int8" and not (tensor.scale and tensor.scale > 0 and tensor.zero_point is not None):
                yield f"{form}: tensor {tensor.name} has no scale or zero point"


def _verifier_faults(verifier: VerifierInfo, labels: int) -> Iterator[str]:
    if not 0 < verifier.trigger_score < 1:
        yield f"the verifier's trigger_score {verifier.trigger_score} is not between 0 and 1"
    if not 0 < verifier.weight <= 1:
        yield f"the verifier's weight {verifier.weight} is not above 0 and at most 1"
    if not 0 < verifier.odds < float("inf"):
        yield f"the verifier's odds {verifier.odds} are not a number above 0"
    if verifier.places < 1:
        yield f"the verifier's places {verifier.places} are not 1 or more"
    if len(verifier.golden_scores) != labels:
        yield f"the verifier has {len(verifier.golden_scores)} golden scores, expected {labels}"


def _state_faults(form: str, model: ModelFile, manifest: Manifest) -> Iterator[str]:
    """What would make a state of one step another in the next."""
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
            yield f"{form}: the state {state.name} has shape {state.shape}, its twin {paired.name} {paired.shape}"
