"""Two engines on the same sound, event by event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kwspot.benchmarks.latency.engine_events import EngineOutput, Event

SAME_UTTERANCE_S = 0.5
"""An event of the other engine with the same label and no farther away is of the same utterance."""


@dataclass(frozen=True)
class Pairing:
    """Events of one utterance in both engines; None where one of them has none."""

    ours: Event | None
    theirs: Event | None


def pair_events(ours: Sequence[Event], theirs: Sequence[Event], within_samples: int) -> list[Pairing]:
    """Pair every event with the nearest event of the other engine that is of the same utterance."""
    left = list(theirs)
    pairs = []
    for event in ours:
        near = [
            other
            for other in left
            if (other.sound, other.label) == (event.sound, event.label)
            and abs(other.at_sample - event.at_sample) <= within_samples
        ]
        paired = min(near, key=lambda other: abs(other.at_sample - event.at_sample), default=None)
        if paired is not None:
            left.remove(paired)
        pairs.append(Pairing(event, paired))
    return pairs + [Pairing(None, other) for other in left]


def compare(ours: EngineOutput, theirs: EngineOutput, *, rate_hz: int) -> dict[str, Any]:
    """Return one of the ``comparisons`` of the schema ``kwspot.engines/1``.

    ``identical`` says that all events are equal in label, time and, to the last
    bit, score; `differences` lists those that are not; ``same_word_and_time``
    counts the events that differ in their score at most.
    """
    pairs = pair_events(ours.events, theirs.events, round(SAME_UTTERANCE_S * rate_hz))
    off = np.abs(ours.scores - theirs.scores)  # (inferences, labels)
    return {
        "events": [len(ours.events), len(theirs.events)],
        "identical": ours.events == theirs.events,
        "same_word_and_time": sum(
            pair.ours is not None and pair.theirs is not None and pair.ours.at_sample == pair.theirs.at_sample
            for pair in pairs
        ),
        "differences": [
            {
                "sound": event.sound,
                "label": event.label,
                "at_s": [None if one is None else one.at_sample / rate_hz for one in (pair.ours, pair.theirs)],
                "score": [None if one is None else one.score for one in (pair.ours, pair.theirs)],
            }
            for pair in pairs
            if pair.ours != pair.theirs and (event := pair.ours or pair.theirs) is not None
        ],
        "inferences": len(off),
        "same_scores": int((off == 0).all(axis=1).sum()),
        "same_label": int((ours.scores.argmax(axis=1) == theirs.scores.argmax(axis=1)).sum()),
        "largest_score_difference": float(off.max(initial=0.0)),
    }
