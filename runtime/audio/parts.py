"""Which part a recording of a data folder is in: to train, to validate or to test with.

A part that has a list (``validation_list.txt``, ``testing_list.txt``) takes
exactly what the list names. Without one the rule of Speech Commands applies: a
speaker's name decides, so that no voice is in two parts. Folders of one or two
people are split by recording, since a voice alone has no other part to be in;
:meth:`Parts.notes` says so.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

from kwspot.runtime.errors import DataFolderError, name_some

PARTS = ("train", "validation", "test")
LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
SPEAKER_MARK = "_nohash_"

# Of the rule that came with Speech Commands; changing one would move speakers between parts.
_MAX_CLIPS_PER_WORD = 2**27 - 1
_VALIDATION_PERCENT, _TEST_PERCENT = 10.0, 10.0

_FEW_SPEAKERS = 2
"""So many or fewer are split by recording: with one of two held out, training would hear a single voice."""

_ENOUGH_RECORDINGS = 10
"""A word with so many recordings is expected in each of training and validation."""

_KNOWN_VOICES = "be of known voices, and strangers may fare worse"


def compose(name: str) -> str:
    """Return a name in composed letters (NFC); macOS writes names decomposed.

    >>> compose("scho\\u0308n")
    'schön'
    """
    return unicodedata.normalize("NFC", name)


@lru_cache(maxsize=4096)
def letters_of(name: str) -> str:
    """Return the letters and digits of a name, composed and in one case: what two names are compared by.

    >>> letters_of("Ok, Google!") == letters_of("ok_google")
    True
    """
    return "".join(c for c in compose(compose(name).casefold()) if c.isalnum() or unicodedata.category(c)[0] == "M")


def split_names(text: str, known: Collection[str]) -> list[str]:
    """Split names at their commas, but for those within a known name.

    >>> split_names("yes, ok, google,no", ["ok, google", "no"])
    ['yes', 'ok, google', 'no']
    """
    pieces = [piece for piece in text.split(",") if piece.strip()]
    names = {compose(name) for name in known}
    found = []
    while pieces:
        joined = (",".join(pieces[:end]).strip() for end in range(len(pieces), 1, -1))
        name = next((whole for whole in joined if compose(whole) in names), pieces[0].strip())
        pieces = pieces[name.count(",") + 1 :]
        found.append(name)
    return found


def speaker_of(path: str | os.PathLike[str]) -> str:
    """Return whose voice a file holds: its name before ``_nohash_``, or its stem.

    >>> speaker_of("bed/026290a7_nohash_0.wav"), speaker_of("bed/take5.flac")
    ('026290a7', 'take5')
    """
    path = Path(path)
    before, mark, _ = path.name.partition(SPEAKER_MARK)
    return compose(before if mark else path.stem)


def part_of_speaker(speaker: str) -> str:
    """Return the part that the rule of Speech Commands puts a speaker in.

    References
    ----------
    ``which_set`` in the README of the data set; Warden, arXiv:1804.03209.
    """
    percent = _percent(speaker)
    if percent < _VALIDATION_PERCENT:
        return "validation"
    return "test" if percent < _VALIDATION_PERCENT + _TEST_PERCENT else "train"


class Parts:
    """The part of each recording of a folder.

    Parameters
    ----------
    names
        Word → names of its recordings, all composed.
    """

    def __init__(self, root: Path, names: Mapping[str, Sequence[str]]) -> None:
        self._root, self._names = root, names
        self._speakers = {speaker_of(name) for _, name in self._recordings if SPEAKER_MARK in name}

    def of(self, word: str, name: str) -> str:
        """Return the part of a recording: "train", "validation" or "test"."""
        return self._of[word, name]

    def notes(self, words: Collection[str] | None = None) -> tuple[str, ...]:
        """Return what a user should know of the split of `words` (default: all), a sentence each."""
        wanted = [word for word in self._names if words is None or word in words]
        notes = []
        plain = sorted(name for word in wanted for name in self._names[word] if SPEAKER_MARK not in name)
        if plain:
            notes.append(
                f"the names of {len(plain)} recordings, such as {plain[0]}, tell no speaker, so figures may "
                f"{_KNOWN_VOICES}; "
                "expected <speaker>_nohash_<n>.wav"
            )
        of_few = [word for word in self._split_words if word in wanted and not self._is_plain(word)]
        if of_few:
            people = sorted({speaker_of(name) for word in of_few for name in self._names[word]})
            what = "all recordings" if self._few else f"the recordings of {name_some(of_few, 6)}"
            notes.append(
                f"{what} are of {len(people)} speaker{'s' * (len(people) > 1)}, {name_some(people, 6)}: "
                f"split by recording, so the figures will {_KNOWN_VOICES}; record more people"
            )
        moved = [(word, who) for (word, who), part in self._moved.items() if word in wanted and part == "validation"]
        if moved:
            of_words, held = (name_some(sorted(set(names)), 6) for names in zip(*moved, strict=True))
            notes.append(f"few people say {of_words}: validated on {held} alone")
        if self.speakers_split_by_lists:
            (speaker, parts), *more = self.speakers_split_by_lists
            others = f" and {len(more)} more" if more else ""
            where = " and ".join(LISTS[part] for part in self._lists)
            in_parts = " and ".join(parts)
            notes.append(
                f"{where}: speaker {speaker}{others} is in the parts {in_parts}, so figures may {_KNOWN_VOICES}"
            )
        return tuple(notes)

    @cached_property
    def clips_in_two_lists(self) -> list[str]:
        """Return what both lists name, sorted."""
        return sorted(self._lists.get("validation", frozenset()) & self._lists.get("test", frozenset()))

    @cached_property
    def speakers_split_by_lists(self) -> list[tuple[str, tuple[str, ...]]]:
        """Speakers that the lists put in several parts, and those, sorted; plain names do not tell who spoke."""
        seen: dict[str, set[str]] = {}
        for (_, name), part in self._of.items():
            if self._lists and SPEAKER_MARK in name:
                seen.setdefault(speaker_of(name), set()).add(part)
        return [(who, tuple(p for p in PARTS if p in parts)) for who, parts in sorted(seen.items()) if len(parts) > 1]

    @cached_property
    def listed_but_missing(self) -> list[str]:
        """Return what a list names in a word folder that is here, but no file is there for; sorted."""
        here = {f"{word}/{name}" for word, names in self._names.items() for name in names}
        listed = {name for names in self._lists.values() for name in names}
        return sorted(name for name in listed - here if name.partition("/")[0] in self._names)

    @cached_property
    def _recordings(self) -> list[tuple[str, str]]:
        return [(word, name) for word, names in self._names.items() for name in names]

    @cached_property
    def _few(self) -> bool:
        return all(SPEAKER_MARK in name for _, name in self._recordings) and len(self._speakers) <= _FEW_SPEAKERS

    @cached_property
    def _of(self) -> dict[tuple[str, str], str]:
        found = {(word, name): self._by_rule(word, name) for word, name in self._recordings}
        for word in self._split_words:
            found |= self._by_recording(word)
        return found

    def _by_rule(self, word: str, name: str) -> str:
        for part, names in self._lists.items():
            if f"{word}/{name}" in names:
                return part
        speaker = speaker_of(name)
        by_rule = self._moved.get((word, speaker)) or part_of_speaker(speaker)
        return "train" if by_rule in self._lists or (self._lists and self._few) else by_rule

    @cached_property
    def _split_words(self) -> list[str]:
        """Words that are split by recording: of few people, or of unknown ones, where the rule leaves a part empty."""
        if self._lists:
            return []
        if self._few:
            return [word for word, names in self._names.items() if names]
        return [word for word, speakers in self._lacking if len(speakers) <= _FEW_SPEAKERS or self._is_plain(word)]

    @cached_property
    def _moved(self) -> dict[tuple[str, str], str]:
        """Words and speakers for whom the rule does not count, and their part: three or more people say the word, and
        none of them would validate, or none would be trained on. The one that comes first in the rule validates."""
        moved: dict[tuple[str, str], str] = {}
        if self._lists or self._few:
            return moved
        for word, speakers in self._lacking:
            if len(speakers) > _FEW_SPEAKERS and not self._is_plain(word):
                first = min(speakers, key=_percent)
                if all(part_of_speaker(speaker) != "train" for speaker in speakers):
                    moved |= {(word, speaker): "train" for speaker in speakers - {first}}
                moved[word, first] = "validation"
        return moved

    @cached_property
    def _lacking(self) -> list[tuple[str, set[str]]]:
        """Words that the rule gives nothing to train or to validate with, and who says them."""
        found = []
        for word, names in self._names.items():
            speakers = {speaker_of(name) for name in names}
            lacks = not {"train", "validation"} <= {part_of_speaker(speaker) for speaker in speakers}
            if lacks and len(names) >= _ENOUGH_RECORDINGS:
                found.append((word, speakers))
        return found

    def _is_plain(self, word: str) -> bool:
        return all(SPEAKER_MARK not in name for name in self._names[word])

    def _by_recording(self, word: str) -> dict[tuple[str, str], str]:
        """One in ten recordings to validate and one to test with; more, with higher numbers, change nothing before."""
        held = {4: "validation", 9: "test"}
        names = sorted(self._names[word], key=_by_number)
        return {(word, name): held.get(k % 10, "train") for k, name in enumerate(names)}

    @cached_property
    def _lists(self) -> dict[str, frozenset[str]]:
        """Part → what its list names, for the parts that have one."""
        lists = {}
        for part, file_name in LISTS.items():
            path = self._root / file_name
            if not path.exists():
                continue
            try:
                lines = compose(path.read_text(encoding="utf-8-sig", errors="surrogateescape")).splitlines()
            except OSError as error:
                raise DataFolderError(f"{path} cannot be read ({error.strerror}): mend or remove it") from error
            names = frozenset(line.strip() for line in lines if line.strip())
            # One that fits nothing was made for another folder, or is no such list.
            if names and not any(name.partition("/")[0] in self._names for name in names):
                raise DataFolderError(
                    f"{path} names no file here, its first is {min(names)}; expected lines <word>/<file> "
                    "with forward slashes: mend or remove it"
                )
            lists[part] = names
        return lists


def _percent(speaker: str) -> float:
    digest = int(hashlib.sha1(os.fsencode(speaker)).hexdigest(), 16)
    return (digest % (_MAX_CLIPS_PER_WORD + 1)) * (100.0 / _MAX_CLIPS_PER_WORD)


def _by_number(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts ``ann_nohash_9`` before ``ann_nohash_10``."""
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in re.split(r"([0-9]+)", name)]
