"""Export: what a bundle holds, what stops an export, and that nothing half-written stays."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from kwspot.export import convert as convert_module
from kwspot.export import parity
from kwspot.export.clips import clip_features, parity_clips
from kwspot.export.convert import Converted
from kwspot.export.parity import check_parity
from kwspot.export.pipeline import export_run
from kwspot.export.tensors import describe
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.cli import main
from kwspot.runtime.errors import BundleError, DataFolderError, ExportError, RunError
from kwspot.runtime.model.bundle import Bundle, load_bundle
from kwspot.runtime.model.onnx_engine import OnnxEngine
from kwspot.runtime.run_folder import read_run


@dataclasses.dataclass(frozen=True)
class Conversion:
    """A conversion that went well, and what parity is checked on."""

    converted: Converted
    features: NDArray[np.float32]
    truth: NDArray[np.intp]


@pytest.fixture(scope="module")
def conversion(tiny_run: Path, tiny_bundle: Bundle, tone_folder: Path) -> Conversion:
    from kwspot.train.backend import keras

    run = read_run(tiny_run)
    clips, truth = parity_clips(run, DataFolder(tone_folder))
    features = clip_features(clips, run)
    scores = keras.models.load_model(run.model_path).predict(features, verbose=0)
    models = {form: tiny_bundle.model_bytes(form) for form in tiny_bundle.manifest.models}
    return Conversion(Converted(models, scores, {"tensorflow": "test"}, recurrent=False), features, truth)


@pytest.fixture
def converting(conversion: Conversion, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the converter answer at once, with some of its models replaced."""

    def answer(**models: bytes) -> None:
        changed = {name.replace("_", "-"): content for name, content in models.items()}
        converted = dataclasses.replace(conversion.converted, models={**conversion.converted.models, **changed})
        monkeypatch.setattr("kwspot.export.pipeline.convert", lambda *_, **__: converted)

    answer()
    return answer


@pytest.fixture
def own_run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the tiny run that may be changed."""
    return shutil.copytree(tiny_run, tmp_path / "run")


def zeroed_tflite(content: bytes) -> bytes:
    """The model with its largest weight tensor set to zero."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    constants = [
        tensor["index"] for tensor in interpreter.get_tensor_details() if tuple(tensor["shape"]) == (8, 1, 5, 12)
    ]
    weights = interpreter.get_tensor(constants[0]).tobytes()
    assert content.count(weights) == 1
    return content.replace(weights, bytes(len(weights)))


def zeroed_onnx(content: bytes) -> bytes:
    """The model with its largest weight tensor set to zero."""
    model = onnx.load_model_from_string(content)
    largest = max(model.graph.initializer, key=lambda tensor: np.prod(tensor.dims))
    zeros = np.zeros_like(onnx.numpy_helper.to_array(largest))
    largest.CopyFrom(onnx.numpy_helper.from_array(zeros, largest.name))
    return bytes(model.SerializeToString())


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# What a bundle holds


def test_manifest_is_filled(tiny_bundle: Bundle, tiny_run: Path, tone_folder: Path) -> None:
    manifest, run = tiny_bundle.manifest, read_run(tiny_run)
    assert left_in(tiny_bundle.path) == sorted(
        ["bundle.json", "golden.npz", "model.float.tflite", "model.int8.onnx", "model.int8.tflite"]
    )
    assert left_in(tiny_bundle.path.parent) == ["tiny.kws"]
    assert (tiny_bundle.name, manifest.kind) == ("tiny", "window")
    assert manifest.labels == ("low", "high", "_silence_")
    assert (manifest.features, manifest.normalisation) == (run.features, run.normalisation)
    assert (manifest.parameters, manifest.macs) == (715, 12_345)
    assert manifest.recipe["calibration"] == list(run.calibration)
    assert manifest.data_licence == "unstated"
    assert {"kwspot", "tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert"} <= set(
        manifest.versions
    )


def test_accuracy_counts_the_validation_clips(tiny_bundle: Bundle) -> None:
    accuracy = tiny_bundle.manifest.accuracy
    assert (accuracy["part"], accuracy["clips"]) == ("validation", 72)
    assert accuracy["float_correct"] >= 70
    assert accuracy["int8_correct"] >= 70
    assert accuracy["onnx_steps"] <= 1


def test_no_path_of_the_machine_travels(tiny_bundle: Bundle, tone_folder: Path) -> None:
    text = (tiny_bundle.path / "bundle.json").read_text()
    assert str(tone_folder.parent) not in text
    assert tiny_bundle.manifest.recipe["data"]["folder"] == "tones"


