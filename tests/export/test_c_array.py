"""kwspot export --c-array: C that compiles, holds the model to the last byte, and runs in TensorFlow Lite Micro."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kwspot.export import cli as export_cli
from kwspot.export.c_array import operator_kinds, resolver_method, write_c_array
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.features.mfcc import mfcc
from kwspot.runtime.features.quantise import quantise
from kwspot.runtime.model.bundle import Bundle, load_bundle
from kwspot.runtime.model.golden import GoldenVectors

PRINT = """
#include <stdio.h>
#include "{name}_model.h"
int main(void) {{
  for (int i = 0; i < {upper}_MODEL_BYTES; i++) printf("%02x", {name}_model[i]);
  printf("\\n");
  for (int i = 0; i < {upper}_COEFFICIENTS; i++) printf("%.9g %.9g ", {name}_mean[i], {name}_std[i]);
  printf("\\n");
  for (int i = 0; i < {upper}_LABELS; i++) printf("%s=%g ", {name}_labels[i], {name}_thresholds[i]);
  printf("\\n%d %d %d\\n", {upper}_FRAMES_ZERO_POINT, {upper}_SCORES_OUTPUT, (int)(((size_t){name}_model) % 16));
  return 0;
}}
"""

# In a process of its own, without LiteRT: TensorFlow Lite Micro on the models and inputs of a folder.
MICRO = """
import json, sys
import numpy as np
from tflite_micro import runtime

folder = sys.argv[1]
steps = json.load(open(folder + "/inputs.json"))
interpreter = runtime.Interpreter.from_file(folder + "/model.tflite")
said = []
for inputs in steps:
    for index, values in enumerate(inputs):
        interpreter.set_input(np.array(values, np.int8), index)
    interpreter.invoke()
    said.append(interpreter.get_output(int(sys.argv[2])).ravel().tolist())
