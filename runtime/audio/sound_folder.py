"""All sounds below a folder, whatever its layout: background, noise, utterances of one word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.file_formats import is_unread, unread_note
from kwspot.runtime.audio.recordings import files_below
from kwspot.runtime.errors import DataFolderError
from kwspot.runtime.standard_streams import say


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


def loudness(sound: NDArray[np.floating], rate_hz: int) -> float:
    """Return the root mean square of the loudest tenth of a second of sound, of any scale, (n,).

    It is that of the word, however much silence is around it.
    """
    size = rate_hz // 10
    if len(sound) <= size:
        return float(np.sqrt(np.square(sound, dtype=np.float64).mean())) if len(sound) else 0.0
    energy = np.concatenate([[0.0], np.cumsum(np.square(sound, dtype=np.float64))])
    return float(np.sqrt((energy[size:] - energy[:-size]).max() / size))
