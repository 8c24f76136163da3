"""What is done to the sound of a training clip, so that no epoch hears the same one twice.

Sound is float64 of shape (n,), full scale ±1, until it is rounded at the end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.sound_files import to_int16
from kwspot.runtime.spec import INT16_FULL_SCALE
from kwspot.train.config import AugmentConfig
from kwspot.train.noise import NoiseBank, rms

Sound = NDArray[np.float64]


def shifted(sound: Sound, shift: int) -> Sound:
    """Later by `shift` samples (earlier if negative): ``out[k] == sound[k - shift]``, zeros where there is none."""
    out = np.zeros_like(sound)
    if shift >= 0:
        out[shift:] = sound[: len(sound) - shift]
    else:
        out[:shift] = sound[-shift:]
    return out


def amplified(sound: Sound, gain_db: float) -> Sound:
    """Louder by `gain_db`."""
    return sound * 10 ** (gain_db / 20)


def mixed(sound: Sound, noise: Sound, snr_db: float) -> Sound:
    """`sound` and `noise`, scaled so that the sound's power is `snr_db` above the noise's.

    Power is the mean over the whole clip. If either is all zeros there is no
    such scale, and the sound comes back as it is.
    """
    sound_rms, noise_rms = rms(sound), rms(noise)
    if sound_rms == 0 or noise_rms == 0:
        return sound
    return sound + noise * (sound_rms / noise_rms * 10 ** (-snr_db / 20))


def augment(
    samples: NDArray[np.int16], config: AugmentConfig, noise: NoiseBank, rate_hz: int, rng: np.random.Generator
) -> NDArray[np.int16]:
    """One clip, int16 (n,), shifted, amplified and mixed with noise as drawn from `rng`; int16 (n,)."""
    sound = samples / INT16_FULL_SCALE
    if config.time_shift_ms > 0:
        most = min(round(config.time_shift_ms * rate_hz / 1000), len(sound))
        sound = shifted(sound, int(rng.integers(-most, most + 1)))
    if config.gain_db != (0.0, 0.0):
        sound = amplified(sound, rng.uniform(*config.gain_db))
    if config.noise_share > 0 and rng.random() < config.noise_share:
        crop = noise.crop(rng, len(sound)) / INT16_FULL_SCALE
        sound = mixed(sound, crop, rng.uniform(*config.noise_snr_db))
    return to_int16(sound)
