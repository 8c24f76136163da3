"""Mel-frequency cepstral coefficients in numpy alone, batch and streaming.

The only implementation in the kit: training calls it too, so training and
device cannot differ. librosa judges it in the tests.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kwspot.runtime.errors import AudioFormatError
from kwspot.runtime.spec import INT16_FULL_SCALE, FeatureSpec

_SLANEY_HZ_PER_MEL = 200.0 / 3.0
_SLANEY_LOG_START_HZ = 1000.0
_SLANEY_LOG_STEP = np.log(6.4) / 27.0


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
    """Triangular filters of equal area on Slaney's mel scale.

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
    """First rows of the orthonormal DCT-II, float64, shape (coefficients, size)."""
    k = np.arange(coefficients)[:, None]
    n = np.arange(size)[None, :]
    matrix = np.sqrt(2.0 / size) * np.cos(np.pi * k * (2 * n + 1) / (2 * size))
    matrix[0] *= np.sqrt(0.5)
    return matrix


class _Tables:
    """What depends on the spec alone."""

    def __init__(self, spec: FeatureSpec) -> None:
        n = spec.window_samples
        # A periodic Hann window, as librosa's and SciPy's `fftbins=True`; full scale folded in.
        hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n) / n)
        self.window = hann / INT16_FULL_SCALE
        filters = mel_filters(spec)
        heard = np.flatnonzero(filters.any(axis=0))
        # Bins that no filter hears are left out of the product.
        self.first_bin, self.end_bin = int(heard[0]), int(heard[-1]) + 1
        self.filters = np.ascontiguousarray(filters[:, self.first_bin : self.end_bin])
        self.dct = dct_matrix(spec.coefficients, spec.mel_bands) if spec.kind == "mfcc" else None


@functools.lru_cache(maxsize=8)
def _tables(spec: FeatureSpec) -> _Tables:
    return _Tables(spec)


def _checked(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    if not isinstance(samples, np.ndarray) or samples.dtype != np.int16 or samples.ndim != 1:
        seen = f"{samples.dtype}, shape {samples.shape}" if isinstance(samples, np.ndarray) else type(samples).__name__
        raise AudioFormatError(
            f"sound is {seen}; expected a numpy array of int16, shape (n,): convert it "
            "explicitly, since a silent conversion would change every feature"
        )
    return samples


def _frames(windows: NDArray[np.int16], spec: FeatureSpec) -> NDArray[np.float32]:
    """Features of windows, int16 (k, window_samples) -> float32 (k, coefficients).

    A row must not depend, to the last bit, on how many rows come with it. BLAS
    chooses its kernel by the shape of the product, so the two products below
    are stacks of matrix times vector (one and the same shape for each row),
    still in one call.
    """
    tables = _tables(spec)
    spectrum = np.fft.rfft(windows * tables.window)[:, tables.first_bin : tables.end_bin]
    power = spectrum.real**2 + spectrum.imag**2  # (k, bins)
    mel = np.matmul(tables.filters, power[:, :, None])  # (k, mel_bands, 1)
    decibels = 10.0 * np.log10(np.maximum(mel, spec.log_floor))
    if tables.dct is not None:
        decibels = np.matmul(tables.dct, decibels)  # (k, coefficients, 1)
    return decibels[:, :, 0].astype(np.float32)


def mfcc(samples: NDArray[np.int16], spec: FeatureSpec) -> NDArray[np.float32]:
    """Mel-frequency cepstral coefficients of a stretch of sound.

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
    return _frames(sliding_window_view(samples, spec.window_samples)[:: spec.hop_samples][:count], spec)


class StreamingMfcc:
    """The same frames as :func:`mfcc`, from sound that arrives in blocks.

    However the sound is sliced, the frames pushed out, put together, equal
    ``mfcc(all_of_it, spec)`` to the last bit.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        self._rest = np.empty(0, np.int16)
        self._no_frames = np.empty((0, spec.coefficients), np.float32)

    def push(self, block: NDArray[np.int16]) -> NDArray[np.float32]:
        """Take sound, int16 (n,), and return the frames it completes, float32 (k, coefficients)."""
        block = _checked(block)
        sound = np.concatenate((self._rest, block)) if self._rest.size else block
        count = self.spec.frames_in(sound.shape[0])
        # A copy, so that a caller may use its block again.
        self._rest = sound[count * self.spec.hop_samples :].copy()
        return mfcc(sound, self.spec) if count else self._no_frames

    def reset(self) -> None:
        """Forget all sound."""
        self._rest = np.empty(0, np.int16)
