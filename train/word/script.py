"""What is spoken for a phrase, by which voices, and the speaking of it; what has been spoken is not spoken again."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.wav import write_wav
from kwspot.runtime.progress import Reminder
from kwspot.train.speech.espeak import SYNTH_RATE_HZ
from kwspot.train.speech.voices import VoiceSet, at_drawn_level

_WORKERS = 3
# So often an utterance that is too long is drawn anew.
_TRIES = 12
_VALIDATION_SHARE = 1 / 6
_WORDS_OF_SENTENCE = (5, 12)
# Of a WAV file as write_wav makes it; behind it come two bytes for each sample.
_HEADER_BYTES = 44


@dataclass(frozen=True)
class SpeechTask:
    """A text to speak into a folder, by a voice to train on or one that is held out ("" is the phrase's language)."""

    folder: Path
    text: str
    held_out: bool
    number: int
    language: str = ""
    longest_s: float = math.inf


def utterances(
    root: Path, texts: Sequence[str], count: int, *, each: bool, longest_s: float = math.inf
) -> Iterator[SpeechTask]:
    """Speak each text `count` times to train on, and a sixth of that by held-out voices, none slower than `longest_s`.

    With `each` the texts share one folder, and where a sixth is less than one, some texts go without.
    """
    held_every = round(1 / _VALIDATION_SHARE)
    number = 0
    for text in texts:
        for _ in range(count):
            yield SpeechTask(root if each else root / text, text, False, number, longest_s=longest_s)
            number += 1
            if number % held_every == 0:
                yield SpeechTask(root if each else root / text, text, True, number, longest_s=longest_s)


def sentences(
    folder: Path, words: Sequence[str], count: int, seed: int, languages: Sequence[str] = ("",)
) -> Iterator[SpeechTask]:
    """Draw running words to train on, and a fifth of that to calibrate with, read in each language in turn."""
    rng = np.random.default_rng([seed, 0x53, len(languages)])
    for number in range(count + count // 5):
        text = " ".join(rng.choice(words, int(rng.integers(*_WORDS_OF_SENTENCE))))
        held_out, language = number >= count, languages[number % len(languages)]
        yield SpeechTask(folder / ("calibrate" if held_out else "train"), text, held_out, number, language)


def speak_all(
    script: Sequence[SpeechTask], voices: Mapping[str, VoiceSet], programs_share: float, seed: int, cache: Path
) -> NDArray[np.float64]:
    """Speak and write each task, and return how many seconds each lasts, float64 (tasks,).

    Each is first a whole file in `cache`, named by all that it depends on, so that after a kill, or with another
    script, only what is missing there is spoken. What no task of this script needs is removed from the cache.
    """
    cache.mkdir(parents=True, exist_ok=True)
    for place in {task.folder for task in script}:
        place.mkdir(parents=True, exist_ok=True)

    def speak(index: int) -> tuple[Path, float]:
        task, rng = script[index], np.random.default_rng([seed, 0x5A, index])
        voice = voices[task.language].draw(rng, held_out=task.held_out, programs_share=programs_share)
        key = hashlib.sha1(f"{seed} {index} {voice.name} {task.text}".encode()).hexdigest()[:20]
        file = cache / f"{key}.wav"
        if not file.is_file():
            beside = file.with_suffix(".part")
            for _ in range(_TRIES):
                if len(sound := voice.speak(task.text, rng)) <= task.longest_s * SYNTH_RATE_HZ:
                    break
            write_wav(beside, at_drawn_level(sound, rng), SYNTH_RATE_HZ)
            beside.rename(file)
        os.link(file, task.folder / f"{task.language}{voice.name}_nohash_{task.number}.wav")
        return file, (file.stat().st_size - _HEADER_BYTES) / 2 / SYNTH_RATE_HZ

    pool, lengths, started = ThreadPoolExecutor(_WORKERS), np.empty(len(script)), time.monotonic()
    needed, reminder = set(), Reminder()
    try:
        for index, (file, lengths[index]) in enumerate(pool.map(speak, range(len(script)))):
            needed.add(file)
            left_s = (len(script) - index - 1) * (time.monotonic() - started) / (index + 1)
            reminder.say(f"spoken {index + 1:,} of {len(script):,} utterances, {left_s:.0f} s left")
    finally:
        reminder.end()
        pool.shutdown(cancel_futures=True)
    for file in set(cache.iterdir()) - needed:
        file.unlink()
    return lengths
