"""kwspot.benchmarks.experiments.soak in short: the clock is exact, and a leak or a slip would be seen."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kwspot.benchmarks.experiments import soak
from kwspot.runtime.errors import ConfigError


def test_half_an_hour(tiny_bundle, tmp_path, capsys):
    target = tmp_path / "soak.json"
    # Two readings are no proof of flat memory; the exit status of so short a run may be either.
    assert soak.main([str(tiny_bundle.path), "--hours", "0.5", "--json", str(target)]) in (0, 1)
    values = json.loads(target.read_text())
    assert values["schema"] == "kwspot.soak/1"
    assert values["samples_seen"] == values["samples_pushed"] == 1800 * 16_000
    behind = values["samples_pushed"] - values["last_inference_at"]
    assert 0 <= behind < tiny_bundle.manifest.inference_hop_samples
    assert len(values["resident_kb"]) == 2
    assert "exact" in capsys.readouterr().out


class _Leaky:
    """A spotter that keeps all sound and loses one sample of each block."""

    def __init__(self, bundle) -> None:
        self.bundle = bundle
        self.kept, self.samples_seen, self.last_scores = [], 0, []

    def push(self, block):
        self.kept.append(np.full(40, len(block)))
        self.samples_seen += len(block) - 1
        self.last_scores = [(self.samples_seen, None)]
        return []


def test_a_leak_and_a_slip_are_seen(tiny_bundle, monkeypatch, capsys):
    monkeypatch.setattr(soak, "KeywordSpotter", lambda bundle, engine: _Leaky(bundle))
    assert soak.main([str(tiny_bundle.path), "--hours", "3"]) == 1
    said = capsys.readouterr().out
    assert "WRONG" in said
    assert "GROWS" in said


def test_the_slope_is_of_a_line():
    assert soak.slope_of([5.0, 7.0, 9.0, 11.0]) == pytest.approx(2.0)
    assert soak.slope_of([3.0] * 9) == 0.0


def test_too_short_is_refused(tiny_bundle):
    with pytest.raises(ConfigError, match=r"0\.5 to 10000"):
        soak.main([str(tiny_bundle.path), "--hours", "0.1"])
