"""``kwspot bench engines``: identical events pass, others are told one by one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from kwspot.benchmarks.latency import engine_events as heard_module
from kwspot.benchmarks.latency.engine_events import EngineOutput, Event, compare
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.cli import main
from kwspot.runtime.detect.scoring import silence_after
from kwspot.runtime.model.bundle import Bundle


@pytest.fixture(scope="module")
def files(tone_folder: Path) -> list[str]:
    return [str(clip.path) for clip in DataFolder(tone_folder).clips("test", ["low", "high"])[::8]]


def test_engines_are_compared_on_every_file(
    stream_bundle: Bundle, files: list[str], tflite_python: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "engines.json"
    command = ["bench", "engines", str(stream_bundle.path), "--tflite-python", tflite_python, "--json", str(target)]
    assert main([*command, "--wav", *files]) == 0
    said = capsys.readouterr().out
    values = json.loads(target.read_text())
    assert values["schema"] == "kwspot.engines/1"
    assert [sound["file"] for sound in values["sounds"]] == [Path(path).name for path in files]
    onnx, tflite = values["comparisons"]["litert~onnx"], values["comparisons"]["litert~tflite"]
    assert onnx["identical"] is True
    assert onnx["differences"] == []
    events = onnx["events"][0]
    assert onnx["events"] == [events, events]
    assert events >= 0.9 * len(files)
    manifest = stream_bundle.manifest
    steps = manifest.features.frames_in(16_000 + silence_after(manifest)) // manifest.inference_hop_frames
    assert onnx["inferences"] == tflite["inferences"] == steps * len(files)
    assert onnx["same_scores"] >= 0.99 * onnx["inferences"]
    assert tflite["same_label"] >= 0.97 * tflite["inferences"]
    assert tflite["largest_score_difference"] < 0.2
    assert f"litert~onnx: {events} and {events} events, identical" in said
    assert "litert~tflite" in said


def test_a_window_bundle_without_tflite(
    tiny_bundle: Bundle, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "engines", str(tiny_bundle.path), "--wav", files[0], "--json", "-"]) == 0
    said = capsys.readouterr()
    assert list(json.loads(said.out)["comparisons"]) == ["litert~onnx"]
    assert "tflite is not compared: name the Python" in said.err


def test_other_events_in_onnx_are_exit_1(
    stream_bundle: Bundle, files: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = heard_module.hear_sounds

    def losing(bundle: Bundle, engine: str, sounds: list[np.ndarray]) -> EngineOutput:
        found = original(bundle, engine, sounds)
        return found if engine == "litert" else dataclasses.replace(found, events=found.events[1:])

    monkeypatch.setattr(heard_module, "hear_sounds", losing)
    assert main(["bench", "engines", str(stream_bundle.path), "--wav", *files[:2]]) == 1
    said = capsys.readouterr().out
    assert "and none s, score" in said
    assert Path(files[0]).name in said


def test_a_python_that_cannot_run_it_is_one_line(
    tiny_bundle: Bundle, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["bench", "engines", str(tiny_bundle.path), "--wav", files[0], "--tflite-python"]
    for python, says in (("/nowhere/python", "cannot be run"), ("/bin/false", "could not run the model")):
        assert main([*command, python]) == 2
        said = capsys.readouterr().err
        assert says in said
        assert said.count("\n") == 1


def test_events_are_paired_by_word_and_time() -> None:
    scores = np.zeros((2, 3), np.float32)
    ours = [Event(0, "low", 16_000, 0.9), Event(0, "high", 40_000, 0.9), Event(1, "low", 16_000, 0.9)]
    theirs = [Event(0, "low", 16_640, 0.9), Event(1, "low", 16_000, 0.8), Event(1, "high", 40_000, 0.9)]
    values = compare(EngineOutput(scores, ours), EngineOutput(scores, theirs), rate_hz=16_000)
    assert values["identical"] is False
    assert values["same_word_and_time"] == 1
    assert [(row["sound"], row["label"], row["at_s"], row["score"]) for row in values["differences"]] == [
        (0, "low", [1.0, 1.04], [0.9, 0.9]),
        (0, "high", [2.5, None], [0.9, None]),
        (1, "low", [1.0, 1.0], [0.9, 0.8]),
        (1, "high", [None, 2.5], [None, 0.9]),
    ]
    assert values["same_scores"] == 2
