"""Train a bundle's verifier, two layers behind Google's speech embedding, and choose when it is asked.

The embedding itself is not trained; ``weights/speech-embedding.npz`` holds it (see
:mod:`kwspot.runtime.model.embedding`). The examples are those of the bundle's own training, augmented alike, with the
false accepts that were mined: just what the verifier will be asked about.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.detect.replay import Scorer
from kwspot.runtime.model.bundle import VERIFIER_FILE, Bundle, sha256_of
from kwspot.runtime.model.edit import store
from kwspot.runtime.model.embedding import DIMENSIONS, FIELD_SAMPLES, STEP_SAMPLES, SpeechEmbedding, samples_of
from kwspot.runtime.model.golden import golden_verifier_scores
from kwspot.runtime.model.manifest import VerifierInfo
from kwspot.runtime.model.verifier import Verifier
from kwspot.runtime.model.verifier_session import inferences_between_checks
from kwspot.runtime.standard_streams import without_native_chatter
from kwspot.train.config.config import Config
from kwspot.train.cores import CORES
from kwspot.train.data.augment import augment
from kwspot.train.data.clips import ClipSet, load_clips
from kwspot.train.data.pipeline import fixed_samples, in_order

EMBEDDING = Path(__file__).parents[1] / "weights/speech-embedding.npz"

WEIGHT = 0.8
"""Of the verifier in the geometric mean of both stages' scores: one stage often refuses what the other takes for the
word, but the first has learnt from less."""
ODDS = 5.0
"""A training has five times as many negatives as utterances of a word; of what triggers the verifier more are words."""
PLACES = 6
"""In the middle of the first stage's window, where it was shown the words; at the ends there is half of one."""

_CHUNK = 64
# 1.2 s: each embedding hears three quarters of a second by itself, and more of them learn how long programs pause.
_MOST_EMBEDDINGS = 6
# The verifier is asked every 80 ms while a word goes by, so the word lies anywhere about the middle; in samples.
_ASIDE = 2_400
_HEADS, _HIDDEN = 4, 32
_DROPOUT = 0.3
_EPOCHS, _BATCH = 10, 256
_LEARNING_RATE, _WEIGHT_DECAY = 2e-3, 1e-2
_DRAW, _SOUND = 0x10, 0x11

# To choose the trigger score.
_MOST_SOUNDS = 1_500
# Of what the first stage is half sure the verifier is asked, however often that is.
_HIGHEST_TRIGGER = 0.5
# Half a step of an int8 score.
_JUST_ABOVE = 1 / 512

Arrays = dict[str, NDArray[Any]]


def train_verifier(data: Path, config: Config, passes: int) -> Arrays:
    """Train the arrays of ``verifier.npz`` for the phrases of a data folder, and say how many of validation are right.

    Parameters
    ----------
    config
        Of the training that the bundle is from.
    passes
        How often the examples of an epoch are drawn and augmented.

    Raises
    ------
    DataFolderError
        As for a training.
    """
    with np.load(EMBEDDING, allow_pickle=False) as held:
        embedding = dict(held)
    embed = SpeechEmbedding(embedding)
    train, validation = load_clips(DataFolder(data), config)
    examples, label_of = _draw_embeddings(train, config, embed, passes)
    arrays = embedding | _train_heads(examples, label_of, len(train.labels), config.training.seed)
    samples, truth = fixed_samples(validation, config.training.seed)
    verifier = Verifier(arrays, len(train.labels))
    jobs = [functools.partial(verifier.score, _cut_middle(row, verifier.samples, 0.0)) for row in samples]
    right = sum(scores.argmax() == label for scores, label in zip(in_order(jobs, CORES), truth, strict=True))
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


def _draw_embeddings(
    clips: ClipSet, config: Config, embed: SpeechEmbedding, passes: int
) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """Return embeddings of the examples of so many epochs, float16 (N, n, 96), and their labels, int64 (N,)."""
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
            heard.append(embed(_cut_middle(sound, length, rng.uniform(-1, 1))).astype(np.float16))
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
        print(f"verifier: {len(made)} of {passes * len(clip)} examples embedded", file=sys.stderr, flush=True)
    return np.stack(made), np.concatenate(labels)


def _cut_middle(sound: NDArray[np.int16], length: int, aside: float) -> NDArray[np.int16]:
    """Cut `length` samples about the middle of a clip, or up to `_ASIDE` later (1) or earlier (-1) in a longer one; a
    shorter clip gets silence before it."""
    spare = len(sound) - length
    if spare < 0:
        return np.concatenate([np.zeros(-spare, np.int16), sound])
    start = min(max(spare // 2 + round(aside * _ASIDE), 0), spare)
    return sound[start : start + length]


def _train_heads(examples: NDArray[np.float16], label_of: NDArray[np.int64], labels: int, seed: int) -> Arrays:
    """Train some pairs of layers apart and return their mean as one pair of wider ones: what one of them alone is sure
    of depends on its first weights."""
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
        with without_native_chatter():
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


def choose_trigger_score(bundle: Bundle, sounds: Sequence[Path], least: float, calls_per_hour: float) -> float:
    """Choose the lowest trigger score, from `least` on, by which an hour of negatives asks so often at most.

    A first stage that was trained on a few people's recordings of a word, and
    on programs, may find something of it in all that people say; one that has
    heard programs alone needs a low trigger score.

    Parameters
    ----------
    bundle
        The first stage, without a verifier.
    sounds
        Files without the words; of many, :data:`_MOST_SOUNDS` evenly chosen ones are heard.
    """
    manifest = bundle.manifest
    words = [manifest.labels.index(word) for word in manifest.words]
    scorer, apart = Scorer(bundle), inferences_between_checks(manifest)
    seconds, peaks = 0.0, [np.empty(0, np.float32)]
    for path in sounds[:: -(-len(sounds) // _MOST_SOUNDS)]:
        sound = read_sound(path, scorer.rate_hz)
        seconds += len(sound) / scorer.rate_hz
        peaks.append(scorer.score(sound).scores[apart - 1 :: apart, words].max(axis=1))
    suspected = np.sort(np.concatenate(peaks))[::-1]
    allowed = int(calls_per_hour * seconds / 3600)
    over = float(suspected[allowed]) if allowed < len(suspected) else 0.0
    chosen = least if over < least else min(over + _JUST_ABOVE, max(least, _HIGHEST_TRIGGER))
    calls, calls_at_least = ((suspected >= score).sum() / seconds * 3600 for score in (chosen, least))
    print(
        f"verifier: asked {calls:,.0f} times in an hour of the negatives, from a first-stage score of {chosen:.3f} "
        f"({calls_at_least:,.0f} times from {least:g})",
        file=sys.stderr,
    )
    return chosen
