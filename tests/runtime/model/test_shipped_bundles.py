"""The bundles that ship with the kit: what they are, and that they hear real people."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kwspot.runtime import cli
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.model.bundle import load_bundle, shipped_bundles
from kwspot.runtime.model.engines import open_engine
from kwspot.runtime.model.golden import check_golden

# Words, and how many per cent of the validation clips must be right: a margin below what docs/bundles.md says.
SHIPPED = {
    "commands": (("yes", "no", "up", "down", "left", "right", "stop", "go"), 94.5),
    "tutorial": (("bed", "cat", "happy"), 97.0),
}


def test_they_are_these():
    assert shipped_bundles() == sorted(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_what_they_are(name):
    manifest = load_bundle(name).manifest
    assert manifest.words == SHIPPED[name][0]
    assert manifest.labels == (*manifest.words, "_unknown_", "_silence_")
    assert manifest.parameters <= 100_000
    assert "CC BY 4.0" in manifest.data_licence
    assert manifest.recipe["preset"] == name
    assert "/" not in json.dumps(manifest.recipe["data"]["folder"])


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("engine", ["litert", "onnx"])
def test_golden_vectors(name, engine):
    bundle = load_bundle(name)
    result = check_golden(bundle, open_engine(bundle, engine))
    assert result.feature_error <= 2e-4
    assert result.score_steps <= 1
    assert result.same_labels


@pytest.mark.parametrize("name", SHIPPED)
def test_no_noise_of_any_colour_or_level_is_a_word(name):
    spotter = KeywordSpotter(load_bundle(name))
    rng = np.random.default_rng(11)
    for beta in (-0.5, 0.5, 1.5):
        spectrum = np.fft.rfft(rng.standard_normal(4 * 16_000))
        spectrum *= np.maximum(np.fft.rfftfreq(4 * 16_000), 1e-3) ** (-beta / 2)
        noise = np.fft.irfft(spectrum)
        noise /= np.sqrt((noise**2).mean())
        for level_dbfs in range(-90, -9, 10):
            sound = np.clip(np.rint(noise * 32_768 * 10 ** (level_dbfs / 20)), -32_768, 32_767).astype(np.int16)
            spotter.reset()
            assert spotter.push(sound) == [], (beta, level_dbfs)


@pytest.mark.parametrize("name", SHIPPED)
def test_real_speakers_that_training_never_heard(name, recordings, tmp_path):
    data, words, least = recordings / "speech_commands", *SHIPPED[name]
    out = tmp_path / "accuracy.json"
    command = ["bench", "accuracy", name, "--data", str(data), "--part", "validation", "--words", ",".join(words)]
    assert cli.main([*command, "--engine", "litert", "--engine", "onnx", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    stages = {stage["name"]: stage for stage in result["stages"]}
    assert 100 * stages["int8-litert"]["accuracy"] >= least
    assert stages["int8-litert"]["loss_points"] <= 0.5
    assert result["agreement"]["int8-litert~int8-onnx"] == 1.0


def test_the_sample_sound_is_answered(capsys):
    assert cli.main(["listen", "--sample"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["label"] for event in events if event["event"] == "detection"] == ["yes", "left", "right", "stop"]
