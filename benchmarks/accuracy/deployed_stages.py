"""A model as it is deployed: clips heard as a stream, and what the decision makes of the scores.

Every clip is a stream of its own: digital silence, the clip, digital silence.
Where the clip begins between two hops differs from clip to clip, since no
speaker waits for a hop.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kwspot.benchmarks.accuracy.scores import NOTHING, LabelledClips, Stage
from kwspot.runtime.audio.recordings import fit_length, read_sound
from kwspot.runtime.detect.decision import Decision
from kwspot.runtime.features.mfcc import StreamingMfcc
from kwspot.runtime.labels import BACKGROUND_LABELS
from kwspot.runtime.model.bundle import Bundle
from kwspot.runtime.model.classifier import open_classifier
from kwspot.runtime.model.engines import open_engine

TAIL_S = 0.5
"""Silence after the clip: the mean of the decision follows the scores by its span."""

_PHASE_STEP = 617
"""Samples by which the start moves from clip to clip; shares no factor with any usual hop."""


def deployed_stages(
    bundle: Bundle, engine: str, clips: LabelledClips, advanced: Callable[[int], None] | None = None
) -> list[Stage]:
    """``stream``, the scores at the first inference that has heard the whole clip, and ``events``, what fired.

    ``events`` is right about a word if that word fired and no other did, and
    about background if nothing fired. Its score is that of the first
    detection, 0 where there is none.

    Parameters
    ----------
    advanced
        Called with the number of clips done.
    """
    manifest, spec = bundle.manifest, bundle.manifest.features
    features = StreamingMfcc(spec)
    classifier = open_classifier(manifest, open_engine(bundle, engine))
    decision = Decision(
        manifest.decision,
        manifest.labels,
        score_hop_samples=manifest.inference_hop_samples,
        sample_rate_hz=spec.sample_rate_hz,
    )
    count, hop = len(clips.clips), manifest.inference_hop_samples
    scores = np.empty((count, len(manifest.labels)), np.float32)
    fired = np.full(count, NOTHING, np.intp)
    fired_score = np.zeros(count, np.float32)
    background = [index for index, label in enumerate(manifest.labels) if label in BACKGROUND_LABELS]
    tail = np.zeros(round(TAIL_S * spec.sample_rate_hz), np.int16)
    for number, clip in enumerate(clips.clips):
        sound = fit_length(read_sound(clip.path, spec.sample_rate_hz), manifest.window_samples)
        lead = np.zeros(number * _PHASE_STEP % hop, np.int16)
        features.reset()
        classifier.reset()
        decision.rewind()
        heard_all = len(lead) + len(sound)
        events: list[tuple[int, float]] = []
        whole: NDArray[np.float32] | None = None
        for frames_seen, said in classifier.push(features.push(np.concatenate([lead, sound, tail]))):
            at_sample = spec.samples_in(frames_seen)
            if whole is None and at_sample >= heard_all:
                whole = scores[number] = said
            for detection in decision.push(said, at_sample):
                events.append((manifest.labels.index(detection.label), detection.score))
        if not events and clips.truth[number] in background:
            fired[number] = clips.truth[number]
        elif events:
            # One false word among the right ones is enough to do something wrong.
            wrong = [event for event in events if event[0] != clips.truth[number]]
            fired[number], fired_score[number] = (wrong or events)[0]
        if advanced is not None:
            advanced(number + 1)
    return [Stage.from_scores("stream", scores), Stage("events", fired, fired_score)]
