"""kwspot.benchmarks.experiments.soak in short: the clock is exact, and a leak or a slip would be seen."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kwspot.benchmarks.experiments import soak
from kwspot.runtime.errors import ConfigError


def test_half_an_hour_shows_the_clock_and_nothing_of_memory(tiny_bundle, tmp_path, capsys):
    target = tmp_path / "soak.json"
    assert soak.main([str(tiny_bundle.path), "--hours", "0.5", "--json", str(target)]) == 0
    values = json.loads(target.read_text())
    assert values["schema"] == "kwspot.soak/1"
    assert values["samples_seen"] == values["samples_pushed"] == 1800 * 16_000
    behind = values["samples_pushed"] - values["last_inference_at"]
    assert 0 <= behind < tiny_bundle.manifest.inference_hop_samples
    assert len(values["resident_kb"]) == 2
    assert values["kb_per_hour"] is None
    printed = capsys.readouterr().out
    assert "exact" in printed
    assert "too short to tell" in printed


class _Spotter:
    """A spotter that may keep all sound, or lose one sample of each block."""

    def __init__(self, bundle, leak: bool, slip: bool) -> None:
        self.bundle = bundle
        self._leak, self._slip, self._kept = leak, slip, []
        self.samples_seen, self.last_scores = 0, []

    def push(self, block):
        if self._leak:
            self._kept.append(np.full(40, len(block)))
        self.samples_seen += len(block) - self._slip
        self.last_scores = [(self.samples_seen, None)]
        return []


@pytest.mark.parametrize(
    ("leak", "slip", "status", "clock", "memory"),
    [
        (False, False, 0, "exact", "flat"),
        (True, False, 1, "exact", "GROWS"),
        (False, True, 1, "WRONG", "flat"),
    ],
)
def test_a_leak_and_a_slip_are_told_apart(tiny_bundle, monkeypatch, capsys, leak, slip, status, clock, memory):
    monkeypatch.setattr(soak, "KeywordSpotter", lambda bundle, engine: _Spotter(bundle, leak, slip))
    assert soak.main([str(tiny_bundle.path), "--hours", "3"]) == status
    _, of_clock, of_memory = capsys.readouterr().out.splitlines()
    assert of_clock.endswith(clock)
    assert of_memory.endswith(memory)


def test_too_short_is_refused(tiny_bundle):
    with pytest.raises(ConfigError, match=r"0\.25 or more"):
        soak.main([str(tiny_bundle.path), "--hours", "0.1"])
