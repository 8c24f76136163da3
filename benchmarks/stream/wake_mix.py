"""A long stream of background speech with utterances of a word in it, both in noise at a chosen ratio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.features.level import loudness, to_int16


@dataclass(frozen=True)
class Piece:
    """A stretch of the stream, int16 (n,); `is_word` where the word is spoken in it."""

    sound: NDArray[np.int16]
    is_word: bool


class Noise:
    """Noise that goes on from sound to sound where it stopped; without files there is none.

    One file after the other, at most `most_s` seconds of each, brought to the same power.
    """

    def __init__(self, files: Sequence[Path], rate_hz: int, *, most_s: int | None = None) -> None:
        most = None if most_s is None else most_s * rate_hz
        noises = [_real(read_sound(path, rate_hz)[:most]) for path in files]
        self._hiss = np.concatenate([one / max(_rms(one), 1e-9) for one in noises]) if noises else np.zeros(1)
        self._place = 0
        self._rate_hz = rate_hz

    def under(self, sound: NDArray[np.int16], snr_db: float) -> NDArray[np.int16]:
        """Return a sound, int16 (n,), with noise `snr_db` below its loudest tenth of a second."""
        real = _real(sound)
        hiss = self._hiss[(self._place + np.arange(len(real))) % len(self._hiss)]
        self._place = (self._place + len(real)) % len(self._hiss)
        return to_int16(real + hiss * loudness(real, self._rate_hz) * 10 ** (-snr_db / 20))


def mix_stream(
    words: Sequence[Path], background: Sequence[Path], noise: Sequence[Path], *, snr_db: float, rate_hz: int, seed: int
) -> Iterator[Piece]:
    """Yield the utterances in a drawn order, spread evenly over the background, all of it in noise."""
    rng = np.random.default_rng(seed)
    order = [words[i] for i in rng.permutation(len(words))]
    hiss = Noise(noise, rate_hz)
    placed = 0
    for number, path in enumerate(background, 1):
        yield Piece(hiss.under(read_sound(path, rate_hz), snr_db), False)
        while placed < len(order) * number // len(background):
            yield Piece(hiss.under(read_sound(order[placed], rate_hz), snr_db), True)
            placed += 1


def _real(sound: NDArray[np.int16]) -> NDArray[np.float64]:
    return sound.astype(np.float64) / 32768


def _rms(sound: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.square(sound).mean())) if len(sound) else 0.0
