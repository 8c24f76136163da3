"""tflite-runtime in its own environment: Python 3.11, numpy 1, and nothing of the kit but the runtime."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kwspot.runtime.model.bundle import Bundle

JUDGE = """
import json, sys
import numpy as np
from kwspot.runtime.model.bundle import load_bundle
from kwspot.runtime.model.classifier import WindowClassifier
from kwspot.runtime.model.engines import installed_engines, open_engine
from kwspot.runtime.model.golden import check_golden

bundle = load_bundle(sys.argv[1])
engine = open_engine(bundle)
result = check_golden(bundle, engine)
ends = {}
for step, decibels in ((127, 1e6), (-128, -1e6)):
    scores = WindowClassifier(bundle.manifest, engine).score_clip(np.full((49, 12), decibels, np.float32))
    said = engine.infer([np.full((1, 49, 12), step, np.int8)])[0][0]
    ends[str(step)] = [scores.tolist(), said.tolist()]
print(json.dumps({
    "numpy": np.__version__, "installed": installed_engines(), "engine": engine.name, "ends": ends,
    "feature_error": result.feature_error, "score_steps": result.score_steps, "same_labels": result.same_labels,
}))
"""


def run(python: str, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, *args], capture_output=True, text=True, env={**os.environ, **environment}, timeout=120, check=False
    )


def test_golden_vectors_in_tflite_runtime(tflite_python: str, tiny_bundle: Bundle) -> None:
    done = run(tflite_python, "-W", "error", "-c", JUDGE, str(tiny_bundle.path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["numpy"].startswith("1.")
    assert (found["installed"], found["engine"]) == (["tflite"], "tflite")
    assert found["feature_error"] <= 2e-4
    assert found["same_labels"]
    assert found["score_steps"] <= 8
    # Features far out of range saturate: they give what a window of the last step gives.
    scale = tiny_bundle.manifest.models["int8-tflite"].outputs[0].scale
    zero_point = tiny_bundle.manifest.models["int8-tflite"].outputs[0].zero_point
    assert scale is not None
    assert zero_point is not None
    for scores, said in found["ends"].values():
        assert scores == pytest.approx([(step - zero_point) * scale for step in said])


def test_listening_in_tflite_runtime(tflite_python: str, tiny_bundle: Bundle, tone_folder: Path) -> None:
    sound = min((tone_folder / "low").iterdir())
    done = run(tflite_python, "-m", "kwspot.runtime.cli", "listen", str(tiny_bundle.path), "--wav", str(sound))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0])["engine"] == "tflite"


def test_tflite_runtime_with_numpy_2(tiny_bundle: Bundle, tone_folder: Path, tmp_path: Path) -> None:
    # Its import succeeds with numpy 2, as this stand-in's does.
    package = tmp_path / "tflite_runtime"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "interpreter.py").touch()
    sound = min((tone_folder / "low").iterdir())
    command = ["-m", "kwspot.runtime.cli", "listen", str(tiny_bundle.path), "--wav", str(sound), "--engine", "tflite"]
    done = run(sys.executable, *command, PYTHONPATH=os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", ""))))
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "tflite-runtime needs numpy below 2 and numpy 2." in line
    assert "pip install 'numpy<2'" in line
