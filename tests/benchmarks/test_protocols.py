"""Published protocols on one's own folders: MLPerf Tiny, TensorFlow's streaming test, Picovoice's wake words."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from kwspot.benchmarks.accuracy.tflite_graph import read_graph, write_graph
from kwspot.benchmarks.stream.streaming_accuracy import Labelled, count
from kwspot.benchmarks.stream.wake_mix import mix_stream
from kwspot.runtime import cli
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.features.level import loudness
from kwspot.runtime.model.bundle import Bundle

CLASSES = 12


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reference(tmp_path_factory.mktemp("foreign") / "kws.tflite", batch=1)


def write_reference(path: Path, *, batch: int | None) -> Path:
    """A stand-in of MLPerf Tiny's reference: int8 in, 49×10×1, int8 out, 12 classes; with drawn weights."""
    import tensorflow as tf

    from kwspot.train.backend import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(batch, 49, 10, 1)),
            layers.Conv2D(8, (10, 4), strides=2, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(CLASSES, kernel_initializer=keras.initializers.RandomNormal(stddev=3.0), activation="softmax"),
        ]
    )
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    rng = np.random.default_rng(1)
    converter.representative_dataset = lambda: (
        [rng.normal(0, 1, (1, 49, 10, 1)).astype(np.float32)] for _ in range(20)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with warnings.catch_warnings():
        # The converter misses statistics that a full int8 conversion does not use.
        warnings.simplefilter("ignore")
        path.write_bytes(converter.convert())
    return path


@pytest.fixture(scope="session")
def feature_files(foreign: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """60 files of 490 bytes and their list; every fourth label is wrong. The folder, and how many are right."""
    folder = tmp_path_factory.mktemp("kws01")
    interpreter = Interpreter(model_path=str(foreign))
    interpreter.allocate_tensors()
    (entry,), (leaving,) = interpreter.get_input_details(), interpreter.get_output_details()
    rng = np.random.default_rng(2)
    lines, right = [], 0
    for number in range(60):
        values = rng.integers(-128, 128, (49, 10), dtype=np.int8)
        (folder / f"tst_{number:06}.bin").write_bytes(values.tobytes())
        interpreter.set_tensor(entry["index"], values.reshape(entry["shape"]))
        interpreter.invoke()
        said = int(interpreter.get_tensor(leaving["index"])[0].argmax())
        label = (said + 1) % CLASSES if number % 4 == 0 else said
        right += label == said
        lines.append(f"tst_{number:06}.bin, {CLASSES}, {label}")
    (folder / "y_labels.csv").write_text("\n".join(lines) + "\n")
    return folder, right


def bench(tmp_path: Path, *command: str) -> Any:
    target = tmp_path / "result.json"
    assert cli.main(["bench", *command, "--json", str(target)]) == 0
    return json.loads(target.read_text())


def mistake(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    capsys.readouterr()
    assert cli.main(["bench", *command]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    last = printed.err.strip().splitlines()[-1]
    assert last.startswith("kwspot: ")
    return last


def test_a_foreign_model_is_counted_right_in_both_engines(
    foreign: Path, feature_files: tuple[Path, int], tmp_path: Path
) -> None:
    folder, right = feature_files
    values = bench(tmp_path, "model", str(foreign), "--data", str(folder), "--seconds", "0.01")
    assert (values["schema"], values["clips"]) == ("kwspot.model/1", 60)
    assert values["input"] == {"shape": [1, 49, 10, 1], "dtype": "int8"}
    assert [row["engine"] for row in values["engines"]] == ["litert", "onnx"]
    for row in values["engines"]:
        assert row["correct"] == right == 45
        assert row["accuracy"] == pytest.approx(0.75)
        assert row["reaches_target"] is False
        assert row["inferences_per_s"] > 0
        assert row["repeats"] == 5


def test_a_model_of_any_batch_is_asked_for_one_clip(feature_files: tuple[Path, int], tmp_path: Path) -> None:
    folder, right = feature_files
    model = write_reference(tmp_path / "any.tflite", batch=None)
    (entry,) = Interpreter(model_path=str(model)).get_input_details()
    assert entry["shape_signature"].tolist() == [-1, 49, 10, 1]
    values = bench(tmp_path, "model", str(model), "--data", str(folder), "--seconds", "0.01")
    assert values["input"] == {"shape": [1, 49, 10, 1], "dtype": "int8"}
    assert [(row["engine"], row["correct"]) for row in values["engines"]] == [("litert", right), ("onnx", right)]


@pytest.mark.parametrize("which", ["tiny_bundle", "stream_bundle"])
def test_a_bundle_by_the_same_protocol(
    which: str, tone_folder: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = str(request.getfixturevalue(which).path)
    values = bench(tmp_path, "model", path, "--data", str(tone_folder), "--part", "test", "--seconds", "0.01")
    expected = bench(tmp_path, "accuracy", path, "--data", str(tone_folder), "--part", "test")
    stages = {stage["name"]: stage["correct"] for stage in expected["stages"]}
    for row in values["engines"]:
        assert row["correct"] == stages[f"int8-{row['engine']}"]
        assert row["reaches_target"] is True


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda f: (f / "y_labels.csv").unlink(), "y_labels.csv cannot be read"),
        (lambda f: (f / "y_labels.csv").write_text("\n"), "lists no file"),
        (lambda f: (f / "y_labels.csv").write_text("tst_000001.bin, 12, 12\n"), "line 1: 'tst_000001.bin,12,12'"),
        (lambda f: (f / "y_labels.csv").write_text("tst_000001.bin, 12, ²\n"), "line 1: 'tst_000001.bin,12,²'"),
        (lambda f: (f / "y_labels.csv").write_bytes(b"tst_\xff.bin, 12, 1\n"), "y_labels.csv cannot be read"),
        (lambda f: (f / "y_labels.csv").write_text("tst_000001.bin, 3, 1\n"), "gives 12 scores, the labels are of 3"),
        (lambda f: (f / "tst_000003.bin").write_bytes(b"short"), "has 5 bytes, the model takes 490"),
        (lambda f: (f / "tst_000003.bin").unlink(), "tst_000003.bin, which y_labels.csv lists, cannot be read"),
    ],
)
def test_bad_feature_files(
    foreign: Path,
    feature_files: tuple[Path, int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], Any],
    expected: str,
) -> None:
    folder = tmp_path / "files"
    shutil.copytree(feature_files[0], folder)
    spoil(folder)
    command = ("model", str(foreign), "--data", str(folder), "--onnx", str(tmp_path / "none.onnx"))
    # The conversion is not what is tested here; an ONNX that is there spares it.
    onnx = tmp_path / "none.onnx"
    onnx.write_bytes((feature_files[0].parent / "spare.onnx").read_bytes())
    assert expected in mistake(capsys, *command, "--seconds", "0.01")


@pytest.fixture(scope="session", autouse=True)
def _spare_onnx(foreign: Path, feature_files: tuple[Path, int]) -> None:
    from kwspot.benchmarks.protocols.foreign_model import onnx_of

    shutil.copy(onnx_of(foreign, foreign.parent), feature_files[0].parent / "spare.onnx")


def test_models_that_are_no_classifier_of_fixed_shape(
    foreign: Path, feature_files: tuple[Path, int], stream_bundle: Bundle, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    data = ("--data", str(feature_files[0]))
    several = stream_bundle.path / "model.int8.tflite"
    assert "expected one of each, features in and scores out" in mistake(capsys, "model", str(several), *data)
    graph = read_graph(foreign.read_bytes())
    tensor = graph.subgraphs[0].tensors[graph.subgraphs[0].inputs[0]]
    tensor.shapeSignature = np.array([1, -1, 10, 1], np.int32)
    dynamic = tmp_path / "dynamic.tflite"
    dynamic.write_bytes(write_graph(graph))
    assert "dynamic shape [1, -1, 10, 1]" in mistake(capsys, "model", str(dynamic), *data)
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    assert "is no TFLite model" in mistake(capsys, "model", str(broken), *data)
    assert "is not there" in mistake(capsys, "model", str(tmp_path / "none.tflite"), *data)


def test_what_is_matched_wrong_and_false() -> None:
    said = [Labelled("yes", 1000), Labelled("no", 5000), Labelled("yes", 9000), Labelled("go", 9500)]
    heard = [
        Labelled("yes", 1400),  # correct
        Labelled("yes", 1500),  # the word is taken: false
        Labelled("up", 5600),  # wrong
        Labelled("go", 9400),  # correct, though a yes is near
        Labelled("no", 20_000),  # false
    ]
    assert count(said, heard, 750) == {"words": 4, "matched": 3, "correct": 2, "wrong": 1, "false": 2}
    assert count(said, heard, 50) == {"words": 4, "matched": 0, "correct": 0, "wrong": 0, "false": 5}
    assert count(said, [], 750)["matched"] == 0


@pytest.fixture
def tone_stream(tone_folder: Path, save_wav: Callable[..., Path], tmp_path: Path) -> tuple[Path, list[str]]:
    """Eight words a second and a half apart; the file, and lines of labels and times."""
    clips = [DataFolder(tone_folder).clips("test", [word])[i] for i in range(4) for word in ("low", "high")]
    gap = np.zeros(24_000, np.int16)
    sound = [part for clip in clips for part in (gap, read_sound(clip.path, 16_000))]
    lines = [f"{clip.word}, {1000 * (1.5 + 2.5 * number):.0f}" for number, clip in enumerate(clips)]
    return save_wav(tmp_path / "stream.wav", np.concatenate([*sound, gap])), lines


def test_the_streaming_test_on_a_stream(
    tiny_bundle: Bundle, tone_stream: tuple[Path, list[str]], tmp_path: Path
) -> None:
    wav, lines = tone_stream
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(lines))
    command = ("stream", str(tiny_bundle.path), "--wav", str(wav), "--labels", str(labels), "--tolerance-ms", "1400")
    counts = bench(tmp_path, *command)["counts"]
    assert counts["words"] == 8
    assert counts["correct"] >= 6
    # With every label exchanged the same detections are wrong, and not false.
    exchange = {"low": "high", "high": "low"}
    labels.write_text("\n".join(exchange[line.split(",")[0]] + "," + line.split(",")[1] for line in lines))
    other = bench(tmp_path, *command)["counts"]
    assert (other["wrong"], other["correct"]) == (counts["correct"], counts["wrong"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("low 5", "line 1: 'low 5'; expected 'label, milliseconds'"),
        ("loud, 5", "line 1: no word 'loud'; the bundle hears low, high"),
        ("", "names no word"),
        ("low, 99000", "ends before the last word"),
    ],
)
def test_bad_labels(
    tiny_bundle: Bundle,
    tone_stream: tuple[Path, list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    expected: str,
) -> None:
    (tmp_path / "labels.csv").write_text(text)
    command = ("stream", str(tiny_bundle.path), "--wav", str(tone_stream[0]), "--labels", str(tmp_path / "labels.csv"))
    assert expected in mistake(capsys, *command)


def test_the_noise_lies_as_far_below_the_word_as_was_asked(tone_folder: Path, save_wav: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = save_wav(tmp_path / "noise.wav", rng.normal(0, 300, 40_000).astype(np.int16))
    utterances = [clip.path for clip in DataFolder(tone_folder).clips("test", ["low"])][:5]
    background = [clip.path for clip in DataFolder(tone_folder).clips("test", ["high"])][:3]
    pieces = list(mix_stream(utterances, background, [noise], snr_db=20, rate_hz=16_000, seed=1))
    assert sum(piece.is_word for piece in pieces) == 5
    assert not pieces[0].is_word
    clean = [read_sound(path, 16_000).astype(float) for path in (*utterances, *background)]
    for piece in pieces:
        # The clean sound that is in it is the one it is most like.
        best = min(clean, key=lambda sound: np.square(piece.sound - sound).sum())
        added = piece.sound - best
        ratio = 20 * np.log10(loudness(best, 16_000) / np.sqrt(np.square(added).mean()))
        assert ratio == pytest.approx(20, abs=0.5)
    other = list(mix_stream(utterances, background, [noise], snr_db=20, rate_hz=16_000, seed=1))
    assert all(np.array_equal(a.sound, b.sound) for a, b in zip(pieces, other, strict=True))


def test_wake_words_against_background(
    tiny_bundle: Bundle, tone_folder: Path, save_wav: Callable[..., Path], tmp_path: Path
) -> None:
    utterances, background = tmp_path / "utterances", tmp_path / "background"
    for folder, word in ((utterances, "low"), (background, "high")):
        for clip in DataFolder(tone_folder).clips("test", [word]):
            folder.mkdir(exist_ok=True)
            shutil.copy(clip.path, folder)
    command = (
        "wake",
        str(tiny_bundle.path),
        "--word",
        "low",
        "--utterances",
        str(utterances),
        "--background",
        str(background),
    )
    values = bench(tmp_path, *command)
    points = values["points"]
    assert values["utterances"] == 24
    assert [point["threshold"] for point in points] == sorted(point["threshold"] for point in points)
    assert points[0]["miss_rate"] < 0.3
    # 24 utterances that each fire once: what belongs to an utterance is no false accept.
    assert points[0]["false_accepts"] <= 3
    missed = [point["missed"] for point in points]
    assert missed[0] <= missed[-1]
    # The word in the background is falsely accepted again and again, and utterances of another word are missed.
    gap = np.zeros(24_000, np.int16)
    spoken = [part for path in sorted(utterances.iterdir()) for part in (read_sound(path, 16_000), gap)]
    save_wav(tmp_path / "talk/talk.wav", np.concatenate(spoken))
    exchanged = ("--utterances", str(background), "--background", str(tmp_path / "talk"))
    other = bench(tmp_path, "wake", str(tiny_bundle.path), "--word", "low", *exchanged)
    assert other["points"][0]["miss_rate"] > 0.9
    assert other["points"][0]["false_accepts"] > 18


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--word", "loud"], "no word 'loud'; the bundle hears low, high"),
        (["--word", "low", "--utterances", "nowhere"], "nowhere is no folder; expected utterances of low"),
    ],
)
def test_wake_word_mistakes(
    tiny_bundle: Bundle, tone_folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], expected: str
) -> None:
    folders = ["--utterances", str(tone_folder / "low"), "--background", str(tone_folder / "high")]
    assert expected in mistake(capsys, "wake", str(tiny_bundle.path), *folders, *options)
