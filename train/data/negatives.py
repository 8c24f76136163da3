"""Sounds that are none of the words, from more than the few other words of a data folder.

A network that has only met three other words takes the fourth for one of its
own. What it needs is variety, with nothing but the word itself to tell by:

- **speech**: pieces of running speech, cut at its pauses to the length of a word
- **windows**: the same cut anywhere, as a stream is heard
- **spliced**: the beginning of one word with the end of another, same microphone
- **reversed**: a word backwards, same microphone
- **spoken**: a vocabulary said by espeak-ng. The words to be heard are spoken
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
from kwspot.runtime.features.level import to_int16
from kwspot.runtime.features.spec import INT16_FULL_SCALE
from kwspot.runtime.labels import BACKGROUND_LABELS, UNKNOWN
from kwspot.train.config.config import Config
from kwspot.train.data.held_out import Recordings, speech_recordings
from kwspot.train.speech.espeak import Synthesiser, espeak_voices

VOCABULARY = Path(__file__).parents[1] / "speech/vocabulary.txt"

Sound = NDArray[np.int16]

_STEP_MS = 10
_PIECE_MS = (300, 900)
# A stretch whose loudest 50 ms stay below this is a pause. About -40 dBFS.
_PAUSE_RMS = 300.0
# A word reaches from where its loudness first passes this share of its loudest to where it last does.
_EDGE_SHARE = 0.12
_SPLICE_AT = (0.35, 0.65)
_CROSS_FADE_MS = 10
_VOICES = 400


def loudness(samples: Sound, rate_hz: int) -> NDArray[np.float64]:
    """Root mean square of each 10 ms, smoothed over 50 ms, float64 (n // 10 ms,)."""
    step = rate_hz * _STEP_MS // 1000
    steps = samples[: len(samples) // step * step].reshape(-1, step).astype(np.float64)
    return np.convolve(np.sqrt((steps**2).mean(axis=1)), np.ones(5) / 5, "same")


def extent(samples: Sound, rate_hz: int) -> tuple[int, int]:
    """Where the word in a clip begins and ends, in samples; the whole clip if it is silent."""
    level = loudness(samples, rate_hz)
    loud = np.flatnonzero(level > _EDGE_SHARE * level.max())
    if len(loud) == 0:
        return 0, len(samples)
    step = rate_hz * _STEP_MS // 1000
    return int(loud[0]) * step, int(loud[-1] + 1) * step


def spliced(first: Sound, second: Sound, rate_hz: int, rng: np.random.Generator) -> Sound:
    """The beginning of one word and the end of another, as loud as the first, in a clip of `first`'s length.

    Each is cut somewhere in its middle third; they are cross-faded, and what is
    around them is the background before `first`'s word.
    """
    (start, end), (start2, end2) = extent(first, rate_hz), extent(second, rate_hz)
    head = first[start : start + int((end - start) * rng.uniform(*_SPLICE_AT))].astype(np.float64)
    tail = second[start2 + int((end2 - start2) * rng.uniform(*_SPLICE_AT)) : end2].astype(np.float64)
    fade = min(rate_hz * _CROSS_FADE_MS // 1000, len(head), len(tail))
    tail *= np.clip(np.sqrt((head**2).mean() / max((tail**2).mean(), 1.0)), 0.25, 4.0)
    ramp = np.linspace(0, 1, fade)
    joint = head[len(head) - fade :] * (1 - ramp) + tail[:fade] * ramp
    word = np.concatenate([head[: len(head) - fade], joint, tail[fade:]])[: len(first)]
    background = first[:start] if start > 0 else np.zeros(1, np.int16)
    before = (len(first) - len(word)) // 2
    clip = np.resize(background, len(first)).astype(np.float64)
    clip[before : before + len(word)] = word
    return to_int16(clip / INT16_FULL_SCALE)


def spliced_clips(
    clips: NDArray[np.int16], spoken: Sequence[str], count: int, rate_hz: int, rng: np.random.Generator
) -> list[Sound]:
    """So many splices of clips, int16 (N, n), of the words `spoken`, N of them.

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
            "set spliced_share = 0 in [unknown]"
        )
    made: list[Sound] = []
    while len(made) < count:
        first, second = rng.integers(len(clips), size=2)
        if (spoken[first], spoken[second]) in pairs:
            made.append(spliced(clips[first], clips[second], rate_hz, rng))
    return made


def time_reversed_clips(clips: NDArray[np.int16], count: int, rng: np.random.Generator) -> list[Sound]:
    """So many clips of int16 (N, n), backwards."""
    return [clips[k, ::-1].copy() for k in rng.integers(len(clips), size=count)]


def speech_pieces(recording: Sound, length: int, rate_hz: int, rng: np.random.Generator) -> list[Sound]:
    """Running speech cut at its quietest places to pieces of 0.3 to 0.9 s, each somewhere in a clip of zeros; the
    pauses left out. A last piece that is too short is left out too."""
    level = loudness(recording, rate_hz)
    step = rate_hz * _STEP_MS // 1000
    pieces: list[Sound] = []
    start = 0
    slack = 8
    while True:
        wanted = start + int(rng.integers(_PIECE_MS[0] // _STEP_MS, _PIECE_MS[1] // _STEP_MS))
        if wanted + slack >= len(level):
            return pieces
        end = wanted - slack + int(np.argmin(level[wanted - slack : wanted + slack]))
        if level[start:end].max(initial=0) > _PAUSE_RMS:
            piece = recording[start * step : end * step][:length]
            clip = np.zeros(length, np.int16)
            before = int(rng.integers(length - len(piece) + 1))
            clip[before : before + len(piece)] = piece
            pieces.append(clip)
        start = end


def speech_clips(groups: Sequence[Recordings], length: int, rate_hz: int, rng: np.random.Generator) -> list[Sound]:
    """Pieces of all recordings; what fits into a clip is taken whole.

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
                clips += speech_pieces(recording, length, rate_hz, rng)
    return clips


def speech_windows(
    groups: Sequence[Recordings], count: int, length: int, rate_hz: int, rng: np.random.Generator
) -> list[Sound]:
    """At most `count` clips from drawn places of the recordings that are longer than two clips, the longer the more.

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


def vocabulary() -> list[str]:
    """The words of ``vocabulary.txt``."""
    lines = VOCABULARY.read_text(encoding="utf-8").splitlines()
    return " ".join(line for line in lines if not line.startswith("#")).split()


def synthesised_clips(
    words: Sequence[str], per_word: int, length: int, rate_hz: int, rng: np.random.Generator
) -> list[Sound]:
    """Each word said by `per_word` drawn voices of espeak-ng, centred in a clip."""
    if rate_hz != 16_000:
        raise ConfigError(f"spoken words come at 16000 Hz, features want {rate_hz} Hz; switch them off in [unknown]")
    synthesiser, speakers = Synthesiser(), espeak_voices(int(rng.integers(2**31)), _VOICES)
    return [
        fit_length(synthesiser.speak(word, speakers[rng.integers(len(speakers))]), length)
        for word in words
        for _ in range(per_word)
    ]


def unlike(candidates: Sequence[str], words: Sequence[str]) -> list[str]:
    """Those of `candidates` that do not sound the same as one of `words` ("know" and "no")."""
    synthesiser = Synthesiser()
    taken = {synthesiser.phonemes(word) for word in words}
    return [word for word in candidates if synthesiser.phonemes(word) not in taken]


def more_clips(
    root: Path, config: Config, labels: Sequence[str], clips: NDArray[np.int16], spoken: Sequence[str]
) -> tuple[list[Sound], NDArray[np.int64]]:
    """What ``[unknown]`` asks for, beside the recordings `clips`, int16 (N, n), of the words `spoken`.

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
        pieces = speech_clips(groups, length, rate_hz, rng)
        chosen = rng.permutation(len(pieces))[: wanted.speech_most]
        made += [pieces[k] for k in chosen]
        if wanted.speech_windows:
            made += speech_windows(groups, wanted.speech_windows, length, rate_hz, rng)
    if wanted.synthesised_per_word:
        others = unlike(vocabulary(), [*words, *wanted.held_out_words])
        print(f"speaking {len(others)} words {wanted.synthesised_per_word} times", file=sys.stderr)
        made += synthesised_clips(others, wanted.synthesised_per_word, length, rate_hz, rng)
    if wanted.spliced:
        made += spliced_clips(clips, spoken, wanted.spliced, rate_hz, rng)
    if wanted.time_reversed:
        made += time_reversed_clips(clips, wanted.time_reversed, rng)
    label_of = [labels.index(UNKNOWN)] * len(made)
    if wanted.synthesised_words:
        made += synthesised_clips(words, wanted.synthesised_words, length, rate_hz, rng)
        label_of += [labels.index(word) for word in words for _ in range(wanted.synthesised_words)]
    return made, np.array(label_of, np.int64)
