"""The int8 model and all that belongs to it as C, for TensorFlow Lite Micro on a microcontroller.

``NAME_model.c`` holds the arrays, ``NAME_model.h`` the numbers: how sound becomes
features, how they are normalised and quantised, which tensor is what, how scores
become detections, and which operators the model needs of Micro's resolver.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from kwspot.export.tensors import operator_name
from kwspot.runtime.files import whole_file
from kwspot.runtime.model.bundle import Bundle

ALIGNMENT = 16
"""Bytes; Micro reads tensors where they lie in the model."""

_BYTES_PER_LINE = 20


def write_c_array(bundle: Bundle, folder: Path) -> list[Path]:
    """Write the pair; returns the header and the source.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    name = re.sub(r"\W", "_", bundle.name).lower()
    name = name if name[:1].isalpha() else f"kws_{name}"
    model = bundle.model_bytes("int8-tflite")
    paths = [folder / f"{name}_model.h", folder / f"{name}_model.c"]
    for path, text in zip(paths, (_header(name, bundle, model), _source(name, bundle, model)), strict=True):
        with whole_file(path) as beside:
            beside.write_text(text, encoding="utf-8")
    return paths


def operator_kinds(model: bytes) -> list[str]:
    """Return the kinds of operators of a model as the schema calls them, each once, in order."""
    from ai_edge_litert import schema_py_generated as schema

    return list(dict.fromkeys(map(operator_name, schema.ModelT.InitFromPackedBuf(model, 0).operatorCodes)))


def resolver_method(kind: str) -> str:
    """Return the method of Micro's resolver that adds a kind of operator.

    Examples
    --------
    >>> resolver_method("DEPTHWISE_CONV_2D")
    'AddDepthwiseConv2D'
    """
    return "Add" + "".join(word.title() for word in kind.split("_"))


def _tensor_order(model: bytes) -> tuple[list[str], list[str]]:
    """Names of inputs and outputs in the model's own order, by which Micro numbers them."""
    from ai_edge_litert import schema_py_generated as schema

    (graph,) = schema.ModelT.InitFromPackedBuf(model, 0).subgraphs
    names = [tensor.name.decode() for tensor in graph.tensors]
    return [names[index] for index in graph.inputs], [names[index] for index in graph.outputs]


def _numbers(name: str, bundle: Bundle, model: bytes) -> dict[str, Any]:
    """Macro → value."""
    manifest = bundle.manifest
    spec, file = manifest.features, manifest.models["int8-tflite"]
    inputs, outputs = _tensor_order(model)
    frames, scores = file.inputs[0], file.outputs[0]
    values = {
        "SAMPLE_RATE_HZ": spec.sample_rate_hz,
        "WINDOW_SAMPLES": spec.window_samples,
        "HOP_SAMPLES": spec.hop_samples,
        "MEL_BANDS": spec.mel_bands,
        "COEFFICIENTS": spec.coefficients,
        "LOW_HZ": _real(spec.low_hz),
        "HIGH_HZ": _real(spec.high_hz),
        "LOG_FLOOR": _real(spec.log_floor),
        "LABELS": len(manifest.labels),
        "WINDOW_FRAMES": manifest.window_frames,
        "FRAMES_PER_INFERENCE": manifest.inference_hop_frames,
        "FRAMES_INPUT": inputs.index(frames.name),
        "FRAMES_SCALE": _real(frames.scale),
        "FRAMES_ZERO_POINT": frames.zero_point,
        "SCORES_OUTPUT": outputs.index(scores.name),
        "SCORES_SCALE": _real(scores.scale),
        "SCORES_ZERO_POINT": scores.zero_point,
        "STATES": len(manifest.states),
        "SMOOTHING_MS": _real(manifest.decision.smoothing_ms),
        "REFRACTORY_MS": _real(manifest.decision.refractory_ms),
        "OPERATORS": len(operator_kinds(model)),
        "MODEL_BYTES": len(model),
    }
    # A negative number in brackets, or it would join what stands before the macro.
    return {
        f"{name.upper()}_{key}": f"({value})" if isinstance(value, int) and value < 0 else value
        for key, value in values.items()
    }


