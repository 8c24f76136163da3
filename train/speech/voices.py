"""Voices that speak a phrase: espeak-ng's many, and those of other programs where they are installed.

A speaker is a name and a function; what a program's speakers are is decided in
:mod:`kwspot.train.speech.programs`. `timbre` is what must not be on both sides
of a split: espeak-ng's variants come in every accent, and say a word alike.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.features.spec import INT16_FULL_SCALE
from kwspot.train.speech.espeak import Synthesiser, Voice, voices
from kwspot.train.speech.programs import program_voices

Sound = NDArray[np.int16]

ESPEAK_SPEAKERS = 600

# People say a word for a machine slowly: half of the recordings of "amelia" last 0.6 to 1.5 s; espeak-ng's own
# middle of 175 says it in 0.4.
_RATE_WPM = (80, 165)
_PITCH = (15, 85)
_INTONATION = (10, 90)
_TENTH = 10


@dataclasses.dataclass(frozen=True)
class Speaker:
    """One who speaks: `say` gives another take each time, int16 (n,) at 16 kHz, as drawn from its generator."""

    name: str
    timbre: str
    say: Callable[[str, np.random.Generator], Sound]


@dataclasses.dataclass(frozen=True)
class Cast:
    """Speakers of a language, those to validate with apart: no timbre is on both sides.

    Attributes
    ----------
    espeak, programs : of espeak-ng, and of other programs (none where none is installed)
    held_espeak, held_programs : the same, to validate and calibrate with
    """

    espeak: Sequence[Speaker]
    programs: Sequence[Speaker]
    held_espeak: Sequence[Speaker]
    held_programs: Sequence[Speaker]

    def draw(self, rng: np.random.Generator, *, held: bool, programs_share: float) -> Speaker:
        """Someone; a program's voice with a chance of `programs_share`, if there is one."""
        espeak, programs = (self.held_espeak, self.held_programs) if held else (self.espeak, self.programs)
        pool = programs if programs and rng.random() < programs_share else espeak
        return pool[int(rng.integers(len(pool)))]

    @property
    def program_names(self) -> list[str]:
        """Names of the voices that are not espeak-ng's."""
        return sorted(speaker.name for speaker in (*self.programs, *self.held_programs))


def cast(synthesiser: Synthesiser, language: str, seed: int, held_out: Sequence[str] = ()) -> Cast:
    """Everyone who speaks a language on this machine, but for voices of programs that are left out by name.

    Raises
    ------
    ConfigError
        If espeak-ng does not speak the language.
    """
    espeak = [
        Speaker(f"espeak-{voice.name}", voice.variant, _espeak(synthesiser, voice))
        for voice in voices(seed, ESPEAK_SPEAKERS, synthesiser.accents(language))
    ]
    programs = [
        Speaker(voice.name, voice.name, voice.say) for voice in program_voices(language) if voice.name not in held_out
    ]
    # A program's voices are worth validating with only if enough stay to train on: from three on, one in ten.
    held_names = {speaker.name for speaker in programs[::-1][::_TENTH]} if len(programs) >= 3 else set()
    return Cast(
        espeak=[speaker for speaker in espeak if not _held(speaker.timbre)],
        programs=[speaker for speaker in programs if speaker.name not in held_names],
        held_espeak=[speaker for speaker in espeak if _held(speaker.timbre)],
        held_programs=[speaker for speaker in programs if speaker.name in held_names],
    )


def _held(variant: str) -> bool:
    """One variant in ten, always the same ones."""
    return hashlib.sha1(variant.encode()).digest()[0] % _TENTH == 0


def _espeak(synthesiser: Synthesiser, voice: Voice) -> Callable[[str, np.random.Generator], Sound]:
    def say(text: str, rng: np.random.Generator) -> Sound:
        utterance = dataclasses.replace(
            voice,
            rate_wpm=int(rng.integers(*_RATE_WPM)),
            pitch=int(rng.integers(*_PITCH)),
            intonation=int(rng.integers(*_INTONATION)),
        )
        return synthesiser.speak(text, utterance)

    return say


def at_drawn_level(sound: Sound, rng: np.random.Generator) -> Sound:
    """The same with its peak between -24 and -3 dBFS."""
    peak = 10 ** (rng.uniform(-24.0, -3.0) / 20)
    level = sound / INT16_FULL_SCALE
    return np.round(level * (peak / max(np.abs(level).max(), 1e-6)) * INT16_FULL_SCALE).astype(np.int16)
