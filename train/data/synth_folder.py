"""Write a data folder of synthesised words: ``kwspot data synth``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.recordings import NOISE_FOLDER, SYNTHESIS_RECIPE
from kwspot.runtime.audio.wav import write_wav
from kwspot.runtime.errors import ConfigError, DataFolderError
from kwspot.runtime.features.level import to_int16
from kwspot.runtime.features.spec import INT16_FULL_SCALE
from kwspot.runtime.files import whole_folder, write_whole_json
from kwspot.runtime.names import check_word
from kwspot.train.data.noise import coloured_noise
from kwspot.train.speech.espeak import SYNTH_RATE_HZ, EspeakVoice, Synthesiser, espeak_voices
from kwspot.train.speech.phrases import check_writing

LEAST_VOICES = 3
"""One for each part; of ten voices one is for validation and one for the test."""

_QUIETEST_DBFS, _LOUDEST_DBFS = -30.0, -3.0
_NOISE_S = 30
# Power falls with f^-exponent.
_NOISES = {"white_noise": 0.0, "pink_noise": 1.0, "brown_noise": 2.0}


def write_synthetic_folder(
    target: Path, words: Sequence[str], *, clips_per_word: int, voice_count: int, seed: int, overwrite: bool
) -> None:
    """Speak each word `clips_per_word` times, by turns with each voice, and write the data folder.

    A clip is one second at 16 kHz (longer where the word is), the word anywhere
    in it, its peak between -30 and -3 dBFS. Every utterance has its own rate and
    pitch, near the voice's own. The lists give one voice of ten to validation
    and one to the test. The same arguments give the same bytes.

    Raises
    ------
    ConfigError
        If a word is no name for a folder or gives no sound, or the counts do
        not fit each other.
    DataFolderError
        If `target` is in the way: without `overwrite` whatever it is, and with
        it, if it was not made here. Recordings are not replaced.
    """
    _check_words(words)
    if not LEAST_VOICES <= voice_count <= clips_per_word:
        raise ConfigError(
            f"{voice_count} voices for {clips_per_word} clips per word; expected from {LEAST_VOICES} voices "
            "(one for each part) to as many as clips: change --voices or --per-word"
        )
    _check_target(target, overwrite=overwrite)
    synthesiser = Synthesiser()
    voices = espeak_voices(seed, voice_count)
    with whole_folder(target, overwrite=overwrite) as folder:
        for word_index, word in enumerate(words):
            (folder / word).mkdir()
            for k in range(clips_per_word):
                rng = np.random.default_rng([seed, 2, word_index, k])
                utterance, voice = divmod(k, voice_count)
                sound = _placed(synthesiser.speak(word, _vary(voices[voice], rng)), rng)
                write_wav(folder / word / f"{voices[voice].name}_nohash_{utterance}.wav", sound, SYNTH_RATE_HZ)
        (folder / NOISE_FOLDER).mkdir()
        for index, (name, exponent) in enumerate(_NOISES.items()):
            noise = coloured_noise(_NOISE_S * SYNTH_RATE_HZ, exponent, np.random.default_rng([seed, 3, index]))
            write_wav(folder / NOISE_FOLDER / f"{name}.wav", noise, SYNTH_RATE_HZ)
        for list_name, remainder in (("validation_list.txt", 0), ("testing_list.txt", 1)):
            chosen = [each.name for each in voices[remainder::10]]
            paths = sorted(path for name in chosen for path in folder.glob(f"*/{name}_nohash_*.wav"))
            lines = [path.relative_to(folder).as_posix() for path in paths]
            (folder / list_name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        recipe = {
            "schema": "kwspot.synth/1",
            "words": list(words),
            "clips_per_word": clips_per_word,
            "voices": voice_count,
            "seed": seed,
            "versions": {"kwspot": version("kwspot"), "espeak-ng": synthesiser.version, "numpy": np.__version__},
        }
        write_whole_json(folder / SYNTHESIS_RECIPE, recipe)


def _vary(voice: EspeakVoice, rng: np.random.Generator) -> EspeakVoice:
    return dataclasses.replace(
        voice,
        rate_wpm=round(voice.rate_wpm * rng.uniform(0.9, 1.1)),
        pitch=int(np.clip(voice.pitch + rng.integers(-6, 7), 0, 99)),
    )


def _placed(word: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.int16]:
    """Put the word at a random level and place within a second, int16 (max(n, 16000),)."""
    peak = 10 ** (rng.uniform(_QUIETEST_DBFS, _LOUDEST_DBFS) / 20)
    spare = max(0, SYNTH_RATE_HZ - len(word))
    before = int(rng.integers(0, spare + 1))
    level = word / INT16_FULL_SCALE  # (n,)
    return np.pad(to_int16(level * (peak / np.abs(level).max())), (before, spare - before))


def _check_words(words: Sequence[str]) -> None:
    for word in words:
        check_word(word)
        check_writing(word, "en")
    twice = [word for word in words if words.count(word) > 1]
    if twice:
        raise ConfigError(f"the word {twice[0]!r} is named twice; expected each word once: name it once")


def _check_target(target: Path, *, overwrite: bool) -> None:
    if not target.exists():
        return
    if not overwrite:
        raise DataFolderError(f"{target} exists; expected a new folder: choose another, or add --overwrite")
    if not (target / SYNTHESIS_RECIPE).is_file():
        raise DataFolderError(
            f"{target} was not made by kwspot data synth (it has no {SYNTHESIS_RECIPE}); expected such a folder, since "
            "--overwrite would remove all in it: choose another"
        )
