"""``kwspot bench compare`` says what got worse and whether the noise explains it, and fails when it is told to."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kwspot.benchmarks.noise import aa_noise, difference_text
from kwspot.runtime import cli
from kwspot.runtime.intervals import wilson_interval

CLIPS = 1000


def accuracy(right: np.ndarray, **other: Any) -> dict[str, Any]:
    """A result of one stage that gets just these clips right."""
    correct = int(right.sum())
    stage = {
        "name": "int8-litert",
        "correct": correct,
        "accuracy": correct / CLIPS,
        "ci95": list(wilson_interval(correct, CLIPS)),
        "loss_points": None,
        "per_label": {},
    }
    return {
        "schema": "kwspot.accuracy/1",
        "data": "speech",
        "part": "test",
        "labels": ["a", "b"],
        "clips": CLIPS,
        "stages": [stage],
        "clip_set": "0" * 64,
        "right": {"int8-litert": base64.b64encode(np.packbits(right).tobytes()).decode()},
        **other,
    }


def latency(p50: float, noise: float | None) -> dict[str, Any]:
    us = {"total": {"p50": p50, "p95": 2 * p50, "p99": 3 * p50, "max": 9 * p50}}
    run = {"engine": "litert", "precision": "int8", "hop_ms": 40.0, "us": us, "cpu_s_per_hour": p50 / 10}
    values: dict[str, Any] = {"schema": "kwspot.latency/1", "runs": [run]}
    return values if noise is None else {**values, "noise": {"p50": noise, "p95": noise, "cpu_s_per_hour": noise}}


def compare(tmp_path: Path, old: Any, new: Any, *conditions: str) -> int:
    paths = []
    for name, values in (("old.json", old), ("new.json", new)):
        (tmp_path / name).write_text(values if isinstance(values, str) else json.dumps(values))
        paths.append(str(tmp_path / name))
    return cli.main(["bench", "compare", *paths, *(part for text in conditions for part in ("--fail-if", text))])


def clips(right: int) -> np.ndarray:
    return np.arange(CLIPS) < right


def test_a_loss_that_chance_does_not_explain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = compare(tmp_path, accuracy(clips(950)), accuracy(clips(940)), "int8-litert.accuracy < -0.3")
    printed = capsys.readouterr()
    assert status == 1
    assert "int8-litert.accuracy fell by 1.00 points, from 95.00 to 94.00; chance does not explain it" in printed.err
    assert "10 clips right→wrong, 0 wrong→right, McNemar p = 0.002" in printed.err
    assert "-1.00 points  beyond noise" in printed.out


def test_a_loss_that_chance_explains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = clips(954)
    new[:8] = False
    status = compare(tmp_path, accuracy(clips(950)), accuracy(new), "int8-litert.accuracy < -0.3")
    assert status == 1
    assert "fell by 0.40 points, from 95.00 to 94.60; chance explains it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("new", "condition", "status"),
    [
        (948, "int8-litert.accuracy < -0.3", 0),
        (947, "int8-litert.accuracy < -0.3", 0),
        (946, "int8-litert.accuracy < -0.3", 1),
        (960, "int8-litert.accuracy < -0.3", 0),
        (960, "int8-litert.accuracy > 0.5", 1),
    ],
)
def test_only_beyond_the_condition(tmp_path: Path, new: int, condition: str, status: int) -> None:
    assert compare(tmp_path, accuracy(clips(950)), accuracy(clips(new)), condition) == status


def test_other_clips_are_compared_with_a_wider_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = accuracy(clips(940), clip_set="1" * 64)
    assert compare(tmp_path, accuracy(clips(950)), new, "int8-litert.accuracy < -0.3") == 1
    assert "chance explains it (95 % interval -3.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        (0.2, "the machine's noise of 20.0 % explains it"),
        (0.01, "the machine's noise of 1.0 % does not explain it"),
        (None, "the machine's noise was not measured"),
    ],
)
def test_latency_against_the_noise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], noise: float | None, said: str
) -> None:
    assert compare(tmp_path, latency(100, noise), latency(115, noise), "litert-int8.p50 > 10") == 1
    printed = capsys.readouterr().err
    assert "litert-int8.p50 rose by 15.00 %, from 100.00 to 115.00" in printed
    assert said in printed


def test_noise_is_the_greatest_difference_of_two_measurements() -> None:
    one, two = latency(100, None)["runs"], latency(104, None)["runs"]
    assert aa_noise(one, two)["p50"] == pytest.approx(0.04)
    assert aa_noise(one, one)["cpu_s_per_hour"] == 0
    assert difference_text(100, 103, 0.04) == "none (noise ±4 %)"
    assert difference_text(100, 110, 0.04) == "+10 %"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"schema": "kwspot.accuracy/2"}, "is of schema 'kwspot.accuracy/2'"),
        ({"labels": ["b", "a"]}, "the new one ['b', 'a']; expected two results on the same clips"),
        ({"clips": 999}, "has clips 1000, the new one 999"),
        ({"data": "other"}, "has data speech, the new one other"),
    ],
)
def test_results_that_do_not_belong_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], expected: str
) -> None:
    old = accuracy(clips(950))
    assert compare(tmp_path, old, {**copy.deepcopy(old), **change}) == 2
    said = capsys.readouterr().err.strip()
    assert expected in said
    assert said.startswith("kwspot: ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("new", "condition", "expected"),
    [
        ("no json", "int8-litert.accuracy < 0", "cannot be read (it is no JSON)"),
        (accuracy(clips(9)), "int8-onnx.accuracy < 0", "no int8-onnx.accuracy in both results"),
        (accuracy(clips(9)), "int8-litert.accuracy == 0", "is no condition; expected NAME.MEASURE < NUMBER"),
    ],
)
def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str], new: Any, condition: str, expected: str) -> None:
    assert compare(tmp_path, accuracy(clips(9)), new, condition) == 2
    assert expected in capsys.readouterr().err
