"""All sounds below a folder, whatever its layout: background, noise, takes of one word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.recordings import SOUND_EXTENSIONS
from kwspot.runtime.errors import DataFolderError


def sounds_below(folder: str | Path, what: str) -> list[Path]:
    """Sound files below a folder at any depth, sorted.

    Raises
    ------
    DataFolderError
        If there is none; `what` says what was expected there.
    """
    root = Path(folder)
    found = sorted(path for path in root.rglob("*") if path.suffix.lower() in SOUND_EXTENSIONS and path.is_file())
    if not found:
        raise DataFolderError(f"{root} holds no sound file; expected {what}: check the path")
    return found


def loudness(sound: NDArray[np.floating], rate_hz: int) -> float:
    """The root mean square of the loudest tenth of a second: that of the word, however much silence is around it."""
    size = rate_hz // 10
    if len(sound) <= size:
        return float(np.sqrt(np.square(sound, dtype=np.float64).mean())) if len(sound) else 0.0
    energy = np.concatenate([[0.0], np.cumsum(np.square(sound, dtype=np.float64))])
    return float(np.sqrt((energy[size:] - energy[:-size]).max() / size))
