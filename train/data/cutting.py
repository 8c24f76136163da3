"""Sounds cut from others: the extent of a word, two words spliced, speech cut at its pauses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.features.level import to_int16
from kwspot.runtime.features.spec import INT16_FULL_SCALE

Sound = NDArray[np.int16]

_STEP_MS = 10
_PIECE_MS = (300, 900)
# A stretch whose loudest 50 ms stay below this is a pause. About -40 dBFS.
_PAUSE_RMS = 300.0
# A word reaches from where its loudness first passes this share of its loudest to where it last does.
_EDGE_SHARE = 0.12
_SPLICE_AT = (0.35, 0.65)
_CROSS_FADE_MS = 10


def measure_loudness(samples: Sound, rate_hz: int) -> NDArray[np.float64]:
    """Return the root mean square of each 10 ms, smoothed over 50 ms, float64 (n // 10 ms,)."""
    step = rate_hz * _STEP_MS // 1000
    steps = samples[: len(samples) // step * step].reshape(-1, step).astype(np.float64)
    return np.convolve(np.sqrt((steps**2).mean(axis=1)), np.ones(5) / 5, "same")


def find_extent(samples: Sound, rate_hz: int) -> tuple[int, int]:
    """Return where the word in a clip begins and ends, in samples; the whole clip if it is silent."""
    level = measure_loudness(samples, rate_hz)
    loud = np.flatnonzero(level > _EDGE_SHARE * level.max())
    if len(loud) == 0:
        return 0, len(samples)
    step = rate_hz * _STEP_MS // 1000
    return int(loud[0]) * step, int(loud[-1] + 1) * step


def splice(first: Sound, second: Sound, rate_hz: int, rng: np.random.Generator) -> Sound:
    """Join the beginning of one word and the end of another, as loud as the first, in a clip of `first`'s length.

    Each is cut somewhere in its middle third; they are cross-faded, and what is
    around them is the background before `first`'s word.
    """
    (start, end), (start2, end2) = find_extent(first, rate_hz), find_extent(second, rate_hz)
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


def cut_at_pauses(recording: Sound, length: int, rate_hz: int, rng: np.random.Generator) -> list[Sound]:
    """Cut running speech at its quietest places to pieces of 0.3 to 0.9 s, each somewhere in a clip of zeros.

    Pauses are left out, and so is a last piece that is too short.
    """
    level = measure_loudness(recording, rate_hz)
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
