"""The verifier: the second stage, which is asked about what the first stage suspects.

The first stage runs all day and is small. The verifier is larger: Google's speech embedding
(:mod:`kwspot.runtime.model.embedding`), trained on the words of very many people, and two dense layers that were
trained for the bundle's words. Here are its weights and its scores; :mod:`kwspot.runtime.model.verifier_session` asks
it along a stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.errors import BundleDamagedError, EngineError
from kwspot.runtime.model.bundle import VERIFIER_FILE, Bundle
from kwspot.runtime.model.embedding import DIMENSIONS, SpeechEmbedding, embedding_specs, samples_of
from kwspot.runtime.model.npz import ArraySpec, read_npz

_FLOATS = ("float16", "float32")

_LEAST_SCORE = np.float32(1 / 512)
"""Half a step of an int8 score: with a score of 0, one stage would overrule the other, whatever that said."""


class Verifier:
    """Sound, or the embeddings of it, to scores.

    Parameters
    ----------
    arrays
        As ``verifier.npz`` holds them: the weights of the embedding, and ``hidden/weight`` (embeddings · 96, hidden),
        ``hidden/bias``, ``scores/weight`` (hidden, labels) and ``scores/bias``.

    Raises
    ------
    BundleDamagedError
        If they do not fit each other, or the number of labels.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], labels: int) -> None:
        self.embed = SpeechEmbedding(arrays)
        names = ("hidden/weight", "hidden/bias", "scores/weight", "scores/bias")
        self._hidden, self._hidden_bias, self._scores, self._scores_bias = (
            arrays[name].astype(np.float32) for name in names
        )
        inputs, hidden = self._hidden.shape
        fits = self._hidden_bias.shape == (hidden,) and self._scores.shape == (hidden, labels)
        if inputs % DIMENSIONS or not 0 < inputs <= DIMENSIONS * _MOST_EMBEDDINGS or not fits:
            raise BundleDamagedError(
                f"the verifier has layers {self._hidden.shape} and {self._scores.shape}; expected a multiple of "
                f"{DIMENSIONS} inputs and {labels} labels: make the bundle again"
            )
        self.embeddings = inputs // DIMENSIONS
        """How many in a row the scores depend on."""
        self.samples = samples_of(self.embeddings)
        """Sound that the scores depend on."""

    def score_embeddings(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score embeddings in a row, float32 (n, embeddings, 96), as probabilities of the labels, float32 (n, labels).

        Raises
        ------
        EngineError
            If a score is not finite.
        """
        rows = embeddings.reshape(len(embeddings), -1)
        hidden = np.maximum(rows @ self._hidden + self._hidden_bias, np.float32(0))
        scores = softmax(hidden @ self._scores + self._scores_bias)
        if not np.isfinite(scores).all():
            raise EngineError("the verifier gave a score that is not finite; make the bundle again")
        return scores

    def score(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        """Score sound, int16 (`samples`,), as probabilities at its end, float32 (labels,)."""
        return self.score_embeddings(self.embed(samples)[None])[0]


_MOST_EMBEDDINGS = 400
"""In a row: 32 s of sound, more than any window."""


def softmax(log_scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale ``exp(log_scores)`` to a sum of 1 over the last axis, float32 of the same shape."""
    grown = np.exp(log_scores - log_scores.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)


def log_scores_of(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the natural logarithms of scores, none of them below that of half an int8 step."""
    return np.log(np.maximum(scores, _LEAST_SCORE))


def open_verifier(bundle: Bundle) -> Verifier:
    """Read the verifier of a bundle.

    Raises
    ------
    BundleError
        If it has none.
    BundleDamagedError
        If ``verifier.npz`` does not hold its arrays.
    """
    labels = len(bundle.manifest.labels)
    expected = embedding_specs() | {
        "hidden/weight": ArraySpec(_FLOATS, (None, None)),
        "hidden/bias": ArraySpec(_FLOATS, (None,)),
        "scores/weight": ArraySpec(_FLOATS, (None, labels)),
        "scores/bias": ArraySpec(_FLOATS, (labels,)),
    }
    arrays = read_npz(bundle.verifier_bytes(), expected, str(bundle.path / VERIFIER_FILE))
    return Verifier(arrays, labels)
