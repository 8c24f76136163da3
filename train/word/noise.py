"""Write noise to mix into utterances: coloured, of many speakers at once, and of the rooms of recordings.

Utterances of programs have no room and no microphone. If only recordings of other
words had a room, the network would learn rooms.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.audio.wav import write_wav
from kwspot.runtime.features.level import to_int16
from kwspot.runtime.features.spec import INT16_FULL_SCALE
from kwspot.train.data.noise import coloured_noise, rms
from kwspot.train.speech.espeak import SYNTH_RATE_HZ

_NOISE_S = 30
_BABBLERS = 8
_ROOMS, _ROOMS_OF_FILE, _ROOM_S = 480, 40, 1.5
_BLOCK = 512
# Of a recording's blocks, those taken to be its room.
_QUIET_SHARE = 0.15
_ROOM_DBFS = -30.0


def write_noise(folder: Path, sentences: Path, seed: int) -> None:
    """Write white, pink and brown noise, and the babble of some speakers."""
    folder.mkdir()
    length = _NOISE_S * SYNTH_RATE_HZ
    for exponent, name in enumerate(("white", "pink", "brown")):
        noise = coloured_noise(length, float(exponent), np.random.default_rng([seed, 0x4E, exponent]))
        write_wav(folder / f"{name}.wav", noise, SYNTH_RATE_HZ)
    rng = np.random.default_rng([seed, 0x4E, 3])
    paths = sorted(sentences.glob("*.wav"))
    for number in range(2):
        babble = np.zeros(length)
        for _ in range(_BABBLERS):
            parts = [read_sound(paths[k], SYNTH_RATE_HZ) for k in rng.integers(len(paths), size=12)]
            babble += np.resize(np.concatenate(parts), length) / INT16_FULL_SCALE
        level = to_int16(babble / np.abs(babble).max() * 0.7)
        write_wav(folder / f"babble{number}.wav", level, SYNTH_RATE_HZ)


def write_rooms(folder: Path, paths: Sequence[Path], seed: int) -> int:
    """Write noise with the spectrum of the quiet parts of some recordings, 12 files; return of how many recordings."""
    rng = np.random.default_rng([seed, 0x4E, 4])
    chosen = [paths[k] for k in rng.permutation(len(paths))[:_ROOMS]]
    rooms = [room for path in chosen if len(room := draw_room_noise(read_sound(path, SYNTH_RATE_HZ), rng))]
    for number, start in enumerate(range(0, len(rooms), _ROOMS_OF_FILE)):
        write_wav(folder / f"rooms{number}.wav", np.concatenate(rooms[start : start + _ROOMS_OF_FILE]), SYNTH_RATE_HZ)
    return len(rooms)


def draw_room_noise(sound: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.int16]:
    """Draw steady noise, int16 (n,), that sounds like a recording's quiet parts; empty if they are digital silence."""
    blocks = sound[: len(sound) // _BLOCK * _BLOCK].reshape(-1, _BLOCK) / INT16_FULL_SCALE
    loudness = np.sqrt(np.mean(blocks**2, axis=1))
    sounding = blocks[loudness > 1 / INT16_FULL_SCALE]
    if not len(sounding):
        return np.empty(0, np.int16)
    order = np.argsort(np.sqrt(np.mean(sounding**2, axis=1)))
    quiet = sounding[order[: max(1, round(_QUIET_SHARE * len(sounding)))]]
    power = np.mean(np.abs(np.fft.rfft(quiet * np.hanning(_BLOCK))) ** 2, axis=0)
    length = round(_ROOM_S * SYNTH_RATE_HZ)
    spectrum = np.fft.rfft(rng.standard_normal(length))
    at_hz = np.fft.rfftfreq(length, 1 / SYNTH_RATE_HZ)
    gain = np.sqrt(np.interp(at_hz, np.fft.rfftfreq(_BLOCK, 1 / SYNTH_RATE_HZ), power))
    noise = np.fft.irfft(spectrum * gain, length)
    return to_int16(noise * (10 ** (_ROOM_DBFS / 20) / rms(noise)))
