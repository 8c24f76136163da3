"""Folders of recordings in the layout of Google Speech Commands, and sound files as int16.

::

    DIR/<word>/<speaker>_nohash_<n>.wav    any file name, any format libsndfile reads
    DIR/_background_noise_/*.wav           noise to mix in
    DIR/validation_list.txt                optional: <word>/<file> a line, as is testing_list.txt
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kwspot.runtime.audio.sound_file import fit_length, read_sound
from kwspot.runtime.errors import ConfigError, DataFolderError
from kwspot.runtime.labels import SILENCE, UNKNOWN

__all__ = [
    "NOISE_FOLDER",
    "PARTS",
    "SOUND_EXTENSIONS",
    "Clip",
    "DataFolder",
    "default_part",
    "fit_length",
    "part_of_speaker",
    "read_sound",
    "speaker_of",
]

PARTS = ("train", "validation", "test")
NOISE_FOLDER = "_background_noise_"
SOUND_EXTENSIONS = frozenset(
    (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64", ".voc")
)
"""What marks a file as a recording; the contents decide how it is read."""

_LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
_SPEAKER_MARK = "_nohash_"
_LAYOUT = "expected DIR/<word>/<speaker>_nohash_<n>.wav, a folder for each word"

# Of the rule that came with Speech Commands; changing one would move speakers between parts.
_MAX_CLIPS_PER_WORD = 2**27 - 1
_VALIDATION_PERCENT, _TEST_PERCENT = 10.0, 10.0


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording of one word; `part` is "train", "validation" or "test"."""

    path: Path
    word: str
    speaker: str
    part: str


def speaker_of(path: str | os.PathLike[str]) -> str:
    """Whose voice a file holds: its name before ``_nohash_``, or its stem.

    >>> speaker_of("bed/026290a7_nohash_0.wav"), speaker_of("bed/take5.flac")
    ('026290a7', 'take5')
    """
    path = Path(path)
    before, mark, _ = path.name.partition(_SPEAKER_MARK)
    return before if mark else path.stem


def part_of_speaker(speaker: str) -> str:
    """The part that the official rule of Speech Commands puts a speaker in.

    A speaker stays in one part, whatever else the folder holds.

    References
    ----------
    ``which_set`` in the README of the data set; Warden, arXiv:1804.03209.
    """
    digest = int(hashlib.sha1(os.fsencode(speaker)).hexdigest(), 16)
    percent = (digest % (_MAX_CLIPS_PER_WORD + 1)) * (100.0 / _MAX_CLIPS_PER_WORD)
    if percent < _VALIDATION_PERCENT:
        return "validation"
    return "test" if percent < _VALIDATION_PERCENT + _TEST_PERCENT else "train"


def default_part(folder: DataFolder) -> str:
    """The part to score on when none is named: all of a ready-made test folder, else the test part."""
    return "all" if {UNKNOWN, SILENCE} & set(folder.words) else "test"


