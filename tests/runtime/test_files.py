"""Whole files and folders: the old thing or the new one, nothing left behind, one writer at a time."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kwspot.runtime import files
from kwspot.runtime.errors import KwspotError
from kwspot.runtime.files import hold_lock, scratch_folder, whole_file, whole_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_old_or_new(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    for text in ("old", "new"):
        with whole_file(target) as beside:
            beside.write_text(text)
    with pytest.raises(ZeroDivisionError), whole_file(target) as beside:
        beside.write_text(str(1 // 0))
    assert target.read_text() == "new"
    assert names(tmp_path) == ["a.json"]


def test_a_name_as_long_as_a_file_system_takes(tmp_path: Path) -> None:
    for name in ("x" * 250 + ".json", "ü" * 125):
        with whole_file(tmp_path / name) as beside:
            beside.write_text("x")
    with whole_folder(tmp_path / ("y" * 255)):
        pass
    assert len(names(tmp_path)) == 3


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_is_old_or_new(tmp_path: Path, exchanges: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exchanges:
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    target = tmp_path / "a.kws"
    for text in ("old", "new"):
        with whole_folder(target, overwrite=True) as beside:
            (beside / text).mkdir()
            (beside / text / "file").write_text(text)
            (beside / "link").symlink_to("nowhere")
    with pytest.raises(ZeroDivisionError), whole_folder(target, overwrite=True) as beside:
        (beside / "file").write_text(str(1 // 0))
    assert names(target) == ["link", "new"]
    assert names(tmp_path) == ["a.kws"]


def test_a_folder_behind_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with whole_folder(tmp_path / "link", overwrite=True) as beside:
        (beside / "file").write_text("x")
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "real") == ["file"]
    assert names(tmp_path) == ["link", "real"]


def test_a_reader_never_finds_nothing(tmp_path: Path) -> None:
    """The folder is exchanged in one step where this kernel can; where it cannot, the docstring says so."""
    target, other = tmp_path / "a", tmp_path / "b"
    target.mkdir()
    other.mkdir()
    if not files._exchange(target, other):
        pytest.skip("this file system cannot exchange folders")
    missing, done = [], threading.Event()

    def look() -> None:
        while not done.is_set():
            if not target.exists():
                missing.append(1)

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(50):
        with whole_folder(target, overwrite=True) as beside:
            (beside / "file").write_text("x")
    done.set()
    reader.join()
    assert not missing


KILLED = """
import os, signal, sys
from kwspot.runtime.files import scratch_folder, whole_file, whole_folder
folder = sys.argv[1]
with whole_file(folder + "/a.png"), whole_folder(folder + "/b") as two, scratch_folder("x", folder):
    (two / "file").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_all() -> None:
        with (
            whole_file(tmp_path / "a.png"),
            whole_folder(tmp_path / "b", overwrite=True),
            scratch_folder("x", tmp_path),
        ):
            pass

    subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    left = names(tmp_path)
    assert [name.rpartition("kwspot-")[0] for name in left] == [".a.png.", ".b.", ""]
    write_all()
    assert set(left) < set(names(tmp_path))  # they might be somebody's who has just begun
    monkeypatch.setattr(files, "_OLD_S", 0.0)
    (tmp_path / ".a.png.mine").write_text("")
    write_all()
    assert names(tmp_path) == [".a.png.mine", "a.png", "b"]


def test_what_another_writes_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_OLD_S", 0.0)
    with whole_file(tmp_path / "a") as one, scratch_folder("x", tmp_path) as folder:
        with whole_file(tmp_path / "a") as other, scratch_folder("x", tmp_path):
            other.write_text("other")
        assert one.exists()
        assert folder.is_dir()
        one.write_text("one")
    assert (tmp_path / "a").read_text() == "one"


def test_a_lock_says_who_holds_it(tmp_path: Path) -> None:
    held = rf"is being changed by 'kwspot train, process {os.getpid()}'"
    with hold_lock(tmp_path, "kwspot train"), pytest.raises(KwspotError, match=held), hold_lock(tmp_path, "another"):
        pass
    with hold_lock(tmp_path, "again"):
        pass
    assert names(tmp_path) == []


def _count(folder: str) -> None:
    counter = Path(folder) / "count"
    for _ in range(20):
        while True:
            try:
                with hold_lock(folder, "count"):
                    counter.write_text(str(int(counter.read_text()) + 1))
                break
            except KwspotError:
                pass


def test_no_two_hold_a_lock_at_once(tmp_path: Path) -> None:
    (tmp_path / "count").write_text("0")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_count, args=(str(tmp_path),)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert (tmp_path / "count").read_text() == "60"
