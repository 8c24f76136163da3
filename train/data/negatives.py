"""Sounds that are none of the words, from more than the few other words of a data folder.

A network that has only met three other words takes the fourth for one of its
own. What it needs is variety, with nothing but the word itself to tell by:

- **speech**: pieces of running speech, cut at its pauses to the length of a word
- **windows**: the same cut anywhere, as a stream is heard
- **spliced**: the beginning of one word with the end of another, same microphone
- **time-reversed**: a word backwards, same microphone
- **synthesised**: a vocabulary said by espeak-ng. The words to be heard are spoken
  too, for their own classes, or the synthetic timbre alone would mean "none".
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.sound_file import fit_length, read_sound
from kwspot.runtime.errors import ConfigError, DataFolderError, RecordingError
from kwspot.runtime.labels import BACKGROUND_LABELS, UNKNOWN
from kwspot.train.config.config import Config
from kwspot.train.data.cutting import Sound, cut_at_pauses, splice
from kwspot.train.data.held_out import Recordings, speech_recordings
from kwspot.train.speech.espeak import Synthesiser, espeak_voices

VOCABULARY = Path(__file__).parents[1] / "speech/vocabulary.txt"

_VOICES = 400


def splice_clips(
    clips: NDArray[np.int16], spoken: Sequence[str], count: int, rate_hz: int, rng: np.random.Generator
) -> list[Sound]:
    """Return so many splices of clips, int16 (N, n), of the words `spoken`, N of them.

    Two words that begin or end with the same letter are not spliced: "g" and
    the end of "no" may well be "go".

    Raises
    ------
    ConfigError
        If there are no two words that can be spliced.
    """
    pairs = {(a, b) for a in set(spoken) for b in set(spoken) if a[0] != b[0] and a[-1] != b[-1]}
    if not pairs:
        raise ConfigError(
            f"none of {', '.join(sorted(set(spoken)))} can be spliced, since all begin or end alike; "
            "set spliced = 0 in [unknown]"
        )
    made: list[Sound] = []
    while len(made) < count:
        first, second = rng.integers(len(clips), size=2)
        if (spoken[first], spoken[second]) in pairs:
            made.append(splice(clips[first], clips[second], rate_hz, rng))
    return made


def cut_speech(groups: Sequence[Recordings], length: int, rate_hz: int, rng: np.random.Generator) -> list[Sound]:
    """Cut all recordings to pieces; what fits into a clip is taken whole.

    Raises
    ------
    DataFolderError
        If a recording cannot be read.
    """
    clips: list[Sound] = []
    for group in groups:
        print(f"cutting {len(group.paths)} recordings of {group.root.name}", file=sys.stderr)
        for path in group.paths:
            recording = _read(path, rate_hz)
            if len(recording) <= 2 * length:
                clips.append(fit_length(recording, length))
            else:
                clips += cut_at_pauses(recording, length, rate_hz, rng)
    return clips


def cut_windows(
    groups: Sequence[Recordings], count: int, length: int, rate_hz: int, rng: np.random.Generator
) -> list[Sound]:
    """Cut at most `count` clips from drawn places of recordings longer than two clips, of the longer ones more.

    Raises
    ------
    DataFolderError
        If a recording cannot be read.
    """
    paths = [path for group in groups for path in group.paths]
    least = 2 * length * np.dtype(np.int16).itemsize
    # A file's size tells its length well enough to draw by, without reading it.
    sizes = np.array([size if (size := path.stat().st_size) > least else 0 for path in paths], np.float64)
    if not sizes.any():
        return []
    clips: list[Sound] = []
    for path, wanted in zip(paths, rng.multinomial(count, sizes / sizes.sum()), strict=True):
        recording = _read(path, rate_hz) if wanted else np.empty(0, np.int16)
        if len(recording) > 2 * length:
            starts = rng.integers(len(recording) - length + 1, size=wanted)
            clips += [recording[start : start + length].copy() for start in starts]
    return clips


def _read(path: Path, rate_hz: int) -> Sound:
    try:
        return read_sound(path, rate_hz)
    except RecordingError as error:
        raise DataFolderError(f"{path.parent} has a recording that cannot be used: {error}") from None


def read_vocabulary() -> list[str]:
    """Return the words of ``vocabulary.txt``."""
    lines = VOCABULARY.read_text(encoding="utf-8").splitlines()
    return " ".join(line for line in lines if not line.startswith("#")).split()


def synthesise_clips(
    words: Sequence[str], per_word: int, length: int, rate_hz: int, rng: np.random.Generator
) -> list[Sound]:
    """Speak each word by `per_word` drawn voices of espeak-ng, centred in a clip."""
    if rate_hz != 16_000:
        raise ConfigError(f"spoken words come at 16000 Hz, features want {rate_hz} Hz; switch them off in [unknown]")
    synthesiser, speakers = Synthesiser(), espeak_voices(int(rng.integers(2**31)), _VOICES)
    return [
        fit_length(synthesiser.speak(word, speakers[rng.integers(len(speakers))]), length)
        for word in words
        for _ in range(per_word)
    ]


def choose_unlike(candidates: Sequence[str], words: Sequence[str]) -> list[str]:
    """Return those of `candidates` that do not sound the same as one of `words` ("know" and "no")."""
    synthesiser = Synthesiser()
    taken = {synthesiser.phonemes(word) for word in words}
    return [word for word in candidates if synthesiser.phonemes(word) not in taken]


def make_negatives(
    root: Path, config: Config, labels: Sequence[str], clips: NDArray[np.int16], spoken: Sequence[str]
) -> tuple[list[Sound], NDArray[np.int64]]:
    """Make what ``[unknown]`` asks for beside the recordings `clips`, int16 (N, n), of the words `spoken`.

    Returns
    -------
    clips : list of int16 (n,)
    label : int64, shape (their number,)
    """
    wanted, rate_hz, length = config.unknown, config.features.sample_rate_hz, config.clip_samples
    rng = np.random.default_rng([config.training.seed, 0x756E6B])  # a stream of its own
    words = [label for label in labels if label not in BACKGROUND_LABELS]
    made: list[Sound] = []
    for word in sorted(set(spoken) - set(words)):
        rare = [clips[k] for k, name in enumerate(spoken) if name == word]
        made += (rare * (wanted.rare_word_least // len(rare)))[len(rare) :]
    if wanted.speech:
        groups = speech_recordings(root, config)[0]
        pieces = cut_speech(groups, length, rate_hz, rng)
        chosen = rng.permutation(len(pieces))[: wanted.speech_most]
        made += [pieces[k] for k in chosen]
        if wanted.speech_windows:
            made += cut_windows(groups, wanted.speech_windows, length, rate_hz, rng)
    if wanted.synthesised_per_word:
        others = choose_unlike(read_vocabulary(), [*words, *wanted.held_out_words])
        print(f"speaking {len(others)} words {wanted.synthesised_per_word} times", file=sys.stderr)
        made += synthesise_clips(others, wanted.synthesised_per_word, length, rate_hz, rng)
    if wanted.spliced:
        made += splice_clips(clips, spoken, wanted.spliced, rate_hz, rng)
    if wanted.time_reversed:
        backwards = rng.integers(len(clips), size=wanted.time_reversed)
        made += [clips[k, ::-1].copy() for k in backwards]
    label_of = [labels.index(UNKNOWN)] * len(made)
    if wanted.synthesised_words:
        made += synthesise_clips(words, wanted.synthesised_words, length, rate_hz, rng)
        label_of += [labels.index(word) for word in words for _ in range(wanted.synthesised_words)]
    return made, np.array(label_of, np.int64)
