"""A bundle is a file from strangers: whatever it holds, it is refused in one line, and nothing else is read."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kwspot.runtime.board.selftest import run_checks
from kwspot.runtime.cli import main
from kwspot.runtime.detect.decision import Detection
from kwspot.runtime.errors import BundleDamagedError, BundleError, EngineError, KwspotError
from kwspot.runtime.model import bundle as bundle_module
from kwspot.runtime.model import npz
from kwspot.runtime.model.bundle import VERIFIER_FILE, Bundle, load_bundle, sha256_of
from kwspot.runtime.model.edit import store
from kwspot.runtime.model.embedding import embedding_specs
from kwspot.runtime.model.engines import open_engine
from kwspot.runtime.model.golden import golden_verifier_scores
from kwspot.runtime.model.manifest import VerifierInfo
from kwspot.runtime.model.npz import ArraySpec, read_npz
from kwspot.runtime.model.verifier import Verifier, open_verifier
from kwspot.runtime.names import find_name_fault
from kwspot.runtime.sinks.queued import Heard
from kwspot.runtime.sinks.saved_events import SavedEvents

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a shipped bundle that may be damaged."""
    return Path(shutil.copytree(load_bundle("commands").path, tmp_path / "mine.kws"))


def edit(folder: Path, change: Change) -> None:
    manifest = folder / "bundle.json"
    values = json.loads(manifest.read_text())
    change(values)
    manifest.write_text(json.dumps(values))


def put(*keys: str | int, value: object) -> Change:
    """Set one value of the manifest."""

    def change(values: dict[str, Any]) -> None:
        place: Any = values
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


def refusal(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    assert len(line) < 700
    line.encode()
    return line


FIRST_INPUT = ("models", "int8-tflite", "inputs", 0)
FIRST_OUTPUT = ("models", "int8-tflite", "outputs", 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("inference_hop_frames", value="2"), "inference_hop_frames = '2'; expected a whole number"),
        (put("inference_hop_frames", value=2.0), "expected a whole number"),
        (put("inference_hop_frames", value=True), "expected a whole number"),
        (put("inference_hop_frames", value=50), "expected at most window_frames = 49"),
        (put("window_frames", value=0), "window_frames = 0; expected a whole number from 1"),
        (put("window_frames", value=10**400), "window_frames"),
        (put("window_frames", value=3000), "are more than 30 s"),
        (put("features", "log_floor", value=float("inf")), "it holds Infinity; expected finite numbers"),
        (put("features", "log_floor", value=float("nan")), "it holds NaN"),
        (put("features", "log_floor", value=1e6), "features.log_floor = 1000000.0; expected a number from 1e-12"),
        (put("features", "hop_ms", value=0), "features.hop_ms = 0"),
        (put("features", "sample_rate_hz", value=1), "features.sample_rate_hz = 1; expected"),
        (put("features", value=[]), "features = list; expected an object"),
        (put("normalisation", "std", 0, value=0), "normalisation.std = 0"),
        (put("normalisation", "mean", 3, value="x"), "normalisation.mean = 'x'"),
        (put("decision", "smoothing_ms", value=1e6), "decision.smoothing_ms"),
        (put("decision", "refractory_ms", value=1e12), "decision.refractory_ms"),
        (put("decision", "thresholds", value={"yes": 1.5}), "decision.thresholds.yes = 1.5; expected a number from 0"),
        (put("decision", "thresholds", value={"yess": 0.5}), "decision.thresholds names 'yess'; expected some of yes"),
        (put("decision", "thresholds", value=[0.5]), "decision.thresholds = list; expected an object"),
        (put("decision", "smooting_ms", value=1), "decision.smooting_ms is an unknown key; expected smoothing_ms"),
        (put("verifer", value=None), "verifer is an unknown key"),
        (put("name", value="../../x"), "name is an unknown key"),
        (put("parameters", value=-1), "parameters = -1"),
        (put("data_licence", value="a\u001b[2Jb"), "data_licence = 'a\\x1b[2Jb': it holds '\\x1b'"),
        (put("data_licence", value=7), "data_licence = 7; expected a text"),
        (put("versions", value=[]), "versions = list; expected an object"),
        (put("calibration", value={"words": 3}), "calibration is not as 'kwspot calibrate' writes it"),
        (put("states", 0, "input", value="another"), "int8-tflite has the inputs"),
        (put(*FIRST_INPUT, "zero_point", value=1000), "zero_point = 1000; expected a whole number from -128"),
        (put(*FIRST_INPUT, "scale", value=0), "scale = 0"),
        (put(*FIRST_OUTPUT, "scale", value=1.0), "scores are from 0 to 255; expected probabilities"),
        (put("models", "int8-tflite", "sha256", value="0"), "has been changed"),
        (put("models", "int4-tflite", value={}), "models.int4-tflite.file is missing"),
        (put("recipe", value="\ud800"), "half a letter"),
    ],
)
def test_types_and_ranges(folder: Path, change: Change, message: str) -> None:
    edit(folder, change)
    assert message in refusal(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' * 40 + "1" + "}" * 40, "nested too deeply"),
        ('{"recipe": ' + "[" * 900 + "]" * 900 + "}", "nested too deeply"),
        ('{"labels": 1e999}', "beyond all floats"),
        ('{"labels": -Infinity}', "it holds -Infinity"),
        ('{"labels": ' + "1" * 5_000 + "}", "is no JSON"),
        ('{"labels": 1, "labels": 2}', "it says 'labels' twice"),
        ('{"format_version": 3} {}', "is no JSON"),
        ('{"format_version": 9, "versions": []}', "is of bundle format 9"),
        ('{"format_version": 3}', "kind is missing"),
        (" " * 4_000_001, "larger than 4,000,000 bytes"),
    ],
)
def test_json_that_is_none_of_ours(folder: Path, text: str, message: str) -> None:
    (folder / "bundle.json").write_text(text)
    assert message in refusal(folder)


