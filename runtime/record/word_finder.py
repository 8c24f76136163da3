"""Where in a stretch of sound a word is: what stands out from the room, up to a pause."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.features.level import decibels
from kwspot.runtime.features.spec import INT16_FULL_SCALE

FRAME_MS = 10
PAUSE_MS = 500
"""Quiet for so long ends a word. The stop inside one ("eigh·t") takes 0.1 s, a breath between two words 0.3 s."""

MARGIN_MS = 200
"""Kept on either side at the least: a soft first or last sound lies below the threshold."""

CLIP_MS = 1000
"""A shorter clip gets more of the room around it, in place of the zeros that a model's window would be filled with."""

ABOVE_ROOM_DB = 10.0
"""So far above the room is no longer the room: its frames of 10 ms vary by 3 dB."""

FAINTEST_DB = -60.0
"""What is below is the microphone's own noise, in however quiet a room."""

_DIGITAL_SILENCE_DB = -100.0
_CLICK_FRAMES = 3
_SHORTEST_WORD_FRAMES = 8
_ROOM_PERCENTILE = 20


@dataclasses.dataclass(frozen=True, slots=True)
class Word:
    """A word in a stretch of sound.

    Parameters
    ----------
    start, end
        Its samples: ``samples[start:end]``, without margins.
    level_db, room_db
        RMS of its loudest 10 ms, and of the room, in dB of full scale.
    has_ended
        Whether a pause has followed.
    """

    start: int
    end: int
    level_db: float
    room_db: float
    has_ended: bool


def frame_levels_db(samples: NDArray[np.int16], rate_hz: int) -> NDArray[np.float64]:
    """Return the RMS of each whole 10 ms without its offset, dB of full scale, float64 (n // frame,)."""
    length = rate_hz * FRAME_MS // 1000
    frames = samples[: len(samples) // length * length].reshape(-1, length) / INT16_FULL_SCALE  # (k, length)
    return decibels(frames.std(axis=1), _DIGITAL_SILENCE_DB)


def find_word(samples: NDArray[np.int16], rate_hz: int) -> Word | None:
    """Return the first word in a stretch of sound, int16 (n,); None if all of it is room and clicks."""
    levels = frame_levels_db(samples, rate_hz)
    if not len(levels):
        return None
    room_db = float(np.percentile(levels, _ROOM_PERCENTILE))
    is_loud = levels >= max(room_db + ABOVE_ROOM_DB, FAINTEST_DB)
    edges = np.flatnonzero(np.diff(np.pad(is_loud, 1).astype(np.int8)))
    runs = [(first, last) for first, last in edges.reshape(-1, 2).tolist() if last - first >= _CLICK_FRAMES]
    for first, last in _join(runs, PAUSE_MS // FRAME_MS):
        if np.count_nonzero(is_loud[first:last]) >= _SHORTEST_WORD_FRAMES:
            frame = rate_hz * FRAME_MS // 1000
            has_ended = len(levels) - last >= PAUSE_MS // FRAME_MS
            return Word(first * frame, last * frame, float(levels[first:last].max()), room_db, has_ended)
    return None


def _join(runs: list[tuple[int, int]], pause: int) -> list[tuple[int, int]]:
    """Join runs with less than a pause between them."""
    joined: list[tuple[int, int]] = []
    for first, last in runs:
        if joined and first - joined[-1][1] < pause:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def trim(word: Word, samples: int, rate_hz: int) -> tuple[int, int]:
    """Return the range to keep of `samples` samples: the word in its middle, with margins, as far as there is sound.

    >>> trim(Word(16_000, 20_000, -20.0, -60.0, True), 32_000, 16_000)  # 0.25 s: a clip of 1 s
    (10000, 26000)
    >>> trim(Word(16_000, 36_000, -20.0, -60.0, True), 48_000, 16_000)  # 1.25 s: and 0.2 s on either side
    (12800, 39200)
    """
    length = max(rate_hz * CLIP_MS // 1000, word.end - word.start + 2 * rate_hz * MARGIN_MS // 1000)
    start = max(0, (word.start + word.end - length) // 2)
    end = min(samples, start + length)
    return max(0, end - length), end
