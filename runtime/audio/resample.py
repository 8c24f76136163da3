"""Sound of a device or a file at the bundle's rate, block by block, without losing count of a sample."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.errors import AudioFormatError
from kwspot.runtime.features.level import to_int16
from kwspot.runtime.features.spec import INT16_FULL_SCALE


class StreamResampler:
    """Converts mono sound from one rate to another by soxr (HQ: 20 bit, linear phase, nothing folds back).

    What comes out, put together, is to the last bit what soxr makes of the
    whole sound at once.

    Samples out, lost ones included, never differ by more than a half from
    ``samples_in * rate_out_hz / rate_in_hz`` once a stretch has ended.

    Raises
    ------
    AudioFormatError
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
            raise AudioFormatError(
                f"the sound is of {rate_in_hz} Hz and this bundle hears {rate_out_hz} Hz; converting it needs soxr: "
                "pip install 'kwspot[files]'"
            ) from None
        self._stream = soxr.ResampleStream(rate_in_hz, rate_out_hz, 1, dtype="float64", quality="HQ")

    def push(self, block: NDArray[Any]) -> NDArray[np.int16]:
        """Take sound, int16 or float64 of full scale ±1, (n,), and return int16 (m,); soxr holds some back."""
        self._taken += len(block)
        if self._stream is not None:
            block = self._stream.resample_chunk(block / INT16_FULL_SCALE if block.dtype == np.int16 else block)
        converted: NDArray[np.int16] = block if block.dtype == np.int16 else to_int16(block)
        self._given += len(converted)
        return converted

    def flush(self) -> NDArray[np.int16]:
        """End the sound: return what was held back, int16 (m,)."""
        if self._stream is None:
            return np.empty(0, np.int16)
        tail = to_int16(self._stream.resample_chunk(np.empty(0), last=True))
        self._stream.clear()
        return tail

    def skip(self, lost_frames: int) -> tuple[NDArray[np.int16], int]:
        """Move on over frames that were lost: return :meth:`flush`, and how many samples are missing after it."""
        if self._stream is None:
            return np.empty(0, np.int16), lost_frames
        tail = self.flush()
        self._taken += lost_frames
        target = round(self._taken * self._rate_out_hz / self._rate_in_hz)
        # Rounding may hold back a sample more than the loss makes up for.
        tail = tail[: max(0, target - self._given)]
        lost = target - self._given - len(tail)
        self._given = target
        return tail, lost
