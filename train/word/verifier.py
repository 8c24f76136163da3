"""Teaches a bundle to look twice: two layers behind Google's speech embedding, for its phrases.

The embedding itself is not trained; ``weights/speech-embedding.npz`` holds it (see
:mod:`kwspot.runtime.model.embedding`). The examples are those of the bundle's own training, augmented alike, and what
the rounds of mining found among them: just what the verifier will be asked about.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.model.bundle import VERIFIER_FILE, Bundle, sha256_of
from kwspot.runtime.model.edit import store
from kwspot.runtime.model.embedding import DIMENSIONS, FIELD_SAMPLES, STEP_SAMPLES, SpeechEmbedding, samples_of
from kwspot.runtime.model.golden import golden_verifier_scores
from kwspot.runtime.model.manifest import VerifierInfo
from kwspot.runtime.model.verifier import Verifier
from kwspot.train.config.config import Config
from kwspot.train.cores import CORES
from kwspot.train.data.augment import augment
from kwspot.train.data.clips import ClipSet, load_clips
from kwspot.train.data.pipeline import fixed_samples, in_order

EMBEDDING = Path(__file__).parents[1] / "weights/speech-embedding.npz"

WEIGHT = 0.8
"""Of the verifier in the geometric mean: what one stage takes for the word the other often does not, but the first has
heard less."""
ODDS = 5.0
"""Trainings hear negatives five times as often as a word; of what triggers the verifier so much more is one."""
PLACES = 6
"""In the middle of the first stage's window, where it was shown the words; at its ends it sees half of one."""

_CHUNK = 64
# 1.2 s: each embedding hears three quarters of a second by itself, and more of them learn how long programs pause.
_MOST_EMBEDDINGS = 6
# Looks are 80 ms apart while a word goes by, so it lies anywhere about the middle; in samples.
_ASIDE = 2_400
_HEADS, _HIDDEN = 4, 32
_DROPOUT = 0.3
_EPOCHS, _BATCH = 10, 256
_LEARNING_RATE, _WEIGHT_DECAY = 2e-3, 1e-2
_DRAW, _SOUND = 0x10, 0x11

Arrays = dict[str, NDArray[Any]]


def train_verifier(data: Path, config: Config, passes: int) -> Arrays:
    """The arrays of ``verifier.npz`` for the phrases of a data folder; says how it does on validation.

    Parameters
    ----------
    config
        Of the training that the bundle is from.
    passes
        How often its examples of an epoch are drawn and augmented.

    Raises
    ------
    DataFolderError
        As for a training.
    """
    with np.load(EMBEDDING, allow_pickle=False) as held:
        embedding = dict(held)
    embed = SpeechEmbedding(embedding)
    train, validation = load_clips(DataFolder(data), config)
    examples, label_of = _drawn(train, config, embed, passes)
    arrays = embedding | _heads(examples, label_of, len(train.labels), config.training.seed)
    samples, truth = fixed_samples(validation, config.training.seed)
    verifier = Verifier(arrays, len(train.labels))
    jobs = [functools.partial(verifier.score, _cut(row, verifier.samples, 0.0)) for row in samples]
    right = sum(said.argmax() == label for said, label in zip(in_order(jobs, CORES), truth, strict=True))
    print(f"verifier: {right} of {len(truth)} right on validation", file=sys.stderr, flush=True)
    return arrays


def add_verifier(bundle: Bundle, arrays: Mapping[str, NDArray[Any]], trigger_score: float) -> Bundle:
    """Add a verifier that is asked from `trigger_score` on, and open the bundle again.

    The first stage stays as it is; the calibration no longer holds and is removed.

    Raises
    ------
    BundleError
        If the bundle has been changed since it was opened.
    """
    manifest = bundle.manifest
    verifier = Verifier(arrays, len(manifest.labels))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **dict(arrays))  # type: ignore[arg-type]
    scores = tuple(float(score) for score in golden_verifier_scores(verifier))
    info = VerifierInfo(
        sha256=sha256_of(buffer.getvalue()),
        trigger_score=trigger_score,
        weight=WEIGHT,
        odds=ODDS,
        places=PLACES,
        golden_scores=scores,
    )
    changed = dataclasses.replace(manifest, verifier=info, calibration={})
    return store(bundle, changed, {VERIFIER_FILE: buffer.getvalue()})


