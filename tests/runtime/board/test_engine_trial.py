"""A model that ends its process is one line, in selftest and deploy alike; a model that cannot run is one, too."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from kwspot.runtime.board import engine_trial
from kwspot.runtime.board.engine_trial import try_bundle
from kwspot.runtime.cli import main
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.errors import EngineError
from kwspot.runtime.model.bundle import load_bundle
from kwspot.runtime.model.engines import model_fault, open_engine


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Have another program run in place of the child."""

    def replace(script: str) -> None:
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(engine_trial.sys, "executable", str(program))

    return replace


@pytest.mark.parametrize("engine", ["litert", "onnx"])
def test_a_sound_bundle_passes(engine: str) -> None:
    assert try_bundle(load_bundle("tutorial").path, engine) is None


@pytest.mark.parametrize("command", [["selftest"], ["deploy", "--to", "board.tar.gz"]])
def test_a_crash_of_native_code_is_one_line(command, child, tmp_path, monkeypatch, capsys) -> None:
    child("kill -SEGV $$")
    monkeypatch.chdir(tmp_path)
    mine = shutil.copytree(load_bundle("tutorial").path, "mine.kws")
    assert main([command[0], str(mine), *command[1:]]) == 2
    out, err = capsys.readouterr()
    assert err.splitlines()[-1].startswith("kwspot: the engine died with signal 11 (segmentation fault) on ")
    assert out == ""
    assert not (tmp_path / "board.tar.gz").exists()


def test_what_differs_is_told_and_what_hangs_ends(child, monkeypatch) -> None:
    child("echo 'scores of mine: 9 steps' >&2; exit 1")
    assert try_bundle("mine.kws") == "scores of mine: 9 steps"
    child("exit 3")
    with pytest.raises(EngineError, match="it ended with status 3 and said nothing"):
        try_bundle("mine.kws")
    child("exec sleep 20")
    monkeypatch.setattr(engine_trial, "TIMEOUT_S", 0.2)
    with pytest.raises(EngineError, match=r"does not answer in 0\.2 s on mine\.kws"):
        try_bundle("mine.kws", "litert")


def test_an_invoke_that_fails_is_one_line(monkeypatch) -> None:
    engine = open_engine(load_bundle("tutorial"), "litert")

    class Failing:
        def __getattr__(self, name):
            raise RuntimeError("Node number 3 (CONV_2D) failed\nto invoke.\n")

    monkeypatch.setattr(engine, "_interpreter", Failing())
    for run in (lambda: engine.infer([np.zeros(1)] * len(engine.inputs)), engine.session):
        with pytest.raises(EngineError) as caught:
            run()
        assert str(caught.value) == (
            "litert cannot run model.int8.tflite: Node number 3 (CONV_2D) failed to invoke.; export the bundle again"
        )
    assert (
        str(model_fault("onnx", "load", "m", ValueError("")))
        == "onnx cannot load m: ValueError; export the bundle again"
    )


def test_a_step_that_fails_while_listening_is_one_line(monkeypatch) -> None:
    spotter = KeywordSpotter(load_bundle("tutorial"), engine="onnx")

    def fail(_binding) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(spotter._scoring.classifier._stepper, "_session", type("S", (), {"run_with_iobinding": fail}))
    with pytest.raises(EngineError, match=r"onnx cannot run model\.int8\.onnx: no memory"):
        spotter.push(np.zeros(16_000, np.int16))
