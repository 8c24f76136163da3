"""The user's own takes of the phrases, as `kwspot record` leaves them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.errors import DataFolderError, RecordingError

LEAST_UTTERANCES = 5
"""Of a phrase: fewer say nothing that the synthesis does not."""

LEAST_SPEAKERS = 5
"""From so many on, one in five is held out to validate with."""


@dataclass(frozen=True)
class Recorded:
    """A take of a phrase; `held` if it is to validate with."""

    path: Path
    phrase: str
    speaker: str
    number: int
    held: bool

    @property
    def file_speaker(self) -> str:
        """The speaker's name in the data folder, which no voice has."""
        return "own-" + hashlib.sha1(self.speaker.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def recorded_utterances(folder: Path, phrases: Sequence[str]) -> list[Recorded]:
    """All takes of the phrases in a data folder, each read once to be sure of it.

    Raises
    ------
    DataFolderError
        If there is no such folder, it lacks a phrase or has too few takes of
        it, or a take cannot be read.
    """
    data = DataFolder(folder)
    clips = data.clips("all", list(phrases))
    for phrase in phrases:
        count = sum(clip.word == phrase for clip in clips)
        if count < LEAST_UTTERANCES:
            raise DataFolderError(
                f"{folder} has {count} recordings of {phrase!r}; expected {LEAST_UTTERANCES} or more: kwspot record "
                f"{phrase!r} makes them"
            )
    for clip in clips:
        try:
            read_sound(clip.path, 16_000)
        except RecordingError as error:
            raise DataFolderError(f"{folder} has a recording that cannot be used: {error}") from None
    speakers = sorted({clip.speaker for clip in clips})
    held = set(speakers[::5]) if len(speakers) >= LEAST_SPEAKERS else set()
    return [
        Recorded(clip.path, clip.word, clip.speaker, number, clip.speaker in held) for number, clip in enumerate(clips)
    ]
