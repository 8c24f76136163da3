"""Features in, scores out: the last frames through the model, every few frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.bundle import Manifest
from kwspot.runtime.engines import Engine
from kwspot.runtime.errors import EngineError
from kwspot.runtime.features import mfcc
from kwspot.runtime.quantisation import dequantise, quantise


class WindowClassifier:
    """The last ``window_frames`` frames through the model every ``inference_hop_frames``.

    Before the first sound the window holds digital silence, so that scores
    begin with the first hop.
    """

    def __init__(self, manifest: Manifest, engine: Engine) -> None:
        self._manifest = manifest
        self._engine = engine
        self._input, self._output = engine.inputs[0], engine.outputs[0]
        silence = mfcc(np.zeros(manifest.features.window_samples, np.int16), manifest.features)
        self._silence = self._as_input(silence)
        self._window = np.empty(self._input.shape, self._silence.dtype)  # (1, window_frames, coefficients)
        self.reset()

    def _as_input(self, frames: NDArray[np.float32]) -> NDArray[np.generic]:
        normalised = self._manifest.normalisation.apply(frames)
        if self._input.scale is None or self._input.zero_point is None:
            return normalised
        return quantise(normalised, self._input.scale, self._input.zero_point)

    def _infer(self) -> NDArray[np.float32]:
        (scores,) = self._engine.infer([self._window])
        if self._output.scale is not None and self._output.zero_point is not None:
            return dequantise(scores[0], self._output.scale, self._output.zero_point)
        if not np.isfinite(scores).all():
            raise EngineError(
                f"{self._engine.name} gave a score that is not finite for {self._manifest.name}; "
                "try another --engine, or export the bundle again"
            )
        return np.asarray(scores[0], np.float32)

    def push(self, frames: NDArray[np.float32]) -> list[tuple[int, NDArray[np.float32]]]:
        """Take frames, float32 (k, coefficients).

        Returns
        -------
        list of (frames seen since the reset, scores float32 (labels,)), one for each inference.
        """
        results = []
        hop = self._manifest.inference_hop_frames
        rows = self._as_input(frames)
        start = 0
        while start < len(rows):
            # Up to the next inference at once.
            step = min(hop - self._frames_seen % hop, len(rows) - start)
            self._shift_in(rows[start : start + step])
            start += step
            self._frames_seen += step
            if self._frames_seen % hop == 0:
                results.append((self._frames_seen, self._infer()))
        return results

    def _shift_in(self, rows: NDArray[np.generic]) -> None:
        window = self._window[0]
        rows = rows[-len(window) :]
        window[: len(window) - len(rows)] = window[len(rows) :].copy()
        window[len(window) - len(rows) :] = rows

    def score_clip(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores, float32 (labels,), of one clip of exactly ``window_frames`` frames; the stream starts anew."""
        self.reset()
        self._window[0] = self._as_input(frames)
        scores = self._infer()
        self.reset()
        return scores

    def reset(self) -> None:
        """Back to digital silence."""
        self._frames_seen = 0
        self._window[...] = self._silence