# Labels and names


@pytest.mark.parametrize(
    "label",
    ["../../x", "a/b", "a\\b", "--version", "-v", ".hidden", "_other_", "", " yes", "a\nb", "a\0b", "\x1b[2J", "\ud800",
     "\u202eevil", "\u200b", "a\u2028b", "x" * 201, unicodedata.normalize("NFD", "schön"), "what?", "a|b", "\ue000", 5,
     None, ["yes"]],
)  # fmt: skip
def test_labels_that_are_refused(folder: Path, label: object) -> None:
    edit(folder, put("labels", 0, value=label))
    refusal(folder)


@pytest.mark.parametrize("label", ["what's up", "ok, google!", "grüß dich", "你好", "नमस्ते", "می‌خواهم", "lamp 2", "№1"])
def test_labels_that_are_words(folder: Path, label: str, capsys: pytest.CaptureFixture[str]) -> None:
    edit(folder, put("labels", 0, value=label))
    assert load_bundle(folder).manifest.labels[0] == label
    assert find_name_fault(label) is None


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[2J", "\udcff", "\u202ex"])
def test_a_folder_whose_name_cannot_be_printed(folder: Path, name: str) -> None:
    assert "cannot be the name of a bundle" in refusal(folder.rename(folder.with_name(f"{name}.kws")))


# Files


@pytest.mark.parametrize("file", ["../outside.tflite", "/dev/zero", "model.int8.onnx", "golden.npz", "", "a\0b"])
def test_a_model_of_another_name(folder: Path, file: str) -> None:
    shutil.copy(folder / "model.int8.tflite", folder.parent / "outside.tflite")
    edit(folder, put("models", "int8-tflite", "file", value=file))
    refusal(folder)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.mkdir()


def _link(path: Path) -> None:
    shutil.copy(load_bundle("commands").path / path.name, path.parent.parent / "elsewhere")
    path.symlink_to("../elsewhere")


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [_pipe, _folder, _link, _device])
@pytest.mark.parametrize("name", ["bundle.json", "model.int8.tflite", "golden.npz"])
def test_what_is_no_regular_file(folder: Path, name: str, make: Callable[[Path], None]) -> None:
    (folder / name).unlink()
    make(folder / name)
    assert "is no regular file" in refusal(folder)


def test_a_file_without_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_module, "MOST_FILE_BYTES", 1000)
    assert "is larger than 1,000 bytes" in refusal(folder)


