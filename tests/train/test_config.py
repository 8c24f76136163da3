"""Configurations: what is read, what is refused, and what comes back from TOML."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import tomli_w

from kwspot.runtime.errors import ConfigError
from kwspot.train.cli import DEFAULT_PRESET, training_parser
from kwspot.train.config.config import Config, load_config, load_preset, preset_names
from kwspot.train.config.toml_table import differences

MODEL = '[model]\nname = "conv2"\n'


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_whole_and_come_back(name: str) -> None:
    config = load_preset(name)
    assert Config.from_dict(tomllib.loads(tomli_w.dumps(config.to_dict()))) == config
    assert config.frames == config.features.frames_in(config.data.clip_ms * config.features.sample_rate_hz // 1000)


def test_seed_presets_are_three_way_by_default() -> None:
    for name in ("perceptron", "conv1", "conv2", "conv2-dropout", "conv1d", "lstm", "gru", "ds-cnn"):
        data = load_preset(name).data
        assert (data.unknown_share, data.silence_share) == (0, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[model]\nnam = "conv2"', "no name"),
        ("model = 3", r"expected a table \[model\]"),
        (MODEL + "[trainin]\nepochs = 3", "unknown table trainin; did you mean training?"),
        (MODEL + "[training]\nepoch = 3", "epoch; did you mean epochs?"),
        (MODEL + "[features]\ncoefficents = 3", "coefficents; did you mean coefficients?"),
        (MODEL + "[augment]\ntimeshift_ms = 3", "timeshift_ms; did you mean time_shift_ms?"),
        (MODEL + "[training]\nepochs = 3.5", "training.epochs = 3.5; expected whole numbers"),
        (MODEL + "[training]\nepochs = true", "training.epochs = True; expected whole numbers"),
        (MODEL + "[training]\nepochs = 0", "training.epochs = 0; expected 1 or more"),
        (MODEL + '[training]\nschedule = "cosin"', "expected one of cosine, constant"),
        (MODEL + "[augment]\ngain_db = [1.0]", "expected a list of 2 numbers"),
        (MODEL + "[augment]\ngain_db = [1.0, -1.0]", "the low end first"),
        (MODEL + "[augment]\noverdrive_db = [9.0, 3.0]", "the low end first"),
        (MODEL + "[augment]\noverdrive_share = 1.5", "expected 0 to 1"),
        (MODEL + "[augment]\nnoise_share = 2", "expected 0 to 1"),
        (MODEL + '[data]\nwords = "bed"', "expected a list of any number of text in quotes"),
        (MODEL + '[data]\nwords = ["bed", "bed"]', "bed is there twice"),
        (MODEL + '[data]\nwords = ["bed", "_silence_"]', "come by unknown_share and silence_share"),
        (MODEL + "[data]\nclip_ms = 100\n[features]\nwindow_ms = 200", "shorter than one window"),
        (MODEL + "[features]\nmel_bands = 10\ncoefficients = 20", "coefficients = 20; expected 1 to mel_bands = 10"),
        ("[model", "is no TOML file"),
    ],
)
def test_a_mistake_is_named_with_its_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_unknown_preset(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"unknown preset dscnn; did you mean ds-cnn\?"):
        load_preset("dscnn")


def test_differences_name_the_key_and_both_values() -> None:
    there = {"labels": ["a"], "training": {"epochs": 30, "seed": 1}}
    here = {"labels": ["a"], "training": {"epochs": 50, "seed": 1}, "preset": "x"}
    assert differences(there, here) == ["preset (not there, now x)", "training.epochs (30, now 50)"]
    assert differences(there, there) == []


def test_the_help_lists_every_preset_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        training_parser("kwspot train", "Train.").parse_args(["--help"])
    said = capsys.readouterr().out.partition("networks to train")[2]
    named = [line.split()[0] for line in said.splitlines() if line.startswith("  ")]
    assert sorted(named) == preset_names()
    assert DEFAULT_PRESET in named
