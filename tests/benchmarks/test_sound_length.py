"""The experiment on longer sound: the same words at drawn places, and a page that says what the files say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kwspot.benchmarks.experiments import sound_length, steps
from kwspot.benchmarks.experiments.sound_length_data import in_noise, write_length
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.errors import DataFolderError, RunError

SaveWav = Callable[..., Path]
RATE_HZ = 16_000


@pytest.fixture
def folder(tone_folder: Path, tmp_path: Path, save_wav: SaveWav) -> DataFolder:
    root = tmp_path / "data"
    root.mkdir()
    for word in ("low", "high"):
        (root / word).symlink_to(tone_folder / word)
    rng = np.random.default_rng(0)
    save_wav(root / "_background_noise_/hum.wav", rng.normal(0, 500, 3 * RATE_HZ).astype(np.int16))
    return DataFolder(root)


def test_the_word_is_somewhere_and_the_rest_is_noise_or_nothing() -> None:
    word = np.full(RATE_HZ // 2, 8_000, np.int16)
    noise = np.random.default_rng(0).normal(0, 3_000, 3 * RATE_HZ).astype(np.int16)
    begins, silent = [], 0
    for k in range(200):
        sound = in_noise(word, [noise], 2 * RATE_HZ, np.random.default_rng(k))
        assert sound.shape == (2 * RATE_HZ,)
        loud = np.flatnonzero(sound > 5_000)
        assert len(loud) == len(word)  # all of it is there, in one piece
        assert loud[-1] - loud[0] == len(word) - 1
        begins.append(loud[0])
        rest = np.delete(sound, loud) / 32_768
        level = np.sqrt(np.mean(rest**2))
        silent += level == 0
        assert level == 0 or -61 < 20 * np.log10(level) < -34
    assert min(begins) < 0.1 * 1.5 * RATE_HZ
    assert max(begins) > 0.9 * 1.5 * RATE_HZ
    assert 25 < silent < 75


def test_folders_of_all_lengths_hold_the_same_clips(folder: DataFolder, tmp_path: Path) -> None:
    for seconds in (1, 2):
        write_length(folder, ("low", "high"), seconds, 20, tmp_path / f"{seconds}s")
    one, two = DataFolder(tmp_path / "1s"), DataFolder(tmp_path / "2s")
    names = [[(clip.word, clip.path.name, clip.part) for clip in made.every_clip] for made in (one, two)]
    assert names[0] == names[1]
    assert len(one.clips("train")) == 2 * 20
    there = {clip.path.name for clip in folder.clips("validation")}
    assert {clip.path.name for clip in one.clips("validation")} == there
    assert {len(read_sound(clip.path, RATE_HZ)) for clip in two.every_clip} == {2 * RATE_HZ}


def test_without_noise_there_is_nothing_to_put_around(tone_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataFolderError, match="_background_noise_"):
        write_length(DataFolder(tone_folder), ("low", "high"), 1, 20, tmp_path / "made")


def test_the_page_is_made_of_what_is_there_and_goes_on(
    folder: DataFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def train(*command: str) -> None:
        asked.append(command)
        run = Path(command[command.index("--run") + 1])
        run.mkdir(exist_ok=True)
        metrics = {"validation": {"correct": 40, "total": 50}, "minutes": 2.5, "parameters": 1_234, "macs": 8_000}
        (run / "metrics.json").write_text(json.dumps(metrics))

    monkeypatch.setattr(steps, "kwspot", train)
    monkeypatch.setattr(sound_length, "inference_us", lambda model: 300.0)
    work, out = tmp_path / "work", tmp_path / "docs/length.md"
    options = ["--data", str(folder.root), "--work", str(work), "--out", str(out), "--words", "low,high"]
    options += ["--per-word", "10"]
    assert sound_length.main(options) == 0
    assert len(asked) == 4 * 3
    assert "clip_ms = 2000" in (work / "gru-2s.toml").read_text()
    text = out.read_text()
    assert "| gru | 2 | 80.0 % (67.0 % – 88.8 %) | 1,234 | 4,000 | 150 | 2.5 |" in text
    assert (out.parent / "pictures/length.png").read_bytes().startswith(b"\x89PNG")

    (work / "gru-2s/checkpoint").mkdir()
    asked.clear()
    assert sound_length.main(options) == 0
    assert [command[-1] for command in asked] == ["--resume"]
    with pytest.raises(RunError, match="name another --work"):
        sound_length.main([*options, "--epochs", "3"])


def test_an_inference_is_timed_in_litert(tiny_run: Path) -> None:
    assert 1 < sound_length.inference_us(tiny_run / "model.keras") < 100_000
