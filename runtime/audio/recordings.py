"""Folders of recordings in the layout of Google Speech Commands, and sound files as int16.

::

    DIR/<word>/<speaker>_nohash_<n>.wav    any file name, any format libsndfile reads
    DIR/_background_noise_/**/*.wav        noise to mix in
    DIR/validation_list.txt                optional: <word>/<file> a line, as is testing_list.txt
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from kwspot.runtime.audio.file_formats import is_sound, is_unread, unread_note
from kwspot.runtime.audio.parts import LISTS, PARTS, SPEAKER_MARK, Parts, compose, letters_of, speaker_of
from kwspot.runtime.errors import ConfigError, DataFolderError, name_some
from kwspot.runtime.labels import BACKGROUND_LABELS, SILENCE, UNKNOWN
from kwspot.runtime.standard_streams import say

NOISE_FOLDER = "_background_noise_"
SYNTHESIS_RECIPE = "synth.json"
"""In a data folder whose recordings programs have spoken."""

PERSON_PREFIX = "own-"
"""Begins the name of a person's recording in such a folder."""

_MEANT = {
    NOISE_FOLDER: {"noise", "noises", "background", "backgrounds", "backgroundnoise", "backgroundnoises"},
    UNKNOWN: {"unknown", "unknowns", "unknownwords", "other", "others", "otherwords", "negative", "negatives"},
    SILENCE: {"silence", "silent", "silences"},
}
"""Special folder → names, letters alone, by which people mean it."""

_LAYOUT = "expected DIR/<word>/<speaker>_nohash_<n>.wav, a folder for each word"


def is_synthesised(path: Path) -> bool:
    """Tell whether a program speaks in a recording ``DIR/<word>/<file>``, by what `DIR` says of itself."""
    return not path.name.startswith(PERSON_PREFIX) and _has_recipe(path.parent.parent)


@lru_cache(maxsize=256)
def _has_recipe(folder: Path) -> bool:
    return (folder / SYNTHESIS_RECIPE).is_file()


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording of one word; `part` is "train", "validation" or "test"."""

    path: Path
    word: str
    speaker: str
    part: str

    @property
    def tells_speaker(self) -> bool:
        """Return whether the file's name says who speaks."""
        return SPEAKER_MARK in self.path.name


def default_part(folder: DataFolder) -> str:
    """Return the part to score on when none is named: all of a ready-made test folder, else the test part."""
    return "all" if {UNKNOWN, SILENCE} & set(folder.words) else "test"


