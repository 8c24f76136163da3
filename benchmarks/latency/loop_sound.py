"""Sound to push through a loop that is measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.errors import RecordingError
from kwspot.runtime.features.level import to_int16

SOUND_S = 30
"""So much sound is pushed, again and again: it is in memory, and memory is measured."""


def sound_of(path: str, rate_hz: int, least_samples: int) -> NDArray[np.int16]:
    """Read the first stretch of a file, int16 (n,); a shorter one than `least_samples` is refused."""
    sound = read_sound(path, rate_hz)[: SOUND_S * rate_hz]
    if len(sound) < least_samples:
        raise RecordingError(f"{path} is shorter than {least_samples} samples at {rate_hz} Hz; expected a longer one")
    return sound


def synthetic_sound(rate_hz: int) -> NDArray[np.int16]:
    """Make noise, int16 (n,), that swells and fades about as often as syllables do; the same every time.

    Of all steps only the decision has a branch that depends on the sound.
    """
    t = np.arange(SOUND_S * rate_hz) / rate_hz
    swell = np.maximum(0.0, np.sin(2 * np.pi * 3.0 * t)) * (1 + np.sin(2 * np.pi * 0.2 * t)) / 2
    noise = np.random.default_rng(20).standard_normal(len(t))
    return to_int16(0.2 * swell * noise)
