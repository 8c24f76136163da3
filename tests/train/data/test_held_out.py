"""What is held out is not trained on, and the test folder holds exactly that."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kwspot.benchmarks.experiments import held_out as held_out
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.errors import ConfigError, DataFolderError
from kwspot.runtime.model.bundle import Bundle
from kwspot.train.config.config import Config, load_config, load_preset
from kwspot.train.config.tables import DataConfig, ModelConfig, UnknownConfig
from kwspot.train.data.clips import load_clips
from kwspot.train.experiments.held_out_folder import LEVELS_DBFS, write_held_out

SaveWav = Callable[..., Path]
RATE_HZ = 16_000

LEFT_OUT = Config(
    model=ModelConfig("perceptron"),
    data=DataConfig(
        words=("low",),
        unknown_share=1.0,
        silence_share=1.0,
        noise_folders=("../noise",),
        held_out_noise=("rain/*",),
    ),
    unknown=UnknownConfig(held_out_words=("odd", "house"), speech=("../speech",), held_out_speech=("anna*",)),
)


@pytest.fixture
def folder(tone_folder: Path, tmp_path: Path, save_wav: SaveWav) -> DataFolder:
    """Tones, another word "odd" of which each clip is constant, and noise and speech beside them."""
    root = tmp_path / "data"
    root.mkdir()
    for word in ("low", "high"):
        (root / word).symlink_to(tone_folder / word)
    (root / "odd").mkdir()
    for k, source in enumerate(sorted((tone_folder / "low").iterdir())[:20]):
        save_wav(root / "odd" / source.name, np.full(RATE_HZ, 1_000 + k, np.int16))
    rng = np.random.default_rng(0)
    for name, level in (("_background_noise_/hum", 300), ("../noise/rain/one", 3_000), ("../noise/wind/one", 600)):
        save_wav(root / f"{name}.wav", rng.normal(0, level, 4 * RATE_HZ).astype(np.int16))
    for name in ("anna1", "bob1"):
        save_wav(root / "../speech" / f"{name}.wav", rng.normal(0, 2_000, 6 * RATE_HZ).astype(np.int16))
    return DataFolder(root)


def test_nothing_left_out_is_trained_on(folder: DataFolder) -> None:
    train, validation = load_clips(folder, LEFT_OUT)
    whole = dataclasses.replace(LEFT_OUT, unknown=UnknownConfig(speech=("../speech",)), data=LEFT_OUT.data)
    more, _ = load_clips(folder, whole)
    assert not [name for part in (train, validation) for name in part.names if name.startswith("odd/")]
    assert [name for name in more.names if name.startswith("odd/")]
    # Of two recordings of speech one is left: half the pieces.
    assert 0 < sum(name == "" for name in train.names) < sum(name == "" for name in more.names)
    for part in (train, validation):
        kinds = [piece for kind in part.noise.kinds for piece in kind]
        assert len(kinds) == 1 + 1 + 3  # hum, wind, and the three colours that are made
        assert max(piece.std() for piece in kinds) < 2_700  # the rain is louder


def test_the_test_folder_holds_what_was_left_out(folder: DataFolder, tmp_path: Path) -> None:
    counts = write_held_out(folder, LEFT_OUT, tmp_path / "test")
    silences = {f"silence{level}dBFS" for level in LEVELS_DBFS}
    assert set(counts) == {"words", "trained", "rare", "speech-speech", "spoken", "silence-zeros"} | silences
    assert counts["rare"] == 20
    assert counts["words"] == counts["trained"] == 24  # of the validation part
    assert {path.name for path in (tmp_path / "test/spoken").iterdir()} == {"odd", "house"}
    for level in LEVELS_DBFS:
        for path in (tmp_path / f"test/silence{level}dBFS/_silence_").iterdir():
            assert path.name.startswith("rain-one_")
            samples = read_sound(path, RATE_HZ) / 32_768
            measured = 20 * np.log10(np.sqrt(np.mean(samples**2)))
            assert measured == pytest.approx(level, abs=2.0 if level < -80 else 0.2)  # one step is -90 dBFS
    assert json.loads((tmp_path / "test/held_out.json").read_text())["clips"] == counts
    with pytest.raises(DataFolderError, match="exists"):
        write_held_out(folder, LEFT_OUT, tmp_path / "test")


@pytest.mark.parametrize(
    ("data", "unknown", "message"),
    [
        ({"held_out_noise": ("snow/*",)}, {}, r"held_out_noise: snow/\* fits no recording"),
        ({"held_out_noise": ("*",)}, {}, "leaves nothing of"),
        ({}, {"held_out_speech": ("carol*",)}, "held_out_speech: carol"),
        ({}, {"held_out_words": ("low",)}, "a word to be heard"),
        ({}, {"held_out_words": ("hosue",)}, "hosue, which is neither in"),
    ],
)
def test_what_leaves_nothing_out_or_all_is_refused(
    folder: DataFolder, data: dict[str, object], unknown: dict[str, object], message: str
) -> None:
    config = dataclasses.replace(
        LEFT_OUT,
        data=dataclasses.replace(LEFT_OUT.data, **data),
        unknown=dataclasses.replace(LEFT_OUT.unknown, **unknown),
    )
    with pytest.raises(ConfigError, match=message):
        load_clips(folder, config)


def test_a_configuration_that_holds_nothing_out_makes_no_test(folder: DataFolder, tmp_path: Path) -> None:
    whole = Config(model=ModelConfig("perceptron"), data=DataConfig(words=("low", "high")))
    with pytest.raises(ConfigError, match="holds nothing out"):
        write_held_out(folder, whole, tmp_path / "test")


def test_the_held_out_form_of_the_shipped_recipe_differs_in_what_is_held_out_alone() -> None:
    whole, part = load_preset("commands"), load_preset("commands-held-out")
    assert part.unknown.held_out_words
    assert part.unknown.held_out_speech
    assert part.data.held_out_noise
    data = dataclasses.replace(part.data, held_out_noise=())
    unknown = dataclasses.replace(part.unknown, held_out_words=(), held_out_speech=())
    assert dataclasses.replace(part, data=data, unknown=unknown) == whole


@pytest.mark.parametrize(
    ("text", "message"),
    [('base = "comands"', "did you mean commands"), ('base = "commands-held-out"', "has no base itself")],
)
def test_a_base_is_a_preset_without_a_base(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "mine.toml")


def test_a_file_says_what_differs_from_its_base(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('base = "commands"\n[training]\nepochs = 3\n[data]\nwords = ["yes"]\n')
    mine, base = load_config(tmp_path / "mine.toml"), load_preset("commands")
    assert (mine.training.epochs, mine.data.words) == (3, ("yes",))
    assert mine.training.learning_rate == base.training.learning_rate
    assert (mine.model, mine.features, mine.augment) == (base.model, base.features, base.augment)


def test_each_source_is_scored(
    tiny_bundle: Bundle, tone_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for source, word in (("silence-90dBFS", "_silence_"), ("silence-10dBFS", "_silence_"), ("words", "low")):
        (tmp_path / "test" / source).mkdir(parents=True)
        (tmp_path / "test" / source / word).symlink_to(tone_folder / word)
    # Named low, but high is said: all wrong.
    (tmp_path / "test/rare").mkdir()
    (tmp_path / "test/rare/low").symlink_to(tone_folder / "high")
    command = [str(tiny_bundle.path), "--data", str(tmp_path / "test"), "--json", str(tmp_path / "out.json")]
    assert held_out.main(command) == 0
    rows = json.loads((tmp_path / "out.json").read_text())["sources"]
    assert [row["source"] for row in rows] == ["words", "rare", "silence-90dBFS", "silence-10dBFS"]
    assert all(row["accuracy"] > 0.9 for row in rows if row["source"] != "rare")
    assert rows[1]["accuracy"] < 0.1
    assert max(rows[1]["heard_instead"], key=rows[1]["heard_instead"].get) == "high"
    assert rows[1]["wrong_words"] == rows[1]["heard_instead"]["high"]
    for row in rows:
        low, high = row["ci95"]
        assert low <= row["accuracy"] <= high
        assert sum(right for right, _ in row["per_word"].values()) == row["correct"]
    assert "| words |" in capsys.readouterr().out
    with pytest.raises(DataFolderError, match=r"python -m kwspot\.train\.experiments\.held_out_folder"):
        held_out.main([str(tiny_bundle.path), "--data", str(tmp_path / "nothing")])


def test_another_network_takes_no_options_of_the_bases(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('base = "commands"\n[model]\nname = "ds-cnn"\nblocks = 2\n')
    assert load_config(tmp_path / "mine.toml").model.options == {"blocks": 2}
    (tmp_path / "mine.toml").write_text('base = "commands"\n[model]\nname = "tc-cnn"\nblocks = 2\n')
    assert load_config(tmp_path / "mine.toml").model.options == {**load_preset("commands").model.options, "blocks": 2}
