"""Which texts can be a label, a speaker or the name of a bundle: one rule for all that become paths and messages."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from kwspot.runtime.errors import ConfigError
from kwspot.runtime.labels import BACKGROUND_LABELS

_SPECIAL = '/\\:*?"<>|'
"""Not in a file name on one system or another."""

_JOINERS = "\u200c\u200d"
"""Not printable by themselves; Persian and the scripts of India write words with them."""

MOST_BYTES = 200
"""Of a name in UTF-8, so that a time and a number fit behind it: file systems take 255."""


def find_name_fault(text: str) -> str | None:
    """Return what is wrong with a label, a speaker or a bundle's name, as half a sentence; None where nothing is.

    A name is printable text in any script, composed (NFC), that does not begin with ``-``, ``.`` or ``_``, holds no
    sign that a file name cannot hold, and is at most :data:`MOST_BYTES` long.

    >>> find_name_fault("what's up"), find_name_fault("grüß dich"), find_name_fault("你好")
    (None, None, None)
    >>> find_name_fault("../../x")
    "it begins with '.'"
    >>> find_name_fault("what?")
    "it holds '?'"
    """
    return next(_faults(text), None)


def find_text_fault(text: str) -> str | None:
    """Return which sign of `text` cannot be printed in one line, as half a sentence; None where all can.

    >>> find_text_fault("one\\ntwo")
    "it holds '\\\\n'"
    """
    return next((f"it holds {sign!r}" for sign in text if not (sign.isprintable() or sign in _JOINERS)), None)


def _faults(text: str) -> Iterator[str]:
    if not text:
        yield "it is empty"
        return
    if text[0] in "-._":
        yield f"it begins with {text[0]!r}"
    if text != text.strip():
        yield "it begins or ends with a blank"
    if fault := find_text_fault(text):
        yield fault
        return  # what cannot be printed cannot be encoded, as a rule
    yield from (f"it holds {sign!r}" for sign in text if sign in _SPECIAL)
    if unicodedata.normalize("NFC", text) != text:
        yield "its letters are not composed (NFC)"
    if len(text.encode()) > MOST_BYTES:
        yield f"it is longer than {MOST_BYTES} bytes"


def find_label_fault(label: str) -> str | None:
    """Return what is wrong with a label of a bundle: a name, or one of the two labels that are no words."""
    return None if label in BACKGROUND_LABELS else find_name_fault(label)


def check_labels(labels: tuple[str, ...]) -> None:
    """Refuse labels that no bundle could hold, before any work is done for them.

    Raises
    ------
    ConfigError
        If a label is no name; the message says why.
    """
    for label in labels:
        if fault := find_label_fault(label):
            raise ConfigError(f"{label!r} cannot be a label: {fault}; rename its folder, in letters")


def check_word(word: str) -> None:
    """Refuse a word that cannot be the name of its folder; ``_unknown_`` and the like are no words."""
    if fault := find_name_fault(word):
        raise ConfigError(
            f"{word!r} cannot be the name of a word's folder: {fault}; expected a word or phrase in letters"
        )


def check_speaker(speaker: str) -> None:
    """Refuse a speaker that cannot be read back from ``<speaker>_nohash_<n>.wav``."""
    fault = "it holds '_nohash_'" if "_nohash_" in speaker else find_name_fault(speaker)
    if fault:
        raise ConfigError(
            f"{speaker!r} cannot begin the name of a recording: {fault}; expected a speaker's name in letters"
        )
