"""The published benchmarks by one command, on small folders laid out as Google's; learning curves for TensorBoard."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kwspot.runtime.audio.parts import part_of_speaker
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.errors import ConfigError, DataFolderError
from kwspot.runtime.run_folder import HISTORY_COLUMNS, read_run
from kwspot.train.config.config import load_preset
from kwspot.train.data.clips import load_clips
from kwspot.train.experiments import speech_commands_benchmark as official
from kwspot.train.experiments.speech_commands_benchmark import BENCHMARKS, main, with_protocol
from kwspot.train.fit.event_files import EventFiles

SaveWav = Callable[..., Path]
PARTS = {"train": 12, "validation": 3, "test": 2}
PAGE = Path(__file__).parents[2] / "docs/measured-training.md"
OTHERS = ("bed", "cat")
RATE_HZ = 16_000
CORE = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")


def tone(word: str, utterance: int) -> np.ndarray:
    """Each word is a tone of its own: easy, so that a wrong label shows."""
    place = sorted([*BENCHMARKS["v2-35"].words, "_silence_", "_unknown_"]).index(word)
    if word == "_silence_":
        return np.zeros(RATE_HZ, np.int16)
    phase = 2 * np.pi * (200 + 150 * place) * np.arange(RATE_HZ) / RATE_HZ
    return (8_000 * np.sin(phase + utterance)).astype(np.int16)


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory, save_wav: SaveWav) -> Path:
    """``speech_commands_v2`` with the ten words, two others, noise and lists, and the test folder beside it."""
    root = tmp_path_factory.mktemp("google")
    words, test = root / "speech_commands_v2", root / "speech_commands_test_set_v2"
    speakers = {
        part: list(itertools.islice((n for k in range(1_000) if part_of_speaker(n := f"s{k:03}") == part), count))
        for part, count in PARTS.items()
    }
    lists: dict[str, list[str]] = {"validation": [], "test": []}
    for word in (*BENCHMARKS["v2-12"].words, *OTHERS):
        for utterance, (part, speaker) in enumerate((part, s) for part, names in speakers.items() for s in names):
            save_wav(words / word / f"{speaker}_nohash_0.wav", tone(word, utterance))
            if part in lists:
                lists[part].append(f"{word}/{speaker}_nohash_0.wav")
    for name, part in (("validation_list.txt", "validation"), ("testing_list.txt", "test")):
        (words / name).write_text("\n".join(lists[part]) + "\n")
    rng = np.random.default_rng(0)
    save_wav(words / "_background_noise_/hum.wav", rng.normal(0, 500, 4 * RATE_HZ).astype(np.int16))
    for label in BENCHMARKS["v2-12"].labels:
        for utterance in range(3):
            save_wav(
                test / label / f"t{utterance}_nohash_0.wav", tone("cat" if label == "_unknown_" else label, utterance)
            )
    return words


def test_classes_and_shares_are_the_published_ones(google: Path) -> None:
    config = with_protocol(load_preset("conv1"), BENCHMARKS["v2-12"])
    train, validation = load_clips(DataFolder(google), config)
    assert train.labels == (*CORE, "_unknown_", "_silence_")
    # A tenth of the ten words' clips each: 12 of 120, 3 of 30.
    assert train.counts["_unknown_"] == train.counts["_silence_"] == 12
    assert validation.counts["_unknown_"] == validation.counts["_silence_"] == 3
    recipe = with_protocol(load_preset("commands"), BENCHMARKS["v1-12"])
    assert recipe.data.noise_folders == ()
    assert recipe.unknown.speech == ()
    assert recipe.model == load_preset("commands").model
    assert len(BENCHMARKS["v2-35"].words) == 35
    assert with_protocol(config, BENCHMARKS["v2-35"]).data.silence_share == 0


def test_one_command_trains_and_scores_googles_test_folder(
    google: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").symlink_to(google.parent)
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs/v2-12"
    # As the page shows it, with a model that is quick to train.
    (line,) = [line for line in PAGE.read_text().splitlines() if "speech_commands_benchmark v2-12" in line]
    command = line.replace("bc-resnet-1", "conv1d").split()[3:]
    assert main([*command, "--epochs", "20"]) == 0
    said = capsys.readouterr()
    metrics = json.loads((run / "metrics.json").read_text())
    found = metrics["benchmark"]
    assert said.out.startswith(f"v2-12: {found['accuracy']:.2%} (")
    assert "of Google's separate test folder" in said.out
    assert found["total"] == 36
    assert found["test"].endswith("speech_commands_test_set_v2")
    assert set(found["per_label"]) == set(BENCHMARKS["v2-12"].labels)
    assert found["correct"] >= 30  # tones are easy: less means that labels are mixed up
    assert found["ci95"][0] < found["accuracy"] < found["ci95"][1] or found["accuracy"] == 1

    spent = metrics["time"]
    assert spent["step_s"] > 0
    assert spent["waiting_s"] >= 0
    assert spent["validation_s"] > 0
    assert spent["waiting_s"] + spent["step_s"] <= 60 * metrics["minutes"] + 1
    assert spent["pipeline_clips_per_s"] > 0  # silence is drawn anew: the pipeline works
    assert "waiting for data" in said.err

    # What the event files say is what history.csv says.
    curves = read_events(run)
    history = read_run(run).history
    assert set(curves) == {
        "loss/training", "loss/validation", "accuracy/training", "accuracy/validation", "learning_rate", "clips_per_s",
    }  # fmt: skip
    for tag, key in (("loss/training", "loss"), ("accuracy/validation", "val_accuracy")):
        assert [step for step, _ in curves[tag]] == list(range(1, 21))
        assert [value for _, value in curves[tag]] == pytest.approx([row[key] for row in history], rel=1e-4)
    rates = [value for _, value in curves["learning_rate"]]
    assert rates[-1] < 1e-6 < rates[1]  # a cosine to 0


def read_events(run: Path) -> dict[str, list[tuple[int, float]]]:
    from kwspot.train.backend import tensorflow

    curves: dict[str, list[tuple[int, float]]] = {}
    for path in sorted((run / "tensorboard").iterdir()):
        for record in tensorflow.data.TFRecordDataset(str(path)):
            event = tensorflow.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                number = float(tensorflow.make_ndarray(value.tensor))
                curves.setdefault(value.tag, []).append((event.step, number))
    return curves


def test_events_after_a_resume_are_the_checkpoints_history_once(tmp_path: Path) -> None:
    none = dict.fromkeys((*HISTORY_COLUMNS, "learning_rate"), 0.0)
    rows = [{**none, "epoch": float(k), "loss": 1.0 / k, "val_loss": 2.0 / k} for k in (1, 2, 3)]
    first = EventFiles(tmp_path)
    for end in (1, 2, 3):
        first(rows[:end])
    # Killed after the event of epoch 3, before its checkpoint.
    again = EventFiles(tmp_path)
    again(rows[:2])
    rows[2] = {**rows[2], "loss": 0.25}
    again(rows)
    assert read_events(tmp_path)["loss/training"] == [(1, 1.0), (2, 0.5), (3, 0.25)]


def broken(google: Path, where: Path, name: str) -> list[str]:
    """A copy of the folders with something missing; the options that name it."""
    for folder in (google, google.parent / "speech_commands_test_set_v2"):
        shutil.copytree(folder, where / folder.name)
    words, test = where / google.name, where / "speech_commands_test_set_v2"
    if name == "words":
        shutil.rmtree(words / "on")
        shutil.rmtree(words / "off")
    elif name == "noise":
        shutil.rmtree(words / "_background_noise_")
    elif name == "test":
        shutil.rmtree(test)
    elif name == "class":
        shutil.rmtree(test / "_silence_")
    return ["--data", str(words), "--preset", "conv1d", "--run", str(where / "run")]


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        ("words", ["v2-12"], r"has no recordings of on, off; .* kwspot data fetch .* --version 2"),
        ("noise", ["v2-12"], r"has no _background_noise_; v2-12 cuts _silence_"),
        ("test", ["v2-12"], r"test_set_v2 does not exist; .* kwspot data fetch speech-commands"),
        ("class", ["v2-12"], r"expected Google's test folder with .*_silence_"),
        ("nothing", ["v2-35"], r"has no recordings of backward, bird.*35 words"),
    ],
)
def test_what_is_missing_is_said_before_the_training(
    google: Path, tmp_path: Path, what: str, options: list[str], message: str
) -> None:
    asked = broken(google, tmp_path / "copy", what)
    with pytest.raises((DataFolderError, ConfigError), match=message):
        main([*asked, *options])
    assert not (tmp_path / "copy/run").exists()


def test_the_35_words_are_scored_on_the_test_part(
    google: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = official.Benchmark("v2-35", 2, ("yes", "no"), 0.0)
    monkeypatch.setitem(BENCHMARKS, "v2-35", few)
    run = tmp_path / "run"
    options = ["--data", str(google), "--preset", "conv1d", "--run", str(run), "--epochs", "2"]
    assert main([*options, "v2-35"]) == 0
    assert json.loads((run / "metrics.json").read_text())["benchmark"]["total"] == 4  # two words by two speakers
    assert "of the test part" in capsys.readouterr().out
