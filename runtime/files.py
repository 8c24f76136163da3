"""Whole files and folders only: written beside their place, brought to the disk, then renamed.

After a crash, a full disk, Ctrl-C or a loss of power either the old thing is there or the new one. A file is replaced
in one step. A folder is exchanged in one step where the kernel and the file system can (Linux, but not on every network
share); elsewhere the old folder is moved away first, and for the time between two renames there is none.

What is being written has a name of its own: ``.NAME.kwspot-XXXXXXXX`` beside `NAME`, ``kwspot-PURPOSE-XXXXXXXX`` in the
folder for temporary files. Its writer holds a lock on it. ``kill -9`` leaves it there unlocked, and whoever writes the
same thing next removes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kwspot.runtime.errors import KwspotError

LOCK_FILE = ".lock"
_MARK = ".kwspot-"
_OLD_S = 60.0
"""What is younger may have been made just now by somebody who has not locked it yet."""

_MANY = 50
"""Files; so many one by one take longer than all that the file system has to write."""

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextlib.contextmanager
def whole_file(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path to write to, in `target`'s folder; it becomes `target` if nothing is raised."""
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = _prefix_of(target)
    _sweep(target.parent, prefix)
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=target.suffix, dir=target.parent)
    beside = Path(name)
    try:
        _lock(handle)
        yield beside
        beside.chmod(0o644)
        _sync(beside)
        beside.replace(target)
        _sync(target.parent)
    finally:
        os.close(handle)
        beside.unlink(missing_ok=True)


def write_whole_json(target: str | os.PathLike[str], values: Mapping[str, Any]) -> None:
    """Write values as JSON, whole."""
    with whole_file(target) as beside:
        text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
        beside.write_text(text + "\n", encoding="utf-8")


@contextlib.contextmanager
def whole_folder(target: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Give an empty folder beside `target`; it becomes `target` if nothing is raised.

    The caller decides what an existing `target` means before any work is done;
    with `overwrite` it is replaced, and kept until the new one is whole.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() and target.exists():
        target = target.resolve()  # what the link leads to is replaced, and the link stays
    with _scratch(target.parent, _prefix_of(target)) as beside:
        beside.chmod(0o755)
        yield beside
        _sync_all(beside)
        if not (overwrite and target.exists()):
            beside.rename(target)
        elif not _exchange(beside, target):
            with _scratch(target.parent, _prefix_of(target)) as old:
                target.rename(old / "old")
                beside.rename(target)
        _sync(target.parent)


@contextlib.contextmanager
def scratch_folder(purpose: str, folder: str | os.PathLike[str] | None = None) -> Iterator[Path]:
    """Give an empty folder for temporary files that is removed in the end, in `folder` or where such files belong."""
    with _scratch(Path(folder or tempfile.gettempdir()), f"kwspot-{purpose}-") as scratch:
        yield scratch


@contextlib.contextmanager
def hold_lock(folder: str | os.PathLike[str], work: str) -> Iterator[None]:
    """Hold the lock of a folder that one program at a time may change, by the file ``.lock`` in it.

    Parameters
    ----------
    work
        What is done, for the message that others get.

    Raises
    ------
    KwspotError
        If another process holds it; the message says which and what it does.
    """
    place = Path(folder) / LOCK_FILE
    while True:
        lock = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 200).decode(errors="replace").partition("\n")[0] or "another process"
            os.close(lock)
            raise KwspotError(
                f"{folder} is being changed by {holder!a}; wait until it is done, then run the command again"
            ) from None
        # Whoever held it before may have removed the file that was opened here.
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(lock).st_ino == place.stat().st_ino:
                break
        os.close(lock)
    try:
        os.ftruncate(lock, 0)
        os.write(lock, f"{work}, process {os.getpid()}\n".encode())
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(lock).st_ino == place.stat().st_ino:  # the folder may have been exchanged for another
                place.unlink()
        os.close(lock)


def _prefix_of(target: Path) -> str:
    """Return how the names of what becomes `target` begin; a long name is cut, since file systems take 255 bytes."""
    return f".{os.fsencode(target.name)[:180].decode(errors='ignore')}{_MARK}"


@contextlib.contextmanager
def _scratch(parent: Path, prefix: str) -> Iterator[Path]:
    _sweep(parent, prefix)
    scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    handle = os.open(scratch, os.O_RDONLY)
    try:
        _lock(handle)
        yield scratch
    finally:
        os.close(handle)
        shutil.rmtree(scratch, ignore_errors=True)


def _lock(handle: int) -> None:
    with contextlib.suppress(OSError):  # some network shares have no locks; then nothing is removed there either
        fcntl.flock(handle, fcntl.LOCK_EX)


def _sweep(parent: Path, prefix: str) -> None:
    """Remove what a run that was killed has left: it is ours, some time old, and nobody holds its lock."""
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if not entry.name.startswith(prefix):
                continue
            with contextlib.suppress(OSError):  # it has just gone, or is somebody else's
                status = entry.stat(follow_symlinks=False)
                if entry.is_symlink() or status.st_uid != os.getuid() or time.time() - status.st_ctime < _OLD_S:
                    continue
                handle = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path, ignore_errors=True)
                    else:
                        Path(entry.path).unlink()
                finally:
                    os.close(handle)


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except PermissionError:
        return  # a folder that may be written and not read
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that has no such promise
            raise
    finally:
        os.close(handle)


def _sync_all(folder: Path) -> None:
    """Bring all files of a folder to the disk: each by itself, or by one call where they are many."""
    paths = [folder, *(path for path in folder.rglob("*") if not path.is_symlink())]
    if len(paths) > _MANY and (syncfs := _libc("syncfs")) is not None:
        handle = os.open(folder, os.O_RDONLY)
        try:
            syncfs(handle)
        finally:
            os.close(handle)
    else:
        for path in paths:
            _sync(path)


def _libc(name: str) -> Any:
    """Return a function of the C library, or None where it has none of that name."""
    import ctypes

    return getattr(ctypes.CDLL(None, use_errno=True), name, None)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the kernel or the file system cannot."""
    renameat2 = _libc("renameat2")
    if renameat2 is None:
        return False
    return not renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
