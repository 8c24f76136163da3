"""Google's speech embedding in numpy: what is heard in 0.78 s of sound as 96 numbers, every 80 ms.

A network that was trained on the words of very many people, so that what it says depends on what is spoken and little
on who speaks, and where. Its convolutions over time are valid, so sound of any length is one pass. Other kits run it
all day; here it is asked about what the small network suspects (:mod:`kwspot.runtime.model.verifier`).

Weights are int8 with a scale for each output channel, and computed with in float32.

References
----------
Lin et al., "Training Keyword Spotters with Limited and Synthesized Speech Data", arXiv:2002.01322; the weights, under
the Apache licence 2.0, are those of tfhub.dev/google/speech_embedding/1 as openWakeWord arranged them. The mel front
end is openWakeWord's, but for its floor: a fixed one in place of 80 dB below the loudest of whatever was given.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.errors import BundleDamagedError
from kwspot.runtime.features.mfcc import mel_filters
from kwspot.runtime.features.spec import FeatureSpec
from kwspot.runtime.model.npz import ArraySpec

DIMENSIONS = 96
FIELD_SAMPLES = 12_512
"""Sound that an embedding depends on."""
STEP_SAMPLES = 1_280
"""From one embedding to the next."""
RATE_HZ = 16_000

# Frames of 32 ms, of which the window sees the middle 25.
_FRAMES = FeatureSpec(
    window_ms=32, hop_ms=10, mel_bands=32, coefficients=32, low_hz=60.0, high_hz=3_800.0, kind="log-mel"
)
_HANN = 400
# Power of a mel band under noise of less than one step of int16.
_FLOOR = 1.0
_LEAST, _SLOPE = np.float32(-0.4), np.float32(0.2)

# Kernels over time and over mel bands, and in which of both the greatest of two is taken behind them.
_KERNELS = (
    ((3, 3), (1, 1)), ((1, 3), (1, 1)), ((3, 1), (2, 2)),
    ((1, 3), (1, 1)), ((3, 1), (1, 1)), ((1, 3), (1, 1)), ((3, 1), (1, 2)),
    ((1, 3), (1, 1)), ((3, 1), (1, 1)), ((1, 3), (1, 1)), ((3, 1), (2, 2)),
    ((1, 3), (1, 1)), ((3, 1), (1, 1)), ((1, 3), (1, 1)), ((3, 1), (1, 2)),
    ((1, 3), (1, 1)), ((3, 1), (1, 1)), ((1, 3), (1, 1)), ((3, 1), (2, 2)),
    ((3, 1), (1, 1)),
)  # fmt: skip
_CHANNELS = (24,) * 3 + (48,) * 4 + (72,) * 4 + (DIMENSIONS,) * 9
"""What each convolution makes."""


def samples_of(embeddings: int) -> int:
    """Return how much sound so many embeddings in a row depend on."""
    return FIELD_SAMPLES + STEP_SAMPLES * (embeddings - 1)


def further_samples_of(embeddings: int) -> int:
    """Return how much sound so many more take; that of the first frame begins before the new sound."""
    return STEP_SAMPLES * embeddings + _FRAMES.window_samples - _FRAMES.hop_samples


def embedding_specs() -> dict[str, ArraySpec]:
    """Return the arrays of the embedding: ``k/weight`` (time, mel, in, out), ``k/scale`` and ``k/bias`` (out,)."""
    specs = {}
    for k, ((kernel, _), given, made) in enumerate(zip(_KERNELS, (1, *_CHANNELS), _CHANNELS, strict=False)):
        specs[f"{k}/weight"] = ArraySpec(("int8",), (*kernel, given, made))
        specs[f"{k}/scale"] = specs[f"{k}/bias"] = ArraySpec(("float32",), (made,))
    return specs


Memory = dict[int, NDArray[np.float32]]
"""Convolution over time → the last rows that it was given."""


class SpeechEmbedding:
    """Sound, int16 (n,) at 16 kHz, at least :data:`FIELD_SAMPLES` → embeddings, float32 (k, 96).

    Parameters
    ----------
    weights
        Those of :func:`embedding_specs`; others are passed over.

    Raises
    ------
    BundleDamagedError
        If one is missing or of another type or shape.
    """

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self._layers = []
        specs = embedding_specs()
        for name, spec in specs.items():
            if name not in weights or not spec.fits(weights[name].dtype, weights[name].shape):
                raise BundleDamagedError(f"the verifier's embedding has no array {name}, {spec}; make the bundle again")
        for k, ((time, mel), pool) in enumerate(_KERNELS):
            kernel = weights[f"{k}/weight"].astype(np.float32) * weights[f"{k}/scale"]
            matrix = np.ascontiguousarray(kernel.reshape(-1, kernel.shape[-1]))
            self._layers.append((time, mel, matrix, weights[f"{k}/bias"].astype(np.float32), pool))

    def __call__(self, samples: NDArray[np.int16], memory: Memory | None = None) -> NDArray[np.float32]:
        """Embed the sound alone, or after that of the call that filled `memory`, which is changed: a step is as
        long as all that is pooled over time, so k more take but :func:`further_samples_of` k."""
        memory = {} if memory is None else memory
        x = log_mel(samples)[:, :, None]  # (frames, 32, 1)
        last = len(self._layers) - 1
        for k, (time, mel, matrix, bias, pool) in enumerate(self._layers):
            if time > 1:
                x = np.concatenate([memory[k], x]) if k in memory else x
                memory[k] = x[1 - time :].copy()
            x = _convolve(x, time, mel, matrix)
            x += bias
            if k < last:
                np.maximum(np.maximum(x * _SLOPE, x, out=x), _LEAST, out=x)
                x = _pool(x, *pool)
        return x[:, 0]


def log_mel(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Compute the frames that the network takes, float32 (n, 32): 2 and the decimal logarithm of the power."""
    sound = samples.astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(sound, _FRAMES.window_samples)[:: _FRAMES.hop_samples]
    window, filters = _front_end()
    spectrum = np.fft.rfft(frames * window, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32) @ filters
    return np.log10(np.maximum(power, np.float32(_FLOOR))) + np.float32(2)


@functools.lru_cache(maxsize=1)
def _front_end() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a periodic Hann window in the middle of the FFT, float32 (512,), and the mel bands, float32 (257, 32)."""
    window = np.zeros(_FRAMES.window_samples, np.float32)
    start = (len(window) - _HANN) // 2
    window[start : start + _HANN] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_HANN) / _HANN)
    return window, mel_filters(_FRAMES).T.astype(np.float32)


def _convolve(x: NDArray[np.float32], time: int, mel: int, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """(T, M, in) → (T - time + 1, M, out): valid over time, zeros around the mel bands."""
    bands = x.shape[1]
    if mel == 3:
        padded = np.zeros((len(x), bands + 2, x.shape[2]), np.float32)
        padded[:, 1:-1] = x
        x = padded
    length = len(x) - time + 1
    columns = [x[t : t + length, m : m + bands] for t in range(time) for m in range(mel)]
    return np.concatenate(columns, axis=2) @ matrix


def _pool(x: NDArray[np.float32], time: int, mel: int) -> NDArray[np.float32]:
    if time == 2:
        x = x[: len(x) // 2 * 2]
        x = np.maximum(x[::2], x[1::2])
    if mel == 2:
        x = np.maximum(x[:, ::2], x[:, 1::2])
    return x
