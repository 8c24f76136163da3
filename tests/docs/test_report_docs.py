"""The lines of docs/report.md run as they are shown, but for these: a training and its recordings are not at hand.

================================  ====================================================================================
``recordings/speech_commands``    two real validation clips of each word
``kwspot bench report …``         once, for both lines, with the options of the second: it is what takes long
``kws_ref_model.tflite``, kws01   a shipped model, and files of features for it
================================  ====================================================================================
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from kwspot.runtime import cli
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.model.bundle import load_bundle

PAGE = Path(__file__).parents[2] / "docs/report.md"


def lines() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


@pytest.fixture
def folder(recordings: Path, save_wav, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds all that the lines name."""
    chosen: dict[str, list[Path]] = {}
    for clip in DataFolder(recordings / "speech_commands").clips("validation"):
        chosen.setdefault(clip.word, []).append(clip.path)
    data = tmp_path / "recordings/speech_commands"
    names = []
    for word, paths in chosen.items():
        (data / word).mkdir(parents=True)
        for path in paths[:2]:
            shutil.copy(path, data / word)
            names.append(f"{word}/{path.name}")
    (data / "validation_list.txt").write_text("\n".join(names))

    utterances = [read_sound(path, 16_000) for path in chosen["stop"][:3]]
    gap = np.zeros(16_000, np.int16)
    save_wav(
        tmp_path / "long.wav", np.concatenate([part for utterance in utterances for part in (gap, utterance)] + [gap])
    )
    (tmp_path / "long.csv").write_text("stop, 1000\nstop, 3000\nstop, 5000\n")
    shutil.copytree(data / "stop", tmp_path / "utterances")
    for name in ("speech", "noise"):
        shutil.copytree(data / "bed", tmp_path / name)

    bundle = load_bundle("tutorial")
    window = next(tensor for tensor in bundle.manifest.models["int8-tflite"].inputs)
    if bundle.manifest.kind == "window":
        shutil.copy(bundle.path / "model.int8.tflite", tmp_path / "kws_ref_model.tflite")
    (tmp_path / "kws01").mkdir()
    for number in range(3):
        values = np.random.default_rng(number).integers(-128, 128, window.shape, dtype=np.int8)
        (tmp_path / f"kws01/{number}.bin").write_bytes(values.tobytes())
    count = len(bundle.manifest.labels)
    (tmp_path / "kws01/y_labels.csv").write_text("".join(f"{n}.bin, {count}, 0\n" for n in range(3)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_line_runs(folder: Path) -> None:
    shown = lines()
    assert len(shown) == 7
    report, two, accuracy, compare, model, stream, wake = shown
    # The same options, so that one run shows that both lines are right.
    assert cli.main([*shlex.split(two)[1:], "--json", "report.json"]) == 0
    assert {part for part in shlex.split(report) if part.startswith("--")} <= {*shlex.split(two), "--json"}
    assert {"report.html", "report.json"} <= set(shlex.split(report))
    assert len(json.loads(Path("report.json").read_text())["bundles"]) == 2
    for line in (accuracy, stream, wake):
        assert cli.main(shlex.split(line)[1:]) == 0, line
    shutil.copy("new.json", "old.json")
    assert cli.main(shlex.split(compare)[1:]) == 0
    if Path("kws_ref_model.tflite").exists():
        assert cli.main([*shlex.split(model)[1:], "--seconds", "0.01"]) == 0


def test_every_benchmark_is_shown() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in ("accuracy", "report", "compare", "model", "stream", "wake"):
        assert f"kwspot bench {name} " in text
