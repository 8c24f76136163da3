"""What one engine makes of sound, here or in tflite-runtime's environment, and what another makes of the same.

Run there as ``python -m kwspot.benchmarks.latency.engine_events BUNDLE ENGINE FOLDER``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.benchmarks.accuracy.tflite_environment import run_in_environment
from kwspot.runtime.cli import guarded
from kwspot.runtime.detect.replay import Replay, Scored, Scorer
from kwspot.runtime.files import scratch_folder
from kwspot.runtime.model.bundle import Bundle, load_bundle

SAME_UTTERANCE_S = 0.5
"""An event of the other engine with the same label and no farther away is of the same utterance."""


@dataclass(frozen=True)
class Event:
    """A detection, and the number of the sound it was in."""

    sound: int
    label: str
    at_sample: int
    score: float


@dataclass(frozen=True)
class EngineOutput:
    """`scores` float32 (inferences, labels) of all sounds in a row, and the events in order."""

    scores: NDArray[np.float32]
    events: list[Event]


def hear_sounds(bundle: Bundle, engine: str, sounds: Sequence[NDArray[np.int16]]) -> EngineOutput:
    """Detect words in sounds, int16 (n,) each, each a stream of its own."""
    scorer, replay = Scorer(bundle, engine), Replay(bundle.manifest)
    scored = [scorer.score(sound) for sound in sounds]
    events = [
        Event(number, found.label, found.at_sample, found.score)
        for number, one in enumerate(scored)
        for found in replay.events(one)
    ]
    return EngineOutput(Scored.join(scored).scores, events)


def hear_elsewhere(bundle: Bundle, python: str, sounds: Sequence[NDArray[np.int16]]) -> EngineOutput:
    """Detect words in sounds, int16 (n,) each, in tflite-runtime by the Python of an environment that has it."""
    with scratch_folder("engines") as name:
        for number, sound in enumerate(sounds):
            np.save(name / f"{number}.npy", sound)
        run_in_environment(
            python, "kwspot.benchmarks.latency.engine_events", str(bundle.path.resolve()), "tflite", str(name)
        )
        events = [Event(**values) for values in json.loads((name / "events.json").read_text())]
        return EngineOutput(np.load(name / "scores.npy"), events)


def pair_events(
    ours: Sequence[Event], theirs: Sequence[Event], within_samples: int
) -> list[tuple[Event | None, Event | None]]:
    """Pair every event with the nearest of the other engine that is of the same utterance; None where there is none."""
    left = list(theirs)
    pairs: list[tuple[Event | None, Event | None]] = []
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
        pairs.append((event, paired))
    return pairs + [(None, other) for other in left]


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
        "same_word_and_time": sum(a is not None and b is not None and a.at_sample == b.at_sample for a, b in pairs),
        "differences": [
            {
                "sound": event.sound,
                "label": event.label,
                "at_s": [None if one is None else one.at_sample / rate_hz for one in pair],
                "score": [None if one is None else one.score for one in pair],
            }
            for pair in pairs
            if pair[0] != pair[1] and (event := pair[0] or pair[1]) is not None
        ],
        "inferences": len(off),
        "same_scores": int((off == 0).all(axis=1).sum()),
        "same_label": int((ours.scores.argmax(axis=1) == theirs.scores.argmax(axis=1)).sum()),
        "largest_score_difference": float(off.max(initial=0.0)),
    }


def _work(bundle_path: str, engine: str, folder: str) -> int:
    sounds = [np.load(path) for path in sorted(Path(folder).glob("*.npy"), key=lambda path: int(path.stem))]
    output = hear_sounds(load_bundle(bundle_path), engine, sounds)
    np.save(Path(folder) / "scores.npy", output.scores)
    (Path(folder) / "events.json").write_text(json.dumps([vars(event) for event in output.events], allow_nan=False))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: _work(*sys.argv[1:])))
