"""Every way in which a bundle can be wrong: one line on stderr, nothing on stdout, exit 2."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kwspot.runtime.cli import main
from kwspot.runtime.errors import BundleDamagedError, BundleVersionError, ConfigError, EngineError
from kwspot.runtime.model.bundle import Bundle, load_bundle
from kwspot.runtime.model.engines import ENGINES, open_engine

FILES = ["golden.npz", "model.float.tflite", "model.int8.onnx", "model.int8.tflite"]


@pytest.fixture
def bundle(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return shutil.copytree(tiny_bundle.path, tmp_path / "tiny.kws")


@pytest.fixture
def sound(tone_folder: Path) -> Path:
    return min((tone_folder / "low").iterdir())


@pytest.fixture
def refused(bundle: Path, sound: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Listen, and give the one line that says why not."""

    def listen(*options: str) -> str:
        assert main(["listen", str(bundle), "--wav", str(sound), *options]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        (line,) = err.splitlines()
        assert line.startswith("kwspot: ")
        return line

    return listen


def edit(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = bundle / "bundle.json"
    values = json.loads(manifest.read_text())
    change(values)
    manifest.write_text(json.dumps(values))


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_good_one_listens(bundle: Path, sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["listen", str(bundle), "--wav", str(sound)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["event"] == "start"


@pytest.mark.parametrize("name", FILES)
def test_changed_byte(name: str, bundle: Path, refused: Callable[..., str]) -> None:
    flip(bundle / name)
    assert f"{bundle / name} has been changed: its sha256" in refused()


@pytest.mark.parametrize("name", FILES)
def test_missing_file(name: str, bundle: Path, refused: Callable[..., str]) -> None:
    (bundle / name).unlink()
    assert f"{bundle / name} is missing" in refused()


def test_missing_manifest(bundle: Path, refused: Callable[..., str]) -> None:
    (bundle / "bundle.json").unlink()
    assert "is no bundle: it has no bundle.json" in refused()


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", '"text"', "\udcff"])
def test_manifest_is_none(text: str, bundle: Path, refused: Callable[..., str]) -> None:
    (bundle / "bundle.json").write_text(text, errors="surrogateescape")
    assert "is not a bundle's manifest" in refused()


@pytest.mark.parametrize("version", [0, 2, 4, True, "3", None, 3.5, [3], {"a": 3}])
def test_other_format_version(version: object, bundle: Path, refused: Callable[..., str]) -> None:
    edit(bundle, lambda values: values.update(format_version=version))
    assert f"is of bundle format {version!a}; this kwspot reads format 3: export it again" in refused()
    with pytest.raises(BundleVersionError):
        load_bundle(bundle)


def _set_input(key: str, value: object, form: str = "int8-tflite") -> Callable[[dict[str, Any]], object]:
    return lambda values: values["models"][form]["inputs"][0].update({key: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values["labels"].append("extra"), "but 4 labels and the features need"),
        (lambda values: values["labels"].pop(), "but 2 labels and the features need"),
        (lambda values: values.update(labels=["low", "low", "high"]), "are not 2 to 1000 different ones"),
        (lambda values: values.update(labels=["_silence_", "_unknown_"]), "with a word among them"),
        (lambda values: values.update(labels=3), "labels = 3; expected a list"),
        (lambda values: values.update(window_frames=98), "has shapes"),
        (_set_input("shape", [1, 49, 13]), "int8-tflite has shapes"),
        (_set_input("shape", [49, 12], "float-tflite"), "float-tflite has shapes"),
        (_set_input("shape", None), "inputs.shape = None; expected a list"),
        (_set_input("dtype", "float32"), "is float32"),
        (_set_input("scale", None), "has no scale"),
        (_set_input("scale", -1.0), "inputs.scale = -1.0; expected a number from 1e-12"),
        (_set_input("scale", 0.5), "model.int8.tflite has tensors"),
        (_set_input("zero_point", 99), "model.int8.tflite has tensors"),
        (_set_input("name", "another"), "model.int8.tflite has tensors"),
        (lambda values: values["models"].pop("int8-tflite"), "no int8-tflite model"),
        (lambda values: values["normalisation"]["mean"].pop(), "normalisation"),
        (lambda values: values["features"].update(coefficients=10), "normalisation is for 12 coefficients"),
        (lambda values: values["features"].update(window_ms="x"), "features.window_ms = 'x'; expected a number"),
        (
            lambda values: values["features"].update(vowels=1),
            "features.vowels is an unknown key; expected ",
        ),
        (
            lambda values: values["decision"].update(default_threshold=2),
            "decision.default_threshold = 2; expected a number from 0 to 1",
        ),
        (lambda values: values["decision"].update(patience=2), "patience"),
        (lambda values: values.update(kind="recurrent"), "kind 'recurrent' is unknown"),
        (lambda values: values.update(inference_hop_frames=0), "inference_hop_frames = 0"),
        (lambda values: values.pop("recipe"), "recipe"),
    ],
)
def test_manifest_disagrees(
    change: Callable[[dict[str, Any]], object], message: str, bundle: Path, refused: Callable[..., str]
) -> None:
    edit(bundle, change)
    line = refused("--engine", "litert")
    assert message in line
    assert "again" in line


def test_onnx_model_of_other_names(bundle: Path, refused: Callable[..., str]) -> None:
    edit(bundle, _set_input("name", "another", "int8-onnx"))
    assert "model.int8.onnx has tensors" in refused("--engine", "onnx")


@pytest.mark.parametrize(("engine", "name"), [("litert", "model.int8.tflite"), ("onnx", "model.int8.onnx")])
def test_model_that_is_none(engine: str, name: str, bundle: Path, refused: Callable[..., str]) -> None:
    from kwspot.runtime.model.bundle import sha256_of

    (bundle / name).write_bytes(b"no model, but its hash is right")
    form = {"litert": "int8-tflite", "onnx": "int8-onnx"}[engine]
    sha256 = sha256_of((bundle / name).read_bytes())
    edit(bundle, lambda values: values["models"][form].update(sha256=sha256))
    assert f"{engine} cannot load {name}" in refused("--engine", engine)


# Engines


def test_unknown_engine(tiny_bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match="no engine 'torch'; expected one of litert, tflite, onnx"):
        open_engine(tiny_bundle, "torch")


@pytest.mark.parametrize("engine", ENGINES)
def test_engine_is_not_installed(engine: str, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    package = {"litert": "ai_edge_litert", "tflite": "tflite_runtime", "onnx": "onnxruntime"}[engine]
    for module in (package, f"{package}.interpreter"):
        monkeypatch.setitem(sys.modules, module, None)
    line = refused("--engine", engine)
    assert f"the engine {engine} is not installed: pip install 'kwspot[{engine}]'; installed here: " in line
    assert engine not in line.partition("installed here: ")[2]


def test_no_engine_at_all(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kwspot.runtime.model.engines.installed_engines", list)
    with pytest.raises(EngineError, match=r"no inference engine is installed: pip install 'kwspot\[litert\]'"):
        open_engine(tiny_bundle)


def test_no_bundle_of_that_name(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["listen", "nowhere", "--wav", str(sound)]) == 2
    assert "nowhere is no bundle" in capsys.readouterr().err


def test_a_file_changed_after_opening_is_seen(bundle: Path) -> None:
    opened = load_bundle(bundle)
    flip(bundle / "model.int8.tflite")
    with pytest.raises(BundleDamagedError, match="has been changed"):
        open_engine(opened, "litert")
