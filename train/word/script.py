"""What is said for a phrase, by whom, and the saying of it; what has been said once is not said again."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kwspot.runtime.audio.wav_file import write_wav
from kwspot.train.speech.espeak import SYNTH_RATE_HZ
from kwspot.train.speech.voices import Cast, at_drawn_level

_WORKERS = 3
_TOLD_EVERY = 1000
_VALIDATION_SHARE = 1 / 6
_WORDS_OF_SENTENCE = (5, 12)
# Of a WAV file as write_wav makes it; behind it come two bytes for each sample.
_HEADER_BYTES = 44


@dataclass(frozen=True)
class Line:
    """Something to say: where it goes, and by which part of which cast ("" is that of the phrase's language)."""

    folder: Path
    text: str
    held: bool
    number: int
    language: str = ""


def utterances(root: Path, texts: Sequence[str], count: int, *, each: bool) -> Iterator[Line]:
    """Each text so often to train on, and a share of that by held-out voices.

    With `each` they share one folder, and where a share is less than a take, some texts go without.
    """
    held_every = round(1 / _VALIDATION_SHARE)
    number = 0
    for text in texts:
        for _ in range(count):
            yield Line(root if each else root / text, text, False, number)
            number += 1
            if number % held_every == 0:
                yield Line(root if each else root / text, text, True, number)


def sentences(
    folder: Path, words: Sequence[str], count: int, seed: int, languages: Sequence[str] = ("",)
) -> Iterator[Line]:
    """Running words to train on, and one in five as many to calibrate with, read in each language in turn."""
    rng = np.random.default_rng([seed, 0x53, len(languages)])
    for number in range(count + count // 5):
        text = " ".join(rng.choice(words, int(rng.integers(*_WORDS_OF_SENTENCE))))
        held, language = number >= count, languages[number % len(languages)]
        yield Line(folder / ("calibrate" if held else "train"), text, held, number, language)


def say_all(
    script: Sequence[Line], casts: Mapping[str, Cast], programs_share: float, seed: int, spoken: Path
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Speak and write every line; returns how many seconds each lasts, float64 (lines,).

    Each is first a whole file in `spoken`, named by its place and its speaker, so that after a kill only what is
    missing there is spoken.
    """
    spoken.mkdir(parents=True, exist_ok=True)
    for place in {line.folder for line in script}:
        place.mkdir(parents=True, exist_ok=True)

    def say(index: int) -> float:
        line, rng = script[index], np.random.default_rng([seed, 0x5A, index])
        speaker = casts[line.language].draw(rng, held=line.held, programs_share=programs_share)
        file = spoken / f"{index:06}-{speaker.name}.wav"
        if not file.is_file():
            beside = file.with_suffix(".part")
            write_wav(beside, at_drawn_level(speaker.say(line.text, rng), rng), SYNTH_RATE_HZ)
            beside.rename(file)
        os.link(file, line.folder / f"{line.language}{speaker.name}_nohash_{line.number}.wav")
        return (file.stat().st_size - _HEADER_BYTES) / 2 / SYNTH_RATE_HZ

    pool, lengths, started = ThreadPoolExecutor(_WORKERS), np.empty(len(script)), time.monotonic()
    try:
        for index, lengths[index] in enumerate(pool.map(say, range(len(script)))):
            if (index + 1) % _TOLD_EVERY == 0 or index + 1 == len(script):
                left_s = (len(script) - index - 1) * (time.monotonic() - started) / (index + 1)
                print(f"spoken {index + 1} of {len(script)}  {left_s:.0f} s left", file=sys.stderr, flush=True)
    finally:
        pool.shutdown(cancel_futures=True)
    return lengths
