"""Sound files as int16 at the rate that is wanted: converted properly, or refused."""

from __future__ import annotations

import os
import struct
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.errors import RecordingError
from kwspot.runtime.features.level import to_int16
from kwspot.runtime.features.spec import INT16_FULL_SCALE

# Sizes that programs write into a header when they cannot go back to mend it (a pipe).
_SIZE_UNKNOWN = 0x7FFF_F000
_FORMAT_NOT_RECOGNISED = 1  # libsndfile's SF_ERR_UNRECOGNISED_FORMAT

_NO_SOUND = "expected a sound file such as 16-bit PCM WAV: record or convert it again, or remove it"


def read_frames(path: str | os.PathLike[str]) -> tuple[NDArray[Any], int]:
    """The sound as a file holds it.

    Returns
    -------
    frames : int16 or float64, shape (n, channels)
        int16 bit by bit where the file has 16-bit samples, otherwise float64
        with full scale ±1.
    rate_hz : int

    Raises
    ------
    RecordingError
        If the file is missing, empty, no sound file, corrupt, shorter than
        its header promises, or has samples that are not finite. The header is
        compared with the file for WAV and AIFF, where libsndfile reads
        on in silence, and the count of samples for all formats.
    """
    import soundfile

    path = Path(path)
    try:
        # Unbuffered, since libsndfile reads on where the descriptor stands.
        with path.open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise RecordingError(f"{path} is empty; {_NO_SOUND}", fault="empty")
            missing = _missing_bytes(file)
            if missing > 0:
                raise RecordingError(
                    f"{path} is truncated, its header promises {missing} bytes more; expected the whole file: "
                    "copy or record it again",
                    fault="truncated",
                )
            file.seek(0)
            with soundfile.SoundFile(file.fileno(), closefd=False) as sound:
                rate_hz, promised = sound.samplerate, sound.frames
                dtype = "int16" if sound.subtype == "PCM_16" else "float64"
                frames = sound.read(dtype=dtype, always_2d=True)
    except OSError as error:
        raise RecordingError(f"{path} cannot be read ({error.strerror}): check the path and its permissions") from error
    except soundfile.SoundFileError as error:
        reason = str(error).partition(": ")[2] or str(error)
        unknown = isinstance(error, soundfile.LibsndfileError) and error.code == _FORMAT_NOT_RECOGNISED
        raise RecordingError(
            f"{path} cannot be read as sound ({reason.rstrip('.')}); {_NO_SOUND}",
            fault="not sound" if unknown else "corrupt",
        ) from error
    if len(frames) < promised:
        raise RecordingError(
            f"{path} is truncated, {len(frames)} of {promised} samples can be read; expected the whole file: "
            "copy or record it again",
            fault="truncated",
        )
    if len(frames) == 0:
        raise RecordingError(f"{path} holds no samples; {_NO_SOUND}", fault="empty")
    if frames.dtype != np.int16 and not np.isfinite(frames).all():
        raise RecordingError(f"{path} has samples that are NaN or infinite; {_NO_SOUND}", fault="corrupt")
    return frames, int(rate_hz)


def read_sound(path: str | os.PathLike[str], rate_hz: int) -> NDArray[np.int16]:
    """A sound file as mono at `rate_hz`.

    Channels are averaged. Another rate is converted by soxr (HQ: 20-bit, linear
    phase, nothing folds back), never decimated. 16-bit mono at `rate_hz` comes
    bit by bit as it is in the file; all else is rounded, then saturated.

    Returns
    -------
    int16, shape (n,), n > 0

    Raises
    ------
    RecordingError
        As :func:`read_frames`.
    """
    frames, rate_in_hz = read_frames(path)
    if frames.dtype == np.int16:
        if frames.shape[1] == 1 and rate_in_hz == rate_hz:
            return frames[:, 0]
        frames = frames / INT16_FULL_SCALE
    mono = frames.mean(axis=1)  # (n,)
    if rate_in_hz != rate_hz:
        import soxr

        mono = soxr.resample(mono, rate_in_hz, rate_hz, quality="HQ")
        if len(mono) == 0:
            raise RecordingError(f"{path} is shorter than one sample at {rate_hz} Hz; {_NO_SOUND}", fault="empty")
    return to_int16(mono)


def fit_length(samples: NDArray[np.int16], length: int) -> NDArray[np.int16]:
    """Exactly `length` samples of a recording, the word inside.

    What is shorter gets zeros on both sides, evenly (an odd one at the end), so
    the word keeps its centre. Of what is longer, the stretch with the most
    energy is taken, the first of equals.

    Parameters
    ----------
    samples : int16, shape (n,)

    Returns
    -------
    int16, shape (length,)
    """
    spare = length - len(samples)
    if spare >= 0:
        return np.pad(samples, (spare // 2, spare - spare // 2))
    # energy[i] is that of samples[:i]; a stretch costs one subtraction. int64 holds 2**33 samples.
    energy = np.concatenate(([0], np.cumsum(samples.astype(np.int64) ** 2)))
    start = int(np.argmax(energy[length:] - energy[:-length]))
    return samples[start : start + length]


def _missing_bytes(file: FileIO) -> int:
    """How many bytes the sound chunk of a WAV or AIFF file lacks; 0 for any other file."""
    size = os.fstat(file.fileno()).st_size
    head = file.read(12)
    kinds = {b"RIFF": ("<", b"data"), b"RIFX": (">", b"data"), b"FORM": (">", b"SSND")}
    if len(head) < 12 or head[:4] not in kinds or head[8:] not in (b"WAVE", b"AIFF", b"AIFC"):
        return 0
    order, sound_chunk = kinds[head[:4]]
    while len(head := file.read(8)) == 8:
        name, promised = head[:4], struct.unpack(f"{order}I", head[4:])[0]
        start = file.tell()
        if name == sound_chunk:
            return 0 if promised >= _SIZE_UNKNOWN else max(0, start + int(promised) - size)
        file.seek(start + promised + promised % 2)
    return 0
