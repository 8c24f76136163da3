"""What a detector does at a threshold: words missed and false accepts, through the bundle's own decision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kwspot.runtime.audio.recordings import is_synthesised
from kwspot.runtime.detect.replay import Replay, ScoredNegative, ScoredUtterance
from kwspot.runtime.false_accept_rate import interval_per_hour, upper_per_hour
from kwspot.runtime.intervals import wilson_interval
from kwspot.runtime.model.manifest import Manifest

GRID = (*(round(0.2 + 0.01 * step, 2) for step in range(75)), *(round(0.95 + 0.0025 * step, 4) for step in range(19)))
"""Thresholds that are tried: closer towards the end, where a model that is sure of itself puts most of its scores. None
is above what an int8 score can reach (255 of 256)."""


@dataclass(frozen=True)
class Point:
    """What a word does at a threshold when it listens alone; `missed` is 0 where there are no positives."""

    threshold: float
    false_accepts: int
    missed: int


def sweep(
    manifest: Manifest,
    words: Sequence[str],
    negatives: Sequence[ScoredNegative],
    utterances: Sequence[ScoredUtterance],
    grid: Sequence[float] = GRID,
) -> list[Point]:
    """Return the false accepts and misses at every threshold of `grid`, through the bundle's decision.

    `words` have one threshold; the others never fire. An utterance counts where
    its word is one of them, and is missed unless that word fires.
    """
    columns = [manifest.labels.index(word) for word in words]
    others = [(sound.scored, sound.scored.peak(columns)) for sound in negatives]
    own = [(utterance, utterance.scored.peak(columns)) for utterance in utterances if utterance.word in words]
    points = []
    for threshold in grid:
        replay = Replay(manifest, dict.fromkeys(words, threshold))
        # Nothing fires in what stays below the threshold, and most of the sound does.
        false = sum(len(replay.events(scored)) for scored, peak in others if peak >= threshold)
        missed = sum(peak < threshold or not replay.fires(utterance.word, utterance.scored) for utterance, peak in own)
        points.append(Point(threshold, false, missed))
    return points


def outcome(
    manifest: Manifest,
    thresholds: Mapping[str, float],
    negatives: Sequence[ScoredNegative],
    utterances: Sequence[ScoredUtterance],
) -> dict[str, Any]:
    """Return what all words do at their thresholds: counts, rates with their bounds, misses with their interval.

    An utterance that fires twice is one hit and one double fire; another word
    that fires in it is a wrong word.
    """
    hours = sum(sound.seconds for sound in negatives) / 3600
    replay = Replay(manifest, thresholds)
    false = dict.fromkeys(thresholds, 0)
    for sound in negatives:
        for event in replay.events(sound.scored):
            false[event.label] += 1
    synthesised = Counter(utterance.word for utterance in utterances if is_synthesised(utterance.path))
    fired = [(utterance.word, [event.label for event in replay.events(utterance.scored)]) for utterance in utterances]
    words = {}
    for word, threshold in thresholds.items():
        own = [labels for said, labels in fired if said == word]
        missed = sum(word not in labels for labels in own)
        words[word] = {
            "threshold": threshold,
            **_rate(false[word], hours),
            "positives": len(own),
            "synthesised": synthesised[word],
            "missed": missed,
            "miss_rate": missed / len(own) if own else None,
            "miss_rate_ci95": list(wilson_interval(missed, len(own))) if own else None,
            "double_fires": sum(max(0, labels.count(word) - 1) for labels in own),
            "wrong_words": sum(label != word for labels in own for label in labels),
        }
    return {"words": words, "together": _rate(sum(false.values()), hours)}


def _rate(count: int, hours: float) -> dict[str, Any]:
    return {
        "false_accepts": count,
        "per_hour": count / hours,
        "per_hour_ci95": list(interval_per_hour(count, hours)),
        "upper_per_hour": upper_per_hour(count, hours),
    }