def test_files_are_those_of_the_manifest_alone(folder: Path) -> None:
    (folder / "shadow").symlink_to("/etc/passwd")
    (folder / "more.txt").write_text("more")
    names = [name for name, _ in load_bundle(folder).files()]
    assert sorted(names) == sorted(path.name for path in load_bundle("commands").path.iterdir())


# Arrays


def packed(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def with_header(header: bytes, data: bytes = b"", *, name: str = "a.npy", version: bytes = b"\x01\x00") -> bytes:
    """An npz of one member with a header of our own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + data)
    return buffer.getvalue()


ONE = {"a": ArraySpec(("float32", "int16"), (None, 2))}
GOOD = np.ones((3, 2), np.float32)


def test_arrays_are_read_as_they_were() -> None:
    assert np.array_equal(read_npz(packed(a=GOOD), ONE, "x")["a"], GOOD)
    turned = np.asfortranarray(np.arange(6, dtype=np.int16).reshape(3, 2))
    assert np.array_equal(read_npz(packed(a=turned), ONE, "x")["a"], turned)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no zip",
        packed(a=GOOD)[:-40],
        packed(a=GOOD).replace(b"a.npy", b"../.p"),
        packed(b=GOOD),
        packed(a=GOOD, b=GOOD),
        packed(a=GOOD.astype(np.float64)),
        packed(a=GOOD[0]),
        packed(a=np.ones((3, 3), np.float32)),
        packed(a=np.array([[1, np.nan]], np.float32)),
        packed(a=np.array([[1, np.inf]], np.float32)),
        packed(a=np.array([[{}, []]], object)),
        with_header(b"{'descr': '<i2', 'fortran_order': False, 'shape': (1000000000, 2)}\n", b"12"),
        with_header(b"{'descr': '<i2', 'fortran_order': False, 'shape': (-1, 2)}\n", b"1234"),
        with_header(b"{'descr': '|O', 'fortran_order': False, 'shape': (1, 2)}\n", b"12"),
        with_header(b"__import__('os').system('true')\n"),
        with_header(b"(" * 3000 + b"\n"),
        with_header(b"{" + b" " * 60_000 + b"}\n"),
        with_header(b"{}\n"),
        with_header(b"", version=b"\x09\x00"),
    ],
)
def test_arrays_that_are_refused(content: bytes) -> None:
    with pytest.raises(BundleDamagedError) as caught:
        read_npz(content, ONE, "some.npz")
    assert str(caught.value).startswith("some.npz")
    assert len(str(caught.value).splitlines()) == 1


def test_two_arrays_of_one_name() -> None:
    buffer = io.BytesIO(packed(a=GOOD))
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a.npy", b"")
    with pytest.raises(BundleDamagedError, match=r"holds 'a\.npy, a\.npy'; expected a"):
        read_npz(buffer.getvalue(), ONE, "x")


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "MOST_ARRAY_BYTES", 1000)
    with pytest.raises(BundleDamagedError, match="unpacks to 8,128 bytes; expected at most 1,000"):
        read_npz(packed(a=np.zeros((1000, 2), np.float32)), ONE, "x")


def _golden(folder: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    with np.load(folder / "golden.npz") as held:
        arrays = dict(held)
    change(arrays)
    content = packed(**arrays)
    (folder / "golden.npz").write_bytes(content)
    edit(folder, put("golden_sha256", value=sha256_of(content)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("sound"), "expected sound, features"),
        (lambda arrays: arrays.update(scores=arrays["scores"][:3]), "holds arrays of different lengths"),
        (lambda arrays: arrays.update(scores=arrays["scores"][:, :3]), "the array scores is float32 (6, 3)"),
        (lambda arrays: arrays.update(features=arrays["features"] * np.nan), "are not finite"),
        (lambda arrays: arrays.update({name: arrays[name][:0] for name in ("sound", "features", "scores")}), "lengths"),
        (lambda arrays: arrays.update({name: np.tile(arrays[name], (50, 1) if arrays[name].ndim == 2 else (50, 1, 1))
         for name in ("sound", "features", "scores")}), "expected at most 4,000,000"),
    ],
)  # fmt: skip
def test_golden_vectors_that_are_refused(
    folder: Path, change: Callable[[dict[str, np.ndarray]], object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _golden(folder, change)
    assert main(["selftest", str(folder), "--hops", "100"]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


# Self test


def test_swapped_labels_are_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def swap(values: dict[str, Any]) -> None:
        labels = values["labels"]
        labels[0], labels[1] = labels[1], labels[0]

    edit(folder, swap)
    assert main(["selftest", str(folder), "--hops", "100"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "has the labels no, yes, up" in line
    assert "its model was exported with 'yes, no, up" in line


def test_scores_at_other_times_are_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _golden(folder, lambda arrays: arrays.update(at_samples=arrays["at_samples"] + 320))
    assert main(["selftest", str(folder), "--hops", "100"]) == 1
    assert "stream differ from the bundle's" in capsys.readouterr().out.splitlines()[-1]


# Scores that are no numbers


def _verifier_bundle(folder: Path) -> tuple[Bundle, dict[str, np.ndarray]]:
    """A verifier of random weights."""
    bundle, rng = load_bundle(folder), np.random.default_rng(0)
    arrays = {
        name: rng.integers(-9, 9, spec.shape, np.int8)
        if spec.dtypes == ("int8",)
        else rng.uniform(0, 0.01, spec.shape).astype(np.float32)
        for name, spec in embedding_specs().items()
    }
    arrays |= {
        "hidden/weight": rng.normal(0, 0.01, (16 * 96, 16)).astype(np.float16),
        "hidden/bias": np.zeros(16, np.float32),
        "scores/weight": rng.normal(0, 0.1, (16, 10)).astype(np.float32),
        "scores/bias": np.zeros(10, np.float32),
    }
    content, scores = packed(**arrays), golden_verifier_scores(Verifier(arrays, 10))
    info = VerifierInfo(sha256_of(content), 0.001, 0.8, 5.0, 2, tuple(scores.tolist()))
    return store(bundle, dataclasses.replace(bundle.manifest, verifier=info), {VERIFIER_FILE: content}), arrays


@pytest.mark.parametrize("name", ["hidden/weight", "scores/bias", "7/scale"])
def test_a_verifier_with_one_nan(folder: Path, name: str) -> None:
    _, arrays = _verifier_bundle(folder)
    arrays[name].flat[1] = np.nan
    content = packed(**arrays)
    (folder / "verifier.npz").write_bytes(content)
    edit(folder, put("verifier", "sha256", value=sha256_of(content)))
    with pytest.raises(BundleDamagedError, match="holds numbers that are not finite"):
        open_verifier(load_bundle(folder))


def test_a_verifier_beyond_all_floats(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, arrays = _verifier_bundle(folder)
    arrays["scores/weight"][:] = 3e38
    arrays["hidden/bias"][:] = 3e38
    content = packed(**arrays)
    (folder / "verifier.npz").write_bytes(content)
    edit(folder, put("verifier", "sha256", value=sha256_of(content)))
    verifier = open_verifier(load_bundle(folder))
    with np.errstate(all="ignore"), pytest.raises(EngineError, match="not finite"):
        verifier.score(np.zeros(verifier.samples, np.int16))


def test_every_check_passes_with_a_verifier(folder: Path) -> None:
    bundle, _ = _verifier_bundle(folder)
    assert all(check.passed for check in run_checks(bundle, open_engine(bundle)))
    with pytest.raises(KwspotError, match="has no verifier"):
        open_verifier(load_bundle("commands"))


# Where labels go


def test_saved_events_stay_in_their_folder_whatever_a_label_is(tmp_path: Path) -> None:
    """The rule for labels is at the door; this is the second lock."""
    folder, labels = tmp_path / "deep/kept", ["../../x", "..", ".", "/etc/x", "-v", "", "a\0b", "what's up", "ü" * 100]
    sink = SavedEvents(folder, load_bundle("tutorial"))
    detections = [Detection(label, 0.9, 16_000, 16_000) for label in labels]
    sink.deliver_block(Heard(np.ones(16_000, np.int16), 16_000, [], [], detections))
    sink.deliver_block(Heard(np.ones(16_000, np.int16), 32_000, [], [], []))  # the second after them
    sink.close()
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) == 2 * len(labels)
    assert {path.parent.parent for path in kept} == {folder}
    assert (folder / "what's up").is_dir()
