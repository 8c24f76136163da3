"""kwspot selftest: what is right passes, whatever computes otherwise is named; what a board says about itself."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from kwspot.runtime.board import selftest, selftest_cli
from kwspot.runtime.board.selftest import run_checks
from kwspot.runtime.board.state import peak_rss_mb, temperature_c, throttling
from kwspot.runtime.detect.decision import Decision
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.model.engines import open_engine
from kwspot.runtime.model.golden import GoldenResult


def failing(checks) -> list[str]:
    return [check.name for check in checks if not check.passed]


@pytest.mark.parametrize("engine", ["litert", "onnx"])
def test_the_shipped_bundle_passes_and_says_what_it_uses(engine, capsys):
    assert selftest_cli.main(["commands", "--engine", engine, "--hops", "100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:4]] == [
        [name, "ok"] for name in ("features", "scores", "stream", "decision")
    ]
    assert lines[-1].startswith(f"passed: commands on {engine} uses ")
    assert lines[-1].endswith(" % of one core")


def test_other_features_are_found(tiny_bundle, monkeypatch, capsys):
    from kwspot.runtime.model import golden

    real = golden.mfcc
    monkeypatch.setattr(golden, "mfcc", lambda sound, spec: real(sound, spec) + np.float32(3e-4))
    assert "features" in failing(run_checks(tiny_bundle, open_engine(tiny_bundle, "litert")))
    assert selftest_cli.main([str(tiny_bundle.path), "--hops", "100"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("FAILED: tiny on litert: features")


@pytest.mark.parametrize(
    ("steps", "engine", "fails"),
    [(1, "litert", []), (2, "litert", ["scores", "stream"]), (16, "tflite", []), (17, "tflite", ["scores", "stream"])],
)
def test_scores_may_differ_by_the_engines_steps(tiny_bundle, monkeypatch, steps, engine, fails):
    found = GoldenResult(0.0, float(steps), same_labels=True, stream_steps=4.0 * steps, same_times=True)
    monkeypatch.setattr(selftest, "check_golden", lambda bundle, engine: found)
    opened = open_engine(tiny_bundle, "litert")
    opened.name = engine
    assert failing(run_checks(tiny_bundle, opened)) == fails
    found = GoldenResult(0.0, 0.0, same_labels=False, stream_steps=0.0, same_times=True)
    assert failing(run_checks(tiny_bundle, opened)) == ["scores"]
    found = GoldenResult(0.0, 0.0, same_labels=True, stream_steps=0.0, same_times=False)
    assert failing(run_checks(tiny_bundle, opened)) == ["stream"]


class Deaf(Decision):
    def push(self, scores, at_sample):
        return []


class Twice(Decision):
    def push(self, scores, at_sample):
        return 2 * super().push(scores, at_sample)


class Late(Decision):
    def push(self, scores, at_sample):
        found = super().push(scores, at_sample)
        return [dataclasses.replace(detection, at_sample=at_sample + 16_000) for detection in found]


@pytest.mark.parametrize("decision", [Deaf, Twice, Late])
def test_a_wrong_decision_is_found(tiny_bundle, monkeypatch, decision):
    monkeypatch.setattr(selftest, "Decision", decision)
    assert failing(run_checks(tiny_bundle, open_engine(tiny_bundle, "litert"))) == ["decision"]


def test_a_board_that_tells_its_state(tmp_path):
    assert temperature_c(tmp_path) is None
    assert throttling(tmp_path) is None
    for path, text in {
        "sys/class/thermal/thermal_zone0/temp": "61320\n",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
    assert temperature_c(tmp_path) == 61.32
    assert throttling(tmp_path) == [
        "under-voltage now",
        "throttled now",
        "under-voltage since the start",
        "throttled since the start",
    ]
    assert 10 < peak_rss_mb() < 100_000


def test_too_few_hops_are_refused():
    with pytest.raises(ConfigError, match="expected 100 or more"):
        selftest_cli.main(["commands", "--hops", "5"])
