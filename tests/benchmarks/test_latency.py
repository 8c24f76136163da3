"""``kwspot bench latency`` measures what it says; how fast it was is no business of a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kwspot.benchmarks.latency import loop_sound
from kwspot.benchmarks.latency import worker as latency_worker
from kwspot.runtime import cli
from kwspot.runtime.model.bundle import Bundle

QUANTILES = ["p50", "p95", "p99", "max"]


def test_what_is_written(tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "latency", str(tiny_bundle.path), "--float", "--json", "-"]) == 0
    printed = capsys.readouterr()
    values = json.loads(printed.out)
    assert values["schema"] == "kwspot.latency/1"
    assert values["bundle"] == {"name": "tiny", "hash": tiny_bundle.hash}
    assert values["sound"] == "synthetic"
    runs = values["runs"]
    # In this process TensorFlow may be loaded; what is measured is not this process.
    assert [(run["engine"], run["precision"]) for run in runs] == [
        ("litert", "int8"),
        ("onnx", "int8"),
        ("litert", "float"),
    ]
    manifest = tiny_bundle.manifest
    for run in runs:
        assert set(run) == {
            "engine", "precision", "hop_ms", "hops", "us", "cpu_s_per_hour", "rss_mb", "load_s", "threads",
            "histogram", "cold_us", "real_time_factor",
        }  # fmt: skip
        assert sum(run["histogram"]["counts"]) == run["hops"]
        assert run["cold_us"] > 0
        assert run["real_time_factor"] == pytest.approx(run["cpu_s_per_hour"] / 3600)
        assert run["hops"] >= 2000
        assert run["threads"] == 1
        assert run["hop_ms"] == manifest.inference_hop_frames * manifest.features.hop_ms
        assert list(run["us"]) == ["features", "inference", "decision", "total"]
        for us in run["us"].values():
            assert list(us) == QUANTILES
            assert 0 < us["p50"] <= us["p95"] <= us["p99"] <= us["max"]
        parts = [run["us"][step]["p50"] for step in ("features", "inference", "decision")]
        assert max(parts) <= run["us"]["total"]["p50"]
        # Python, numpy and an engine, but neither TensorFlow nor what this process holds.
        assert 15 < run["rss_mb"] < 200
        assert run["load_s"] > 0
        assert run["cpu_s_per_hour"] > 0
    assert "onnx" in printed.err
    assert "p99" in printed.err


def test_a_file_can_be_the_sound(tiny_bundle: Bundle, tone_folder: Path, tmp_path: Path) -> None:
    wav, target = tone_folder / "low" / sorted(p.name for p in (tone_folder / "low").iterdir())[0], tmp_path / "l.json"
    command = [
        "bench",
        "latency",
        str(tiny_bundle.path),
        "--wav",
        str(wav),
        "--engine",
        "litert",
        "--json",
        str(target),
    ]
    assert cli.main(command) == 0
    values = json.loads(target.read_text())
    assert values["sound"] == wav.name
    assert [run["engine"] for run in values["runs"]] == ["litert"]


def test_every_step_of_every_hop_is_timed(tiny_bundle: Bundle) -> None:
    rng = np.random.default_rng(1)
    blocks = iter([rng.integers(-500, 500, tiny_bundle.manifest.inference_hop_samples, np.int16) for _ in range(300)])
    times = latency_worker._time_hops(tiny_bundle, "litert", "int8", blocks, 50)
    assert times.shape == (50, len(latency_worker.STEPS))
    # The steps are read off the same clock, so that they add up exactly.
    assert (times[:, :-1].sum(axis=1) == times[:, -1]).all()
    assert (times > 0).all()


def test_the_synthetic_sound_is_the_same_every_time_and_uses_the_range() -> None:
    sound = loop_sound.synthetic_sound(16_000)
    assert sound.dtype == np.int16
    assert len(sound) == loop_sound.SOUND_S * 16_000
    assert 10_000 < np.abs(sound.astype(int)).max() <= 32_768
    np.testing.assert_array_equal(sound, loop_sound.synthetic_sound(16_000))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--hops", "100"], "--hops 100"),
        (["--engine", "torch"], "'torch'"),
        (["--wav", "nowhere.wav"], "nowhere.wav"),
    ],
)
def test_mistakes(tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str], options: list[str], expected: str) -> None:
    assert cli.main(["bench", "latency", str(tiny_bundle.path), *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert expected in printed.err


def test_what_fails_in_the_worker_is_told(tiny_bundle: Bundle, tmp_path: Path) -> None:
    worker = [sys.executable, "-m", "kwspot.benchmarks.latency.worker"]
    done = subprocess.run(
        [*worker, str(tmp_path / "gone.kws"), "litert", "int8", "sound", "2000"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "is no bundle" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_unknown_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "speed"]) == 2
    assert "expected one of accuracy, " in capsys.readouterr().err
