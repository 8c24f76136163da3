"""Features in, scores out, every few frames: a window through the model, or the new frames and a state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.errors import EngineError
from kwspot.runtime.features.mfcc import mfcc
from kwspot.runtime.features.quantise import Dequantiser
from kwspot.runtime.model.engines import Engine
from kwspot.runtime.model.manifest import Manifest

Results = list[tuple[int, NDArray[np.float32]]]
"""(frames seen since the reset, scores float32 (labels,)), one for each inference."""


class Classifier(Protocol):
    """What both kinds do. Before the first sound there was digital silence, so scores begin with the first hop."""

    def push(self, frames: NDArray[np.float32]) -> Results:
        """Take frames, float32 (k, coefficients), and return the scores that they complete."""

    def score_clip(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score one clip of ``window_frames`` frames, float32 (labels,), at its end; the stream starts anew."""

    def reset(self) -> None:
        """Go back to digital silence."""


def open_classifier(manifest: Manifest, engine: Engine) -> Classifier:
    """Return the classifier of the bundle's kind."""
    return (StreamClassifier if manifest.kind == "stream" else WindowClassifier)(manifest, engine)


class _Tensors:
    """Turns frames into what a model takes, normalised and quantised, and what it gives into probabilities."""

    def __init__(self, manifest: Manifest, engine: Engine) -> None:
        self._manifest = manifest
        self._engine_name = engine.name
        given, said = engine.inputs[0], engine.outputs[0]
        normalisation = manifest.normalisation
        self.as_input: Callable[[NDArray[np.float32]], NDArray[Any]] = normalisation.apply
        """Frames (k, coefficients) as the model takes them, in an array of its own."""
        if given.scale is not None and given.zero_point is not None:
            self.as_input = normalisation.quantiser(given.scale, given.zero_point)
        self.as_scores: Callable[[NDArray[Any]], NDArray[np.float32]] = self._finite
        """The model's output, (labels,), as probabilities, in an array of its own."""
        if said.scale is not None and said.zero_point is not None:
            self.as_scores = Dequantiser(said.scale, said.zero_point)

    def silence(self) -> NDArray[Any]:
        """Return a window of digital silence, (window_frames, coefficients), as the model takes it."""
        spec = self._manifest.features
        # One frame, repeated: all of them are equal, and a start takes memory for no more.
        frame = mfcc(np.zeros(spec.window_samples, np.int16), spec)
        return np.repeat(self.as_input(frame), self._manifest.window_frames, axis=0)

    def _finite(self, said: NDArray[np.float32]) -> NDArray[np.float32]:
        if not np.isfinite(said).all():
            raise EngineError(
                f"{self._engine_name} gave a score that is not finite for this bundle; "
                "try another --engine, or export the bundle again"
            )
        return said.copy()


class WindowClassifier:
    """Runs the model on the last ``window_frames`` frames every ``inference_hop_frames``."""

    def __init__(self, manifest: Manifest, engine: Engine) -> None:
        self._hop = manifest.inference_hop_frames
        self._engine = engine
        self._tensors = _Tensors(manifest, engine)
        self._silence = self._tensors.silence()
        self._window = np.empty(engine.inputs[0].shape, self._silence.dtype)  # (1, window_frames, coefficients)
        self.reset()

    def _infer(self) -> NDArray[np.float32]:
        (said,) = self._engine.infer([self._window])
        return self._tensors.as_scores(said[0])

    def push(self, frames: NDArray[np.float32]) -> Results:
        """Take frames, float32 (k, coefficients), and return the scores that they complete."""
        results = []
        rows = self._tensors.as_input(frames)
        start = 0
        while start < len(rows):
            # Up to the next inference at once.
            step = min(self._hop - self._frames_seen % self._hop, len(rows) - start)
            self._shift_in(rows[start : start + step])
            start += step
            self._frames_seen += step
            if self._frames_seen % self._hop == 0:
                results.append((self._frames_seen, self._infer()))
        return results

    def _shift_in(self, rows: NDArray[Any]) -> None:
        window = self._window[0]
        rows = rows[-len(window) :]
        window[: len(window) - len(rows)] = window[len(rows) :].copy()
        window[len(window) - len(rows) :] = rows

    def score_clip(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score one clip of exactly ``window_frames`` frames, float32 (labels,); the stream starts anew."""
        self.reset()
        self._window[0] = self._tensors.as_input(frames)
        scores = self._infer()
        self.reset()
        return scores

    def reset(self) -> None:
        """Go back to digital silence."""
        self._frames_seen = 0
        self._window[...] = self._silence


class StreamClassifier:
    """Runs the model on the new frames and the states of the last step every ``inference_hop_frames``.

    The model forgets what is older than ``window_frames``, so the states after
    that much silence are those after any silence.
    """

    def __init__(self, manifest: Manifest, engine: Engine) -> None:
        self._hop = manifest.inference_hop_frames
        tensors = _Tensors(manifest, engine)
        self._as_input, self._as_scores = tensors.as_input, tensors.as_scores
        self._stepper = engine.session()
        self._rows = self._stepper.frames[0, :, 0]  # (hop, coefficients)
        self._scores = self._stepper.scores[0]  # (labels,)
        self._silence = tensors.silence()[0]
        self._rows[...] = self._silence
        for _ in range(-(-manifest.window_frames // self._hop)):
            self._stepper.step()
        self._silent_states = self._stepper.states()
        self._frames_seen = self._filled = 0
        self.reset()

    def push(self, frames: NDArray[np.float32]) -> Results:
        """Take frames, float32 (k, coefficients), and return the scores that they complete."""
        results = []
        rows = self._as_input(frames)
        start, count, hop = 0, len(rows), self._hop
        while start < count:
            # Up to the next inference at once.
            filled = self._filled
            end = min(start + hop - filled, count)
            taken = end - start
            self._rows[filled : filled + taken] = rows[start:end]
            start = end
            self._frames_seen += taken
            self._filled = (filled + taken) % hop
            if not self._filled:
                self._stepper.step()
                results.append((self._frames_seen, self._as_scores(self._scores)))
        return results

    def score_clip(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score the step that ends with the clip's last frame, float32 (labels,); the stream starts anew.

        As much silence comes before the clip as makes the last step end there.
        """
        self.reset()
        self._filled = -len(frames) % self._hop
        self._rows[: self._filled] = self._silence
        (*_, (_, scores)) = self.push(frames)
        self.reset()
        return scores

    def reset(self) -> None:
        """Go back to digital silence."""
        self._frames_seen = 0
        self._filled = 0
        self._stepper.set_states(self._silent_states)
