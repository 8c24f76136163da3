"""Change the sound of a training clip, differently in each epoch.

Sound is float32 of shape (n,), full scale ±1, until it is rounded at the end:
512 times finer than int16 at full scale, and twice as quick as float64.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from scipy import fft  # of float32 in float32, and several times as quick as numpy's

from kwspot.runtime.features.level import to_int16
from kwspot.runtime.features.spec import INT16_FULL_SCALE
from kwspot.train.config.tables import AugmentConfig
from kwspot.train.data.noise import NoiseBank, rms

Sound = NDArray[np.floating]

_BANDS_HZ = (0.0, 150.0, 400.0, 800.0, 1600.0, 3200.0, 5600.0, 8000.0)
# From a furnished room to a hall, and how loud its answer is beside the direct sound.
_ROOM_DECAY_S = (0.05, 0.4)
_ROOM_LEVEL = (0.02, 0.2)


def shift_by(sound: Sound, shift: int) -> Sound:
    """Move a sound later by `shift` samples: ``out[k] == sound[k - shift]``, zeros where there is none."""
    out = np.zeros_like(sound)
    if shift >= 0:
        out[shift:] = sound[: len(sound) - shift]
    else:
        out[:shift] = sound[-shift:]
    return out


def amplify(sound: Sound, gain_db: float) -> Sound:
    """Make a sound louder by `gain_db`."""
    return sound * 10 ** (gain_db / 20)


def mix(sound: Sound, noise: Sound, snr_db: float) -> Sound:
    """Add `noise` to `sound`, scaled so that the sound's power is `snr_db` above the noise's.

    Power is the mean over the whole clip. If either is all zeros there is no
    such scale, and the sound comes back as it is.
    """
    sound_rms, noise_rms = rms(sound), rms(noise)
    if sound_rms == 0 or noise_rms == 0:
        return sound
    return sound + noise * (sound_rms / noise_rms * 10 ** (-snr_db / 20))


def change_speed(sound: Sound, factor: float) -> Sound:
    """Play faster and higher by `factor` about the middle: ``out[k] == sound[m + (k - m) * factor]``, linear between
    samples and zeros beyond the ends. One step for speed and pitch, as a tape played faster."""
    middle = (len(sound) - 1) / 2
    places = np.arange(len(sound))
    return np.interp(middle + (places - middle) * factor, places, sound, left=0.0, right=0.0).astype(np.float32)


def convolve(sound: Sound, response: Sound) -> Sound:
    """Through an impulse response, float32 (m,), cut to the length of the sound."""
    size = fft.next_fast_len(len(sound) + len(response) - 1, real=True)
    return fft.irfft(fft.rfft(sound, size) * fft.rfft(response, size), size)[: len(sound)]


def equalise(sound: Sound, gains_db: NDArray[np.float64], rate_hz: int) -> Sound:
    """Another microphone: gains at `_BANDS_HZ`, float64 (8,), straight lines between them; zero phase."""
    size = fft.next_fast_len(len(sound), real=True)
    band, share = _between_bands(size, rate_hz)
    nepers = (gains_db * (np.log(10) / 20)).astype(np.float32)
    gains = np.exp(nepers[band] + share * np.append(np.diff(nepers), np.float32(0))[band])
    return fft.irfft(fft.rfft(sound, size) * gains, size)[: len(sound)]


@functools.lru_cache(maxsize=8)
def _between_bands(size: int, rate_hz: int) -> tuple[NDArray[np.intp], Sound]:
    """For each frequency of an FFT the band at or below it, and how far it is on the way to the next."""
    place = np.interp(np.fft.rfftfreq(size, 1 / rate_hz), _BANDS_HZ, np.arange(len(_BANDS_HZ)))
    band = place.astype(np.intp)
    return band, (place - band).astype(np.float32)


def room_response(rate_hz: int, decay_s: float, level: float, rng: np.random.Generator) -> Sound:
    """Make a simple room, float32 (n,): the direct sound, then noise whose amplitude falls by 60 dB in `decay_s`.

    Polack's model: J. D. Polack, doctoral thesis, Le Mans, 1988.
    """
    length = round(decay_s * rate_hz)
    decay = np.exp(np.arange(length, dtype=np.float32) * np.float32(-np.log(1000) / (decay_s * rate_hz)))
    response = rng.standard_normal(length, dtype=np.float32) * decay * np.float32(level)
    response[0] = 1.0
    return response


def mask_frames(frames: NDArray[np.float32], config: AugmentConfig, rng: np.random.Generator) -> NDArray[np.float32]:
    """SpecAugment: a stretch of frames and a band of coefficients of normalised features (T, C) set to their mean, 0.

    Park et al., Interspeech 2019 (arXiv:1904.08779), without the time warp.
    """
    frames = frames.copy()
    for axis, most in ((0, config.mask_frames), (1, config.mask_bands)):
        most = min(most, frames.shape[axis])
        if most and rng.random() < config.mask_share:
            width = int(rng.integers(1, most + 1))
            start = int(rng.integers(frames.shape[axis] - width + 1))
            frames[(slice(None),) * axis + (slice(start, start + width),)] = 0.0
    return frames


def overdrive(sound: Sound, above_db: float) -> Sound:
    """Overdrive a clip as a microphone that is set too loud does: its peak `above_db` over full scale, clipped at ±1.

    Silence stays silence.
    """
    peak = float(np.abs(sound).max(initial=0.0))
    return np.clip(sound * np.float32(10 ** (above_db / 20) / peak), -1, 1) if peak > 0 else sound


def augment(
    samples: NDArray[np.int16], config: AugmentConfig, noise: NoiseBank, rate_hz: int, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Change one clip, int16 (n,): speed, place, microphone, room, level and noise, as drawn from `rng`."""
    sound: Sound = samples.astype(np.float32) / INT16_FULL_SCALE
    if config.speed_share > 0 and rng.random() < config.speed_share:
        sound = change_speed(sound, rng.uniform(*config.speed))
    if config.time_shift_ms > 0:
        most = min(round(config.time_shift_ms * rate_hz / 1000), len(sound))
        sound = shift_by(sound, int(rng.integers(-most, most + 1)))
    if config.equaliser_share > 0 and rng.random() < config.equaliser_share:
        sound = equalise(sound, rng.uniform(-config.equaliser_db, config.equaliser_db, len(_BANDS_HZ)), rate_hz)
    if config.room_share > 0 and rng.random() < config.room_share:
        room = room_response(rate_hz, rng.uniform(*_ROOM_DECAY_S), rng.uniform(*_ROOM_LEVEL), rng)
        sound = convolve(sound, room)
    if config.noise_share > 0 and rng.random() < config.noise_share:
        crop = noise.crop(rng, len(sound)).astype(np.float32) / INT16_FULL_SCALE
        sound = mix(sound, crop, rng.uniform(*config.noise_snr_db))
    if config.overdrive_share > 0 and rng.random() < config.overdrive_share:
        sound = overdrive(sound, rng.uniform(*config.overdrive_db))
    elif config.gain_db != (0.0, 0.0):
        sound = amplify(sound, rng.uniform(*config.gain_db))
    return to_int16(sound)