def _header(name: str, bundle: Bundle, model: bytes) -> str:
    manifest = bundle.manifest
    upper = name.upper()
    adds = " ".join(f"(resolver).{resolver_method(kind)}();" for kind in operator_kinds(model))
    defines = "\n".join(f"#define {key} {value}" for key, value in _numbers(name, bundle, model).items())
    transform = "the orthonormal DCT-II" if manifest.features.kind == "mfcc" else "nothing more (log-mel)"
    states = (
        f"""
/* A state's output holds the rows of its input and then the new ones; its last rows are the next input.
   Before the first sound: what {upper}_WINDOW_FRAMES frames of digital silence leave, from all zero points. */
typedef struct {{ int input, output, input_bytes, output_bytes, zero_point; }} {name}_state;
extern const {name}_state {name}_states[{upper}_STATES];
"""
        if manifest.states
        else ""
    )
    return f"""\
/* {bundle.name}: hears {", ".join(manifest.words)}. Written by kwspot export; do not edit.
   bundle {bundle.hash}
   data: {manifest.data_licence.replace("*/", "* /")}

   Sound to features: int16 divided by 32768, a periodic Hann window of {upper}_WINDOW_SAMPLES every
   {upper}_HOP_SAMPLES, power spectrum, {upper}_MEL_BANDS triangles of equal area on Slaney's mel scale,
   10 log10 of at least {upper}_LOG_FLOOR, then {transform}.
   Features to the model: (value - mean) / std, then round(x / scale) + zero point, saturated to int8. */
#ifndef {upper}_MODEL_H
#define {upper}_MODEL_H

#ifdef __cplusplus
extern "C" {{
#endif

{defines}

/* For a tflite::MicroMutableOpResolver<{upper}_OPERATORS>. */
#define {upper}_ADD_OPERATORS(resolver) do {{ {adds} }} while (0)

extern const unsigned char {name}_model[{upper}_MODEL_BYTES];
extern const float {name}_mean[{upper}_COEFFICIENTS], {name}_std[{upper}_COEFFICIENTS];
extern const char *const {name}_labels[{upper}_LABELS];
/* Of the mean over {upper}_SMOOTHING_MS; above 1: never. */
extern const float {name}_thresholds[{upper}_LABELS];
{states}
#ifdef __cplusplus
}}
#endif
#endif
"""


def _source(name: str, bundle: Bundle, model: bytes) -> str:
    manifest = bundle.manifest
    settings = manifest.decision
    thresholds = [settings.threshold_of(label) for label in manifest.labels]
    labels = ", ".join(_text(label) for label in manifest.labels)
    upper = name.upper()
    states = ""
    if manifest.states:
        rows = ",\n".join(f"    {row}" for row in _state_rows(bundle, model))
        states = f"\nconst {name}_state {name}_states[{upper}_STATES] = {{\n{rows},\n}};\n"
    return f"""\
/* Written by kwspot export; do not edit. */
#include "{name}_model.h"

#if defined(__GNUC__)
__attribute__((aligned({ALIGNMENT})))
#endif
const unsigned char {name}_model[{upper}_MODEL_BYTES] = {{
{_rows(model)}
}};

const float {name}_mean[{upper}_COEFFICIENTS] = {{ {_reals(manifest.normalisation.mean)} }};
const float {name}_std[{upper}_COEFFICIENTS] = {{ {_reals(manifest.normalisation.std)} }};
const char *const {name}_labels[{upper}_LABELS] = {{ {labels} }};
const float {name}_thresholds[{upper}_LABELS] = {{ {_reals(thresholds)} }};
{states}"""


def _state_rows(bundle: Bundle, model: bytes) -> list[str]:
    file = bundle.manifest.models["int8-tflite"]
    inputs, outputs = _tensor_order(model)
    infos = {info.name: info for info in (*file.inputs, *file.outputs)}
    rows = []
    for pair in bundle.manifest.states:
        sizes = [math.prod(infos[tensor].shape) for tensor in (pair.input, pair.output)]
        zero_point = infos[pair.input].zero_point
        row = [inputs.index(pair.input), outputs.index(pair.output), *sizes, zero_point]
        rows.append("{ " + ", ".join(map(str, row)) + " }")
    return rows


def _real(value: float | None) -> str:
    """Write a C float that reads back as the same float32."""
    assert value is not None
    text = f"{np.float32(value):.9g}"
    return f"{text}f" if re.search(r"[.e]", text) else f"{text}.0f"


def _reals(values: Iterable[float]) -> str:
    return ", ".join(map(_real, values))


def _text(value: str) -> str:
    """Write a C string of any label, UTF-8."""
    plain = all(byte in range(32, 127) and chr(byte) not in '"\\?' for byte in value.encode())
    return '"' + (value if plain else "".join(f"\\{byte:03o}" for byte in value.encode())) + '"'


def _rows(content: bytes) -> str:
    lines = (content[start : start + _BYTES_PER_LINE] for start in range(0, len(content), _BYTES_PER_LINE))
    return "\n".join("    " + "".join(f"{byte}," for byte in line) for line in lines)
