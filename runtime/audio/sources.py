"""Where sound comes from: each source is an iterable of int16 blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.file_formats import ENOUGH_BYTES, format_of
from kwspot.runtime.audio.sound_file import open_sound
from kwspot.runtime.errors import AudioFormatError
from kwspot.runtime.standard_streams import say

BLOCK_SAMPLES = 1280
"""80 ms at 16 kHz: what a microphone delivers at once, and enough frames to share the cost of a call."""


class Gap(NamedTuple):
    """Sound that a source lost, in its place in the stream; `cause` says how."""

    lost_samples: int
    cause: str


class DeviceLost(NamedTuple):
    """A source has vanished or hangs; it is opened again until it is back."""

    reason: str


class DeviceBack(NamedTuple):
    """A source is back; the gap in its sound comes next."""

    name: str
    away_s: float


SourceEvent = Gap | DeviceLost | DeviceBack
"""What a source yields besides blocks."""


def wav_blocks(
    path: str | os.PathLike[str], *, rate_hz: int = 16_000, block_samples: int = BLOCK_SAMPLES
) -> Iterator[NDArray[np.int16]]:
    """Yield a sound file block by block, int16 (up to block_samples,), however long it is.

    WAV of 16 bits at `rate_hz` needs numpy alone; other rates and formats are
    converted, which needs the extra ``files``. A named pipe is read as it
    is written. Of a file whose header promises less sound than is there, a
    line on standard error tells.

    Raises
    ------
    RecordingError
        If the file is missing or no sound; after its sound, if it is corrupt
        or shorter than its header promises.
    AudioFormatError
        If it has to be converted and the extra is not installed.
    """
    with open_sound(path, pipes=True) as sound:
        for samples in sound.mono(rate_hz):
            for start in range(0, len(samples), block_samples):
                yield samples[start : start + block_samples]
        if sound.notice:
            say(sound.notice)


def raw_blocks(stream: BinaryIO, *, block_samples: int = BLOCK_SAMPLES) -> Iterator[NDArray[np.int16]]:
    """Yield raw 16-bit little-endian mono sound as it arrives, int16 (up to block_samples,).

    A block is handed on as soon as any sound is there, so that a slow writer
    delays nothing.

    Raises
    ------
    AudioFormatError
        If a sound file begins there, whose header would be heard as noise, or
        if the stream ends in the middle of a sample.
    """
    # One read of what is there now; a plain read would wait for a whole block.
    read = getattr(stream, "read1", stream.read)
    rest, looked = b"", False
    while content := read(2 * block_samples - len(rest)):
        content = rest + content
        if not looked:
            if len(content) < min(ENOUGH_BYTES, 2 * block_samples):
                rest = content
                continue
            _refuse_file(content)
            looked = True
        whole = len(content) // 2 * 2
        rest = content[whole:]
        if whole:
            yield _as_samples(content[:whole])
    if not looked:  # less than what tells a file from sound
        _refuse_file(rest)
        if len(rest) > 1:
            yield _as_samples(rest[: len(rest) // 2 * 2])
    if len(rest) % 2:
        raise AudioFormatError(
            "the raw sound ended in the middle of a 16-bit sample; expected 16-bit little-endian mono: "
            "check what writes it (sox … -t raw -e signed -b 16 -c 1 -)"
        )


def _as_samples(content: bytes) -> NDArray[np.int16]:
    return np.frombuffer(content, np.dtype("<i2")).astype(np.int16, copy=False)


def _refuse_file(content: bytes) -> None:
    if kind := format_of(content):
        raise AudioFormatError(
            f"a sound file ({kind}) instead of raw sound; expected 16-bit little-endian mono without a header: name "
            "the file with --wav FILE, or write raw sound (ffmpeg -i FILE -f s16le -ar 16000 -ac 1 -)"
        )
