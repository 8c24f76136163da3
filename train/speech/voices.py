"""Voices that speak a phrase: espeak-ng's many, and those of other programs where they are installed.

What a program's voices are is decided in :mod:`kwspot.train.speech.programs`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from kwspot.runtime.features.spec import INT16_FULL_SCALE
from kwspot.train.speech.espeak import EspeakVoice, Synthesiser, espeak_voices
from kwspot.train.speech.programs import Sound, Voice, program_voices

ESPEAK_VOICES = 600

# People say a word for a machine slowly: half of the recordings of "amelia" last 0.6 to 1.5 s; espeak-ng's own
# middle of 175 says it in 0.4.
_RATE_WPM = (80, 165)
_PITCH = (15, 85)
_INTONATION = (10, 90)
_TENTH = 10


@dataclasses.dataclass(frozen=True)
class VoiceSet:
    """The voices of a language, those to validate with apart: no timbre is on both sides.

    Attributes
    ----------
    espeak, programs : of espeak-ng, and of other programs (none where none is installed)
    held_out_espeak, held_out_programs : the same, to validate and calibrate with
    """

    espeak: Sequence[Voice]
    programs: Sequence[Voice]
    held_out_espeak: Sequence[Voice]
    held_out_programs: Sequence[Voice]

    def draw(self, rng: np.random.Generator, *, held_out: bool, programs_share: float) -> Voice:
        """Draw a voice: a program's with a chance of `programs_share`, if there is one, else espeak-ng's."""
        espeak, programs = (self.held_out_espeak, self.held_out_programs) if held_out else (self.espeak, self.programs)
        pool = programs if programs and rng.random() < programs_share else espeak
        return pool[int(rng.integers(len(pool)))]

    @property
    def held_out(self) -> Sequence[Voice]:
        """Return all voices to validate with."""
        return (*self.held_out_espeak, *self.held_out_programs)

    @property
    def program_names(self) -> list[str]:
        """Names of the voices that are not espeak-ng's."""
        return sorted(voice.name for voice in (*self.programs, *self.held_out_programs))


def voice_set(synthesiser: Synthesiser, language: str, seed: int, unused: Sequence[str] = ()) -> VoiceSet:
    """Collect all voices of this machine that speak a language, but for the programs' voices named in `unused`.

    Raises
    ------
    ConfigError
        If espeak-ng does not speak the language.
    """
    espeak = [
        Voice(f"espeak-{voice.name}", voice.variant, _speak_by_espeak(synthesiser, voice))
        for voice in espeak_voices(seed, ESPEAK_VOICES, synthesiser.accents(language))
    ]
    programs = [voice for voice in program_voices(language) if voice.name not in unused]
    # A program's voices are worth validating with only if enough stay to train on: from three on, one in ten.
    held_names = {voice.name for voice in programs[::-1][::_TENTH]} if len(programs) >= 3 else set()
    return VoiceSet(
        espeak=[voice for voice in espeak if not _is_held_out(voice.timbre)],
        programs=[voice for voice in programs if voice.name not in held_names],
        held_out_espeak=[voice for voice in espeak if _is_held_out(voice.timbre)],
        held_out_programs=[voice for voice in programs if voice.name in held_names],
    )


def _is_held_out(variant: str) -> bool:
    """Hold one variant in ten out, always the same ones."""
    return hashlib.sha1(variant.encode()).digest()[0] % _TENTH == 0


def _speak_by_espeak(synthesiser: Synthesiser, voice: EspeakVoice) -> Callable[[str, np.random.Generator], Sound]:
    def speak(text: str, rng: np.random.Generator) -> Sound:
        drawn = dataclasses.replace(
            voice,
            rate_wpm=int(rng.integers(*_RATE_WPM)),
            pitch=int(rng.integers(*_PITCH)),
            intonation=int(rng.integers(*_INTONATION)),
        )
        return synthesiser.speak(text, drawn)

    return speak


def at_drawn_level(sound: Sound, rng: np.random.Generator) -> Sound:
    """Return the sound with its peak at a drawn level between -24 and -3 dBFS."""
    peak = 10 ** (rng.uniform(-24.0, -3.0) / 20)
    level = sound / INT16_FULL_SCALE
    return np.round(level * (peak / max(np.abs(level).max(), 1e-6)) * INT16_FULL_SCALE).astype(np.int16)
