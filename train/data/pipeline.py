"""From clips to batches of normalised features, ahead of the training that eats them.

The features come from :func:`kwspot.runtime.features.mfcc.mfcc`, as on the device.
What an example is made of depends on (seed, epoch, place in the epoch) alone,
not on which worker makes it, or when.
"""

from __future__ import annotations

import collections
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.features.mfcc import mfcc
from kwspot.runtime.features.normalise import Normalisation
from kwspot.runtime.features.spec import FeatureSpec
from kwspot.runtime.progress import Reminder
from kwspot.train.config.config import Config
from kwspot.train.config.tables import AugmentConfig
from kwspot.train.cores import CORES, PIPELINE_THREADS
from kwspot.train.data.augment import augment, mask_frames
from kwspot.train.data.clips import ClipSet

Frames = NDArray[np.float32]
Batch = tuple[Frames, NDArray[np.float32]]
"""Features, float32 (B, T, C), and a row for each with 1 at its label, float32 (B, L)."""

_T = TypeVar("_T")

# The FFTs run without the interpreter's lock, so threads do; a board of work ahead bridges an uneven step.
_BATCHES_AHEAD = 8

# Streams of random numbers that must not meet.
_ORDER, _SOUND, _FIXED, _MIX = 1, 2, 3, 4


def features_of(samples: NDArray[np.int16], spec: FeatureSpec) -> Frames:
    """Features of clips of one length, int16 (N, n) → float32 (N, T, C)."""
    chunks = np.array_split(samples, max(1, len(samples) // 256))
    jobs = (functools.partial(_features, chunk, spec) for chunk in chunks)
    made: list[Frames] = []
    reminder = Reminder()
    for frames in in_order(jobs, CORES):
        made.append(frames)
        reminder.say(f"features of {sum(map(len, made)):,} of {len(samples):,} clips")
    reminder.end()
    return np.concatenate(made)


def _features(samples: NDArray[np.int16], spec: FeatureSpec) -> Frames:
    return np.stack([mfcc(row, spec) for row in samples])


def one_hot(label_of: NDArray[np.int64], labels: int) -> NDArray[np.float32]:
    """Make a row for each, 1 at its label: int64 (N,) → float32 (N, labels)."""
    return np.eye(labels, dtype=np.float32)[label_of]


def in_order(jobs: Iterable[Callable[[], _T]], threads: int) -> Iterator[_T]:
    """Results of the jobs in their order, a few computed ahead by threads."""
    pool = ThreadPoolExecutor(threads)
    waiting: collections.deque[Future[_T]] = collections.deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(job))
            if len(waiting) > _BATCHES_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class FixedExamples:
    """Examples that stay the same, float32 (N, T, C) and (N, L); an epoch is all of them in a drawn order."""

    def __init__(self, frames: Frames, targets: NDArray[np.float32], *, batch_size: int, seed: int) -> None:
        self.frames, self.targets = frames, targets
        self._batch_size, self._seed = batch_size, seed

    def __len__(self) -> int:
        return len(self.frames)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch, counted from 1."""
        order = np.random.default_rng([self._seed, _ORDER, epoch]).permutation(len(self))
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            yield self.frames[batch], self.targets[batch]


class DrawnExamples:
    """Examples drawn and augmented anew in each epoch."""

    def __init__(self, clips: ClipSet, config: Config, normalisation: Normalisation) -> None:
        self._clips, self._config, self._normalisation = clips, config, normalisation
        self._made: list[tuple[int, float]] = []

    @property
    def clips_per_s(self) -> float | None:
        """Return how many clips the threads would make with a core each, by their processor time; None before any."""
        made = self._made.copy()  # threads append to it
        seconds = sum(cost for _, cost in made)
        return PIPELINE_THREADS * sum(clips for clips, _ in made) / seconds if seconds else None

    def __len__(self) -> int:
        return sum(self._clips.per_epoch)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch, counted from 1."""
        training = self._config.training
        clip, label = self._clips.draw(np.random.default_rng([training.seed, _ORDER, epoch]))
        starts = range(0, len(clip), training.batch_size)
        batches = (slice(start, start + training.batch_size) for start in starts)
        jobs = (functools.partial(self._batch, epoch, b.start, clip[b], label[b]) for b in batches)
        yield from in_order(jobs, PIPELINE_THREADS)

    def _batch(self, epoch: int, start: int, clip: NDArray[np.int64], label: NDArray[np.int64]) -> Batch:
        spec, seed, config = self._config.features, self._config.training.seed, self._config.augment
        started = time.thread_time()
        frames = []
        for place, k in enumerate(clip, start):
            rng = np.random.default_rng([seed, _SOUND, epoch, place])
            if k < 0:
                samples = self._clips.noise.silence(rng, self._clips.samples.shape[1])
            else:
                samples = augment(self._clips.samples[k], config, self._clips.noise, spec.sample_rate_hz, rng)
            frames.append(mask_frames(self._normalisation.apply(mfcc(samples, spec)), config, rng))
        rng = np.random.default_rng([seed, _MIX, epoch, start])
        batch = mixed_up(np.stack(frames), one_hot(label, len(self._clips.labels)), config, rng)
        self._made.append((len(clip), time.thread_time() - started))
        return batch


def mixed_up(frames: Frames, targets: NDArray[np.float32], config: AugmentConfig, rng: np.random.Generator) -> Batch:
    """Mixup on a drawn share of the batches: each example and another, weighted with at least half for the first.

    Zhang et al., "mixup", arXiv:1710.09412, with uniform weights.
    """
    if config.mixup == 0 or rng.random() >= config.mixup:
        return frames, targets
    other = rng.permutation(len(frames))
    weight = rng.uniform(0.5, 1.0, len(frames)).astype(np.float32)
    return (
        frames * weight[:, None, None] + frames[other] * (1 - weight)[:, None, None],
        targets * weight[:, None] + targets[other] * (1 - weight)[:, None],
    )


def fixed_samples(clips: ClipSet, seed: int) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Return one epoch's examples, int16 (N, n), and their labels, int64 (N,): what validation is measured on."""
    rng = np.random.default_rng([seed, _FIXED])
    clip, label = clips.draw(rng)
    length = clips.samples.shape[1]
    samples = np.stack([clips.noise.silence(rng, length) if k < 0 else clips.samples[k] for k in clip])
    return samples, label


def fixed_examples(clips: ClipSet, config: Config, normalisation: Normalisation) -> FixedExamples:
    """Return the examples of one draw, not augmented, computed once."""
    samples, label = fixed_samples(clips, config.training.seed)
    frames = normalisation.apply(features_of(samples, config.features))
    return FixedExamples(
        frames, one_hot(label, len(clips.labels)), batch_size=config.training.batch_size, seed=config.training.seed
    )


def training_examples(clips: ClipSet, config: Config, normalisation: Normalisation) -> FixedExamples | DrawnExamples:
    """Computed once if every epoch is to hear the same, else drawn anew."""
    pools = np.bincount(clips.label_of, minlength=len(clips.labels))
    same = config.augment.is_off and tuple(pools) == clips.per_epoch
    return fixed_examples(clips, config, normalisation) if same else DrawnExamples(clips, config, normalisation)
