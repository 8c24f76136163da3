"""The engines: the same answers, and saturation at both ends of int8."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kwspot.runtime.model.bundle import Bundle
from kwspot.runtime.model.classifier import WindowClassifier
from kwspot.runtime.model.engines import Engine, Tensor, open_engine
from kwspot.runtime.model.golden import check_golden

HERE = ["litert", "onnx"]


class Overheard:
    """An engine that keeps what it was given and what it said."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.inputs, self.outputs = engine.name, engine.inputs, engine.outputs
        self.given: list[Tensor] = []
        self.said: list[Tensor] = []

    def infer(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        self.given = [tensor.copy() for tensor in tensors]
        self.said = [tensor.copy() for tensor in self._engine.infer(tensors)]
        return self.said


@pytest.mark.parametrize("engine", HERE)
@pytest.mark.parametrize(("decibels", "step"), [(1e4, 127), (-1e4, -128), (1e30, 127), (-1e30, -128)])
def test_features_out_of_range_saturate(tiny_bundle: Bundle, engine: str, decibels: float, step: int) -> None:
    overheard = Overheard(open_engine(tiny_bundle, engine))
    scores = WindowClassifier(tiny_bundle.manifest, overheard).score_clip(np.full((49, 12), decibels, np.float32))
    assert (overheard.given[0] == step).all()
    assert overheard.given[0].dtype == np.int8
    assert scores.sum() == pytest.approx(1, abs=0.02)
    assert (scores >= 0).all()
    # All engines see the same saturated window, so they say the same.
    litert = open_engine(tiny_bundle, "litert").infer([np.full((1, 49, 12), step, np.int8)])[0]
    assert np.abs(overheard.said[0].astype(int) - litert.astype(int)).max() <= 1


@pytest.mark.parametrize("sign", [1, -1])
def test_just_out_of_range_does_not_wrap(tiny_bundle: Bundle, sign: int) -> None:
    manifest = tiny_bundle.manifest
    overheard = Overheard(open_engine(tiny_bundle))
    info = overheard.inputs[0]
    assert info.scale is not None
    assert info.zero_point is not None
    end = 127 if sign > 0 else -128
    # 0.6 of a step beyond the last: rounded it is 128 or -129, and a cast alone would wrap.
    normalised = (end - info.zero_point + 0.6 * sign) * info.scale
    mean, std = np.array(manifest.normalisation.mean), np.array(manifest.normalisation.std)
    frames = np.tile(mean + std * normalised, (manifest.window_frames, 1)).astype(np.float32)
    WindowClassifier(manifest, overheard).score_clip(frames)
    assert (overheard.given[0] == end).all()


@pytest.mark.parametrize(("engine", "steps"), [("litert", 0), ("onnx", 1)])
def test_golden_vectors_are_found_again(tiny_bundle: Bundle, engine: str, steps: int) -> None:
    result = check_golden(tiny_bundle, open_engine(tiny_bundle, engine))
    assert result.feature_error <= 1e-6
    assert result.same_labels
    assert result.score_steps <= steps


def test_golden_vectors_catch_another_normalisation(tiny_bundle: Bundle) -> None:
    manifest = tiny_bundle.manifest
    shifted = dataclasses.replace(manifest.normalisation, mean=tuple(x + 3 for x in manifest.normalisation.mean))
    other = dataclasses.replace(tiny_bundle, manifest=dataclasses.replace(manifest, normalisation=shifted))
    assert check_golden(other, open_engine(other, "litert")).score_steps > 1


def test_engines_agree_on_noise(tiny_bundle: Bundle) -> None:
    rng = np.random.default_rng(1)
    windows = rng.integers(-128, 128, (200, 1, 49, 12)).astype(np.int8)

    def scores(engine: Engine) -> NDArray[np.int16]:
        return np.concatenate([engine.infer([window])[0] for window in windows]).astype(np.int16)

    litert, onnx = (scores(open_engine(tiny_bundle, engine)) for engine in HERE)
    assert np.abs(litert - onnx).max() <= 1
    # They had something to say: not all windows are alike.
    assert len(np.unique(litert, axis=0)) > 20


BROKEN = {
    "a library is missing": 'raise ImportError("libgomp.so.1: cannot open shared object file")',
    "built for another numpy": 'raise RuntimeError("module compiled against ABI version 0x1000009")',
    "a package is missing": "import nothing_of_this_name",
    "a library of another system": 'raise OSError("wrong ELF class: ELFCLASS32")',
}


def hear_silence(broken: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Listen to a second of silence where the packages in `broken` come before those that are installed."""
    command = [sys.executable, "-m", "kwspot.runtime.cli", "listen", "commands", "--stdin", *options]
    path = ":".join((str(broken), os.environ.get("PYTHONPATH", "")))
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, input="\0" * 32_000, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("fault", BROKEN)
def test_an_engine_that_cannot_be_loaded_is_told_and_without_a_name_the_next_one_runs(tmp_path: Path, fault: str):
    for package in ("onnxruntime", "ai_edge_litert"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(BROKEN[fault] + "\n")
        named = hear_silence(tmp_path, "--engine", {"onnxruntime": "onnx", "ai_edge_litert": "litert"}[package])
        assert named.returncode == 2
        told = [line for line in named.stderr.splitlines() if line.startswith("kwspot: ")]
        assert len(told) == 1
        assert "cannot be loaded (" in told[0]
        assert "install it again, pip install --force-reinstall 'kwspot[" in told[0]
        assert "Traceback" not in named.stderr
    none = hear_silence(tmp_path)
    assert (none.returncode, none.stdout) == (2, "")
    (tmp_path / "onnxruntime/__init__.py").unlink()
    (tmp_path / "onnxruntime").rmdir()
    other = hear_silence(tmp_path)
    assert other.returncode == 0
    assert '"engine": "onnx"' in other.stdout
    assert other.stderr.count("the engine litert cannot be loaded") == 1
    assert "onnx runs instead" in other.stderr
