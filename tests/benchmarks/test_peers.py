"""The experiment `peers`: the protocol of its workers, with our own runtime and with a peer that is made up."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from kwspot.benchmarks.experiments import peers
from kwspot.runtime.errors import EngineError

FAKE = """
import json, sys, time
print("a library says hello")
print(json.dumps({"load_s": 0.5, "load_cpu_s": 0.25}), flush=True)
for i, _ in enumerate(sys.stdin):
    print(json.dumps({"cpu_s": 2.0 * (i + 1), "p50_us": 7.0, "p99_us": 9.0, "heard": 1}), flush=True)
print(json.dumps({"rss_mb": 12.5}), flush=True)
"""


@pytest.fixture
def fake_python(tmp_path: Path) -> str:
    """A Python that runs the made-up peer, whatever it is asked to run."""
    script, python = tmp_path / "fake.py", tmp_path / "python"
    script.write_text(FAKE)
    python.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{script}'\n")
    python.chmod(0o755)
    return str(python)


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch, fake_python: str) -> None:
    monkeypatch.setattr(peers, "environment", lambda name, folder: fake_python)
    monkeypatch.setattr(peers.os, "sched_setaffinity", lambda pid, cores: None)


def test_rounds_are_interleaved_and_ratios_are_within_a_round(tiny_bundle, ready, tmp_path, capsys):
    target = tmp_path / "peers.json"
    arguments = [
        str(tiny_bundle.path),
        "--only",
        "pymicro-wakeword",
        "porcupine",
        "--rounds",
        "3",
        "--json",
        str(target),
    ]
    assert peers.main([*arguments, "--window-bundle", str(tiny_bundle.path)]) == 0
    values = json.loads(target.read_text())
    assert values["schema"] == "kwspot.peers/1"
    ours, reference, other = values["runs"]
    assert ours["title"] == "kwspot tiny, 40 ms"
    assert (reference["title"], reference["rss_mb"], reference["load_cpu_s"]) == ("pymicro-wakeword", 12.5, 0.25)
    per_hour = 3600 / values["seconds"]
    assert reference["cpu_s_per_hour"] == pytest.approx([2 * per_hour, 4 * per_hour, 6 * per_hour])
    assert reference["ratio"] == other["ratio"] == [1.0, 1.0, 1.0]
    for cpu_s, theirs, ratio in zip(ours["cpu_s_per_hour"], reference["cpu_s_per_hour"], ours["ratio"], strict=True):
        assert cpu_s > 0
        assert ratio == pytest.approx(cpu_s / theirs)
    assert all(0 < p50 <= p99 for p50, p99 in zip(ours["p50_us"], ours["p99_us"], strict=True))
    # Python, numpy and LiteRT; neither TensorFlow nor what this process holds.
    assert 15 < ours["rss_mb"] < 100
    table = capsys.readouterr().out
    assert "1.00 (1.00 to 1.00)" in table
    assert "kwspot tiny, 40 ms" in table


def test_without_the_reference_there_are_no_ratios(tiny_bundle, ready, tmp_path):
    target = tmp_path / "peers.json"
    arguments = [str(tiny_bundle.path), "--only", "--rounds", "1", "--json", str(target)]
    assert peers.main([*arguments, "--window-bundle", str(tiny_bundle.path)]) == 0
    (run,) = json.loads(target.read_text())["runs"]
    assert "ratio" not in run


def test_a_peer_that_dies_is_named_and_the_others_are_ended(tiny_bundle, tmp_path):
    sound_file = tmp_path / "sound.s16"
    np.zeros(16_000, "<i2").tofile(sound_file)
    dead = tmp_path / "python"
    dead.write_text("#!/bin/sh\nexit 7\n")
    dead.chmod(0o755)
    ours = peers.Entry("ours", "kwspot", sys.executable, str(tiny_bundle.path))
    with pytest.raises(EngineError, match="the other ended with status 7"):
        peers.measure(
            [ours, peers.Entry("the other", "porcupine", str(dead), "-")],
            sound_file,
            seconds=1.0,
            block_samples=1280,
            rounds=1,
        )


def test_every_peer_has_a_worker_and_an_environment():
    from kwspot.benchmarks.experiments.peer_worker import RUNTIMES

    assert set(RUNTIMES) == {"kwspot", *peers.REQUIREMENTS}
    assert peers.REFERENCE in peers.REQUIREMENTS
