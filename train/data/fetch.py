"""Google's Speech Commands: what `kwspot data fetch` downloads, checks and unpacks.

::

    DIR/speech_commands_v2/             the words, _background_noise_ and the lists of the two parts
    DIR/speech_commands_test_set_v2/    the separate test set: ten words, _unknown_ and _silence_
    DIR/speech_commands_v0.02.tar.gz    the archive, until it is unpacked; .part until it is whole

Each folder is whole or not there, and holds `RECIPE_FILE`. Version 1 likewise.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kwspot.runtime.errors import DataFolderError, DownloadError
from kwspot.runtime.files import whole_folder, write_whole_json
from kwspot.train.data.download import Progress, download, sha256_of

# The bucket behind http://download.tensorflow.org/data/, by TLS.
ADDRESS = "https://storage.googleapis.com/download.tensorflow.org/data/"
RECIPE_FILE = "fetched.json"


@dataclass(frozen=True)
class Archive:
    """One of Google's archives; `size` in bytes."""

    name: str
    folder: str
    size: int
    sha256: str


# Sizes and SHA-256 as TensorFlow Datasets (version 2) and Hugging Face Datasets (version 1, `superb`) recorded them
# from Google's address; torchaudio has the same SHA-256 for the two archives of words.
ARCHIVES = {
    1: (
        Archive(
            "speech_commands_v0.01.tar.gz",
            "speech_commands_v1",
            1_489_096_277,
            "743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",
        ),
        Archive(
            "speech_commands_test_set_v0.01.tar.gz",
            "speech_commands_test_set_v1",
            71_271_436,
            "baa084f6b62c91de660ff0588ae4dfc4e4d534aa99ac0e5f406cba75836cbd00",
        ),
    ),
    2: (
        Archive(
            "speech_commands_v0.02.tar.gz",
            "speech_commands_v2",
            2_428_923_189,
            "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
        ),
        Archive(
            "speech_commands_test_set_v0.02.tar.gz",
            "speech_commands_test_set_v2",
            112_563_277,
            "cc2a00c1147c2254e9be3fa0f779d8c17421dc349b86366567a8edfa9acd51df",
        ),
    ),
}
"""Version → the words, the separate test set."""


def fetch_speech_commands(to: Path, version: int, *, test_set: bool, keep_archives: bool, overwrite: bool) -> None:
    """Download and unpack one version below `to`; what is there already is not touched.

    An archive that lies in `to` is checked and used. With `overwrite`, a folder
    that was unpacked by this function is replaced.

    Raises
    ------
    DownloadError
        If a download or its check fails (see `download`), or an archive cannot be unpacked.
    DataFolderError
        If a folder or archive is in the way that is not what this function makes.
    """
    archives = ARCHIVES[version] if test_set else ARCHIVES[version][:1]
    missing = [archive for archive in archives if overwrite or not _is_there(to / archive.folder)]
    for archive in missing:
        _check_overwritable(to / archive.folder)
    for archive in missing:
        path = to / archive.name
        if not path.exists():
            print(f"downloading {ADDRESS}{archive.name} to {to}", file=sys.stderr)
            download(ADDRESS + archive.name, path, size=archive.size, sha256=archive.sha256)
        elif sha256_of(path) != archive.sha256:
            raise DataFolderError(
                f"{path} is damaged; expected SHA-256 {archive.sha256}: remove it, and run this again"
            )
        with whole_folder(to / archive.folder, overwrite=overwrite) as folder:
            files = _unpack(path, folder)
            recipe = {
                "schema": "kwspot.fetched/1",
                "url": ADDRESS + archive.name,
                "sha256": archive.sha256,
                "files": files,
                "licence": "CC BY 4.0",
            }
            write_whole_json(folder / RECIPE_FILE, recipe)
        if not keep_archives:
            path.unlink()
        print(f"{to / archive.folder}: {files} files", file=sys.stderr)


def _is_there(folder: Path) -> bool:
    """Return whether `folder` was unpacked here and is still whole; an error if something else is in its place."""
    if not folder.exists():
        return False
    _check_overwritable(folder)
    try:
        expected = int(json.loads((folder / RECIPE_FILE).read_text(encoding="utf-8"))["files"])
    except (ValueError, KeyError, TypeError):
        raise DataFolderError(
            f"{folder / RECIPE_FILE} is damaged, expected it as it was written: add --overwrite to unpack {folder} anew"
        ) from None
    found = sum(path.is_file() for path in folder.rglob("*")) - 1  # without the recipe
    if found < expected:
        raise DataFolderError(f"{folder} has {found} files, expected {expected}: add --overwrite to unpack it anew")
    print(f"{folder} is there already, {found} files", file=sys.stderr)
    return True


def _check_overwritable(folder: Path) -> None:
    if folder.exists() and not (folder / RECIPE_FILE).is_file():
        raise DataFolderError(
            f"{folder} was not made by kwspot data fetch (it has no {RECIPE_FILE}); expected such a folder or none: "
            "move it away, or choose another --to"
        )


def _unpack(path: Path, folder: Path) -> int:
    """Unpack files and folders, nothing else, below `folder`; returns how many files.

    ``tarfile``'s own filter came with Python 3.11.4, and Debian 12 has 3.11.2.
    The archive is read as a stream through ``GzipFile`` since that notices a
    missing end, where ``tarfile`` takes it for the end.
    """
    files = 0
    progress = Progress(f"unpacking {path.name}", path.stat().st_size)
    try:
        with path.open("rb") as raw, gzip.GzipFile(fileobj=raw) as unzipped:
            with tarfile.open(fileobj=unzipped, mode="r|") as archive:
                for member in archive:
                    inside = PurePosixPath(member.name)
                    if inside.is_absolute() or ".." in inside.parts or not (member.isfile() or member.isdir()):
                        raise DownloadError(
                            f"{path} holds {member.name!r}; expected files and folders that stay inside: nothing was "
                            "unpacked, remove the archive"
                        )
                    if member.isdir():
                        (folder / inside).mkdir(parents=True, exist_ok=True)
                        continue
                    (folder / inside).parent.mkdir(parents=True, exist_ok=True)
                    content = archive.extractfile(member)
                    assert content is not None, "a file has content"
                    with content, (folder / inside).open("wb") as file:
                        shutil.copyfileobj(content, file)
                    files += 1
                    progress.at(raw.tell())
            while unzipped.read(1 << 20):  # the checksum stands at the very end
                pass
            progress.at(raw.tell())
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DownloadError(
            f"{path} cannot be unpacked ({error}); expected a whole .tar.gz: nothing was unpacked, remove the archive "
            "and run the same command again"
        ) from None
    finally:
        progress.end()
    return files
