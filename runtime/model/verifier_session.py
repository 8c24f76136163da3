"""The verifier along a stream: the last sound is kept, and what the first stage suspects is verified every 80 ms."""

from __future__ import annotations

import collections

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.model.classifier import Results
from kwspot.runtime.model.embedding import STEP_SAMPLES, Memory, further_samples_of, samples_of
from kwspot.runtime.model.manifest import Manifest, VerifierInfo
from kwspot.runtime.model.verifier import Verifier, log_scores_of, softmax


def inferences_between_checks(manifest: Manifest) -> int:
    """Return n where the verifier may be asked at every n-th inference of a stream: 80 ms apart, or at each."""
    return max(1, STEP_SAMPLES // manifest.inference_hop_samples)


class VerifierSession:
    """The sound of a stream beside its scores, so that what they suspect is verified.

    What is not suspected scores 0 for every word, so every score above 0 has been verified. An answer counts until the
    next, 80 ms later on the stream's own clock: how the sound was sliced changes nothing. The final score is the
    weighted geometric mean of both stages' scores, those of words times the odds, scaled to a sum of 1.
    """

    def __init__(self, verifier: Verifier, manifest: Manifest, info: VerifierInfo) -> None:
        self._manifest, self._trigger_score = manifest, info.trigger_score
        self._weight, self._log_odds = np.float32(info.weight), np.log(np.float32(info.odds))
        self._words = [manifest.labels.index(word) for word in manifest.words]
        self._places = _Places(verifier, manifest, info.places)
        # The last scores may be of some time ago: frames come in groups.
        spare = 4 * manifest.inference_hop_samples + manifest.features.window_samples
        self._sound = _RecentSound(self._places.samples + spare)
        self.verified = 0
        """How often the verifier was asked, since the start."""
        self.reset()

    def reset(self) -> None:
        """Begin a new stretch of sound."""
        self._sound.reset()
        self._places.reset()
        self._answer: NDArray[np.float32] | None = None

    def push(self, block: NDArray[np.int16]) -> None:
        """Take the sound, int16 (n,), that the scores of the next :meth:`verify` are of."""
        self._sound.push(block)

    def verify(self, results: Results) -> Results:
        """Return the final scores: of what is suspected those of both stages, of all else 0 for the words."""
        return [(frames_seen, self._final(frames_seen, scores)) for frames_seen, scores in results]

    def _final(self, frames_seen: int, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        if scores[self._words].max() < self._trigger_score:
            self._answer = None
        elif frames_seen // self._manifest.inference_hop_frames % inferences_between_checks(self._manifest) == 0:
            self.verified += 1
            self._answer = self._places.score(self._sound, self._manifest.features.samples_in(frames_seen))
        if self._answer is not None:
            both = (1 - self._weight) * log_scores_of(scores) + self._weight * self._answer
            both[self._words] += self._log_odds
            return softmax(both)
        scores = scores.copy()
        scores[self._words] = 0.0
        return scores


class _RecentSound:
    """The last samples of a stretch of sound, at least `kept` of them, in the blocks that brought them."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self.reset()

    def reset(self) -> None:
        """Begin a new stretch."""
        self._blocks: collections.deque[NDArray[np.int16]] = collections.deque()
        self._held = self._seen = 0

    def push(self, block: NDArray[np.int16]) -> None:
        """Take sound, int16 (n,); a copy is kept, since whoever gave it may fill it again."""
        while self._held and self._held - len(self._blocks[0]) >= self._kept:
            self._held -= len(self._blocks.popleft())
        self._blocks.append(block.copy())
        self._held += len(block)
        self._seen += len(block)

    def until(self, end: int, length: int) -> NDArray[np.int16]:
        """Return the last `length` samples before sample `end` of the stretch; before its first there was silence."""
        sound = np.concatenate(self._blocks)
        stop = max(0, end - self._seen + len(sound))
        start = max(0, stop - length)
        silence = np.zeros(length - (stop - start), np.int16)
        return np.concatenate([silence, sound[start:stop]])


class _Places:
    """Where in the first stage's window the verifier is asked: it sees less sound than most windows have.

    It is asked at up to `most` places, 80 ms apart, in the middle of the window; the logarithms of its scores are
    averaged. Embeddings that the answer before needed, too, are kept and not computed again.
    """

    def __init__(self, verifier: Verifier, manifest: Manifest, most: int) -> None:
        self._verifier = verifier
        fitting = 1 + max(0, manifest.window_samples - verifier.samples) // STEP_SAMPLES
        self._count = min(fitting, most)
        self._ago = STEP_SAMPLES * ((fitting - self._count + 1) // 2)
        """Samples from the end of the last place to the end of the window."""
        self.samples = verifier.samples + (self._count - 1) * STEP_SAMPLES + self._ago
        """Sound that an answer depends on."""
        self.reset()

    def reset(self) -> None:
        """Begin a new stretch of sound."""
        self._embedded: dict[int, NDArray[np.float32]] = {}
        self._memory: Memory = {}

    def score(self, sound: _RecentSound, end: int) -> NDArray[np.float32]:
        """Score the window that ends at sample `end` of the stretch: mean logarithms, float32 (labels,)."""
        end -= self._ago
        count = self._verifier.embeddings
        ends = [end - STEP_SAMPLES * k for k in range(count + self._count - 1)]
        missing = sum(at not in self._embedded for at in ends)  # the last ones, since answers are in order
        if missing:  # and the memory is at the last that is not
            afresh = missing == len(ends)
            self._memory = {} if afresh else self._memory
            length = samples_of(missing) if afresh else further_samples_of(missing)
            found = self._verifier.embed(sound.until(end, length), self._memory)
            self._embedded |= dict(zip(ends[:missing][::-1], found, strict=True))
        self._embedded = {at: self._embedded[at] for at in ends}
        row = np.stack([self._embedded[at] for at in reversed(ends)])  # (count + places - 1, 96)
        places = np.stack([row[place : place + count] for place in range(self._count)])  # (places, count, 96)
        return log_scores_of(self._verifier.score_embeddings(places)).mean(axis=0)
