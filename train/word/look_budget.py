"""From which score on a verifier is asked: by what it may cost in an hour of other sound."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kwspot.runtime.audio.recordings import read_sound
from kwspot.runtime.detect.replay import Scorer
from kwspot.runtime.model.bundle import Bundle
from kwspot.runtime.model.verifier_session import inferences_between_checks

_MOST_SOUNDS = 1_500
# What the first network is half sure of is looked at, whatever that costs.
_HIGHEST = 0.5
# Half a step of an int8 score.
_JUST_ABOVE = 1 / 512


def trigger_score_for(bundle: Bundle, sounds: Sequence[Path], least: float, most_per_hour: float) -> float:
    """The lowest gate, from `least` on, by which an hour of sounds without the words is looked at so often at most.

    A network that was trained on a few people's recordings of a word, and on
    programs, may find something of it in all that people say; one that has
    heard programs alone needs a low gate.

    Parameters
    ----------
    bundle
        That of the first network; it looks once yet.
    sounds
        Files; of many, :data:`_MOST_SOUNDS` evenly chosen ones are heard.
    """
    manifest = bundle.manifest
    words = [manifest.labels.index(word) for word in manifest.words]
    scorer, apart = Scorer(bundle), inferences_between_checks(manifest)
    seconds, peaks = 0.0, [np.empty(0, np.float32)]
    for path in sounds[:: -(-len(sounds) // _MOST_SOUNDS)]:
        sound = read_sound(path, scorer.rate_hz)
        seconds += len(sound) / scorer.rate_hz
        peaks.append(scorer.score(sound).scores[apart - 1 :: apart, words].max(axis=1))
    suspected = np.sort(np.concatenate(peaks))[::-1]
    allowed = int(most_per_hour * seconds / 3600)
    over = float(suspected[allowed]) if allowed < len(suspected) else 0.0
    gate = least if over < least else min(over + _JUST_ABOVE, max(least, _HIGHEST))
    looks, at_least = ((suspected >= start).sum() / seconds * 3600 for start in (gate, least))
    print(
        f"verifier: asked {looks:,.0f} times in an hour of the negatives, from a first-stage score of {gate:.3f} "
        f"({at_least:,.0f} times from {least:g})",
        file=sys.stderr,
    )
    return gate
