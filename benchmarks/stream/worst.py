"""Choose the worst mistakes, to hear and to see: the words missed by most, and negatives that are taken for a word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.benchmarks.report.clips import embed
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.detect.replay import Replay, ScoredNegative, ScoredUtterance
from kwspot.runtime.model.manifest import Manifest

MOST = 10
LOWEST = 0.2
"""What comes nearest to firing is looked for down to this threshold."""

_BEFORE_S, _AFTER_S = 1.5, 0.3
"""What is heard around the moment at which a false accept was decided."""


@dataclass(frozen=True)
class Mistake:
    """A stretch of a file, from `start_s` to `end_s`, and the best mean that `word` came to in it.

    `wrong` says whether it is a mistake at the bundle's thresholds, or only the nearest to one.
    """

    path: Path
    word: str
    score: float
    wrong: bool
    start_s: float
    end_s: float


def worst_misses(
    manifest: Manifest, thresholds: Mapping[str, float], utterances: Sequence[ScoredUtterance]
) -> list[Mistake]:
    """Return the missed utterances, the one that came least near its threshold first."""
    replay = Replay(manifest, thresholds)
    missed = [
        (utterance, replay.best_mean(utterance.word, utterance.scored))
        for utterance in utterances
        if not replay.fires(utterance.word, utterance.scored)
    ]
    missed.sort(key=lambda pair: pair[1] - thresholds[pair[0].word])
    return [
        Mistake(utterance.path, utterance.word, score, True, 0.0, float("inf")) for utterance, score in missed[:MOST]
    ]


def worst_false_accepts(
    manifest: Manifest, thresholds: Mapping[str, float], negatives: Sequence[ScoredNegative]
) -> list[Mistake]:
    """Return what fires wrongly, and after that what comes nearest to it; the highest score first."""
    rate_hz = manifest.features.sample_rate_hz
    found = []
    for wrong, replay in (
        (True, Replay(manifest, thresholds)),
        (False, Replay(manifest, dict.fromkeys(manifest.words, LOWEST))),
    ):
        for sound in negatives:
            for event in replay.events(sound.scored):
                at_s = event.at_sample / rate_hz
                if wrong or event.score < thresholds[event.label]:
                    start_s = max(0.0, at_s - _BEFORE_S)
                    found.append(Mistake(sound.path, event.label, event.score, wrong, start_s, at_s + _AFTER_S))
    found.sort(key=lambda mistake: (not mistake.wrong, thresholds[mistake.word] - mistake.score))
    return found[:MOST]


def embed_mistake(manifest: Manifest, mistake: Mistake) -> tuple[str, str]:
    """Return its sound (WAV) and features (PNG) as ``data:`` addresses."""
    rate_hz = manifest.features.sample_rate_hz
    sound: NDArray[np.int16] = read_sound(mistake.path, rate_hz)
    end_s = min(mistake.end_s, mistake.start_s + 3.0)
    sound = sound[round(mistake.start_s * rate_hz) : round(end_s * rate_hz)]
    short = manifest.features.window_samples - len(sound)
    return embed(np.pad(sound, (0, max(0, short))), manifest)
