"""Noise to mix into clips and to cut silence from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.features.level import to_int16
from kwspot.runtime.features.spec import INT16_FULL_SCALE

# Files are split by time, so that what is validated on was never trained on.
TRAIN_SHARE = 0.8

# `_silence_`: one in ten is digital silence; the rest lies between a quiet room and a loud one.
_ZEROS_SHARE = 0.1
_SILENCE_DBFS = (-90.0, -10.0)

_MADE_SECONDS = 20
_MADE_DBFS = -23.0


@dataclasses.dataclass(frozen=True)
class NoiseBank:
    """Kinds of noise, each some stretches, int16 (n,), n > 0."""

    kinds: tuple[tuple[NDArray[np.int16], ...], ...]

    def crop(self, rng: np.random.Generator, length: int) -> NDArray[np.int16]:
        """`length` samples from a drawn place of a drawn piece of a drawn kind; a shorter piece is repeated."""
        pieces = self.kinds[rng.integers(len(self.kinds))] if len(self.kinds) > 1 else self.kinds[0]
        piece = pieces[rng.integers(len(pieces))]
        start = int(rng.integers(max(1, len(piece) - length + 1)))
        return np.take(piece, np.arange(start, start + length), mode="wrap")

    def silence(self, rng: np.random.Generator, length: int) -> NDArray[np.int16]:
        """Make an example of "nothing said": noise of a drawn level, or zeros."""
        zeros = rng.random() < _ZEROS_SHARE
        level_dbfs = rng.uniform(*_SILENCE_DBFS)
        crop = self.crop(rng, length)
        return np.zeros(length, np.int16) if zeros else at_level(crop, level_dbfs)


def at_level(samples: NDArray[np.int16], dbfs: float) -> NDArray[np.int16]:
    """Sound as loud as asked, its root mean square in decibels of full scale; zeros stay zeros."""
    sound = samples / INT16_FULL_SCALE
    loudness = rms(sound)
    return samples if loudness == 0 else to_int16(sound * (10 ** (dbfs / 20) / loudness))


def rms(samples: NDArray[np.floating]) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def split_by_time(kinds: Sequence[Sequence[NDArray[np.int16]]]) -> tuple[NoiseBank, NoiseBank]:
    """Split each recording: the first part for training, the rest for validation."""
    cut = [[np.split(recording, [round(len(recording) * TRAIN_SHARE)]) for recording in kind] for kind in kinds]
    banks = [NoiseBank(tuple(tuple(pair[part] for pair in kind if len(pair[part])) for kind in cut)) for part in (0, 1)]
    return banks[0], banks[1]


def coloured_noise(
    length: int, exponent: float, rng: np.random.Generator, *, dbfs: float = -20.0, flat_below_bin: float = 0.0
) -> NDArray[np.int16]:
    """Return noise whose power falls with ``f ** -exponent``, int16 (length,): 0 is white, 1 pink, 2 brown.

    Parameters
    ----------
    dbfs
        Its root mean square, in decibels of full scale.
    flat_below_bin
        Below this frequency, in cycles of the whole length, the power does not rise any more; with 0 there is no
        constant part.
    """
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequency = np.maximum(np.arange(len(spectrum), dtype=np.float64), flat_below_bin)
    if not flat_below_bin:
        spectrum[0], frequency[0] = 0.0, 1.0
    noise = np.fft.irfft(spectrum * frequency ** (-exponent / 2), length)
    return to_int16(noise * (10 ** (dbfs / 20) / rms(noise)))


def made_noise(rate_hz: int, seed: int) -> list[NDArray[np.int16]]:
    """Return white, pink and brown noise, int16 (n,) each, for a folder that brings none."""
    rng = np.random.default_rng([seed, 0x6E6F697365])  # a stream of its own
    length = _MADE_SECONDS * rate_hz
    # Below 20 Hz brown noise would be all rumble.
    flat_below = 20.0 * _MADE_SECONDS
    return [coloured_noise(length, beta, rng, dbfs=_MADE_DBFS, flat_below_bin=flat_below) for beta in (0, 1, 2)]
