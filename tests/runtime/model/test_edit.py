"""A bundle that is changed where it lies: no change is lost, and every reader finds a whole bundle."""

from __future__ import annotations

import dataclasses
import multiprocessing
import shutil
import threading
from pathlib import Path

import pytest

from kwspot.runtime.errors import BundleDamagedError, KwspotError
from kwspot.runtime.files import hold_lock
from kwspot.runtime.model.bundle import VERIFIER_FILE, Bundle, load_bundle, sha256_of
from kwspot.runtime.model.edit import store
from kwspot.runtime.model.manifest import Manifest, VerifierInfo


@pytest.fixture
def mine(tmp_path: Path) -> Bundle:
    return load_bundle(shutil.copytree(load_bundle("tutorial").path, tmp_path / "mine.kws"))


def with_threshold(manifest: Manifest, word: str, threshold: float) -> Manifest:
    return dataclasses.replace(manifest, decision=manifest.decision.with_thresholds({word: threshold}, manifest.labels))


def with_verifier(manifest: Manifest, content: bytes) -> Manifest:
    info = VerifierInfo(sha256_of(content), 0.5, 0.8, 5.0, 1, (0.2,) * len(manifest.labels))
    return dataclasses.replace(manifest, verifier=info)


def _store(path: str, word: str, barrier: threading.Barrier, done: list[str]) -> None:
    bundle = load_bundle(path)
    barrier.wait()
    try:
        store(bundle, with_threshold(bundle.manifest, word, 0.5))
    except KwspotError:
        return
    done.append(word)


@pytest.mark.slow
def test_of_two_changes_at_once_none_is_lost_unseen(mine: Bundle) -> None:
    with multiprocessing.get_context("spawn").Manager() as manager:
        for _ in range(5):
            shutil.rmtree(mine.path)
            shutil.copytree(load_bundle("tutorial").path, mine.path)
            done, barrier = manager.list(), manager.Barrier(2)
            writers = [
                multiprocessing.get_context("spawn").Process(target=_store, args=(str(mine.path), word, barrier, done))
                for word in ("bed", "cat")
            ]
            for writer in writers:
                writer.start()
            for writer in writers:
                writer.join(60)
            assert sorted(load_bundle(mine.path).manifest.decision.thresholds) == sorted(done) != []


def test_who_holds_the_lock_is_told(mine: Bundle) -> None:
    with hold_lock(mine.path, "kwspot calibrate"), pytest.raises(KwspotError, match="'kwspot calibrate, process"):
        store(mine, mine.manifest)
    assert not (mine.path / ".lock").exists()


def test_what_would_be_refused_is_not_written(mine: Bundle) -> None:
    for manifest in (
        dataclasses.replace(mine.manifest, macs=-1),
        dataclasses.replace(mine.manifest, labels=("bed", "../cat", *mine.manifest.labels[2:])),
    ):
        with pytest.raises(BundleDamagedError):
            store(mine, manifest)
        with pytest.raises(BundleDamagedError):
            store(mine, manifest, {VERIFIER_FILE: b"x"})
    with pytest.raises(ValueError, match="not JSON compliant"):
        store(mine, dataclasses.replace(mine.manifest, accuracy={"mean": float("nan")}))
    assert load_bundle(mine.path).hash == mine.hash
    assert [path.name for path in mine.path.parent.iterdir()] == ["mine.kws"]


def test_a_reader_finds_a_whole_bundle_while_files_are_exchanged(mine: Bundle) -> None:
    (mine.path / "notes.txt").write_text("kept")
    wrong, done = [], threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                load_bundle(mine.path)
            except KwspotError as error:
                wrong.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    bundle = mine
    for number in range(8):
        content = bytes(1000 + number)
        bundle = store(bundle, with_verifier(bundle.manifest, content), {VERIFIER_FILE: content})
    done.set()
    reader.join()
    assert bundle.verifier_bytes() == content
    assert (mine.path / "notes.txt").read_text() == "kept"
    assert wrong == []
