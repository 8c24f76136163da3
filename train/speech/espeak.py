"""Speak words by espeak-ng, offline: something to train on before anything is recorded.

The library comes in the wheel ``espeakng-loader`` and is under the GPL-3,
which is why it is an extra of its own and loaded only here; the sound it makes
belongs to whoever made it. It is one formant timbre with many settings: good
for trying everything out, thin for a product.
"""

from __future__ import annotations

import _ctypes
import contextlib
import ctypes
import dataclasses
import itertools
import os
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.errors import ConfigError
from kwspot.runtime.features.level import to_int16
from kwspot.runtime.features.spec import INT16_FULL_SCALE

SYNTH_RATE_HZ = 16_000

ACCENTS = ("en", "en-029", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-gb-x-rp", "en-us", "en-us-nyc")
"""espeak-ng's voices of English that read Latin letters."""

# Robots, whispers and jests are left out: nobody will say a word to the board that way.
# fmt: off
VARIANTS = (
    "Alex", "Alicia", "Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Gene2", "Henrique", "Hugo", "Jacky",
    "Lee", "Mario", "Michael", "Mike", "Nguyen", "Reed", "Storm", "adam", "anika", "announcer", "antonio", "aunty",
    "belinda", "benjamin", "boris", "caleb", "david", "ed", "edward", "edward2", "f1", "f2", "f3", "f4", "f5",
    "grandma", "grandpa", "gustave", "ian", "iven", "iven2", "iven3", "iven4", "john", "kaukovalta", "klatt",
    "klatt2", "klatt3", "klatt4", "klatt5", "klatt6", "linda", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8",
    "marcelo", "max", "michel", "miguel", "mike2", "norbert", "pablo", "paul", "pedro", "quincy", "rob", "robert",
    "sandro", "shelby", "steph", "steph2", "steph3", "travis", "victor", "zac",
)
# fmt: on

# From espeak-ng's speak_lib.h.
_SYNCHRONOUS = 2
_DO_NOT_EXIT = 0x8000
_TEXT_IS_UTF8 = 1
_PHONEMES_AS_IPA = 2
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
# Some variants clip at the default of 100.
_VOLUME_WITH_HEADROOM = 50
# -60 dBFS: what is below at either end is not speech.
_SILENCE_PEAK = INT16_FULL_SCALE // 1000

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
# All state of the library is global to the process.
_one_at_a_time = threading.Lock()


@dataclasses.dataclass(frozen=True, slots=True)
class EspeakVoice:
    """A voice of espeak-ng: an accent and a variant at a rate and a pitch.

    `pitch` and `intonation` (how far the pitch moves) go from 0 to 99.
    """

    name: str
    accent: str
    variant: str
    rate_wpm: int
    pitch: int
    intonation: int


def espeak_voices(seed: int, count: int, accents: Sequence[str] = ACCENTS) -> list[EspeakVoice]:
    """Draw distinct voices, always the same for a seed; fewer are the first of more.

    An accent and variant come again, at another rate and pitch, only after all
    have had their turn.
    """
    pairs = list(itertools.product(accents, VARIANTS))
    found = []
    for index in range(count):
        turn, place = divmod(index, len(pairs))
        accent, variant = pairs[np.random.default_rng([seed, 0, turn]).permutation(len(pairs))[place]]
        rng = np.random.default_rng([seed, 1, index])
        found.append(
            EspeakVoice(
                name=f"{accent}-{variant}-{index:04}",
                accent=accent,
                variant=variant,
                rate_wpm=int(rng.integers(130, 221)),
                pitch=int(rng.integers(25, 76)),
                intonation=int(rng.integers(20, 81)),
            )
        )
    return found


class Synthesiser:
    """espeak-ng, so that the same text and voice always give the same sound.

    The library keeps phases, echoes and a random generator from one utterance
    to the next, and neither setting a voice nor initialising it again clears
    them: the first word would change the second. It is therefore loaded afresh
    for each utterance (about 5 ms) and its random generators are seeded.
    """

    def __init__(self) -> None:
        import espeakng_loader

        self._library_path = str(espeakng_loader.get_library_path())
        self._data_path = Path(espeakng_loader.get_data_path())
        with self._fresh_library() as (library, _):
            library.espeak_Info.restype = ctypes.c_char_p
            self.version = str(library.espeak_Info(None), "ascii")

    def speak(self, text: str, voice: EspeakVoice) -> NDArray[np.int16]:
        """Speak a text, and return the sound without the silence around it.

        Returns
        -------
        int16, shape (n,), n > 0
            At `SYNTH_RATE_HZ`, as loud as the voice happens to be.

        Raises
        ------
        ConfigError
            If nothing is heard (a text of signs alone), or the library does
            not know the voice.
        """
        import soxr

        sound, rate_hz = self._utter(text, voice)
        heard = np.flatnonzero(np.abs(sound.astype(np.int32)) > _SILENCE_PEAK)
        if len(heard) == 0:
            raise ConfigError(f"{text!r} gives no sound when spoken; expected a word or phrase: spell it in letters")
        sound = sound[heard[0] : heard[-1] + 1]
        return to_int16(soxr.resample(sound / INT16_FULL_SCALE, rate_hz, SYNTH_RATE_HZ, quality="HQ"))

    def accents(self, language: str) -> list[str]:
        """List espeak-ng's voices that speak a language, such as "de" or "fr-be", the plain one first.

        Raises
        ------
        ConfigError
            If there is none; the message lists all languages.
        """
        if language == "en":
            return list(ACCENTS)
        # A voice may name several languages ("cmn" is "zh", too), and answers to its file's name or to some of them;
        # some have no dictionary, and so say nothing.
        voices_of = {}
        for file in sorted((self._data_path / "lang").rglob("*")):
            text = file.read_text(encoding="utf-8") if file.is_file() else ""
            codes = re.findall(r"^language\s+(\S+)", text, re.MULTILINE)
            named = re.findall(r"^dictionary\s+(\S+)", text, re.MULTILINE)
            if any((self._data_path / f"{name.partition('-')[0]}_dict").is_file() for name in (*named, *codes)):
                voices_of[file.name] = codes
        found = set()
        with self._fresh_library() as (library, _):
            for name, codes in voices_of.items():
                if any(code == language or code.startswith(f"{language}-") for code in codes):
                    answers = (code for code in (name, *codes) if library.espeak_SetVoiceByName(code.encode()) == 0)
                    found |= {next(answers)}
        if not found:
            known = ", ".join(sorted({code.partition("-")[0] for codes in voices_of.values() for code in codes}))
            raise ConfigError(f"espeak-ng speaks no language {language!r}; expected one of {known}")
        return sorted(found, key=lambda code: (code != language, code))

    def phonemes(self, text: str, accent: str = "en-us") -> str:
        """Transcribe a text into the International Phonetic Alphabet; equal for "know" and "no".

        Raises
        ------
        ConfigError
            If the library does not know the accent.
        """
        with self._fresh_library() as (library, _):
            if library.espeak_SetVoiceByName(accent.encode()) != 0:
                raise ConfigError(f"espeak-ng {self.version} has no accent {accent!r}; expected one of its voices")
            library.espeak_TextToPhonemes.restype = ctypes.c_char_p
            rest = ctypes.c_char_p(text.encode())
            clauses = []
            while rest.value is not None:
                clauses.append(library.espeak_TextToPhonemes(ctypes.byref(rest), _TEXT_IS_UTF8, _PHONEMES_AS_IPA))
        return " ".join(str(clause, "utf-8") for clause in clauses)

    def _utter(self, text: str, voice: EspeakVoice) -> tuple[NDArray[np.int16], int]:
        # An unknown variant would be passed over in silence.
        if not (self._data_path / "voices" / "!v" / voice.variant).is_file():
            raise ConfigError(
                f"espeak-ng {self.version} has no variant {voice.variant!r}; expected one of its voices/!v"
            )
        blocks: list[NDArray[np.int16]] = []

        def keep(samples: Any, count: int, _events: int | None) -> int:
            # The library calls a last time without samples.
            if samples and count > 0:
                blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
            return 0  # go on

        callback = _Callback(keep)
        with self._fresh_library() as (library, rate_hz):
            library.espeak_SetSynthCallback(callback)
            if library.espeak_SetVoiceByName(f"{voice.accent}+{voice.variant}".encode()) != 0:
                raise ConfigError(
                    f"espeak-ng {self.version} has no accent {voice.accent!r}; expected one of {', '.join(ACCENTS)}"
                )
            # After the voice, which brings settings of its own.
            for parameter, value in (
                (_RATE, voice.rate_wpm),
                (_VOLUME, _VOLUME_WITH_HEADROOM),
                (_PITCH, voice.pitch),
                (_RANGE, voice.intonation),
            ):
                library.espeak_SetParameter(parameter, value, 0)
            encoded = text.encode() + b"\0"
            status = library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded)), 0, 0, 0, _TEXT_IS_UTF8, None, None)
            if status != 0:
                raise ConfigError(f"espeak-ng cannot speak {text!r} (status {status}); expected a word or short phrase")
        return (np.concatenate(blocks) if blocks else np.empty(0, np.int16)), rate_hz

    @contextlib.contextmanager
    def _fresh_library(self) -> Iterator[tuple[ctypes.CDLL, int]]:
        """Load the library afresh: give it, and the rate of its sound in Hz."""
        with _one_at_a_time:
            library = ctypes.CDLL(self._library_path)
            try:
                # Without the last flag a missing file would end the whole program.
                rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(self._data_path), _DO_NOT_EXIT)
                if rate_hz <= 0:
                    raise ConfigError(
                        f"espeak-ng does not start with its data in {self._data_path}; expected the files of the "
                        "wheel: pip install --force-reinstall espeakng-loader"
                    )
                try:
                    # Some variants draw noise from either of the two.
                    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
                    ctypes.CDLL(None).srand(1)
                    yield library, rate_hz
                finally:
                    library.espeak_Terminate()
            finally:
                _ctypes.dlclose(library._handle)
