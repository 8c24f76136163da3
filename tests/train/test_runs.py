"""Trainings on tones, from the command line to the run folder: repeated, cut short, gone on with, refused."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from kwspot.runtime import cli
from kwspot.runtime.audio.parts import speaker_of
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.errors import RunError
from kwspot.runtime.run_folder import HISTORY_COLUMNS, read_history, read_run
from kwspot.train.backend import keras
from kwspot.train.config.config import Config
from kwspot.train.config.tables import AugmentConfig, DataConfig, ModelConfig, TrainingConfig
from kwspot.train.experiments import tutorial_protocol
from kwspot.train.fit.loop import FitResult
from kwspot.train.fit.trainer import Network, TrainingTask, confusion_matrix, prepare, train

PNG = b"\x89PNG"
TRAINING = TrainingConfig(epochs=4, batch_size=16, learning_rate=3e-3, weight_decay=1e-3, label_smoothing=0.1)
CONFIG = Config(
    model=ModelConfig("conv1d", {"filters": 8, "dropout": 0.2}),
    data=DataConfig(words=("low", "high")),
    augment=AugmentConfig(time_shift_ms=20, noise_share=0.3),
    training=TRAINING,
)


@pytest.fixture(scope="module")
def task(tone_folder: Path) -> TrainingTask:
    return prepare(DataFolder(tone_folder), CONFIG, "tiny")


@pytest.fixture(scope="module")
def whole(task: TrainingTask, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that ran to its end."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    assert train(task, run).epochs_run == 4
    return run


def weights_of(run: Path) -> list[np.ndarray]:
    return keras.models.load_model(run / "model.keras").get_weights()


def without_times(run: Path) -> list[dict[str, float]]:
    return [{key: row[key] for key in HISTORY_COLUMNS[:5]} for row in read_run(run).history]


def assert_same_training(one: Path, other: Path) -> None:
    assert without_times(one) == without_times(other)
    for a, b in zip(weights_of(one), weights_of(other), strict=True):
        np.testing.assert_array_equal(a, b)


class CutShort:
    """Examples that do something in the midst of an epoch, once."""

    def __init__(self, task: TrainingTask, epoch: int, act: Callable[[], None]) -> None:
        self._examples, self._epoch, self._act = task.examples, epoch, act

    def __len__(self) -> int:
        return len(self._examples)

    def epoch(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for k, batch in enumerate(self._examples.epoch(epoch)):
            if (epoch, k) == (self._epoch, 2):
                self._act()
            yield batch


class Killed(BaseException):
    """Power is gone: nothing of ours handles this."""


def kill() -> None:
    raise Killed


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_everything_promised_is_in_the_run_folder(whole: Path, tone_folder: Path) -> None:
    pictures = {"learning_curves.png", "confusion.png", "gallery.png"}
    assert {path.name for path in whole.iterdir()} == {
        "config.toml", "model.keras", "history.csv", "metrics.json", *pictures,
    }  # fmt: skip
    for name in pictures:
        assert (whole / name).read_bytes().startswith(PNG)
    run = read_run(whole)
    config = tomllib.loads((whole / "config.toml").read_text())
    assert config["protocol"] == "kwspot"
    assert config["labels"] == ["low", "high"]
    assert config["data"]["folder"] == str(tone_folder)
    assert config["data"]["counts"] == {"train": {"low": 48, "high": 48}, "validation": {"low": 24, "high": 24}}
    assert len(config["calibration"]) == 96
    assert all((tone_folder / name).is_file() for name in config["calibration"])
    assert {"python", "tensorflow", "keras", "numpy", "kwspot"} <= set(config["versions"])
    # The recipe is whole: it makes the same configuration again.
    tables = {key: config[key] for key in CONFIG.to_dict()}
    tables["data"] = {key: value for key, value in tables["data"].items() if key in CONFIG.to_dict()["data"]}
    assert Config.from_dict(tables) == CONFIG
    assert [row["epoch"] for row in run.history] == [1, 2, 3, 4]


def test_metrics_are_those_of_the_model_on_disk(whole: Path, task: TrainingTask) -> None:
    run = read_run(whole)
    frames, targets = task.validation
    heard = keras.models.load_model(run.model_path).predict_on_batch(frames).argmax(axis=1)
    right = heard == targets.argmax(axis=1)
    validation = run.metrics["validation"]
    assert validation["correct"] == right.sum()
    assert validation["total"] == len(frames) == 48
    for k, label in enumerate(run.labels):
        assert validation["per_label"][label] == [int(right[targets[:, k] == 1].sum()), 24]
    best = max(run.history, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    assert run.metrics["best_epoch"] == best["epoch"]
    assert best["val_accuracy"] == pytest.approx(right.mean(), abs=1e-5)
    assert validation["accuracy"] > 0.8  # tones are easy: less means that features or labels are mixed up
    assert run.metrics["macs"] == 45 * 5 * 20 * 8 + 18 * 5 * 8 * 8 + 8 * 2


def test_same_seed_same_data_same_result(whole: Path, task: TrainingTask, tone_folder: Path, tmp_path: Path) -> None:
    again = prepare(DataFolder(tone_folder), CONFIG, "tiny")
    train(again, tmp_path / "again")
    assert_same_training(whole, tmp_path / "again")
    other = dataclasses.replace(CONFIG, training=dataclasses.replace(TRAINING, seed=2))
    train(prepare(DataFolder(tone_folder), other, "tiny"), tmp_path / "other")
    assert without_times(whole) != without_times(tmp_path / "other")


def test_killed_and_resumed_ends_as_if_never_stopped(whole: Path, task: TrainingTask, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(Killed):
        train(dataclasses.replace(task, examples=CutShort(task, 3, kill)), run)
    assert [row["epoch"] for row in read_history(run)] == [1, 2]
    with pytest.raises(RunError, match=r"unfinished: it has no model.keras; .*go on with .*--resume"):
        read_run(run)
    with pytest.raises(RunError, match="go on with --resume, or replace it with --overwrite"):
        train(task, run)
    fit_result = train(task, run, resume=True)
    assert fit_result.epochs_run == 4
    assert not (run / "checkpoint").exists()
    assert_same_training(whole, run)


def test_ctrl_c_keeps_the_best_epoch_and_can_be_gone_on_with(whole: Path, task: TrainingTask, tmp_path: Path) -> None:
    run = tmp_path / "run"
    before = signal.getsignal(signal.SIGINT)
    fit_result = train(dataclasses.replace(task, examples=CutShort(task, 3, press_ctrl_c)), run)
    assert fit_result.interrupted
    assert signal.getsignal(signal.SIGINT) is before
    kept = read_run(run)
    assert kept.metrics["epochs_run"] == 2
    assert (kept.metrics["epochs"], kept.metrics["best_epoch"]) == (4, fit_result.best_epoch)
    train(task, run, resume=True)
    assert_same_training(whole, run)


def test_nothing_is_left_of_a_training_without_an_epoch(task: TrainingTask, tmp_path: Path) -> None:
    for act, raised in ((press_ctrl_c, None), (kill, Killed)):
        cut = dataclasses.replace(task, examples=CutShort(task, 1, act))
        if raised is None:
            assert not train(cut, tmp_path / "run").best_epoch
        else:
            with pytest.raises(raised):
                train(cut, tmp_path / "run")
        assert list(tmp_path.iterdir()) == []


class NoNumber:
    """Examples of which one, in the second batch of an epoch, is no number."""

    def __init__(self, task: TrainingTask, epoch: int) -> None:
        self._examples, self._epoch = task.examples, epoch

    def __len__(self) -> int:
        return len(self._examples)

    def epoch(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for k, (frames, targets) in enumerate(self._examples.epoch(epoch), 1):
            yield (frames * np.nan if (epoch, k) == (self._epoch, 2) else frames), targets


def test_a_loss_that_is_no_number_stops_the_training_and_names_the_batch(
    whole: Path, task: TrainingTask, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    message = r"the loss is nan in batch 2 of epoch 3; expected a number: lower training.learning_rate \(0.003\)"
    with pytest.raises(RunError, match=message + r" and train anew; .*run keeps epoch \d"):
        train(dataclasses.replace(task, examples=NoNumber(task, 3)), run)
    kept = read_run(run)  # whole, with the better of the two epochs that had ended
    assert [row["epoch"] for row in kept.history] == [1, 2]
    assert without_times(run) == without_times(whole)[:2]
    assert all(np.isfinite(w).all() for w in weights_of(run))
    assert kept.metrics["best_epoch"] in (1, 2)


def test_nothing_is_kept_of_a_first_epoch_that_diverges(task: TrainingTask, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"in batch 2 of epoch 1; .*no epoch had ended, nothing is kept"):
        train(dataclasses.replace(task, examples=NoNumber(task, 1)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_best_epoch_is_the_most_accurate_and_of_equals_the_one_of_lowest_loss() -> None:
    fit_result = FitResult()
    for accuracy, loss in ((0.8, 0.5), (0.9, 0.5), (0.9, 0.4), (0.9, 0.4), (0.85, 0.1)):
        fit_result.take({"val_accuracy": accuracy, "val_loss": loss}, [np.array(fit_result.epochs_run + 1)])
    assert fit_result.best_epoch == 3
    assert fit_result.best_weights == [3]


def test_confusion_matrix_has_the_spoken_in_rows() -> None:
    counts = confusion_matrix(np.array([0, 0, 0, 1]), np.array([0, 1, 1, 1]), 2)
    assert counts.tolist() == [[1, 2], [0, 1]]


def test_a_resumed_training_must_be_the_same_one(task: TrainingTask, tone_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(Killed):
        train(dataclasses.replace(task, examples=CutShort(task, 2, kill)), run)
    other = dataclasses.replace(CONFIG, training=dataclasses.replace(TRAINING, epochs=6))
    with pytest.raises(RunError, match=r"was trained otherwise: training.epochs \(4, now 6\); resume with the options"):
        train(prepare(DataFolder(tone_folder), other, "tiny"), run, resume=True)
    (run / "checkpoint" / "state.npz").write_bytes(b"torn")
    with pytest.raises(RunError, match=r"state.npz is damaged .*--overwrite"):
        train(task, run, resume=True)


def kwspot(*args: object) -> int:
    return cli.main([str(arg) for arg in args])


def test_a_long_epoch_says_how_far_it_is(
    tone_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("kwspot.runtime.progress.SILENT_S", 0.0)
    asked = ("train", "--data", tone_folder, "--preset", "perceptron", "--words", "low,high", "--epochs", 1)
    assert kwspot(*asked, "--run", tmp_path / "run") == 0
    told = re.findall(r"^epoch 1: (\d+) of (\d+) examples$", capsys.readouterr().err, re.MULTILINE)
    assert told
    assert told[-1][0] == told[-1][1]


def test_what_is_in_the_way_is_not_removed(
    whole: Path, tone_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("train", "--data", tone_folder, "--preset", "perceptron", "--words", "low,high", "--epochs", 2)
    for extra, message in (
        (["--run", whole], f"{whole} exists; replace it with --overwrite, or name another place with --run"),
        (["--run", whole, "--resume"], f"{whole} has run to its end, there is nothing to resume"),
        (["--run", tmp_path / "none", "--resume"], "does not exist; expected a run folder"),
        (["--run", tone_folder, "--overwrite"], f"{tone_folder} exists and is no run folder"),
    ):
        assert kwspot(*asked, *extra) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert len(list(tone_folder.rglob("*.wav"))) == 288
    assert read_run(whole).config["preset"] == "tiny"
    taken = tmp_path / "taken"
    assert kwspot(*asked, "--run", taken) == 0
    assert kwspot(*asked, "--seed", 7, "--run", taken, "--overwrite") == 0
    assert read_run(taken).config["training"]["seed"] == 7


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--preset", "conv2"], "no --data"),
        (["--preset", "conv22", "--data", "{data}"], "unknown preset conv22; did you mean conv2"),
        (["--preset", "conv2", "--data", "{data}/nowhere"], "does not exist"),
        (["--preset", "conv2", "--data", "{data}", "--words", "low"], "low alone cannot be told from anything"),
        (["--preset", "conv2", "--data", "{data}", "--epochs", "0"], "training.epochs = 0; expected 1 or more"),
        (["--config", "{data}/none.toml", "--data", "{data}"], "does not exist; expected a TOML file"),
    ],
)
def test_mistakes_on_the_command_line(
    args: list[str], message: str, tone_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [arg.format(data=tone_folder) for arg in args]
    assert kwspot("train", *filled, "--run", tmp_path / "run") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_ctrl_c_at_the_command_line(tone_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "kwspot.runtime.cli", "train", "--run", str(run)]
    start = ["--data", str(tone_folder), "--preset", "perceptron", "--words", "low,high", "--epochs", "150"]
    with subprocess.Popen([*command, *start], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch"):
                process.send_signal(signal.SIGINT)
                break
        out, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert out == ""
    assert f"go on with kwspot train --resume --run {run}" in error
    assert "Traceback" not in error
    done = read_run(run).metrics["epochs_run"]
    assert 1 <= done < 150
    # Everything else is taken from the run.
    assert kwspot("train", "--resume", "--run", run) == 0
    assert [row["epoch"] for row in read_run(run).history] == list(range(1, 151))
    assert not (run / "checkpoint").exists()


def test_recurrent_models_are_saved_unrolled(tone_folder: Path, tmp_path: Path) -> None:
    run, file = tmp_path / "run", tmp_path / "small.toml"
    file.write_text('[model]\nname = "gru"\nunits = 6\n[data]\nclip_ms = 350\n[training]\nepochs = 1\n')
    assert kwspot("train", "--data", tone_folder, "--words", "low,high", "--config", file, "--run", run) == 0
    model = keras.models.load_model(run / "model.keras")
    assert model.input_shape == (None, 17, 20)
    assert model.get_layer("gru").unroll
    assert read_run(run).config["preset"] == "small"


def test_unknown_and_silence_classes_train(tone_folder: Path, tmp_path: Path) -> None:
    run, file = tmp_path / "run", tmp_path / "three.toml"
    file.write_text(
        '[model]\nname = "perceptron"\n[data]\nwords = ["low"]\nunknown_share = 0.5\nsilence_share = 0.25\n'
        "[training]\nepochs = 2\n"
    )
    assert kwspot("train", "--data", tone_folder, "--config", file, "--run", run) == 0
    assert read_run(run).config["data"]["counts"]["train"] == {"low": 48, "_unknown_": 24, "_silence_": 12}


def test_compare_shows_runs_side_by_side(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "curves.png"
    assert kwspot("compare", whole, whole, "--out", picture) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    for column in ("preset", "parameters", "MACs", "best epoch", "training %", "validation %", "95 % CI", "minutes"):
        assert column in head
    assert first == second
    metrics = read_run(whole).metrics
    assert f" {metrics['macs']} " in first
    assert f" {100 * metrics['validation']['accuracy']:.2f} " in first
    assert picture.read_bytes().startswith(PNG)
    assert kwspot("compare", tmp_path) == 2
    assert kwspot("compare", whole, "--out", tmp_path / "curves.jpg") == 2


def test_two_trainings_in_one_folder(task: TrainingTask, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    asked = ["train", "--data", task.resolved["data"]["folder"], "--preset", "perceptron", "--run", run]

    def another() -> None:
        for again in ([], ["--overwrite"], ["--resume"]):
            assert kwspot(*asked, *again) == 2
            error = capsys.readouterr().err.splitlines()[-1]
            assert f"{run} is being changed by 'a training, process {os.getpid()}'" in error

    assert train(dataclasses.replace(task, examples=CutShort(task, 2, another)), run).epochs_run == 4
    assert not list(run.glob(".*"))


def test_a_training_that_cannot_begin_leaves_no_folder(task: TrainingTask, tmp_path: Path) -> None:
    def none(_: TrainingTask) -> Network:
        raise RunError("no such weights")

    with pytest.raises(RunError, match="no such weights"):
        train(task, tmp_path / "run", network_of=none)
    assert not list(tmp_path.iterdir())


# librosa asks audioread, which asks for modules of the standard library that are to go.
audioread = pytest.mark.filterwarnings("ignore:'(aifc|audioop|sunau)' is deprecated:DeprecationWarning")


@audioread
@pytest.mark.parametrize("protocol", ["tutorial", "tutorial-speakers"])
def test_the_protocol_of_the_tutorial(protocol: str, tone_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    asked = ["--data", str(tone_folder), "--words", "low,high", "--preset", "lstm", "--epochs", "1", "--run", str(run)]
    assert tutorial_protocol.main([*asked, *["--by-speaker"] * (protocol == "tutorial-speakers")]) == 0
    loaded = read_run(run)
    assert loaded.config["protocol"] == protocol
    assert "normalisation" not in loaded.config
    assert loaded.config["training"]["batch_size"] == 100
    model = keras.models.load_model(run / "model.keras")
    assert model.input_shape == (None, 20, 11)
    assert model.get_layer("lstm").units == 16
    counts = loaded.config["data"]["counts"]
    total = {part: sum(counts[part].values()) for part in counts}
    assert sum(total.values()) == 192
    assert total["train"] / 192 == pytest.approx(0.6, abs=0.03)
    with pytest.raises(RunError, match="for comparison only"):
        _ = loaded.normalisation


@audioread
def test_the_tutorials_splits_and_features(tone_folder: Path) -> None:
    import librosa

    from kwspot.train.experiments.tutorial_protocol import _split_at_random, _split_by_speaker, tutorial_features

    clips = DataFolder(tone_folder).clips("all", ["low", "high"])
    for split, shared in ((_split_at_random, True), (_split_by_speaker, False)):
        chosen = split(clips, np.random.default_rng(1))
        sides = [{speaker_of(c.path) for c, k in zip(clips, chosen, strict=True) if k == side} for side in (0, 1)]
        assert bool(sides[0] & sides[1]) is shared
    wave, _ = librosa.load(clips[0].path, sr=16_000)
    expected = librosa.feature.mfcc(y=wave[::3], sr=16_000)
    assert expected.shape == (20, 11)
    np.testing.assert_array_equal(tutorial_features(clips[0].path), expected)


def test_real_recordings_reach_what_is_promised(recordings: Path, tmp_path: Path) -> None:
    """A few epochs of DS-CNN on bed, cat and happy already hear nineteen in twenty."""
    run = tmp_path / "run"
    asked = ("train", "--data", recordings / "speech_commands", "--words", "bed,cat,happy", "--preset", "ds-cnn")
    assert kwspot(*asked, "--epochs", 3, "--run", run) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["validation"]["total"] == 493
    assert metrics["validation"]["accuracy"] > 0.95
