"""A verifier at what the network suspects, by one that has heard far more people.

The small network that runs all day has heard the phrase from programs alone, as a rule, and takes other things for it,
or is unsure of people. Where it gives a word `gate` or more, the last second of sound goes through Google's speech
embedding (:mod:`kwspot.runtime.model.embedding`) and two layers that were trained for these phrases, and what they say
counts four times as much. What is not suspected scores 0, so every score above 0 has been looked at twice. It costs a
few milliseconds of a desktop's core every 80 ms while something is suspected, and nothing else.
"""

from __future__ import annotations

import collections
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.errors import BundleDamagedError
from kwspot.runtime.model.bundle import Bundle, Manifest, VerifierInfo
from kwspot.runtime.model.classifier import Results
from kwspot.runtime.model.embedding import (
    DIMENSIONS,
    STEP_SAMPLES,
    Memory,
    SpeechEmbedding,
    further_samples_of,
    samples_of,
)

# Half a step of an int8 score: surer than that is nobody, or one would overrule all.
_LEAST = np.float32(1 / 512)


class Verifier:
    """Embeddings in a row → scores, as `arrays` of ``verifier.npz`` say.

    Parameters
    ----------
    arrays
        The weights of the embedding, and ``hidden/weight`` (embeddings · 96, hidden), ``hidden/bias``,
        ``scores/weight`` (hidden, labels) and ``scores/bias``.

    Raises
    ------
    BundleDamagedError
        If they do not fit each other, or the number of labels.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], labels: int) -> None:
        try:
            self.embed = SpeechEmbedding(arrays)
            names = ("hidden/weight", "hidden/bias", "scores/weight", "scores/bias")
            self._hidden, self._hidden_bias, self._scores, self._scores_bias = (
                arrays[name].astype(np.float32) for name in names
            )
        except KeyError as error:
            raise BundleDamagedError(f"the verifier has no {error}; make the bundle again") from None
        inputs, hidden = self._hidden.shape
        if inputs % DIMENSIONS or self._scores.shape != (hidden, labels):
            raise BundleDamagedError(
                f"the verifier has layers {self._hidden.shape} and {self._scores.shape}; expected a multiple of "
                f"{DIMENSIONS} inputs and {labels} labels: make the bundle again"
            )
        self.embeddings = inputs // DIMENSIONS
        """How many in a row are looked at."""
        self.samples = samples_of(self.embeddings)
        """Sound that a look depends on."""

    def scores(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of the labels, float32 (n, labels), of embeddings in a row, float32 (n, embeddings, 96)."""
        rows = embeddings.reshape(len(embeddings), -1)
        hidden = np.maximum(rows @ self._hidden + self._hidden_bias, np.float32(0))
        return _softmax(hidden @ self._scores + self._scores_bias)

    def look(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        """Probabilities, float32 (labels,), at the end of sound, int16 (`samples`,)."""
        return self.scores(self.embed(samples)[None])[0]


def _softmax(log_scores: NDArray[np.float32]) -> NDArray[np.float32]:
    grown = np.exp(log_scores - log_scores.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)


def _logarithms(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.log(np.maximum(scores, _LEAST))


def open_verifier(bundle: Bundle) -> Verifier:
    """That of a bundle.

    Raises
    ------
    BundleError
        If it has none.
    """
    with np.load(io.BytesIO(bundle.verifier_bytes()), allow_pickle=False) as arrays:
        return Verifier(dict(arrays), len(bundle.manifest.labels))


def inferences_between_looks(manifest: Manifest) -> int:
    """Return n where the verifier may be asked at every n-th inference of a stream: 80 ms apart, or at each."""
    return max(1, STEP_SAMPLES // manifest.inference_hop_samples)


class VerifierSession:
    """The sound of a stream beside its scores, so that what they suspect can be looked at again.

    Looks are 80 ms apart on the stream's own clock, or as far as its scores
    are, and count until the next; how the sound was sliced changes nothing.
    Where the network's window is longer than a look, its middle is looked at
    from place to place, and the logarithms are averaged. What counts is the
    weighted geometric mean of both networks' scores, those of words times 5,
    scaled to a sum of 1: they are wrong about different things.
    """

    def __init__(self, look: Verifier, manifest: Manifest, info: VerifierInfo) -> None:
        self._look, self._trigger_score = look, info.trigger_score
        self._weight, self._log_odds = np.float32(info.weight), np.log(np.float32(info.odds))
        self._words = [manifest.labels.index(word) for word in manifest.words]
        self._manifest = manifest
        places = 1 + max(0, manifest.window_samples - look.samples) // STEP_SAMPLES
        self._places = min(places, info.places)
        self._ago = STEP_SAMPLES * ((places - self._places + 1) // 2)
        """How long before the end of the network's window that of the last place is."""
        seen = look.samples + (self._places - 1) * STEP_SAMPLES + self._ago
        # The last scores may be of some time ago: frames come in groups.
        self._kept = seen + 4 * manifest.inference_hop_samples + manifest.features.window_samples
        self.looks = 0
        """How many there were, since the start."""
        self.reset()

    def reset(self) -> None:
        """A new stretch of sound."""
        self._blocks: collections.deque[NDArray[np.int16]] = collections.deque()
        self._held = self._heard = 0
        self._said: NDArray[np.float32] | None = None
        self._embedded: dict[int, NDArray[np.float32]] = {}
        self._memory: Memory = {}

    def hear(self, block: NDArray[np.int16]) -> None:
        """Take the sound, int16 (n,), that the scores of the next :meth:`check` are of."""
        while self._held and self._held - len(self._blocks[0]) >= self._kept:
            self._held -= len(self._blocks.popleft())
        self._blocks.append(block.copy())  # whoever gave it may fill it again
        self._held += len(block)
        self._heard += len(block)

    def check(self, results: Results) -> Results:
        """Scores as they count: of what is suspected those of both networks, of all else 0 for the words."""
        return [(frames_seen, self._checked(frames_seen, scores)) for frames_seen, scores in results]

    def _checked(self, frames_seen: int, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        if scores[self._words].max() < self._trigger_score:
            self._said = None
        elif frames_seen // self._manifest.inference_hop_frames % inferences_between_looks(self._manifest) == 0:
            self._said = self._looked(self._manifest.features.samples_in(frames_seen))
        if self._said is not None:
            both = (1 - self._weight) * _logarithms(scores) + self._weight * self._said
            both[self._words] += self._log_odds
            return _softmax(both)
        scores = scores.copy()
        scores[self._words] = 0.0
        return scores

    def _looked(self, end: int) -> NDArray[np.float32]:
        """What is said of the window that ends at a sample of the stretch, as logarithms, float32 (labels,); embeddings
        that the look before had, too, are not made again."""
        self.looks += 1
        end -= self._ago
        count = self._look.embeddings
        ends = [end - STEP_SAMPLES * k for k in range(count + self._places - 1)]
        missing = sum(at not in self._embedded for at in ends)  # the last ones, since looks are in order
        if missing:  # and the memory is at the last that is not
            afresh = missing == len(ends)
            self._memory = {} if afresh else self._memory
            length = samples_of(missing) if afresh else further_samples_of(missing)
            found = self._look.embed(self._sound_until(end, length), self._memory)
            self._embedded |= dict(zip(ends[:missing][::-1], found, strict=True))
        self._embedded = {at: self._embedded[at] for at in ends}
        heard = np.stack([self._embedded[at] for at in reversed(ends)])
        places = np.stack([heard[place : place + count] for place in range(self._places)])
        return _logarithms(self._look.scores(places)).mean(axis=0)

    def _sound_until(self, end: int, length: int) -> NDArray[np.int16]:
        """The last `length` samples before one of the stretch; before its first there was silence."""
        sound = np.concatenate(self._blocks)
        stop = max(0, end - self._heard + len(sound))
        start = max(0, stop - length)
        silence = np.zeros(length - (stop - start), np.int16)
        return np.concatenate([silence, sound[start:stop]])
