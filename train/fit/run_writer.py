"""The run folder, written: :mod:`kwspot.runtime.run_folder` says what it holds, and reads it."""

from __future__ import annotations

import contextlib
import csv
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from kwspot.runtime.errors import RunError
from kwspot.runtime.files import LOCK_FILE, hold_lock, whole_file
from kwspot.runtime.run_folder import (
    CHECKPOINT_FOLDER,
    CONFIG_FILE,
    HISTORY_COLUMNS,
    HISTORY_FILE,
    is_run,
)


def write_run_config(path: Path, values: Mapping[str, Any]) -> None:
    """Write ``config.toml``, whole."""
    with whole_file(path / CONFIG_FILE) as file:
        file.write_text(tomli_w.dumps(values), encoding="utf-8")


def write_history(path: Path, history: Iterable[Mapping[str, float]]) -> None:
    """Write ``history.csv``, whole."""
    with whole_file(path / HISTORY_FILE) as file, file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, HISTORY_COLUMNS)
        writer.writeheader()
        writer.writerows({key: f"{row[key]:.6g}" for key in HISTORY_COLUMNS} for row in history)


def check_free(path: Path, *, overwrite: bool) -> None:
    """Refuse a place that is taken; with `overwrite` only what is no run folder is refused."""
    if not path.exists() or (path.is_dir() and all(entry.name == LOCK_FILE for entry in path.iterdir())):
        return
    if not is_run(path):
        raise RunError(f"{path} exists and is no run folder; name another place with --run")
    if not overwrite:
        half = (path / CHECKPOINT_FOLDER).is_dir()
        way = "go on with --resume, or replace it with --overwrite" if half else "replace it with --overwrite"
        raise RunError(f"{path} exists; {way}, or name another place with --run")


@contextlib.contextmanager
def hold_run(path: Path) -> Iterator[None]:
    """Hold a run folder against other trainings, made if it is not there; an empty one is removed in the end.

    Raises
    ------
    KwspotError
        If another training holds it.
    """
    path.mkdir(parents=True, exist_ok=True)
    try:
        with hold_lock(path, "a training"):
            yield
    finally:
        with contextlib.suppress(OSError):
            path.rmdir()


def check_not_held(path: Path) -> None:
    """Raise KwspotError if a training runs in a folder."""
    if (path / LOCK_FILE).exists():
        with hold_lock(path, "a training"):
            pass


def clear(path: Path) -> None:
    """Empty a run folder that is held; :func:`check_free` has been asked before."""
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != LOCK_FILE:
            entry.unlink()