class DataFolder:
    """The recordings below a folder; only names are read here, never sound.

    A part that has a list takes exactly what the list names; a part without
    one follows :func:`part_of_speaker`; the rest is for training.

    Attributes
    ----------
    words : tuple of str
        Folders with at least one recording, sorted; ``_unknown_`` and
        ``_silence_`` are among them where they are there.
    noise_files : tuple of Path
        The recordings in ``_background_noise_``, sorted.

    Raises
    ------
    DataFolderError
        If the folder is missing or empty, holds no word with a recording, or
        has recordings outside of word folders.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            state = "is not a folder" if self.root.exists() else "does not exist"
            raise DataFolderError(f"{self.root} {state}; {_LAYOUT}: check the path")
        stray = _sounds_in(self.root)
        if stray:
            raise DataFolderError(
                f"{self.root} has {len(stray)} sound files outside of word folders, such as {stray[0]}; {_LAYOUT}: "
                "move each into the folder of its word"
            )
        self.word_folders = tuple(
            sorted(
                entry.name
                for entry in os.scandir(self.root)
                if entry.is_dir() and not entry.name.startswith(".") and entry.name != NOISE_FOLDER
            )
        )
        self._names = {word: names for word in self.word_folders if (names := _sounds_in(self.root / word))}
        if not self._names:
            seen = "no folder" if not self.word_folders else f"no sound file in {_some(self.word_folders)}"
            raise DataFolderError(f"{self.root} holds {seen}; {_LAYOUT}: check the path")
        self.words = tuple(self._names)
        noise = self.root / NOISE_FOLDER
        self.noise_files = tuple(noise / name for name in _sounds_in(noise)) if noise.is_dir() else ()

    def clips(self, part: str = "all", words: Sequence[str] | None = None) -> list[Clip]:
        """The clips of a part ("train", "validation", "test" or "all") and of `words`, sorted by path.

        Raises
        ------
        DataFolderError
            If a word has no folder, or the lists put one clip or one speaker
            into two parts: what is measured would have been trained on.
        """
        if part != "all" and part not in PARTS:
            raise ConfigError(f"no part {part!r}; expected one of {', '.join(PARTS)} or all")
        missing = [word for word in words or () if word not in self._names]
        if missing:
            raise DataFolderError(
                f"{self.root} has no recordings of {_some(missing)}; expected some of {_some(self.words)}: "
                "record them, or name other words"
            )
        if self.conflicts:
            name, reason = self.conflicts[0]
            raise DataFolderError(
                f"{self.root}: {name} is {reason}; expected each clip and each speaker in one part: mend the lists"
            )
        return [
            clip
            for clip in self.every_clip
            if (part == "all" or clip.part == part) and (words is None or clip.word in words)
        ]

    @cached_property
    def every_clip(self) -> list[Clip]:
        """All clips, also of a folder whose lists contradict each other."""
        return [
            Clip(self.root / word / name, word, speaker := speaker_of(name), self._part(f"{word}/{name}", speaker))
            for word, names in self._names.items()
            for name in names
        ]

    @cached_property
    def conflicts(self) -> list[tuple[str, str]]:
        """(clip or speaker, what is wrong) for all that is in two parts, sorted.

        A name without ``_nohash_`` does not tell who spoke, so only its clip
        counts.
        """
        lists = self._lists
        twice = lists.get("validation", frozenset()) & lists.get("test", frozenset())
        found = [(name, f"in both {_LISTS['validation']} and {_LISTS['test']}") for name in sorted(twice)]
        parts: dict[str, set[str]] = {}
        for clip in self.every_clip:
            if _SPEAKER_MARK in clip.path.name:
                parts.setdefault(clip.speaker, set()).add(clip.part)
        for speaker, seen in sorted(parts.items()):
            if len(seen) > 1:
                found.append((f"speaker {speaker}", "in the parts " + " and ".join(p for p in PARTS if p in seen)))
        return found

    @cached_property
    def listed_but_missing(self) -> list[str]:
        """What a list names in a word folder that is here, but no file is there for; sorted."""
        here = {f"{word}/{name}" for word, names in self._names.items() for name in names}
        folders = set(self.word_folders)
        return sorted(
            name for names in self._lists.values() for name in names - here if name.partition("/")[0] in folders
        )

    @cached_property
    def _lists(self) -> dict[str, frozenset[str]]:
        """Part -> what its list names, for the parts that have one."""
        lists = {}
        for part, file_name in _LISTS.items():
            path = self.root / file_name
            if not path.exists():
                continue
            try:
                lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
            except OSError as error:
                raise DataFolderError(f"{path} cannot be read ({error.strerror}): mend or remove it") from error
            names = frozenset(line.strip() for line in lines if line.strip())
            # One that fits nothing was made for another folder, or is no such list.
            if names and not any(name.partition("/")[0] in self.word_folders for name in names):
                raise DataFolderError(
                    f"{path} names no file here, its first is {min(names)}; expected lines <word>/<file> "
                    "with forward slashes: mend or remove it"
                )
            lists[part] = names
        return lists

    def _part(self, name: str, speaker: str) -> str:
        for part, names in self._lists.items():
            if name in names:
                return part
        by_rule = part_of_speaker(speaker)
        return "train" if by_rule in self._lists else by_rule


def _sounds_in(folder: Path) -> list[str]:
    """Names of the recordings directly in a folder, hidden ones left out, sorted."""
    return sorted(
        entry.name
        for entry in os.scandir(folder)
        if not entry.name.startswith(".") and Path(entry.name).suffix.lower() in SOUND_EXTENSIONS and not entry.is_dir()
    )


def _some(names: Iterable[str], most: int = 12) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
