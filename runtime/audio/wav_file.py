"""Sound as a WAV file, by the standard library: it says of a full disk what libsndfile has an error of its own for."""

from __future__ import annotations

import os
import wave
from typing import IO

import numpy as np
from numpy.typing import NDArray


def write_wav(target: str | os.PathLike[str] | IO[bytes], samples: NDArray[np.int16], rate_hz: int) -> None:
    """Write mono sound, int16 (n,), as 16-bit PCM WAV."""
    with wave.open(os.fspath(target) if isinstance(target, str | os.PathLike) else target, "wb") as file:
        file.setparams((1, 2, rate_hz, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2", copy=False).tobytes())
