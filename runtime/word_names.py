"""Which words and speakers can be names in a data folder."""

from __future__ import annotations

from kwspot.runtime.errors import ConfigError

_SPECIAL = frozenset('/\\:*?"<>|\0\n\r\t')
"""Not in a name on one system or another."""

_MOST_BYTES = 200
"""Of a name, so that a speaker and a number fit behind it: file systems take 255."""


def check_word(word: str) -> None:
    """Refuse a word that cannot be the name of its folder; ``_unknown_`` and the like are no words."""
    if not _is_name(word):
        raise ConfigError(f"{word!r} cannot be the name of a word's folder; expected a word or phrase in letters")


def check_speaker(speaker: str) -> None:
    """Refuse a speaker that file names ``<speaker>_nohash_<n>.wav`` could not be told from."""
    if not _is_name(speaker) or "_nohash_" in speaker:
        raise ConfigError(f"{speaker!r} cannot begin the name of a recording; expected a speaker's name in letters")


def _is_name(text: str) -> bool:
    return (
        bool(text)
        and text == text.strip()
        and text[0] not in "._-"
        and _SPECIAL.isdisjoint(text)
        and len(text.encode("utf-8", "surrogateescape")) <= _MOST_BYTES
    )
