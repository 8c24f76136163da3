"""Sound files, whole or in blocks, as int16 at the rate that is wanted: converted properly, or refused."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.file_formats import UNREAD_FORMATS, conversion_of, format_of, missing_bytes_of
from kwspot.runtime.audio.resample import StreamResampler
from kwspot.runtime.audio.wav import BYTE_ORDERS, ByteSource, PlainWav, WavSound, read_wav_header
from kwspot.runtime.errors import AudioFormatError, RecordingError
from kwspot.runtime.features.spec import INT16_FULL_SCALE

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 4_000, 384_000
MOST_CHANNELS = 1024
"""What libsndfile takes, too."""

_BLOCK_VALUES = 1 << 16
_UNKNOWN_FRAMES = 1 << 62
_FORMAT_NOT_RECOGNISED = 1  # libsndfile's SF_ERR_UNRECOGNISED_FORMAT
_NO_SOUND = "expected a sound file such as 16-bit PCM WAV: record or convert it again, or remove it"


class SoundFile:
    """An open sound file, read once, in blocks; made by :func:`open_sound`.

    Parameters
    ----------
    frames
        The sound, (n, channels) at a time.
    promised_frames
        How many the header promises; None if it does not say.
    missing_bytes
        So many more the header promises.
    wav
        What knows how many bytes of a WAV file are missing or too many.
    """

    def __init__(
        self,
        path: Path,
        rate_hz: int,
        channels: int,
        frames: Iterator[NDArray[Any]],
        *,
        promised_frames: int | None = None,
        missing_bytes: int = 0,
        wav: WavSound | None = None,
    ) -> None:
        if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
            raise RecordingError(
                f"{path} has a rate of {rate_hz} Hz in its header; expected {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}: "
                "record or convert it again, or remove it",
                fault="corrupt",
            )
        if not 1 <= channels <= MOST_CHANNELS:
            raise RecordingError(f"{path} has {channels} channels in its header; {_NO_SOUND}", fault="corrupt")
        self.rate_hz, self.channels = rate_hz, channels
        self._path, self._frames, self._promised_frames = path, frames, promised_frames
        self._missing_bytes, self._wav = missing_bytes, wav

    @property
    def notice(self) -> str:
        """Return what a user should know of a file that was read all the same, in one line; "" if nothing.

        Known once all blocks have been read.
        """
        if self._wav is None or not self._wav.further_bytes:
            return ""
        return (
            f"{self._path} has {self._wav.further_bytes} bytes behind the sound that its header promises; they were "
            "taken for sound, too: if they are none, convert it again"
        )

    def blocks(self) -> Iterator[NDArray[Any]]:
        """Yield the sound as the file holds it, at most 65,536 values at a time.

        Yields
        ------
        int16 or float64, shape (n, channels)
            int16 bit by bit where the file has 16-bit samples, otherwise
            float64 with full scale ±1.

        Raises
        ------
        RecordingError
            After all that can be read: if the file is corrupt, shorter than
            its header promises, or holds no samples; before a block with
            samples that are not finite.
        """
        count = 0
        with _faults_told(self._path):
            for block in self._frames:
                if block.dtype != np.int16 and not np.isfinite(block).all():
                    raise RecordingError(
                        f"{self._path} has samples that are NaN or infinite; {_NO_SOUND}", fault="corrupt"
                    )
                count += len(block)
                yield block
        missing_bytes = self._missing_bytes if self._wav is None else self._wav.missing_bytes
        seen = ""
        if missing_bytes:
            seen = f"its header promises {missing_bytes} bytes more"
        elif self._promised_frames is not None and count < self._promised_frames:
            seen = f"{count} of {self._promised_frames} samples can be read"
        if seen:
            raise RecordingError(
                f"{self._path} is truncated, {seen}; expected the whole file: copy or record it again",
                fault="truncated",
            )
        if not count:
            raise RecordingError(f"{self._path} holds no samples; {_NO_SOUND}", fault="empty")

    def mono(self, rate_hz: int) -> Iterator[NDArray[np.int16]]:
        """Yield the sound as one channel at another rate, int16 (n,) some thousand samples at a time.

        Channels are averaged. Another rate is converted by soxr (HQ: 20-bit,
        linear phase, nothing folds back), never decimated. 16-bit mono at
        `rate_hz` comes bit by bit as it is in the file; all else is rounded,
        then saturated.

        Raises
        ------
        RecordingError
            As :meth:`blocks`, after all sound that can be read.
        AudioFormatError
            If the rate has to be converted and soxr is not installed.
        """
        try:
            resampler = StreamResampler(self.rate_hz, rate_hz)
        except AudioFormatError as error:
            raise AudioFormatError(f"{self._path}: {error}") from None
        fault = None
        try:
            for block in self.blocks():
                if self.channels > 1:
                    block = (block / INT16_FULL_SCALE if block.dtype == np.int16 else block).mean(axis=1, keepdims=True)
                yield resampler.push(block[:, 0])
        except RecordingError as error:
            fault = error
        yield resampler.flush()
        if fault is not None:
            raise fault


@contextlib.contextmanager
def open_sound(path: str | os.PathLike[str], *, pipes: bool = False) -> Iterator[SoundFile]:
    """Open a sound file to read it in blocks, so that memory does not grow with its length.

    WAV with PCM or floats is read here, by numpy alone; all other sound by
    libsndfile, from the extra ``files``.

    Parameters
    ----------
    pipes
        Whether a named pipe may be read, which waits for whoever writes it.

    Raises
    ------
    RecordingError
        If the file is missing, empty, no sound file or corrupt.
    AudioFormatError
        If it takes libsndfile and soundfile is not installed.
    """
    path = Path(path)
    with contextlib.ExitStack() as stack:
        with _faults_told(path):
            mode = path.stat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or (pipes and stat.S_ISFIFO(mode))):
                raise RecordingError(f"{path} is a pipe or a device; {_NO_SOUND}")
            # Unbuffered, since libsndfile reads on where the descriptor stands.
            file = stack.enter_context(path.open("rb", buffering=0))
            source = ByteSource(file, os.fstat(file.fileno()).st_size if stat.S_ISREG(mode) else None)
            head = source.peek(12)
            if not head:
                raise RecordingError(f"{path} is empty; {_NO_SOUND}", fault="empty")
            sound = _wav(path, source, file) if head[:4] in BYTE_ORDERS and head[8:] == b"WAVE" else None
            if sound is None and source.size is None:
                raise RecordingError(
                    f"{path} is a pipe that holds no WAV of PCM or floats; expected that, or a file: write into a file"
                )
            if sound is None and format_of(head) in UNREAD_FORMATS:
                raise RecordingError(
                    f"{path} is {format_of(head)}, which is not read; convert it first: {conversion_of(path)}",
                    fault="not sound",
                )
            if sound is None:
                missing_bytes = missing_bytes_of(source)
                file.seek(0)
                sound = _by_libsndfile(path, file, missing_bytes=missing_bytes)
        yield sound


def read_sound(path: str | os.PathLike[str], rate_hz: int) -> NDArray[np.int16]:
    """Read a whole sound file as mono at `rate_hz`; see :meth:`SoundFile.mono`.

    Returns
    -------
    int16, shape (n,), n > 0

    Raises
    ------
    RecordingError
        If the file is missing, empty, no sound file, corrupt, or shorter than
        its header promises.
    """
    with open_sound(path) as sound:
        samples = np.concatenate(list(sound.mono(rate_hz)))
    if len(samples) == 0:
        raise RecordingError(f"{path} is shorter than one sample at {rate_hz} Hz; {_NO_SOUND}", fault="empty")
    return samples


def fit_length(samples: NDArray[np.int16], length: int) -> NDArray[np.int16]:
    """Return exactly `length` samples of a recording, the word inside.

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


