"""A device's rate to the bundle's, block by block, without losing count of a sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.errors import DeviceError
from kwspot.runtime.features.level import to_int16
from kwspot.runtime.features.spec import INT16_FULL_SCALE


class StreamResampler:
    """Mono sound at one rate in, at another out, by soxr (HQ: 20 bit, linear phase, nothing folds back).

    Samples out, lost ones included, never differ by more than a half from
    ``samples_in * rate_out_hz / rate_in_hz`` once a stretch has ended.

    Raises
    ------
    DeviceError
        If soxr is needed and not installed.
    """

    def __init__(self, rate_in_hz: int, rate_out_hz: int) -> None:
        self._rate_in_hz, self._rate_out_hz = rate_in_hz, rate_out_hz
        self._taken = self._given = 0
        if rate_in_hz == rate_out_hz:
            self._stream = None
            return
        try:
            import soxr
        except ModuleNotFoundError:
            raise DeviceError(
                f"the microphone opens at {rate_in_hz} Hz and this bundle hears {rate_out_hz} Hz; converting needs "
                "soxr: pip install 'kwspot[files]'"
            ) from None
        self._stream = soxr.ResampleStream(rate_in_hz, rate_out_hz, 1, dtype="float64", quality="HQ")

    def push(self, block: NDArray[np.int16]) -> NDArray[np.int16]:
        """Sound int16 (n,) in, int16 (m,) out; soxr holds some back until more has come."""
        self._taken += len(block)
        if self._stream is None:
            self._given += len(block)
            return block
        converted = to_int16(self._stream.resample_chunk(block / INT16_FULL_SCALE))
        self._given += len(converted)
        return converted

    def skip(self, lost_frames: int) -> tuple[NDArray[np.int16], int]:
        """Frames were lost: what was held back, int16 (m,), and how many samples out are missing after it."""
        if self._stream is None:
            return np.empty(0, np.int16), lost_frames
        tail = to_int16(self._stream.resample_chunk(np.empty(0), last=True))
        self._stream.clear()
        self._taken += lost_frames
        target = round(self._taken * self._rate_out_hz / self._rate_in_hz)
        # Rounding may hold back a sample more than the loss makes up for.
        tail = tail[: max(0, target - self._given)]
        lost = target - self._given - len(tail)
        self._given = target
        return tail, lost
