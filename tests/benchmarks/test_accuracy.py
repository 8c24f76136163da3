"""``kwspot bench accuracy`` counts right, leaves out nothing in silence, and can fail."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kwspot.benchmarks.accuracy.scores import Stage, labels_of_words, summary
from kwspot.benchmarks.accuracy.waterfall import unpack_right
from kwspot.runtime import cli
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import fit_length, read_sound
from kwspot.runtime.errors import DataFolderError
from kwspot.runtime.features.mfcc import mfcc
from kwspot.runtime.intervals import wilson_interval
from kwspot.runtime.model.bundle import Bundle

HEARD = ["stream", "events"]
INT8_STAGES = ["int8-litert", "int8-onnx"]


@pytest.fixture(scope="session")
def tiny_bundle(exported_bundle: Bundle) -> Bundle:
    """The bundle of `tiny_run`: the stages before and after the export are of one network."""
    return exported_bundle


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Any]:
    """Runs the command and returns what it writes."""

    def run(bundle: Path, data: Path, *options: str) -> Any:
        target = tmp_path / "accuracy.json"
        assert cli.main(["bench", "accuracy", str(bundle), "--data", str(data), *options, "--json", str(target)]) == 0
        return json.loads(target.read_text())

    return run


def _judge(bundle: Bundle, paths: list[Path]) -> NDArray[np.intp]:
    """The int8 model's labels by the interpreter alone, with the quantisation written out."""
    from ai_edge_litert.interpreter import Interpreter

    manifest = bundle.manifest
    interpreter = Interpreter(model_path=str(bundle.path / "model.int8.tflite"))
    interpreter.allocate_tensors()
    (entry,), (leaving,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = entry["quantization"]
    said = []
    for path in paths:
        frames = mfcc(fit_length(read_sound(path, 16_000), manifest.window_samples), manifest.features)
        normal = (frames - np.float32(manifest.normalisation.mean)) / np.float32(manifest.normalisation.std)
        interpreter.set_tensor(
            entry["index"], np.clip(np.round(normal / scale) + zero, -128, 127).astype(np.int8)[None]
        )
        interpreter.invoke()
        said.append(int(interpreter.get_tensor(leaving["index"])[0].argmax()))
    return np.array(said)


def test_counts_are_those_of_the_interpreter_alone(
    bench: Callable[..., Any], tiny_bundle: Bundle, tone_folder: Path, tmp_path: Path
) -> None:
    # A third of the clips lie in the wrong folder, so that right answers count as wrong ones.
    data = tmp_path / "muddled"
    for word in ("low", "high"):
        other = "high" if word == "low" else "low"
        for i, clip in enumerate(sorted((tone_folder / word).iterdir())):
            target = data / (other if i % 3 == 0 else word) / f"{word}-{clip.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(clip, target)
    values = bench(tiny_bundle.path, data, "--part", "all")
    clips = DataFolder(data).clips("all")
    truth = np.array([tiny_bundle.manifest.labels.index(clip.word) for clip in clips])
    expected = _judge(tiny_bundle, [clip.path for clip in clips]) == truth
    assert 0.5 < expected.mean() < 0.8
    stage = next(stage for stage in values["stages"] if stage["name"] == "int8-litert")
    assert (values["clips"], stage["correct"]) == (len(clips), int(expected.sum()))
    assert stage["accuracy"] == pytest.approx(expected.mean())
    assert stage["ci95"] == pytest.approx(wilson_interval(int(expected.sum()), len(clips)))
    assert stage["per_label"] == {
        "low": [int(expected[truth == 0].sum()), int((truth == 0).sum())],
        "high": [int(expected[truth == 1].sum()), int((truth == 1).sum())],
        "_silence_": [0, 0],
    }


def test_what_is_written(
    bench: Callable[..., Any],
    tiny_bundle: Bundle,
    tiny_run: Path,
    tone_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = bench(tiny_bundle.path, tone_folder, "--run", str(tiny_run))
    printed = capsys.readouterr()
    assert "scoring all" in printed.err  # a folder that holds _silence_ is scored as a whole
    assert values["schema"] == "kwspot.accuracy/1"
    assert values["bundle"] == {"name": "tiny", "hash": tiny_bundle.hash}
    assert (values["data"], values["part"]) == ("tones", "all")
    assert values["clips"] == len(DataFolder(tone_folder).clips("all"))
    assert {"platform", "cpu", "cores", "python"} == set(values["machine"])
    assert {"kwspot", "numpy", "onnxruntime"} <= set(values["versions"])
    assert [stage["name"] for stage in values["stages"]] == [
        *("float-keras", "float-tflite", "int8-weights"),
        *INT8_STAGES,
        *HEARD,
    ]
    keras = values["stages"][0]
    assert keras["accuracy"] > 0.95
    assert {step["to"]: step["from"] for step in values["steps"]} == {
        "float-tflite": "float-keras",
        "int8-weights": "float-tflite",
        "int8-litert": "int8-weights",
        "int8-onnx": "int8-litert",
        "stream": "int8-litert",
        "events": "stream",
    }
    for stage in values["stages"]:
        assert set(stage) == {"name", "correct", "accuracy", "ci95", "loss_points", "per_label"}
        assert unpack_right(values["right"][stage["name"]], values["clips"]).sum() == stage["correct"]
        assert sum(map(sum, values["confusion"][stage["name"]])) == values["clips"]
        assert stage["loss_points"] == pytest.approx(100 * (keras["accuracy"] - stage["accuracy"]))
        assert sum(total for _, total in stage["per_label"].values()) == values["clips"]
        assert sum(correct for correct, _ in stage["per_label"].values()) == stage["correct"]
        assert stage["name"] in printed.out
    assert values["agreement"]["float-keras~float-tflite"] > 0.99
    assert values["agreement"]["int8-litert~int8-onnx"] > 0.99


def test_predictions_are_the_evidence(
    bench: Callable[..., Any], tiny_bundle: Bundle, tone_folder: Path, tmp_path: Path
) -> None:
    values = bench(
        tiny_bundle.path, tone_folder, "--part", "validation", "--predictions", str(tmp_path / "predictions.csv")
    )
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["stage", "clip", "label", "predicted", "score"]
    clips = {clip.path.relative_to(tone_folder).as_posix() for clip in DataFolder(tone_folder).clips("validation")}
    said: dict[str, dict[str, str]] = {}
    for stage in values["stages"]:
        own = [row for row in rows if row["stage"] == stage["name"]]
        assert {row["clip"] for row in own} == clips
        assert all(row["clip"].startswith(f"{row['label']}/") for row in own)
        assert all(0 <= float(row["score"]) <= 1 for row in own)
        assert len(own) == values["clips"]
        assert sum(row["label"] == row["predicted"] for row in own) == stage["correct"]
        said[stage["name"]] = {row["clip"]: row["predicted"] for row in own}
    same = [said["int8-litert"][clip] == said["int8-onnx"][clip] for clip in clips]
    assert values["agreement"]["int8-litert~int8-onnx"] == pytest.approx(np.mean(same))


@pytest.mark.parametrize("part", ["train", "validation", "test", "all"])
def test_parts(bench: Callable[..., Any], tiny_bundle: Bundle, tone_folder: Path, part: str) -> None:
    values = bench(tiny_bundle.path, tone_folder, "--part", part, "--engine", "litert")
    assert values["part"] == part
    assert values["clips"] == len(DataFolder(tone_folder).clips(part))
    assert [stage["name"] for stage in values["stages"]] == ["float-tflite", "int8-weights", "int8-litert", *HEARD]


def test_words_choose_folders(bench: Callable[..., Any], tiny_bundle: Bundle, tone_folder: Path) -> None:
    values = bench(tiny_bundle.path, tone_folder, "--words", "low,high", "--part", "all", "--engine", "onnx")
    assert values["clips"] == len(DataFolder(tone_folder).clips("all", ["low", "high"]))
    assert values["stages"][0]["per_label"]["_silence_"] == [0, 0]


def test_json_on_stdout_is_alone_there(
    tiny_bundle: Bundle, tone_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["bench", "accuracy", str(tiny_bundle.path), "--data", str(tone_folder), "--part", "test", "--json", "-"]
    assert cli.main(command) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["schema"] == "kwspot.accuracy/1"
    assert "McNemar" in printed.err


def test_it_can_fail(bench: Callable[..., Any], tiny_bundle: Bundle, tone_folder: Path, tmp_path: Path) -> None:
    permuted = tmp_path / "permuted.kws"
    shutil.copytree(tiny_bundle.path, permuted)
    manifest = json.loads((permuted / "bundle.json").read_text())
    manifest["labels"] = manifest["labels"][1:] + manifest["labels"][:1]
    (permuted / "bundle.json").write_text(json.dumps(manifest))
    values = bench(permuted, tone_folder, "--part", "all")
    for stage in values["stages"]:
        # Without a detection nothing is wrong about silence, which the words cannot be permuted into.
        assert stage["accuracy"] < (0.4 if stage["name"] == "events" else 0.1)


def _mistake(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert cli.main(["bench", "accuracy", *command]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    last = printed.err.strip().splitlines()[-1]
    assert last.startswith("kwspot: ")
    return last


def test_a_word_without_a_label_is_an_error_that_lists_both(
    tiny_bundle: Bundle, tone_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "stranger"
    shutil.copytree(tone_folder, data)
    (data / "high").rename(data / "whistle")
    said = _mistake(capsys, str(tiny_bundle.path), "--data", str(data), "--part", "all")
    assert "whistle" in said
    assert "low, high, _silence_" in said


def test_a_word_without_a_label_counts_as_unknown() -> None:
    labels = ("bed", "_unknown_", "cat")
    found = labels_of_words(["bed", "cat", "dog", "_unknown_"], labels, Path("data"))
    assert found == {"bed": 0, "cat": 2, "dog": 1, "_unknown_": 1}
    with pytest.raises(DataFolderError, match=r"_unknown_: dog; its labels are bed, cat"):
        labels_of_words(["bed", "dog"], ("bed", "cat"), Path("data"))


def test_unreadable_clips_are_counted_and_named(
    tiny_bundle: Bundle, tone_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "broken"
    shutil.copytree(tone_folder, data)
    (data / "low" / "aaa_nohash_0.wav").write_bytes(b"no sound")
    (data / "low" / "zzz_nohash_0.wav").write_bytes(b"")
    said = _mistake(capsys, str(tiny_bundle.path), "--data", str(data), "--part", "all")
    assert f"2 of {len(DataFolder(data).clips('all'))} clips" in said
    assert "aaa_nohash_0.wav" in said


def test_a_word_without_clips_is_refused(
    tiny_bundle: Bundle, tone_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "deaf"
    shutil.copytree(tone_folder, data, ignore=shutil.ignore_patterns("high"))
    said = _mistake(capsys, str(tiny_bundle.path), "--data", str(data), "--part", "all")
    assert "has no clip of high, which tiny hears" in said


def test_an_empty_label_is_told(
    bench: Callable[..., Any], tiny_bundle: Bundle, tone_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench(tiny_bundle.path, tone_folder, "--words", "low,_silence_", "--part", "test", "--engine", "litert")
    assert "high has no clip" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--part", "tests"], "'tests'"),
        (["--engine", "torch"], "'torch'"),
        (["--run", "nowhere"], "nowhere does not exist; expected a run folder"),
        (["--words", "low,loud"], "loud"),
    ],
)
def test_mistakes(
    tiny_bundle: Bundle, tone_folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], expected: str
) -> None:
    assert expected in _mistake(capsys, str(tiny_bundle.path), "--data", str(tone_folder), *options)


def test_another_run_is_refused(
    tiny_bundle: Bundle, tiny_run: Path, tone_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_run, other)
    config = (other / "config.toml").read_text()
    (other / "config.toml").write_text(config.replace("hop_ms = 20.0", "hop_ms = 10.0"))
    said = _mistake(capsys, str(tiny_bundle.path), "--data", str(tone_folder), "--part", "test", "--run", str(other))
    assert "expected the run it was exported from" in said


def test_loss_and_agreement_of_known_answers() -> None:
    truth = np.array([0, 0, 0, 1])
    ones = np.ones(4, np.float32)
    stages = [
        Stage("float-keras", np.array([0, 0, 0, 1]), ones),
        Stage("int8-litert", np.array([0, 0, 1, 1]), ones),
        Stage("int8-onnx", np.array([0, 1, 1, 0]), ones),
    ]
    values = summary(stages, truth, ("a", "b"))
    assert [stage["loss_points"] for stage in values["stages"]] == [0.0, 25.0, 75.0]
    assert values["stages"][2]["per_label"] == {"a": [1, 3], "b": [0, 1]}
    assert values["agreement"] == {
        "float-keras~int8-litert": 0.75,
        "float-keras~int8-onnx": 0.25,
        "int8-litert~int8-onnx": 0.5,
    }
    # Without a float stage there is nothing to lose against.
    assert summary(stages[1:], truth, ("a", "b"))["stages"][0]["loss_points"] is None
