"""Mine hard negatives: cut out what a bundle fires on in sound without its words, to train on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime import load_bundle
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.audio.wav import write_wav
from kwspot.runtime.detect.replay import Replay, Scorer
from kwspot.runtime.progress import Reminder
from kwspot.train.word.sources import negative_speaker


@dataclass(frozen=True)
class Mined:
    """`clips` were found in so much sound; `above` are those that fire at the bundle's own threshold."""

    seconds: float
    clips: int
    above: int

    @property
    def per_hour(self) -> float:
        """False accepts at the bundle's own threshold."""
        return 3600 * self.above / max(self.seconds, 1e-9)


def mine(
    bundle_path: Path, sounds: Sequence[Path], target: Path, *, threshold: float, most: int, clip_ms: int, seed: int
) -> Mined:
    """Stream sounds through a bundle and write each false accept's clip into `target`, the highest scores if too many.

    A clip ends where the detection does, and is what the network saw, so that a
    training sees the mistake itself.
    """
    bundle = load_bundle(bundle_path)
    manifest = bundle.manifest
    rate_hz = manifest.features.sample_rate_hz
    scorer, replay = Scorer(bundle), Replay(manifest, dict.fromkeys(manifest.words, threshold))
    length = clip_ms * rate_hz // 1000
    found: list[tuple[float, int, str, NDArray[np.int16]]] = []
    seconds, above, reminder = 0.0, 0, Reminder()
    order = np.random.default_rng([seed, 0x3E]).permutation(len(sounds))
    for number, k in enumerate(order, 1):
        sound = read_sound(sounds[k], rate_hz)
        seconds += len(sound) / rate_hz
        for detection in replay.events(scorer.score(sound)):
            end = detection.at_sample  # it may lie in the silence after the sound
            clip = np.pad(sound, (0, max(0, end - len(sound))))[max(0, end - length) : end]
            above += detection.score >= manifest.decision.threshold_of(detection.label)
            found.append((detection.score, len(found), negative_speaker(sounds[k]), clip))
        reminder.say(f"heard {number:,} of {len(sounds):,} sounds, {len(found)} false accepts")
    reminder.end()
    for _, number, speaker, clip in sorted(found, key=lambda entry: (-entry[0], entry[1]))[:most]:
        write_wav(target / f"mined-{speaker}_nohash_{number}.wav", clip, rate_hz)
    return Mined(seconds, len(found), above)
