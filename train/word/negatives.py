"""The user's negatives, split by speaker: to train and mine with, and to calibrate with.

Nothing is copied; the parts are folders of links, so that other commands can be given them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from kwspot.runtime.audio.recordings import NOISE_FOLDER, SOUND_EXTENSIONS, speaker_of
from kwspot.runtime.errors import DataFolderError

CALIBRATION_PERCENT = 40
"""Of the speakers; the fewer hours there are to calibrate with, the less a threshold says."""

_READ_SPEECH = re.compile(r"(\d+)-\d+-\d+")


def negative_speaker(path: Path) -> str:
    """Who is heard: before ``_nohash_``, the reader of a file of LibriSpeech, else the file itself.

    >>> negative_speaker(Path("103-1240-0000.wav")), negative_speaker(Path("rain/1-17367-A.ogg"))
    ('103', '1-17367-A')
    """
    reader = _READ_SPEECH.fullmatch(path.stem)
    return reader[1] if reader else speaker_of(path)


def is_for_calibration(path: Path) -> bool:
    """Which part a recording is in, by its speaker alone."""
    digest = int(hashlib.sha1(negative_speaker(path).encode("utf-8", "surrogateescape")).hexdigest(), 16)
    return digest % 100 < CALIBRATION_PERCENT


def negative_sounds(folder: Path, phrases: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Recordings below a folder, and of them those of noise; folders called like a phrase are passed over, and
    saved events that were marked as right.

    Raises
    ------
    DataFolderError
        If there is no such folder, or no recording in it.
    """
    if not folder.is_dir():
        raise DataFolderError(f"{folder} is no folder; expected one with recordings without the phrase: check the path")
    own = {_plain(phrase) for phrase in phrases}
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SOUND_EXTENSIONS
        and path.is_file()
        and (_plain(path.parent.name) not in own or is_marked_wrong(path))
        and not _marked(path, "right")
    ]
    if not found:
        raise DataFolderError(
            f"{folder} holds no recording without the phrase; expected running speech, words or noise: check the path"
        )
    noise = [path for path in found if path.parent.name == NOISE_FOLDER]
    return [path for path in found if path.parent.name != NOISE_FOLDER], noise


def link_all(paths: Iterable[Path], folder: Path) -> int:
    """Links to recordings in a folder, named by number and name; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for count, path in enumerate(paths, 1):
        (folder / f"{count:06}-{path.name}").symlink_to(path.resolve())
    return count


def is_marked_wrong(path: Path) -> bool:
    """Whether this is a saved event that a person has marked as a false accept."""
    return _marked(path, "wrong")


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter not in " _-")


def _marked(path: Path, mark: str) -> bool:
    """What was said of an event that ``--save-events`` kept (:mod:`kwspot.runtime.sinks.saved_sounds`)."""
    beside = path.with_suffix(".json")
    try:
        told = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and told.get("mark") == mark