@contextlib.contextmanager
def _faults_told(path: Path) -> Iterator[None]:
    """Turn what the system and libsndfile say of a file into a RecordingError."""
    try:
        yield
    except OSError as error:
        raise RecordingError(f"{path} cannot be read ({error.strerror}): check the path and its permissions") from error
    except RuntimeError as error:  # libsndfile's errors are some
        reason = str(error).partition(": ")[2] or str(error)
        is_unknown = getattr(error, "code", None) == _FORMAT_NOT_RECOGNISED
        raise RecordingError(
            f"{path} cannot be read as sound ({reason.strip().rstrip('.')}); {_NO_SOUND}",
            fault="not sound" if is_unknown else "corrupt",
        ) from error


def _wav(path: Path, source: ByteSource, file: FileIO) -> SoundFile | None:
    """Open a WAV file; None for a pipe whose sound takes libsndfile."""
    header = read_wav_header(source, path)
    wav = WavSound(source, header)
    if header.is_plain:
        frames = wav.frames(_BLOCK_VALUES)
        return SoundFile(path, header.rate_hz, header.channels, frames, wav=wav)
    if source.size is None:
        return None
    start, length = source.at, sum(map(len, wav.pieces(1 << 20)))
    return _by_libsndfile(path, PlainWav(file, header, start, length), wav=wav)


def _by_libsndfile(
    path: Path, file: FileIO | PlainWav, *, missing_bytes: int = 0, wav: WavSound | None = None
) -> SoundFile:
    """Open what libsndfile knows."""
    try:
        import soundfile
    except ModuleNotFoundError:
        raise AudioFormatError(
            f"{path} is no WAV of PCM or floats; reading it needs soundfile: pip install 'kwspot[files]', or: "
            f"ffmpeg -i {path.name} -ar 16000 -ac 1 {path.stem}.wav"
        ) from None
    sound = soundfile.SoundFile(file if isinstance(file, PlainWav) else file.fileno(), closefd=False)
    # After each read soundfile would seek to where it is, at which a FLAC file of unknown length fails in its end.
    sound.seekable = lambda: False
    dtype = "int16" if sound.subtype == "PCM_16" else "float64"
    count = max(1, _BLOCK_VALUES // sound.channels)

    def frames() -> Iterator[NDArray[Any]]:
        with sound:
            # So much at a time: some formats cannot be sought in, and a header may promise any number.
            while len(block := sound.read(count, dtype=dtype, always_2d=True)):
                yield block

    promised = None if sound.frames >= _UNKNOWN_FRAMES else sound.frames
    return SoundFile(
        path, sound.samplerate, sound.channels, frames(), promised_frames=promised, missing_bytes=missing_bytes, wav=wav
    )
