"""A long stream of background speech with takes of a word in it, both in noise at a chosen ratio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.benchmarks.sound_folder import loudness
from kwspot.runtime.recordings import read_sound
from kwspot.runtime.sound_files import to_int16


@dataclass(frozen=True)
class Piece:
    """A stretch of the stream, int16 (n,); `is_word` where the word is said in it."""

    sound: NDArray[np.int16]
    is_word: bool


def mixed(
    words: Sequence[Path], background: Sequence[Path], noise: Sequence[Path], *, snr_db: float, rate_hz: int, seed: int
) -> Iterator[Piece]:
    """The takes in a drawn order, spread evenly over the background.

    In every piece the noise lies `snr_db` below the loudest tenth of a second,
    and goes on where it stopped.
    """
    rng = np.random.default_rng(seed)
    order = [words[i] for i in rng.permutation(len(words))]
    noises = [_real(path, rate_hz) for path in noise]
    # One piece of noise after the other, each brought to the same power.
    hiss = np.concatenate([one / max(_rms(one), 1e-9) for one in noises]) if noises else np.zeros(1)
    place = 0
    said = 0

    def in_noise(path: Path, is_word: bool) -> Piece:
        nonlocal place
        sound = _real(path, rate_hz)
        under = np.take(hiss, np.arange(place, place + len(sound)), mode="wrap")
        place = (place + len(sound)) % len(hiss)
        return Piece(to_int16(sound + under * loudness(sound, rate_hz) * 10 ** (-snr_db / 20)), is_word)

    for number, path in enumerate(background, 1):
        yield in_noise(path, False)
        while said < len(order) * number // len(background):
            yield in_noise(order[said], True)
            said += 1


def _real(path: Path, rate_hz: int) -> NDArray[np.float64]:
    return read_sound(path, rate_hz).astype(np.float64) / 32768


def _rms(sound: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.square(sound).mean())) if len(sound) else 0.0