print(json.dumps(said))
"""


def compiler(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}: apt install {name}")
    return found


@pytest.mark.parametrize("name", ["commands", "tutorial"])
def test_the_pair_compiles_and_holds_the_bundle(name, tmp_path):
    bundle = load_bundle(name)
    assert export_cli.main([name, "--c-array", str(tmp_path)]) == 0
    (tmp_path / "main.c").write_text(PRINT.format(name=name, upper=name.upper()))
    strict = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
    sources = [str(tmp_path / f"{name}_model.c"), str(tmp_path / "main.c")]
    subprocess.run([compiler("gcc"), *strict, "-o", str(tmp_path / "main"), *sources], check=True)
    done = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True)
    model, features, labels, numbers = done.stdout.splitlines()
    assert bytes.fromhex(model) == bundle.model_bytes("int8-tflite")
    manifest = bundle.manifest
    wanted = np.stack([manifest.normalisation.mean, manifest.normalisation.std], axis=1).astype(np.float32)
    np.testing.assert_array_equal(np.array(features.split(), np.float32).reshape(-1, 2), wanted)
    assert [pair.split("=")[0] for pair in labels.split()] == list(manifest.labels)
    assert labels.split()[0].endswith("=0.8") or manifest.decision.thresholds
    zero_point, _, aligned = map(int, numbers.split())
    assert (zero_point, aligned) == (manifest.models["int8-tflite"].inputs[0].zero_point, 0)
    header = [compiler("g++"), "-x", "c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-"]
    text = (
        f'#include "{tmp_path}/{name}_model.h"\n'
        + "struct R {"
        + "".join(f"void {resolver_method(kind)}();" for kind in operator_kinds(bundle.model_bytes("int8-tflite")))
        + f"}};\nvoid add(R &r) {{ {name.upper()}_ADD_OPERATORS(r); }}\n"
    )
    subprocess.run(header, input=text, text=True, check=True)


def micro_scores(bundle: Bundle, inputs: list[list[np.ndarray]], folder: Path) -> np.ndarray:
    """int8 scores of TensorFlow Lite Micro, (steps, labels); `inputs` in the manifest's order."""
    pytest.importorskip("tflite_micro", reason="no tflite-micro: it has wheels for Linux x86-64 alone")
    text = write_c_array(bundle, folder)[0].read_text()
    file = bundle.manifest.models["int8-tflite"]
    (folder / "model.tflite").write_bytes(bundle.model_bytes("int8-tflite"))
    places = {file.inputs[0].name: int(re.search(r"_FRAMES_INPUT (\d+)", text)[1])}
    rows = re.findall(r"^    \{ (\d+), ", (folder / text_source(text)).read_text(), re.MULTILINE)
    places |= {pair.input: int(row) for pair, row in zip(bundle.manifest.states, rows, strict=True)}
    ordered = [
        [
            values
            for _, values in sorted(zip((places[t.name] for t in file.inputs), step, strict=True), key=lambda p: p[0])
        ]
        for step in inputs
    ]
    (folder / "inputs.json").write_text(json.dumps([[tensor.tolist() for tensor in step] for step in ordered]))
    output = re.search(r"_SCORES_OUTPUT (\d+)", text)[1]
    done = subprocess.run(
        [sys.executable, "-c", MICRO, str(folder), output], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return np.array(json.loads(done.stdout))


def text_source(header: str) -> str:
    return re.search(r"#ifndef (\w+)_MODEL_H", header)[1].lower() + "_model.c"


def reference_kernels(bundle: Bundle):
    """LiteRT's plain kernels, whose arithmetic Micro's are made to follow; XNNPACK rounds otherwise."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    model = bundle.model_bytes("int8-tflite")
    interpreter = Interpreter(
        model_content=model, num_threads=1, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    places = {t["name"]: t["index"] for t in (*interpreter.get_input_details(), *interpreter.get_output_details())}

    def infer(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        for name, values in inputs.items():
            interpreter.set_tensor(places[name], values)
        interpreter.invoke()
        outputs = bundle.manifest.models["int8-tflite"].outputs
        return {tensor.name: interpreter.get_tensor(places[tensor.name]) for tensor in outputs}

    return infer


def steps_of(bundle: Bundle, infer) -> tuple[list[list[np.ndarray]], np.ndarray]:
    """Inputs of each inference over the golden sound, and the int8 scores, (steps, labels)."""
    manifest, file = bundle.manifest, bundle.manifest.models["int8-tflite"]
    frames, *state_inputs = file.inputs
    remembered = {tensor.name: np.full(tensor.shape, tensor.zero_point, np.int8) for tensor in state_inputs}
    lengths = {tensor.name: tensor.shape[1] for tensor in state_inputs}
    inputs, scores = [], []
    for clip in GoldenVectors.of(bundle).sound:
        features = manifest.normalisation.apply(mfcc(clip, manifest.features))
        rows = quantise(features, frames.scale, frames.zero_point)
        size = frames.shape[1]
        for start in range(0, len(rows) - size + 1, size):
            step = {frames.name: rows[start : start + size].reshape(frames.shape), **remembered}
            said = infer(step)
            inputs.append([step[tensor.name].copy() for tensor in file.inputs])
            scores.append(np.array(said[file.outputs[0].name]).ravel())
            for pair in manifest.states:
                remembered[pair.input] = np.array(said[pair.output])[:, -lengths[pair.input] :]
    return inputs, np.array(scores)


@pytest.mark.parametrize("name", ["commands", "tutorial"])
def test_micro_gives_the_scores_of_the_plain_kernels(name, tmp_path):
    bundle = load_bundle(name)
    inputs, scores = steps_of(bundle, reference_kernels(bundle))
    steps = np.abs(micro_scores(bundle, inputs, tmp_path) - scores)
    assert steps.max() == 0, f"{steps.max()} steps, {np.mean(steps > 0):.1%} of the scores differ"


def test_nothing_to_write_is_refused():
    with pytest.raises(ConfigError, match="nothing to write"):
        export_cli.main(["commands"])
