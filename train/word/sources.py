"""What people bring to a typed phrase: recordings of it, and sound without it.

Nothing is copied: folders of links name the recordings, so that other commands can be given them. Both are split by
speaker: recordings to train and to validate with, negatives to train and to calibrate with.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kwspot.runtime.audio.file_formats import is_sound, is_unread, unread_note
from kwspot.runtime.audio.parts import speaker_of
from kwspot.runtime.audio.recordings import NOISE_FOLDER, PERSON_PREFIX, files_below
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.audio.sound_lists import is_below_name, utterances_of
from kwspot.runtime.errors import DataFolderError, RecordingError
from kwspot.runtime.standard_streams import say

LEAST_UTTERANCES = 5
"""Of a phrase: fewer say nothing that the synthesis does not."""

LEAST_SPEAKERS = 5
"""From so many on, one in five is held out to validate with."""

CALIBRATION_PERCENT = 40
"""Of the speakers of negatives; the fewer hours there are to calibrate with, the less a threshold says."""

_READ_SPEECH = re.compile(r"(\d+)-\d+-\d+")


@dataclass(frozen=True)
class RecordedUtterance:
    """A recording of a phrase by a person; `held_out` if it is to validate with."""

    path: Path
    phrase: str
    speaker: str
    number: int
    held_out: bool

    @property
    def file_speaker(self) -> str:
        """Return the speaker's name in the data folder."""
        return PERSON_PREFIX + _digest(self.speaker)[:12]


def recorded_utterances(folder: Path, phrases: Sequence[str]) -> list[RecordedUtterance]:
    """Find the recordings of the phrases below a folder, and read each once to be sure of it.

    Raises
    ------
    DataFolderError
        If there is no such folder, it lacks a phrase or has too few
        recordings of it, or one cannot be read.
    """
    if not folder.is_dir():
        raise DataFolderError(f"{folder} is no folder; expected recordings of {', '.join(phrases)}: check --recordings")
    found = utterances_of([str(folder)], phrases, "all")
    for phrase in phrases:
        count = sum(utterance.word == phrase for utterance in found)
        if count < LEAST_UTTERANCES:
            raise DataFolderError(
                f"{folder} has {count} recordings of {phrase!r}; expected {LEAST_UTTERANCES} or more: kwspot record "
                f"{phrase!r} makes them"
            )
    for utterance in found:
        try:
            read_sound(utterance.path, 16_000)
        except RecordingError as error:
            raise DataFolderError(f"{folder} has a recording that cannot be used: {error}") from None
    speakers = sorted({utterance.speaker for utterance in found})
    held_out = set(speakers[::5]) if len(speakers) >= LEAST_SPEAKERS else set()
    return [
        RecordedUtterance(one.path, one.word, one.speaker, number, one.speaker in held_out)
        for number, one in enumerate(found)
    ]


def negative_speaker(path: Path) -> str:
    """Return the speaker: what stands before ``_nohash_``, the reader of a file of LibriSpeech, else the file itself.

    >>> negative_speaker(Path("103-1240-0000.wav")), negative_speaker(Path("rain/1-17367-A.ogg"))
    ('103', '1-17367-A')
    """
    reader = _READ_SPEECH.fullmatch(path.stem)
    return reader[1] if reader else speaker_of(path)


def is_for_calibration(path: Path) -> bool:
    """Tell by its speaker alone whether a recording is kept apart to calibrate with."""
    return int(_digest(negative_speaker(path)), 16) % 100 < CALIBRATION_PERCENT


def negative_sounds(folder: Path, phrases: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """List the recordings below a folder, those of noise apart.

    Recordings in a folder called like a phrase are passed over, however deep, and so are saved events that a person
    has marked as right.

    Raises
    ------
    DataFolderError
        If there is no such folder, or no recording in it.
    """
    if not folder.is_dir():
        raise DataFolderError(f"{folder} is no folder; expected one with recordings without the phrase: check the path")
    if unread := unread_note(files_below(folder, is_unread)):
        say(unread)
    paths = sorted(path for path in folder.rglob("*") if is_sound(path) and path.is_file())
    found = [
        path
        for path in paths
        if (not is_below_name(path, folder, phrases) or is_marked(path, "wrong")) and not is_marked(path, "right")
    ]
    if not found:
        own = f", but {len(paths)} of {', '.join(phrases)}" if paths else ""
        raise DataFolderError(
            f"{folder} holds no recording without the phrase{own}; expected running speech, other words or noise: name "
            "another folder"
        )
    noise = [path for path in found if NOISE_FOLDER in path.relative_to(folder).parts[:-1]]
    return sorted(set(found) - set(noise)), noise


def link_all(paths: Iterable[Path], folder: Path) -> int:
    """Make links to recordings in a folder, named by number and name, and return how many."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for count, path in enumerate(paths, 1):
        (folder / f"{count:06}-{path.name}").symlink_to(path.resolve())
    return count


def is_marked(path: Path, mark: str) -> bool:
    """Tell whether a person has marked a saved event so (:mod:`kwspot.runtime.sinks.saved_sounds`)."""
    beside = path.with_suffix(".json")
    try:
        told = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and told.get("mark") == mark


def _digest(speaker: str) -> str:
    return hashlib.sha1(speaker.encode("utf-8", "surrogateescape")).hexdigest()
