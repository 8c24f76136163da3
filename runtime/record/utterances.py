"""Cut utterances of a word out of a stream of sound, trim each, and reject those that have to be said again."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.features.level import CLIPPED_SAMPLES, decibels, samples_at_full_scale
from kwspot.runtime.features.spec import INT16_FULL_SCALE
from kwspot.runtime.record.word_finder import PAUSE_MS, Word, find_word, frame_levels_db, trim

STEP_MS = 80
"""Sound is looked at in steps of its own, so that its slicing changes nothing."""

TOO_QUIET_DB = -40.0
"""The loudest 10 ms of 97 % of the recordings of Speech Commands are louder."""

LEAST_ABOVE_ROOM_DB = 15.0
"""99 in 100 of those stand out from their room by more than 11 dB, 95 by 23."""


@dataclasses.dataclass(frozen=True, slots=True)
class Utterance:
    """A word that was recorded, trimmed.

    `samples` is int16 (n,); `word_s` is without the margins; the peak, the
    loudest 10 ms and the room are in dB of full scale.
    """

    samples: NDArray[np.int16]
    word_s: float
    peak_db: float
    level_db: float
    room_db: float


@dataclasses.dataclass(frozen=True, slots=True)
class Rejection:
    """Why there is no utterance to keep.

    `kind` is ``nothing``, ``cut``, ``endless``, ``clipped``, ``quiet`` or
    ``noisy``; `text` says it to the user.
    """

    kind: str
    text: str


class UtteranceCutter:
    """Cuts utterances out of sound that is pushed.

    Parameters
    ----------
    longest_s
        The longest time for a word and the pause after it.
    """

    def __init__(self, rate_hz: int, *, longest_s: float) -> None:
        self._rate_hz, self._longest_s = rate_hz, longest_s
        self._step = rate_hz * STEP_MS // 1000
        self.reset()

    def reset(self) -> None:
        """Forget the sound so far: what comes next does not follow on it."""
        self._sound = np.empty(0, np.int16)
        self._looked_at = 0

    def push(self, block: NDArray[np.int16]) -> list[Utterance | Rejection]:
        """Take sound, int16 (n,), and return the utterances and rejections that it completes."""
        self._sound = np.concatenate((self._sound, block))
        found = []
        while self._looked_at + self._step <= len(self._sound):
            self._looked_at += self._step
            result, forget = self._look(self._sound[: self._looked_at])
            # State moves before the result leaves.
            self._sound = self._sound[forget:]
            if forget:
                self._looked_at = 0
            if result is not None:
                found.append(result)
        return found

    def _look(self, sound: NDArray[np.int16]) -> tuple[Utterance | Rejection | None, int]:
        """Return what the sound so far gives, and how many of its samples are done with."""
        word = find_word(sound, self._rate_hz)
        if word is not None and word.has_ended:
            start, end = trim(word, len(sound), self._rate_hz)
            return self._judge(word, sound[start:end]), end
        if len(sound) < self._longest_s * self._rate_hz:
            return None, 0
        if word is None:
            loudest_db = float(frame_levels_db(sound, self._rate_hz).max())
            text = f"nothing was heard for {self._longest_s:g} s (loudest: {loudest_db:.0f} dB of full scale)"
            # The last of it may be the beginning of a word.
            return Rejection("nothing", text), len(sound) - self._rate_hz * PAUSE_MS // 1000
        text = f"no pause came within {self._longest_s:g} s; say the word alone, in a quieter room"
        return Rejection("endless", text), len(sound)

    def _judge(self, word: Word, samples: NDArray[np.int16]) -> Utterance | Rejection:
        if word.start == 0:
            return Rejection("cut", "the word began before the recording; wait a moment, then say it")
        clipped = samples_at_full_scale(samples)
        if clipped >= CLIPPED_SAMPLES:
            return Rejection(
                "clipped", f"too loud, {clipped} samples are clipped; go further away, or turn its gain down"
            )
        if word.level_db < TOO_QUIET_DB:
            return Rejection(
                "quiet",
                f"too quiet, {word.level_db:.0f} dB of full scale where {TOO_QUIET_DB:.0f} are needed; go closer, or "
                "turn its gain up",
            )
        above_db = word.level_db - word.room_db
        if above_db < LEAST_ABOVE_ROOM_DB:
            return Rejection(
                "noisy",
                f"only {above_db:.0f} dB above the room where {LEAST_ABOVE_ROOM_DB:.0f} are needed; go closer, or to "
                "a quieter room",
            )
        peak = float(np.abs(samples.astype(np.int32)).max()) / INT16_FULL_SCALE
        return Utterance(
            samples, (word.end - word.start) / self._rate_hz, float(decibels(peak, -100.0)), word.level_db, word.room_db
        )
