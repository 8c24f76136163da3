"""Choose each word's threshold by the events of the deployed detector, under a target of false accepts per hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kwspot.runtime.audio.recordings import is_synthesised
from kwspot.runtime.detect.operating_points import GRID, Point, sweep
from kwspot.runtime.detect.replay import Replay, ScoredNegative, ScoredUtterance
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.false_accept_rate import CONFIDENCE, upper_per_hour
from kwspot.runtime.model.decision_settings import NEVER
from kwspot.runtime.model.manifest import Manifest

LEAST_BLIND = 0.5
"""Where no positives say what a low threshold gains, none is chosen below this one."""

FEW_PEOPLE, HIGHEST_OF_FEW = 50, 0.8
"""Synthesised utterances are too easy to say what people lose: of fewer recordings of people than this no threshold
is held above 0.8. On five phrases the highest threshold that lost no synthesised utterance missed 0.7 to 20 points more
of what strangers said than 0.8 did, and saved at most 2 false accepts in 4 hours."""


@dataclass(frozen=True)
class Choice:
    """A word's threshold; `basis` is "bound" where its upper bound meets the target, else "rate"."""

    threshold: float
    basis: str


def choose(points: Sequence[Point], hours: float, target_per_hour: float, *, people: int | None) -> Choice | None:
    """Return the threshold for a target, None where none of `points` meets it.

    A threshold is allowed if it and all above it meet the target: by the 95 %
    bound of their false accepts per hour, or, where the hours are too few for
    any bound to, by the rate itself. Of the allowed ones those with the fewest
    misses are taken, and of these the highest: it risks no more false accepts
    than it has to.

    Parameters
    ----------
    people
        How many of the positives are recordings of people; None where there are no positives. Then the lowest
        allowed threshold from :data:`LEAST_BLIND` on is taken; with fewer than :data:`FEW_PEOPLE`, one above
        :data:`HIGHEST_OF_FEW` only where no lower one is allowed.
    """
    for basis in ("bound", "rate"):
        allowed: list[Point] = []
        for point in reversed(points):
            rate = upper_per_hour(point.false_accepts, hours) if basis == "bound" else point.false_accepts / hours
            if rate > target_per_hour:
                break
            allowed.append(point)
        if allowed:
            if people is None:
                return Choice(min(p.threshold for p in allowed if p.threshold >= LEAST_BLIND), basis)
            fewest = min(point.missed for point in allowed)
            threshold = max(p.threshold for p in allowed if p.missed == fewest)
            if people < FEW_PEOPLE:
                lowest = min(p.threshold for p in allowed)
                threshold = min(threshold, max(lowest, HIGHEST_OF_FEW))
            return Choice(threshold, basis)
    return None


def choices(
    manifest: Manifest,
    negatives: Sequence[ScoredNegative],
    utterances: Sequence[ScoredUtterance],
    target_per_hour: float,
) -> dict[str, Choice]:
    """Return the choice for every word of the bundle.

    Raises
    ------
    ConfigError
        If a word cannot meet the target, or only where it is never detected.
    """
    hours = sum(sound.seconds for sound in negatives) / 3600
    chosen: dict[str, Choice] = {}
    failed: dict[str, float] = {}
    for word in manifest.words:
        points = sweep(manifest, [word], negatives, utterances)
        positives = [utterance.path for utterance in utterances if utterance.word == word]
        count, people = len(positives), sum(not is_synthesised(path) for path in positives)
        choice = choose(points, hours, target_per_hour, people=people if positives else None)
        detected = [point for point in points if not count or point.missed < count]
        if choice is None or choice.threshold > max((point.threshold for point in detected), default=0.0):
            failed[word] = min((point.false_accepts / hours for point in detected), default=float("inf"))
        else:
            chosen[word] = choice
    if failed:
        least = ", ".join(
            f"{word} {rate:.2f}" if rate < float("inf") else f"{word} (at none)" for word, rate in failed.items()
        )
        highest = [place for word in failed for place in next_to_fire(manifest, word, NEVER, negatives, most=1)]
        named = ", ".join(f"{place['sound']} at {place['at_s']:g} s" for place in highest)
        where = f" (highest score in {named})" if named else ""
        raise ConfigError(
            f"no threshold keeps {' and '.join(failed)} under {target_per_hour:g} false accepts per hour; the lowest "
            f"rate at which the word is still detected: {least}. The bundle is as it was: check that the negatives do "
            f"not hold the word{where}, allow more with --target-fa-per-hour, or train with more negatives"
        )
    return chosen


def next_to_fire(
    manifest: Manifest, word: str, threshold: float, negatives: Sequence[ScoredNegative], most: int = 2
) -> list[dict[str, Any]]:
    """Return the sounds in which a word would fire first if its threshold were lower: name, seconds, threshold.

    One sound may hold a threshold far above the rest; a person who listens to
    it can tell whether it holds the word, or belongs among the negatives.
    """
    columns = [manifest.labels.index(word)]
    replay = Replay(manifest, {word: threshold})
    quiet = [sound for sound in negatives if not replay.events(sound.scored)]
    peaks = [sound.scored.peak(columns) for sound in quiet]
    found: dict[Path, dict[str, Any]] = {}
    for lower in reversed([point for point in GRID if point < threshold]):
        replay = Replay(manifest, {word: lower})
        for sound, peak in zip(quiet, peaks, strict=True):
            if peak >= lower and sound.path not in found and (events := replay.events(sound.scored)):
                at_s = round(min(events[0].at_s, sound.seconds), 2)
                found[sound.path] = {"sound": sound.path.name, "at_s": at_s, "threshold": lower}
        if len(found) >= most:
            break
    return list(found.values())[:most]


def evidence(
    manifest: Manifest,
    chosen: Mapping[str, Choice],
    negatives: Sequence[ScoredNegative],
    found: Mapping[str, Any],
    target_per_hour: float,
) -> dict[str, Any]:
    """Return what ``bundle.json`` keeps: :func:`outcome` of the choices, what they rest on, and what was asked."""
    words = {
        word: {
            **values,
            "basis": chosen[word].basis,
            "next": next_to_fire(manifest, word, chosen[word].threshold, negatives),
        }
        for word, values in found["words"].items()
    }
    return {**found, "words": words, "target_false_accepts_per_hour": target_per_hour, "confidence": CONFIDENCE}
