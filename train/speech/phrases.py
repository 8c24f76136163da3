"""What a phrase must be so that programs can speak it, how it will be spoken, and how long that takes."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.parts import compose
from kwspot.runtime.audio.wav import write_wav
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.files import whole_folder
from kwspot.runtime.names import check_word
from kwspot.train.speech.espeak import SYNTH_RATE_HZ, Synthesiser
from kwspot.train.speech.phonemes import LEAST_PHONEMES, phonemes_of
from kwspot.train.speech.voices import VoiceSet, at_drawn_level

LONGEST_CLIP_MS = 3000
"""Longer ones would cost memory and time for phrases that few people want to say."""

LONGEST_UTTERANCE_MS = 2850
"""A slower one is not used: people say a long phrase faster than a word alone."""

# A clip holds all but the slowest utterances, with some time around them.
_CLIP_PERCENTILE, _AROUND_MS = 95, 150
# Two frames: a stream's step, so that the network's stride of two leaves no frame of the clip over.
_CLIP_STEP_MS, _SHORTEST_CLIP_MS = 40, 1000

# Signs that are not spoken, and that a folder's name may hold.
_SIGNS = "'’ʼ-‐,.!;¡· "
# Which languages espeak-ng reads a script in, where it is not Latin, which it reads in all.
_LANGUAGES_OF = {
    "ARABIC": ("ar", "fa", "ur", "sd", "ug"),
    "ARMENIAN": ("hy", "hyw"),
    "BENGALI": ("bn", "as", "bpy"),
    "CHEROKEE": ("chr",),
    "CJK": ("cmn", "yue", "zh"),
    "CYRILLIC": ("ru", "uk", "be", "bg", "sr", "mk", "kk", "ky", "tt", "ba", "cv"),
    "DEVANAGARI": ("hi", "mr", "ne", "kok"),
    "ETHIOPIC": ("am",),
    "GEORGIAN": ("ka",),
    "GREEK": ("el", "grc"),
    "GUJARATI": ("gu",),
    "GURMUKHI": ("pa",),
    "HANGUL": ("ko",),
    "HEBREW": ("he",),
    "HIRAGANA": ("ja",),
    "KANNADA": ("kn",),
    "KATAKANA": ("ja",),
    "MALAYALAM": ("ml",),
    "MYANMAR": ("my", "shn"),
    "ORIYA": ("or",),
    "SINHALA": ("si",),
    "TAMIL": ("ta",),
    "TELUGU": ("te",),
    "THAI": ("th",),
}
_MEASURED, _MEASURED_PROGRAMS_SHARE = 30, 0.3
_LISTENED_TO = 6


@dataclass(frozen=True)
class SpokenPhrase:
    """A phrase and how espeak-ng speaks it, in the International Phonetic Alphabet."""

    phrase: str
    ipa: str

    @property
    def is_short(self) -> bool:
        """Return whether so few sounds are part of many other words."""
        return len(phonemes_of(self.ipa)) < LEAST_PHONEMES


def tidy_phrase(phrase: str) -> str:
    """Return the phrase with composed letters and single spaces.

    >>> tidy_phrase(" scho\\u0308ner   tag ")
    'schöner tag'
    """
    return " ".join(compose(phrase).split())


def transcribe(phrases: Sequence[str], language: str, synthesiser: Synthesiser) -> list[SpokenPhrase]:
    """Transcribe phrases as espeak-ng speaks them.

    Raises
    ------
    ConfigError
        If a phrase has a sign, letters of another language's script, or
        nothing to speak; if two sound the same; if espeak-ng does not speak
        the language.
    """
    accent = synthesiser.accents(language)[0]
    phrase_of: dict[tuple[str, ...], str] = {}
    found = []
    for phrase in phrases:
        check_writing(phrase, language)
        ipa = synthesiser.phonemes(phrase, accent)
        sounds = phonemes_of(ipa)
        if not sounds:
            raise ConfigError(
                f"espeak-ng cannot speak {phrase!r} in the language {language}; expected a word or phrase of that "
                "language: spell it as it sounds, or name another --language"
            )
        if sounds in phrase_of:
            raise ConfigError(
                f"{phrase_of[sounds]!r} and {phrase!r} sound the same ({''.join(sounds)}); expected phrases that can "
                "be told apart: name one of them alone"
            )
        phrase_of[sounds] = phrase
        found.append(SpokenPhrase(phrase, ipa))
    return found


def check_writing(phrase: str, language: str) -> None:
    """Refuse a phrase whose signs or letters would be spoken by their names, or that is no name for a folder."""
    letters = [c for c in phrase if unicodedata.category(c).startswith("L")]
    signs = dict.fromkeys(
        c for c in phrase if c not in _SIGNS and unicodedata.category(c)[0] not in "LM" and not c.isdecimal()
    )
    if signs:
        raise ConfigError(
            f"{phrase!r} has the sign {', '.join(map(repr, signs))}; expected a word or phrase in letters: leave the "
            "sign out, or write it as it is spoken"
        )
    if not letters:
        raise ConfigError(f"{phrase!r} has no letters to speak; expected a word or phrase: spell it in letters")
    own = language.partition("-")[0]
    for letter in letters:
        script = unicodedata.name(letter, "UNKNOWN").partition(" ")[0].partition("-")[0]
        languages = _LANGUAGES_OF.get(script, ())
        if script not in ("LATIN", "MODIFIER") and own not in languages:
            remedy = (
                f"name its language with --language {' or '.join(languages)}"
                if languages
                else "spell the phrase in other letters"
            )
            raise ConfigError(
                f"{phrase!r} has the letter {letter!r} ({script.title() if script != 'CJK' else 'Chinese'}), which "
                f"espeak-ng does not read in the language {language!r}; {remedy}"
            )
    check_word(phrase)


def check_length(phrase: str, voices: VoiceSet, seed: int) -> None:
    """Refuse a phrase that half of the voices cannot say within the longest clip, so that none is cut.

    Raises
    ------
    ConfigError
        If so; the message says how many words fit.
    """
    lengths_ms = []
    for number in range(_MEASURED):
        rng = np.random.default_rng([seed, 0x4C, number])
        sound = voices.draw(rng, held_out=False, programs_share=_MEASURED_PROGRAMS_SHARE).speak(phrase, rng)
        lengths_ms.append(1000 * len(sound) / SYNTH_RATE_HZ)
    middle_ms = float(np.median(lengths_ms))
    if middle_ms > LONGEST_UTTERANCE_MS:
        words = len(phrase.split())
        fit = int(words * LONGEST_UTTERANCE_MS / middle_ms)
        shorter = f"about {fit} of its {words} words fit: choose" if fit else "choose"
        raise ConfigError(
            f"{phrase!r} takes about {middle_ms / 1000:.1f} s to say; expected {LONGEST_UTTERANCE_MS / 1000:g} s at "
            f"most, as long as the network hears at once; {shorter} a shorter phrase"
        )


def clip_ms(utterances_ms: NDArray[np.float64]) -> int:
    """Choose how long a clip has to be for utterances of these lengths, float64 (n,), in steps of 40 ms from 1 to 3 s.

    >>> clip_ms(np.full(20, 700.0)), clip_ms(np.full(20, 1240.0)), clip_ms(np.full(20, 4000.0))
    (1000, 1400, 3000)
    """
    wanted = float(np.percentile(utterances_ms, _CLIP_PERCENTILE)) + _AROUND_MS
    steps = int(np.ceil((wanted - _SHORTEST_CLIP_MS) / _CLIP_STEP_MS))
    return min(_SHORTEST_CLIP_MS + max(steps, 0) * _CLIP_STEP_MS, LONGEST_CLIP_MS)


def write_samples(phrases: Sequence[str], voices: VoiceSet, target: Path, seed: int) -> int:
    """Write each phrase, spoken by a few drawn voices, into a new folder to listen to; return how many files."""
    with whole_folder(target) as folder:
        for phrase in phrases:
            for number in range(_LISTENED_TO):
                rng = np.random.default_rng([seed, 0x48, number])
                voice = voices.draw(rng, held_out=False, programs_share=0.5)
                sound = at_drawn_level(voice.speak(phrase, rng), rng)
                write_wav(folder / f"{phrase} {number + 1} {voice.name}.wav", sound, SYNTH_RATE_HZ)
    return len(phrases) * _LISTENED_TO
