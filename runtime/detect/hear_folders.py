"""Takes and negatives, each heard once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kwspot.runtime.audio.recordings import read_sound
from kwspot.runtime.audio.sound_lists import Utterance
from kwspot.runtime.detect.replay import Scored, StreamScores


@dataclass(frozen=True)
class HeardUtterance:
    """A take and its scores."""

    utterance: Utterance
    scored: Scored


@dataclass(frozen=True)
class HeardNegative:
    """A sound without the words: how long it is, and its scores."""

    path: Path
    seconds: float
    scored: Scored


def hear_utterances(
    detector: StreamScores, utterances: Sequence[Utterance], rate_hz: int, advanced: Callable[[int, int], None]
) -> list[HeardUtterance]:
    """Every take as a stream of its own; `advanced` is called with how many are done, and of how many."""
    heard = []
    for number, utterance in enumerate(utterances):
        heard.append(HeardUtterance(utterance, detector.alone(read_sound(utterance.path, rate_hz), number)))
        advanced(number + 1, len(utterances))
    return heard


def hear_negatives(
    detector: StreamScores, paths: Sequence[Path], rate_hz: int, advanced: Callable[[int, int], None]
) -> list[HeardNegative]:
    """Every negative as a stream of its own; the silence after it is not counted as time."""
    heard = []
    for number, path in enumerate(paths):
        sound = read_sound(path, rate_hz)
        heard.append(HeardNegative(path, len(sound) / rate_hz, detector.alone(sound, number)))
        advanced(number + 1, len(paths))
    return heard
