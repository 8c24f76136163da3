"""Which recordings hold a word of a bundle and which do not, in folders of any layout.

Positives lie in folders called like the word ("hey computer", "hey_computer"
and "Hey, computer!" are one name), at any depth below them. Negatives are every
sound below a folder but those in folders called like a word of the bundle. A
part is chosen among the recordings that tell theirs: those that a list names
or rules out, and those with ``_nohash_`` in their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kwspot.runtime.audio.parts import LISTS, PARTS, SPEAKER_MARK, letters_of, part_of_speaker, speaker_of
from kwspot.runtime.audio.recordings import NOISE_FOLDER, DataFolder, sounds_below
from kwspot.runtime.errors import ConfigError, DataFolderError


@dataclass(frozen=True)
class Utterance:
    """A recording of a word."""

    path: Path
    word: str
    speaker: str


@dataclass(frozen=True)
class Negatives:
    """Recordings of anything else, and the folders they are of, for people."""

    paths: list[Path]
    kind: list[str]


def same_name(folder: str, word: str) -> bool:
    """Tell whether a folder is called like a word: letters and digits alone are compared, composed and in one case.

    >>> same_name("HeyComputer", "hey computer"), same_name("ok google", "Ok, Google!"), same_name("hey", "hey you")
    (True, True, False)
    """
    return letters_of(folder) == letters_of(word) != ""


def is_below_name(path: Path, root: Path, words: Sequence[str]) -> bool:
    """Tell whether a file below `root` lies in a folder called like one of `words`, at any depth, `root` included."""
    folders = {letters_of(name) for name in (root.resolve().name, *path.relative_to(root).parts[:-1])}
    return any(letters in folders for word in words if (letters := letters_of(word)))


def utterances_of(given: Sequence[str], words: Sequence[str], part: str | None) -> list[Utterance]:
    """Return the recordings of `words` in folders, each given as ``DIR`` or ``WORD=DIR``, sorted by folder and path.

    Raises
    ------
    ConfigError
        If there is no such part, or no such word.
    DataFolderError
        If a folder holds no recording of a word, or none of the part.
    """
    utterances: list[Utterance] = []
    for text in given:
        named, mark, rest = text.partition("=")
        if mark and not Path(text).exists():
            if named not in words:
                raise ConfigError(f"no word {named!r} to take {rest} for; the bundle hears {', '.join(words)}")
            utterances += _of_part(
                Path(rest), part, [(path, named) for path in sounds_below(rest, f"utterances of {named}")]
            )
        else:
            utterances += _utterances_below(Path(text), words, part)
    return utterances


def _utterances_below(root: Path, words: Sequence[str], part: str | None) -> list[Utterance]:
    found: list[tuple[Path, str]] = []
    for path in sounds_below(root, f"a folder for each of {', '.join(words)}"):
        # The folder that was named may itself be the word's.
        folders = [root.resolve().name, *path.relative_to(root).parts[:-1]]
        word = next((word for folder in folders for word in words if same_name(folder, word)), None)
        if word is not None:
            found.append((path, word))
    if not found:
        here = ", ".join(sorted(entry.name for entry in root.iterdir() if entry.is_dir())[:12]) or "no folder"
        raise DataFolderError(
            f"{root} holds no folder of a word that the bundle hears ({', '.join(words)}), but {here}; "
            "name the folder like the word, or say WORD=DIR"
        )
    return _of_part(root, part, found)


def _of_part(root: Path, part: str | None, found: Sequence[tuple[Path, str]]) -> list[Utterance]:
    chosen = _chosen_part(root, part)
    of = _Parts(root)
    utterances = [
        Utterance(path, word, speaker_of(path)) for path, word in found if chosen == "all" or of(path) in (chosen, None)
    ]
    if not utterances:
        raise DataFolderError(
            f"{root} has {len(found)} utterances, but none in the part {chosen}; record some by other speakers, "
            "or say --part all"
        )
    return utterances


def _chosen_part(root: Path, part: str | None) -> str:
    if part is not None and part not in (*PARTS, "all"):
        raise ConfigError(f"no part {part!r}; expected one of {', '.join(PARTS)} or all")
    if part is not None:
        return part
    # A list says what training was to leave alone.
    return "validation" if (root / LISTS["validation"]).is_file() else "all"


class _Parts:
    """Return the part of a recording; None for one that does not tell."""

    def __init__(self, root: Path) -> None:
        listed = any((root / name).is_file() for name in LISTS.values())
        try:
            clips = DataFolder(root).clips("all")
        except DataFolderError:
            if listed:
                raise
            clips = []  # another layout: only names with a speaker tell their part
        self._known = {clip.path: clip.part for clip in clips if listed or SPEAKER_MARK in clip.path.name}

    def __call__(self, path: Path) -> str | None:
        if path in self._known:
            return self._known[path]
        return part_of_speaker(speaker_of(path)) if SPEAKER_MARK in path.name else None


def negatives_in(folders: Sequence[str], words: Sequence[str], part: str | None) -> Negatives:
    """Return every sound below `folders` but those of `words`; of a data folder those of the part, without its noise.

    Raises
    ------
    DataFolderError
        If a folder holds none.
    """
    chosen: dict[Path, None] = {}
    kind: list[str] = []
    for text in folders:
        root = Path(text)
        found = [path for path in sounds_below(root, "sound without the words") if not is_below_name(path, root, words)]
        wanted = _chosen_part(root, part)
        if wanted != "all":
            of = _Parts(root)
            found = [p for p in found if of(p) in (wanted, None) and NOISE_FOLDER not in p.relative_to(root).parts]
        if not found:
            where = "" if wanted == "all" else f" in the part {wanted}"
            raise DataFolderError(
                f"{root} holds no sound without {', '.join(words)}{where}; "
                "expected speech, noise or other words: name another folder, or another --part"
            )
        chosen |= dict.fromkeys(found)
        inside = sorted({path.relative_to(root).parts[0] for path in found if len(path.relative_to(root).parts) > 1})
        name = root.resolve().name + ("" if wanted == "all" else f", {wanted}")
        kind.append(f"{name} ({', '.join(inside)})" if 0 < len(inside) <= 6 else name)
    return Negatives(list(chosen), kind)