def _drawn(
    clips: ClipSet, config: Config, embed: SpeechEmbedding, passes: int
) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """Embeddings of the examples of so many epochs, float16 (N, n, 96), and their labels, int64 (N,)."""
    whole = max(1, 1 + (clips.samples.shape[1] - FIELD_SAMPLES) // STEP_SAMPLES)
    length = samples_of(min(whole, _MOST_EMBEDDINGS))
    seed, rate_hz = config.training.seed, config.features.sample_rate_hz

    def chunk(number: int, start: int, rows: NDArray[np.int64]) -> list[NDArray[np.float16]]:
        heard = []
        for place, clip in enumerate(rows, start):
            rng = np.random.default_rng([seed, _SOUND, number, place])
            if clip < 0:
                sound = clips.noise.silence(rng, clips.samples.shape[1])
            else:
                sound = augment(clips.samples[clip], config.augment, clips.noise, rate_hz, rng)
            heard.append(embed(_cut(sound, length, rng.uniform(-1, 1))).astype(np.float16))
        return heard

    made: list[NDArray[np.float16]] = []
    labels = []
    for number in range(passes):
        clip, label = clips.draw(np.random.default_rng([seed, _DRAW, number]))
        starts = range(0, len(clip), _CHUNK)
        jobs = [functools.partial(chunk, number, start, clip[start : start + _CHUNK]) for start in starts]
        for heard in in_order(jobs, CORES):
            made += heard
        labels.append(label)
        print(f"verifier: {len(made)} of {passes * len(clip)} examples heard", file=sys.stderr, flush=True)
    return np.stack(made), np.concatenate(labels)


def _cut(sound: NDArray[np.int16], length: int, aside: float) -> NDArray[np.int16]:
    """`length` samples about the middle of a clip, or up to `_ASIDE` later (1) or earlier (-1) where it is longer; a
    shorter clip has silence before it."""
    spare = len(sound) - length
    if spare < 0:
        return np.concatenate([np.zeros(-spare, np.int16), sound])
    start = min(max(spare // 2 + round(aside * _ASIDE), 0), spare)
    return sound[start : start + length]


def _heads(examples: NDArray[np.float16], label_of: NDArray[np.int64], labels: int, seed: int) -> Arrays:
    """Some pairs of layers, trained apart, whose mean is one pair of wider ones: what one of them alone is sure of
    depends on its first weights."""
    from kwspot.train.backend import keras, make_deterministic

    layers = keras.layers
    flat = examples.reshape(-1, DIMENSIONS)
    mean, deviation = flat.mean(axis=0, dtype=np.float32), flat.astype(np.float32).std(axis=0) + 1e-6
    inputs = ((examples - mean) / deviation).reshape(len(examples), -1).astype(np.float32)
    trained: list[list[NDArray[np.float32]]] = []
    for number in range(_HEADS):
        make_deterministic(seed + number)
        given = keras.Input((inputs.shape[1],))
        x = layers.Dropout(_DROPOUT)(given)
        x = layers.Dense(_HIDDEN, activation="relu")(x)
        x = layers.Dropout(_DROPOUT)(x)
        head = keras.Model(given, layers.Dense(labels)(x))
        optimizer = keras.optimizers.AdamW(_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        head.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        head.fit(inputs, label_of, batch_size=_BATCH, epochs=_EPOCHS, verbose=0)
        trained.append(head.get_weights())
    hidden, hidden_bias, scores, scores_bias = zip(*trained, strict=True)
    weight = np.concatenate(hidden, axis=1)
    repeats = len(weight) // DIMENSIONS
    weight = weight / np.tile(deviation, repeats)[:, None]
    bias = np.concatenate(hidden_bias) - np.tile(mean, repeats) @ weight
    return {
        "hidden/weight": weight.astype(np.float16),
        "hidden/bias": bias.astype(np.float32),
        "scores/weight": (np.concatenate(scores) / _HEADS).astype(np.float32),
        "scores/bias": np.mean(scores_bias, axis=0).astype(np.float32),
    }
