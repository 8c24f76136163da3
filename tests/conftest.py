"""What several tests share: tones instead of words, and small bundles that know them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import tones
from no_skips import pytest_make_collect_report, pytest_runtest_makereport  # noqa: F401

from kwspot.runtime.model.bundle import Bundle, load_bundle

if TYPE_CHECKING:
    from kwspot.export.convert import Converted

TESTS = Path(__file__).parent
COMMITTED = TESTS / "bundles"
"""What ``python tests/bundles/make.py`` writes."""

KERAS_FIXTURES = {"tiny_run", "tiny_stream_run", "exported_bundle", "stream_export"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what its folder, its file or its fixtures tell: ``system``, ``slow`` (what fuzzes) and ``keras``."""
    for item in items:
        room = item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
        if room == "system":
            item.add_marker("system")
        if item.path.name.startswith("test_fuzz_"):
            item.add_marker("slow")
        if room in ("train", "export") or KERAS_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("keras")


@pytest.fixture(scope="session")
def save_wav() -> Callable[..., Path]:
    """:func:`tones.write_wav`, for tests."""
    return tones.write_wav


@pytest.fixture(scope="session")
def tone_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of one-second tones with the words low, high and _silence_, by speakers in all parts."""
    return tones.write_tone_folder(tmp_path_factory.mktemp("data") / "tones")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of the kind "window" that tells the tones apart; copy its folder (``.path``) before changing it."""
    return _committed("tiny", tmp_path_factory)


@pytest.fixture(scope="session")
def stream_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of the kind "stream" that tells the tones apart; copy its folder (``.path``) before changing it."""
    return _committed("tiny-stream", tmp_path_factory)


def _committed(name: str, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundles") / f"{name}.kws"
    return load_bundle(shutil.copytree(COMMITTED / folder.name, folder))


@pytest.fixture(scope="session")
def tiny_run(tone_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of the window model."""
    return tones.train_window(tone_folder, tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="session")
def tiny_stream_run(tone_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of the stream model."""
    return tones.train_stream(tone_folder, tmp_path_factory.mktemp("runs") / "tiny-stream")


@pytest.fixture(scope="session")
def exported_bundle(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle that the exporter makes of `tiny_run`, today."""
    from kwspot.export.pipeline import export_run

    bundle, _ = export_run(tiny_run, tmp_path_factory.mktemp("bundles") / "tiny.kws")
    return bundle


@pytest.fixture(scope="session")
def stream_export(tiny_stream_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Converted]:
    """A real stream bundle of `tiny_stream_run`, and what the converter gave for it."""
    from kwspot.export import pipeline

    kept = []

    def keeping(*args: Any, **options: Any) -> Converted:
        kept.append(original(*args, **options))
        return kept[0]

    original = pipeline.convert
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "convert", keeping)
        patch.setattr(pipeline, "STREAM_MINUTES", 1)
        bundle, _ = pipeline.export_run(tiny_stream_run, tmp_path_factory.mktemp("bundles") / "tiny-stream.kws")
    return bundle, kept[0]


@pytest.fixture(scope="session")
def tflite_python() -> str:
    """Python of the environment that holds tflite-runtime and numpy 1."""
    python = Path(os.environ.get("KWSPOT_TFLITE_PYTHON", Path(__file__).parents[1] / ".venv-tflite/bin/python"))
    if not python.exists():
        pytest.skip(f"no {python}: 'make test' makes it where there is a Python 3.11")
    return str(python)


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Real recordings: the folder that KWSPOT_RECORDINGS names."""
    folder = os.environ.get("KWSPOT_RECORDINGS")
    if not folder:
        pytest.skip("KWSPOT_RECORDINGS names no folder of real recordings")
    return Path(folder)
