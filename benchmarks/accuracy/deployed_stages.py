"""A model as it is deployed: clips heard as a stream, verifier included, and the events that fire.

Every clip is a stream of its own, with the silence after it that `listen` adds
at the end of a sound. Where the clip begins between two hops differs from clip
to clip, since no speaker waits for a hop.
"""

from __future__ import annotations

import numpy as np

from kwspot.benchmarks.accuracy.scores import NOTHING, LabelledClips, Stage
from kwspot.runtime.audio.sound_file import fit_length, read_sound
from kwspot.runtime.detect.replay import Replay, Report, Scorer
from kwspot.runtime.labels import BACKGROUND_LABELS
from kwspot.runtime.model.bundle import Bundle


def deployed_stages(bundle: Bundle, engine: str, clips: LabelledClips, report: Report | None = None) -> list[Stage]:
    """Return ``stream``, the scores at the first inference that has heard the whole clip, and ``events``, what fired.

    ``events`` is right about a word if that word fired and no other did, and
    about background if nothing fired. Its score is that of the first
    detection, 0 where there is none.
    """
    manifest, scorer, replay = bundle.manifest, Scorer(bundle, engine), Replay(bundle.manifest)
    count = len(clips.clips)
    scores = np.empty((count, len(manifest.labels)), np.float32)
    fired = np.full(count, NOTHING, np.intp)
    fired_score = np.zeros(count, np.float32)
    background = [index for index, label in enumerate(manifest.labels) if label in BACKGROUND_LABELS]
    for number, clip in enumerate(clips.clips):
        sound = fit_length(read_sound(clip.path, scorer.rate_hz), manifest.window_samples)
        scored = scorer.score(sound, number)
        scores[number] = scored.scores[np.searchsorted(scored.at, len(sound))]
        events = [(manifest.labels.index(event.label), event.score) for event in replay.events(scored)]
        if not events and clips.truth[number] in background:
            fired[number] = clips.truth[number]
        elif events:
            # One false word among the right ones is enough to do something wrong.
            wrong = [event for event in events if event[0] != clips.truth[number]]
            fired[number], fired_score[number] = (wrong or events)[0]
        if report is not None:
            report(number + 1, count)
    return [Stage.from_scores("stream", scores), Stage("events", fired, fired_score)]
