"""What a stream bundle does to utterances, hours and near misses: trade-off, speakers, noise, equal error rate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.benchmarks.stream.wake_mix import Noise
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.audio.sound_lists import Utterance
from kwspot.runtime.detect.operating_points import GRID, Point, sweep
from kwspot.runtime.detect.replay import Replay, ScoredNegative, ScoredUtterance, Scorer
from kwspot.runtime.false_accept_rate import interval_per_hour
from kwspot.runtime.intervals import wilson_interval
from kwspot.runtime.model.manifest import Manifest

ALL_WORDS = "all words"
MOST_IN_NOISE = 100
"""Utterances of a word that are mixed with noise: each is scored once more at every ratio."""

_DRAWN = tuple(threshold for place, threshold in enumerate(GRID) if threshold >= 0.95 or place % 3 == 0)
"""Thresholds of a curve: every one where curves turn, every third elsewhere."""

_AROUND_S = 0.5
"""Noise before and after an utterance."""


def trade_off(
    manifest: Manifest, negatives: Sequence[ScoredNegative], utterances: Sequence[ScoredUtterance]
) -> dict[str, list[dict[str, Any]]]:
    """Return word → misses and false accepts per hour at every threshold; :data:`ALL_WORDS` have one threshold."""
    hours = sum(sound.seconds for sound in negatives) / 3600
    groups = {word: [word] for word in manifest.words if any(utterance.word == word for utterance in utterances)}
    if len(manifest.words) > 1:
        groups = {ALL_WORDS: list(manifest.words), **groups}
    curves = {}
    for name, words in groups.items():
        count = sum(utterance.word in words for utterance in utterances)
        curves[name] = [_point(point, hours, count) for point in sweep(manifest, words, negatives, utterances, _DRAWN)]
    return curves


def _point(point: Point, hours: float, utterances: int) -> dict[str, Any]:
    return {
        "threshold": point.threshold,
        "false_accepts": point.false_accepts,
        "per_hour": point.false_accepts / hours,
        "per_hour_ci95": list(interval_per_hour(point.false_accepts, hours)),
        **share("miss", point.missed, utterances),
    }


def share(name: str, count: int, total: int) -> dict[str, Any]:
    """Return a count as a share with its 95 % interval: ``{name}ed``, ``{name}_rate`` and ``{name}_rate_ci95``."""
    return {f"{name}ed": count, f"{name}_rate": count / total, f"{name}_rate_ci95": list(wilson_interval(count, total))}


def by_speaker(
    manifest: Manifest, thresholds: Mapping[str, float], utterances: Sequence[ScoredUtterance]
) -> list[dict[str, Any]]:
    """Return utterances and misses of each speaker, the most missed first."""
    replay = Replay(manifest, thresholds)
    spoken, missed = Counter[str](), Counter[str]()
    for utterance in utterances:
        spoken[utterance.speaker] += 1
        missed[utterance.speaker] += not replay.fires(utterance.word, utterance.scored)
    rows = [
        {"speaker": name, "utterances": count, **share("miss", missed[name], count)} for name, count in spoken.items()
    ]
    return sorted(rows, key=lambda row: (-row["missed"], row["utterances"], row["speaker"]))


def in_noise(
    manifest: Manifest,
    thresholds: Mapping[str, float],
    scorer: Scorer,
    utterances: Sequence[ScoredUtterance],
    noise: Noise,
    ratios_db: Sequence[float],
    advanced: Callable[[int, int], None],
) -> list[dict[str, Any]]:
    """Count misses of the same utterances as they are and in noise at each ratio, together and by word.

    At most :data:`MOST_IN_NOISE` utterances of each word, evenly chosen. The noise
    begins before the utterance and goes on after it.
    """
    chosen = [
        utterance for word in manifest.words for utterance in _evenly([one for one in utterances if one.word == word])
    ]
    replay, rate_hz = Replay(manifest, thresholds), manifest.features.sample_rate_hz
    around = round(_AROUND_S * rate_hz)
    rows = [_noise_row(None, chosen, [replay.fires(utterance.word, utterance.scored) for utterance in chosen])]
    for number, ratio in enumerate(ratios_db):
        hits = []
        for place, utterance in enumerate(chosen):
            sound = noise.under(np.pad(read_sound(utterance.path, rate_hz), around), ratio)
            hits.append(replay.fires(utterance.word, scorer.score(sound, place)))
            advanced(number * len(chosen) + place + 1, len(ratios_db) * len(chosen))
        rows.append(_noise_row(ratio, chosen, hits))
    return rows


def _evenly(utterances: Sequence[ScoredUtterance]) -> list[ScoredUtterance]:
    count = min(len(utterances), MOST_IN_NOISE)
    return [utterances[place * len(utterances) // count] for place in range(count)]


def _noise_row(ratio: float | None, utterances: Sequence[Utterance], hits: Sequence[bool]) -> dict[str, Any]:
    words: dict[str, list[int]] = {}
    for utterance, hit in zip(utterances, hits, strict=True):
        counts = words.setdefault(utterance.word, [0, 0])
        counts[0] += not hit
        counts[1] += 1
    return {
        "snr_db": ratio,
        "utterances": len(utterances),
        **share("miss", len(hits) - sum(hits), len(utterances)),
        "words": words,
    }


def near_miss_rates(
    manifest: Manifest,
    thresholds: Mapping[str, float],
    utterances: Sequence[ScoredUtterance],
    near: Sequence[ScoredNegative],
) -> dict[str, Any]:
    """Count the near misses that fire, at the bundle's thresholds and at every one; find the equal error rate."""
    fired = sum(bool(Replay(manifest, thresholds).events(clip.scored)) for clip in near)
    points = []
    for threshold in _DRAWN:
        replay = Replay(manifest, dict.fromkeys(manifest.words, threshold))
        points.append(
            {
                "threshold": threshold,
                "miss_rate": sum(not replay.fires(utterance.word, utterance.scored) for utterance in utterances)
                / len(utterances),
                "fired_rate": sum(bool(replay.events(clip.scored)) for clip in near) / len(near),
            }
        )
    rates = (np.array([point[key] for point in points]) for key in ("threshold", "miss_rate", "fired_rate"))
    equal_rate, equal_threshold = equal_error(*rates)
    return {
        "clips": len(near),
        **share("fir", fired, len(near)),
        "points": points,
        "equal_error_rate": equal_rate,
        "equal_error_threshold": equal_threshold,
    }


def equal_error(
    thresholds: NDArray[np.float64], misses: NDArray[np.float64], fires: NDArray[np.float64]
) -> tuple[float | None, float | None]:
    """Return the rate at which as many words are missed as near misses fire, and its threshold; None if there is none.

    Between two thresholds both rates are taken to be straight lines.

    >>> equal_error(np.array([0.4, 0.6]), np.array([0.0, 0.2]), np.array([0.2, 0.0]))
    (0.1, 0.5)
    """
    ahead = misses - fires
    for i, j in pairwise(range(len(thresholds))):
        if ahead[i] <= 0 <= ahead[j]:
            part = 0.0 if ahead[i] == ahead[j] else float(-ahead[i] / (ahead[j] - ahead[i]))
            rate = misses[i] + part * (misses[j] - misses[i])
            return round(float(rate), 6), round(float(thresholds[i] + part * (thresholds[j] - thresholds[i])), 6)
    return None, None