class DataFolder:
    """The recordings below a folder; only names are read here, never sound.

    Which part a recording is in, :class:`kwspot.runtime.audio.parts.Parts` says.

    Attributes
    ----------
    words : tuple of str
        Folders with at least one recording, sorted, their names composed; ``_unknown_`` and
        ``_silence_`` are among them where they are there.
    word_folders : tuple of str
        All folders that may be a word's, as the file system names them.
    noise_files : tuple of Path
        The recordings in ``_background_noise_`` and below it, sorted.
    parts : Parts

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
        stray = _files_in(self.root)
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
        # Two folders may be one word, composed and decomposed.
        self._paths: dict[str, list[Path]] = {compose(folder): [] for folder in self.word_folders}
        for folder in self.word_folders:
            self._paths[compose(folder)] += [self.root / folder / name for name in _files_in(self.root / folder)]
        self.words = tuple(sorted(word for word, paths in self._paths.items() if paths))
        if not self.words:
            if unread := unread_note(self._unread(self.word_folders)):
                raise DataFolderError(f"{self.root}: {unread}")
            seen = "no folder" if not self.word_folders else f"no sound file in {name_some(self.word_folders)}"
            raise DataFolderError(f"{self.root} holds {seen}; {_LAYOUT}: check the path")
        self.parts = Parts(
            self.root, {word: [compose(path.name) for path in paths] for word, paths in self._paths.items()}
        )
        noise = self.root / NOISE_FOLDER
        self.noise_files = tuple(files_below(noise)) if noise.is_dir() else ()

    def clips(self, part: str = "all", words: Sequence[str] | None = None) -> list[Clip]:
        """Return the clips of a part ("train", "validation", "test" or "all") and of `words`, sorted by path.

        Raises
        ------
        DataFolderError
            If a word has no folder, or both lists name a clip: what is
            measured would have been trained on.
        """
        if part != "all" and part not in PARTS:
            raise ConfigError(f"no part {part!r}; expected one of {', '.join(PARTS)} or all")
        words = None if words is None else [compose(word) for word in words]
        missing = [word for word in words or () if word not in self.words]
        if missing:
            raise DataFolderError(
                f"{self.root} has no recordings of {name_some(missing)}; expected some of {name_some(self.words)}: "
                "record them, or name other words"
            )
        if self.parts.clips_in_two_lists:
            raise DataFolderError(
                f"{self.root}: {self.parts.clips_in_two_lists[0]} is in both {' and '.join(LISTS.values())}; "
                "expected each clip in one part: mend the lists"
            )
        return [
            clip
            for clip in self.every_clip
            if (part == "all" or clip.part == part) and (words is None or clip.word in words)
        ]

    @cached_property
    def every_clip(self) -> list[Clip]:
        """List all clips, also of a folder whose lists contradict each other."""
        return [
            Clip(path, word, speaker_of(path), self.parts.of(word, compose(path.name)))
            for word in self.words
            for path in self._paths[word]
        ]

    @cached_property
    def meant_otherwise(self) -> dict[str, str]:
        """Word → the special folder that may be meant by its name, such as ``noise`` → ``_background_noise_``."""
        return {word: meant for word in self.words if (meant := _meant_folder(word)) is not None}

    def notes(self, words: Collection[str] | None = None) -> tuple[str, ...]:
        """Return what a user should know of `words` (default: all), a sentence each: nothing of it is an error."""
        nested = [
            f"{folder}/{entry.name}"
            for folder in self.word_folders
            if words is None or compose(folder) in words
            for entry in os.scandir(self.root / folder)
            if entry.is_dir() and not entry.name.startswith(".") and files_below(Path(entry.path))
        ]
        inside = (f"recordings in {name_some(sorted(nested))} are not read; expected them in the folder of their word",)
        folders = [folder for folder in self.word_folders if words is None or compose(folder) in words]
        unread = unread_note(self._unread([*folders, NOISE_FOLDER]))
        return self.parts.notes(words) + (inside if nested else ()) + ((unread,) if unread else ())

    def _unread(self, folders: Sequence[str]) -> list[Path]:
        """Return the recordings in some folders that have to be converted first, below the root."""
        places = [self.root / folder for folder in folders if (self.root / folder).is_dir()]
        return [path.relative_to(self.root) for place in places for path in files_below(place, is_unread)]


def _meant_folder(word: str) -> str | None:
    """Return the special folder that a name may stand for; of names with ``_`` in front every one stands for some."""
    if word in BACKGROUND_LABELS:
        return None
    letters = letters_of(word)
    for folder, names in _MEANT.items():
        if letters in names:
            return folder
    return NOISE_FOLDER if word.startswith("_") else None


def files_below(folder: Path, is_wanted: Callable[[str], bool] = is_sound) -> list[Path]:
    """Return the recordings in a folder and below it, hidden ones and hidden folders left out, sorted."""
    found = [folder / name for name in _files_in(folder, is_wanted)]
    for entry in os.scandir(folder):
        if entry.is_dir() and not entry.name.startswith("."):
            found += files_below(folder / entry.name, is_wanted)
    return sorted(found)


def sounds_below(folder: str | Path, what: str) -> list[Path]:
    """Return the sound files below a folder at any depth, sorted; those that have to be converted first are named.

    Raises
    ------
    DataFolderError
        If there is none; `what` says what was expected there.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataFolderError(f"{root} is no folder; expected {what}: check the path")
    found, unread = files_below(root), unread_note(files_below(root, is_unread))
    if not found:
        raise DataFolderError(unread or f"{root} holds no sound file; expected {what}: check the path")
    if unread:
        say(unread)
    return found


def _files_in(folder: Path, is_wanted: Callable[[str], bool] = is_sound) -> list[str]:
    """Return the names of the recordings directly in a folder, sorted."""
    return sorted(entry.name for entry in os.scandir(folder) if is_wanted(entry.name) and not entry.is_dir())