def test_float_tflite_is_float_and_int8_is_int8(tiny_bundle: Bundle) -> None:
    def dtypes(form: str) -> set[str]:
        interpreter = Interpreter(model_content=tiny_bundle.model_bytes(form), num_threads=1)
        return {np.dtype(tensor["dtype"]).name for tensor in interpreter.get_tensor_details()}

    # int32: shapes, and the biases of int8.
    assert dtypes("float-tflite") <= {"float32", "int32"}
    assert dtypes("int8-tflite") == {"int8", "int32"}


def test_onnx_has_a_fixed_batch_and_plain_names(tiny_bundle: Bundle) -> None:
    model = onnx.load_model_from_string(tiny_bundle.model_bytes("int8-onnx"))
    assert {opset.domain: opset.version for opset in model.opset_import}[""] == 17
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"features": [1, 49, 12], "scores": [1, 3]}


# Parity


@pytest.mark.parametrize(
    ("form", "broken", "message"),
    [
        ("int8_onnx", zeroed_onnx, "ONNX model differs from the int8 TFLite model by"),
        ("int8_tflite", zeroed_tflite, "ONNX model differs from the int8 TFLite model by"),
        ("float_tflite", zeroed_tflite, "float TFLite model differs from the Keras model by"),
    ],
)
def test_a_changed_weight_stops_the_export(
    form: str,
    broken: Callable[[bytes], bytes],
    message: str,
    converting: Callable[..., None],
    conversion: Conversion,
    tiny_run: Path,
    tmp_path: Path,
) -> None:
    converting(**{form: broken(conversion.converted.models[form.replace("_", "-")])})
    with pytest.raises(ExportError, match=message):
        export_run(tiny_run, tmp_path / "out" / "b.kws")
    assert left_in(tmp_path / "out") == []


def test_a_float_model_a_little_off_stops_the_export(conversion: Conversion) -> None:
    converted = conversion.converted
    off = dataclasses.replace(converted, keras_scores=converted.keras_scores + np.float32(2e-4))
    with pytest.raises(ExportError, match=r"differs from the Keras model by 0\.0002"):
        check_parity(off, describe(converted.models), conversion.features, conversion.truth)


def test_a_model_that_is_not_finite_stops_the_export(conversion: Conversion) -> None:
    converted = conversion.converted
    broken = dataclasses.replace(converted, keras_scores=np.full_like(converted.keras_scores, np.nan))
    with pytest.raises(ExportError, match="not finite; train again"):
        check_parity(broken, describe(converted.models), conversion.features, conversion.truth)


