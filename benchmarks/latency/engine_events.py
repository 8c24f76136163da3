"""What one engine makes of sound: every score and every event, in this process or in tflite-runtime's environment.

Run there as ``python -m kwspot.benchmarks.latency.engine_events BUNDLE ENGINE FOLDER``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.benchmarks.accuracy.tflite_environment import run_in_environment
from kwspot.runtime.cli import guarded
from kwspot.runtime.detect.replay import Replay, Scored, Scorer
from kwspot.runtime.files import scratch_folder
from kwspot.runtime.model.bundle import Bundle, load_bundle


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
    """Detect words in sounds, int16 (n,) each, in tflite-runtime by the Python of an environment with it and numpy 1.

    Raises
    ------
    EngineError
        If that Python is missing, or cannot run the model.
    """
    with scratch_folder("engines") as name:
        for number, sound in enumerate(sounds):
            np.save(name / f"{number}.npy", sound)
        run_in_environment(
            python, "kwspot.benchmarks.latency.engine_events", str(bundle.path.resolve()), "tflite", str(name)
        )
        events = [Event(**values) for values in json.loads((name / "events.json").read_text())]
        return EngineOutput(np.load(name / "scores.npy"), events)


def _work(bundle_path: str, engine: str, folder: str) -> int:
    sounds = [np.load(path) for path in sorted(Path(folder).glob("*.npy"), key=lambda path: int(path.stem))]
    output = hear_sounds(load_bundle(bundle_path), engine, sounds)
    np.save(Path(folder) / "scores.npy", output.scores)
    (Path(folder) / "events.json").write_text(json.dumps([vars(event) for event in output.events], allow_nan=False))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: _work(*sys.argv[1:])))
