"""Mel-frequency cepstral coefficients in numpy alone, batch and streaming.

The only implementation in the kit: training calls it too, so training and
device cannot differ. librosa judges it in the tests.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from kwspot.runtime.errors import AudioFormatError
from kwspot.runtime.features.spec import INT16_FULL_SCALE, FeatureSpec

_SLANEY_HZ_PER_MEL = 200.0 / 3.0
_SLANEY_LOG_START_HZ = 1000.0
_SLANEY_LOG_STEP = np.log(6.4) / 27.0

_INT16 = np.dtype(np.int16)


def _hz_to_mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = hz / _SLANEY_HZ_PER_MEL
    start = _SLANEY_LOG_START_HZ / _SLANEY_HZ_PER_MEL
    logarithmic = start + np.log(np.maximum(hz, 1e-9) / _SLANEY_LOG_START_HZ) / _SLANEY_LOG_STEP
    return np.where(hz < _SLANEY_LOG_START_HZ, linear, logarithmic)


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    start = _SLANEY_LOG_START_HZ / _SLANEY_HZ_PER_MEL
    linear = mel * _SLANEY_HZ_PER_MEL
    logarithmic = _SLANEY_LOG_START_HZ * np.exp(_SLANEY_LOG_STEP * (np.maximum(mel, start) - start))
    return np.where(mel < start, linear, logarithmic)


def mel_filters(spec: FeatureSpec) -> NDArray[np.float64]:
    """Return triangular filters of equal area on Slaney's mel scale.

    Returns
    -------
    float64, shape (spec.mel_bands, spec.window_samples // 2 + 1)

    References
    ----------
    Slaney, Auditory Toolbox, Interval Research report 1998-010.
    """
    bins_hz = np.fft.rfftfreq(spec.window_samples, 1.0 / spec.sample_rate_hz)
    low, high = _hz_to_mel(np.array([spec.low_hz, spec.high_hz]))
    edges_hz = _mel_to_hz(np.linspace(low, high, spec.mel_bands + 2))
    width_hz = np.diff(edges_hz)
    distance = edges_hz[:, None] - bins_hz[None, :]
    rising = -distance[:-2] / width_hz[:-1, None]
    falling = distance[2:] / width_hz[1:, None]
    area = 2.0 / (edges_hz[2:] - edges_hz[:-2])
    return np.maximum(0.0, np.minimum(rising, falling)) * area[:, None]


def dct_matrix(coefficients: int, size: int) -> NDArray[np.float64]:
    """Return the first rows of the orthonormal DCT-II, float64, shape (coefficients, size)."""
    k = np.arange(coefficients)[:, None]
    n = np.arange(size)[None, :]
    matrix = np.sqrt(2.0 / size) * np.cos(np.pi * k * (2 * n + 1) / (2 * size))
    matrix[0] *= np.sqrt(0.5)
    return matrix


def _heard(filters: NDArray[np.float32]) -> slice:
    """Return the parts of the spectrum that some of these bands cover."""
    heard = np.flatnonzero(filters.any(axis=0))
    return slice(int(heard[0]), int(heard[-1]) + 1) if heard.size else slice(0, 1)


class _Tables:
    """What depends on the spec alone."""

    def __init__(self, spec: FeatureSpec) -> None:
        n = spec.window_samples
        # A periodic Hann window, as librosa's and SciPy's `fftbins=True`; full scale folded in.
        hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n) / n)
        self.window = hann / INT16_FULL_SCALE
        # Each column twice, for the squares of the real and the imaginary part: adding them is left to the product.
        filters = np.repeat(mel_filters(spec), 2, axis=1).astype(np.float32)
        self.parts = filters.shape[1]
        # Low bands hear few bins and high bands many, so two products over the bins that are heard cost half of one.
        splits = [[slice(0, spec.mel_bands)]] + [[slice(0, i), slice(i, None)] for i in range(1, spec.mel_bands)]
        best = min(splits, key=lambda split: sum(filters[bands, _heard(filters[bands])].size for bands in split))
        self.products = [(bands, _heard(filters[bands])) for bands in best]
        self.matrices = [np.ascontiguousarray(filters[bands, parts]) for bands, parts in self.products]
        self.dct = dct_matrix(spec.coefficients, spec.mel_bands) if spec.kind == "mfcc" else None


@functools.lru_cache(maxsize=8)
def _tables(spec: FeatureSpec) -> _Tables:
    return _Tables(spec)


def _checked(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    if not isinstance(samples, np.ndarray) or samples.dtype != _INT16 or samples.ndim != 1:
        seen = f"{samples.dtype}, shape {samples.shape}" if isinstance(samples, np.ndarray) else type(samples).__name__
        raise AudioFormatError(
            f"sound is {seen}; expected a numpy array of int16, shape (n,): convert it "
            "explicitly, since a silent conversion would change every feature"
        )
    return samples


class _Frames:
    """Features of a fixed number of windows, with all buffers bound once.

    A row must not depend, to the last bit, on how many rows come with it. BLAS
    chooses its kernel by the shape of the product, so the products are stacks
    of matrix times vector (one and the same shape for each row), still in one
    call.

    The transform runs in float64: in float32 its rounding alone is 1e-3
    decibels in a quiet band beside a loud one. Behind it float32 is enough.

    Parameters
    ----------
    sound
        float64 (n,), n >= spec.samples_in(count), on the scale of int16; it is
        read anew at each call.
    """

    def __init__(self, spec: FeatureSpec, sound: NDArray[np.float64], count: int) -> None:
        self._tables = _tables(spec)
        step = sound.strides[0]
        shape = count, spec.window_samples
        self._windows = as_strided(sound, shape, (spec.hop_samples * step, step), writeable=False)
        self._windowed = np.empty(shape)
        self._parts = np.empty((count, self._tables.parts), np.float32)
        mel = np.zeros((count, spec.mel_bands, 1), np.float32)
        self._mel_as_columns, self._mel = mel, mel[:, :, 0]
        self._products = [
            (matrix, self._parts[:, parts, None], mel[:, bands])
            for matrix, (bands, parts) in zip(self._tables.matrices, self._tables.products, strict=True)
        ]
        # As whole arrays: numpy takes longer to spread a scalar than to read these.
        self._floor = np.full_like(self._mel, spec.log_floor)
        self._decibels_per_neper = np.full_like(self._mel, 10.0 / np.log(10.0))

    def __call__(self) -> NDArray[np.float32]:
        """Compute the features of the sound as it is now, float32 (count, coefficients), an array of its own."""
        tables, parts, mel = self._tables, self._parts, self._mel
        np.multiply(self._windows, tables.window, out=self._windowed)
        spectrum = np.fft.rfft(self._windowed)  # complex128 (count, window_samples // 2 + 1)
        parts[...] = spectrum.view(np.float64)  # (count, parts): real, imaginary, real, …
        np.square(parts, out=parts)
        for filters, heard, bands in self._products:
            np.matmul(filters, heard, out=bands)  # (count, bands, 1)
        np.maximum(mel, self._floor, out=mel)
        np.log(mel, out=mel)
        decibels = np.multiply(mel, self._decibels_per_neper)
        if tables.dct is None:
            return decibels
        return np.matmul(tables.dct, decibels.astype(np.float64)[:, :, None])[:, :, 0].astype(np.float32)


def mfcc(samples: NDArray[np.int16], spec: FeatureSpec) -> NDArray[np.float32]:
    """Compute the mel-frequency cepstral coefficients of a stretch of sound.

    Frame ``k`` sees exactly the samples ``k * spec.hop_samples`` up to
    ``k * spec.hop_samples + spec.window_samples``; nothing is padded, and a
    last incomplete window is left out. With ``spec.kind == "log-mel"`` the
    frames are those before the DCT. The unit is decibels, reference 1, so that
    full scale is 1.0 and nothing depends on the rest of the clip.

    Parameters
    ----------
    samples : int16, shape (n,)
        Mono sound at ``spec.sample_rate_hz``, full scale ±32768.

    Returns
    -------
    float32, shape (spec.frames_in(n), spec.coefficients)

    Raises
    ------
    AudioFormatError
        If `samples` is not int16 or not one-dimensional: a silent
        conversion would change every feature.

    Examples
    --------
    >>> import numpy as np
    >>> mfcc(np.zeros(16_000, np.int16), FeatureSpec(coefficients=10)).shape
    (49, 10)

    References
    ----------
    Davis and Mermelstein, IEEE Trans. ASSP 28(4), 1980.
    """
    count = spec.frames_in(_checked(samples).shape[0])
    if count == 0:
        return np.empty((0, spec.coefficients), np.float32)
    return _Frames(spec, samples.astype(np.float64), count)()


_MOST_FRAMES_AT_ONCE = 16
"""More share no cost of a call that matters, and the buffers of a stream stay below 200 kB."""


class StreamingMfcc:
    """Computes the same frames as :func:`mfcc` from sound that arrives in blocks.

    However the sound is sliced, the frames pushed out, put together, equal
    ``mfcc(all_of_it, spec)`` to the last bit.

    Parameters
    ----------
    group
        Frames are held back until so many are complete, and come in multiples
        of it: a model that runs every `group` frames has no use for one before,
        and a call of numpy costs as much as a frame.
    """

    def __init__(self, spec: FeatureSpec, *, group: int = 1) -> None:
        self.spec = spec
        self._group = group
        self._hop, self._window = spec.hop_samples, spec.window_samples
        most = group * max(1, _MOST_FRAMES_AT_ONCE // group)
        self._piece = most * self._hop
        """So much sound at once completes `most` frames at the most, whatever was held back."""
        self._sound = np.empty(self._piece + group * self._hop + self._window)
        self._filled = 0
        self._by_count: dict[int, _Frames] = {}
        self._no_frames = np.empty((0, spec.coefficients), np.float32)

    def push(self, block: NDArray[np.int16]) -> NDArray[np.float32]:
        """Take sound, int16 (n,), and return the frames it completes, float32 (k, coefficients)."""
        size = _checked(block).shape[0]
        if size <= self._piece:
            return self._push_piece(block, size)
        pieces = [block[start : start + self._piece] for start in range(0, size, self._piece)]
        return np.concatenate([self._push_piece(piece, piece.shape[0]) for piece in pieces])

    def _push_piece(self, block: NDArray[np.int16], size: int) -> NDArray[np.float32]:
        filled = self._filled + size
        self._sound[self._filled : filled] = block
        complete = (filled - self._window) // self._hop + 1
        count = complete - complete % self._group
        if count <= 0:
            self._filled = filled
            return self._no_frames
        frames = self._by_count.get(count)
        if frames is None:
            frames = self._by_count[count] = _Frames(self.spec, self._sound, count)
        features = frames()
        used = count * self._hop
        self._filled = filled - used
        self._sound[: self._filled] = self._sound[used:filled]
        return features

    def reset(self) -> None:
        """Forget all sound."""
        self._filled = 0