def test_a_recurrent_model_may_round_otherwise_but_not_say_another_word(
    conversion: Conversion, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted = conversion.converted
    recurrent = dataclasses.replace(converted, recurrent=True)
    args = (describe(converted.models), conversion.features, conversion.truth)
    scores_of = parity._scores

    def changed_onnx(engine: OnnxEngine, features: np.ndarray) -> np.ndarray:
        scores = scores_of(engine, features)
        if engine.name != "onnx":
            return scores
        scores[np.arange(len(scores)), scores.argmax(axis=1)] -= np.int8(down)
        return np.roll(scores, turned, axis=1)

    monkeypatch.setattr(parity, "_scores", changed_onnx)
    turned = 0
    down = 10
    assert check_parity(recurrent, *args).onnx_steps == 10
    with pytest.raises(ExportError, match="by 10 steps on 72 clips and in the label of 0, expected at most 1"):
        check_parity(converted, *args)
    down = 17
    with pytest.raises(ExportError, match="expected at most 16 steps"):
        check_parity(recurrent, *args)
    monkeypatch.setattr(parity, "MOST_ONNX_STEPS_RECURRENT", 255)
    turned = 1
    with pytest.raises(ExportError, match=r"in the label of [1-9]"):
        check_parity(recurrent, *args)


def test_parity_counts(conversion: Conversion) -> None:
    converted = conversion.converted
    wrong = (conversion.truth + 1) % 3
    args = (converted, describe(converted.models), conversion.features)
    right_counts = check_parity(*args, conversion.truth)
    wrong_counts = check_parity(*args, wrong)
    assert right_counts.same_label == wrong_counts.same_label == right_counts.clips == 72
    assert (wrong_counts.float_correct, wrong_counts.int8_correct) == (
        72 - right_counts.float_correct,
        72 - right_counts.int8_correct,
    )


def test_parity_clips_cover_the_labels_evenly(
    tiny_run: Path, tone_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kwspot.export.clips.MOST_PARITY_CLIPS", 30)
    clips, truth = parity_clips(read_run(tiny_run), DataFolder(tone_folder))
    assert np.bincount(truth).tolist() == [10, 10, 10]
    assert [clip.parent.name for clip in clips[::10]] == ["low", "high", "_silence_"]
    assert len(set(clips)) == 30


def test_other_folders_are_unknown_or_left_out(tiny_run: Path, tone_folder: Path) -> None:
    run = read_run(tiny_run)
    without = dataclasses.replace(run, config={**run.config, "labels": ["high", "_silence_"]})
    assert np.bincount(parity_clips(without, DataFolder(tone_folder))[1]).tolist() == [24, 24]
    unknown = dataclasses.replace(run, config={**run.config, "labels": ["high", "_silence_", "_unknown_"]})
    clips, truth = parity_clips(unknown, DataFolder(tone_folder))
    assert {clip.parent.name for clip, label in zip(clips, truth, strict=True) if label == 2} == {"low"}


# The command


def test_command_with_moved_recordings(
    own_run: Path, tone_folder: Path, tiny_bundle: Bundle, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = own_run / "config.toml"
    config.write_text(config.read_text().replace(str(tone_folder), str(tmp_path / "gone")))
    target = tmp_path / "again.kws"
    assert main(["export", str(own_run), "--bundle", str(target)]) == 2
    assert "--data DIR" in capfd.readouterr().err
    assert main(["export", str(own_run), "--bundle", str(target), "--data", str(tone_folder)]) == 0
    out, err = capfd.readouterr()
    assert out == ""
    assert "72 of 72" in err
    # TensorFlow talks to both streams; its process keeps that to itself.
    assert "oneDNN" not in err
    assert "SavedModel" not in err
    again = load_bundle(target)
    assert again.manifest.recipe["data"]["folder"] == "gone"
    # The same run and clips give the same numbers.
    assert again.manifest.models["int8-tflite"].inputs == tiny_bundle.manifest.models["int8-tflite"].inputs
    assert again.manifest.golden_sha256 == tiny_bundle.manifest.golden_sha256


def test_existing_bundle_is_refused_before_any_work(tiny_bundle: Bundle, tmp_path: Path) -> None:
    # Not even the run is looked for.
    with pytest.raises(BundleError, match=r"exists; .*--overwrite"):
        export_run(tmp_path / "no-run", tiny_bundle.path)


@pytest.mark.usefixtures("converting")
def test_overwrite_replaces_a_bundle_and_nothing_else(tiny_run: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    target = shutil.copytree(tiny_bundle.path, tmp_path / "out" / "b.kws")
    (target / "old").touch()
    export_run(tiny_run, target, overwrite=True)
    assert "old" not in left_in(target)
    assert left_in(target.parent) == ["b.kws"]
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter1").touch()
    with pytest.raises(BundleError, match="is no bundle"):
        export_run(tiny_run, thesis, overwrite=True)
    assert left_in(thesis) == ["chapter1"]


@pytest.mark.parametrize("name", ["tensorflow", "tf2onnx", "onnxruntime"])
def test_missing_package_names_the_extra(
    name: str, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(convert_module.sys.modules, name, None)
    with pytest.raises(ExportError, match=rf"needs {name}, not installed here: pip install 'kwspot\[export\]'"):
        export_run(tiny_run, tmp_path / "b.kws")


# Runs that cannot be exported


def _edit(run: Path, old: str, new: str) -> None:
    text = (run / "config.toml").read_text()
    assert old in text
    (run / "config.toml").write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "does not exist; expected a run folder"),
        (lambda run: (run / "config.toml").unlink(), r"has no config\.toml"),
        (lambda run: (run / "model.keras").unlink(), r"unfinished: it has no model\.keras"),
        (lambda run: (run / "metrics.json").unlink(), r"unfinished: it has no metrics\.json"),
        (lambda run: _edit(run, '"kwspot"', '"tutorial"'), "protocol 'tutorial', which is for comparison only"),
        (lambda run: _edit(run, '"kwspot"', '"tutorial-speakers"'), "protocol 'tutorial-speakers'"),
        (lambda run: _edit(run, "[features]", "[feature]"), "does not fit .KeyError: 'features'"),
        (lambda run: _edit(run, "hop_ms = 20.0", "hop_ms = 0.0"), "hop_ms"),
        (lambda run: _edit(run, "labels = [", "labels = "), "is no TOML file: .*train again"),
        (lambda run: (run / "metrics.json").write_text("{"), "does not fit .JSONDecodeError"),
        (lambda run: _edit(run, "calibration = [", "calibration = []\nleft = ["), "lists no calibration clips"),
    ],
)
def test_run_that_does_not_fit(damage: Callable[[Path], None], message: str, own_run: Path, tmp_path: Path) -> None:
    damage(own_run)
    with pytest.raises(RunError, match=message) as caught:
        export_run(own_run, tmp_path / "b.kws")
    assert "\n" not in str(caught.value)


def test_calibration_clips_are_missing(own_run: Path, tone_folder: Path, tmp_path: Path) -> None:
    data = shutil.copytree(tone_folder, tmp_path / "data")
    shutil.rmtree(data / "low")
    with pytest.raises(ExportError, match=r"lacks 24 of the 72 calibration clips .* such as low/speaker.*--data DIR"):
        export_run(own_run, tmp_path / "b.kws", data=data)


def test_no_validation_clips(own_run: Path, tone_folder: Path, tmp_path: Path) -> None:
    data = shutil.copytree(tone_folder, tmp_path / "data")
    (data / "validation_list.txt").touch()
    with pytest.raises(ExportError, match="no clip of low, high, _silence_ in its validation part"):
        export_run(own_run, tmp_path / "b.kws", data=data)


def test_data_folder_is_no_data_folder(own_run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataFolderError, match="nowhere does not exist"):
        export_run(own_run, tmp_path / "b.kws", data=tmp_path / "nowhere")


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the converter keeps its log."""
    folder = tmp_path / "logs"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_model_file_is_damaged(own_run: Path, logs: Path, tmp_path: Path) -> None:
    (own_run / "model.keras").write_bytes(b"no model")
    with pytest.raises(ExportError, match=r"model\.keras cannot be converted: ") as caught:
        export_run(own_run, tmp_path / "out" / "b.kws")
    assert "\n" not in str(caught.value)
    # The log is kept, the folder of the work is not.
    (log,) = left_in(logs)
    assert str(logs / log) in str(caught.value)
    assert "Traceback" in (logs / log).read_text()
    assert left_in(tmp_path / "out") == []


def test_a_converter_that_crashes_is_an_error(own_run: Path, logs: Path, tmp_path: Path) -> None:
    from kwspot.train.backend import keras

    # A rolled LSTM makes TensorFlow's int8 converter die of a segmentation fault.
    layers = [keras.Input((49, 12)), keras.layers.LSTM(4), keras.layers.Dense(3, activation="softmax")]
    keras.Sequential(layers).save(own_run / "model.keras")
    with pytest.raises(ExportError, match="cannot be converted: the converter died of signal"):
        export_run(own_run, tmp_path / "out" / "b.kws")
    assert left_in(tmp_path / "out") == []


# A full disk


@contextlib.contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes.

    The limit is lifted before the test ends: what pytest itself prints may go to a file that is larger.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _sizes(bundle: Bundle) -> list[int]:
    return sorted(path.stat().st_size for path in bundle.path.iterdir())


@pytest.mark.usefixtures("converting")
@pytest.mark.parametrize("whole_files", range(5))
def test_disk_full_leaves_nothing(whole_files: int, tiny_run: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    size = _sizes(tiny_bundle)[whole_files] - 200
    with full_disk(size), pytest.raises(OSError, match="File too large"):
        export_run(tiny_run, tmp_path / "out" / "b.kws")
    assert left_in(tmp_path / "out") == []


@pytest.mark.usefixtures("converting")
def test_disk_full_keeps_the_old_bundle(tiny_run: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    old = shutil.copytree(tiny_bundle.path, tmp_path / "out" / "b.kws")
    with full_disk(_sizes(tiny_bundle)[-1] - 200), pytest.raises(OSError, match="File too large"):
        export_run(tiny_run, old, overwrite=True)
    assert load_bundle(old).hash == tiny_bundle.hash
    assert left_in(old.parent) == ["b.kws"]


@pytest.mark.usefixtures("converting")
def test_disk_full_is_one_line(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_space(self: Path, *_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", no_space)
    assert main(["export", str(tiny_run), "--bundle", str(tmp_path / "out" / "b.kws")]) == 2
    assert "No space left on device; nothing half-written was kept" in capsys.readouterr().err.splitlines()[-1]
    assert left_in(tmp_path / "out") == []


@pytest.mark.usefixtures("converting")
def test_a_bundle_the_runtime_would_refuse_is_not_written(own_run: Path, tmp_path: Path) -> None:
    _edit(own_run, "labels = [", 'labels = ["another",')
    with pytest.raises(BundleError, match="but 4 labels"):
        export_run(own_run, tmp_path / "out" / "b.kws")
    assert left_in(tmp_path / "out") == []
