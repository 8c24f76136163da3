"""Where sound comes from: each source is an iterable of int16 blocks."""

from __future__ import annotations

import os
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.errors import AudioFormatError, RecordingError

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
    """A sound file, block by block, int16 (up to block_samples,).

    16-bit PCM WAV, mono at `rate_hz`, is read with the standard library alone;
    anything else is converted, which needs the extra ``files``.

    Raises
    ------
    RecordingError
        If the file is missing, no sound, or shorter than its header promises.
    AudioFormatError
        If it has to be converted and the extra is not installed.
    """
    try:
        sound = wave.open(os.fspath(path), "rb")  # noqa: SIM115 - closed below, once it is known to fit
    except FileNotFoundError:
        raise RecordingError(f"{path} does not exist; expected a sound file: check the path") from None
    except IsADirectoryError:
        raise RecordingError(f"{path} is a folder; expected a sound file: name the files in it") from None
    except (wave.Error, EOFError) as error:
        yield from _converted(path, rate_hz, block_samples, f"no 16-bit PCM WAV ({error or 'no header'})")
        return
    with sound:
        if (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) != (1, 2, rate_hz):
            seen = f"{sound.getframerate()} Hz, {sound.getnchannels()} channels, {8 * sound.getsampwidth()} bit"
            yield from _converted(path, rate_hz, block_samples, seen)
            return
        read = 0
        while content := sound.readframes(block_samples):
            block = np.frombuffer(content[: len(content) // 2 * 2], np.dtype("<i2")).astype(np.int16, copy=False)
            read += len(block)
            yield block
        if read < sound.getnframes():
            raise RecordingError(
                f"{path} is truncated: {read} of the {sound.getnframes()} samples that its header promises; "
                "copy or record it again"
            )


def _converted(
    path: str | os.PathLike[str], rate_hz: int, block_samples: int, seen: str
) -> Iterator[NDArray[np.int16]]:
    try:
        sound = read_sound(path, rate_hz)
    except ModuleNotFoundError as error:
        name = Path(path).name
        raise AudioFormatError(
            f"{path} is {seen}; this bundle hears {rate_hz} Hz mono 16-bit WAV. Converting needs {error.name}: "
            f"pip install 'kwspot[files]', or: sox {name} -r {rate_hz} -c 1 -b 16 converted.wav"
        ) from None
    for start in range(0, len(sound), block_samples):
        yield sound[start : start + block_samples]


def raw_blocks(stream: BinaryIO, *, block_samples: int = BLOCK_SAMPLES) -> Iterator[NDArray[np.int16]]:
    """Raw 16-bit little-endian mono sound, as it arrives, int16 (up to block_samples,).

    A block is handed on as soon as any sound is there, so that a slow writer
    delays nothing.

    Raises
    ------
    AudioFormatError
        If the stream ends in the middle of a sample.
    """
    # One read of what is there now; a plain read would wait for a whole block.
    read = getattr(stream, "read1", stream.read)
    rest = b""
    while content := read(2 * block_samples - len(rest)):
        content = rest + content
        whole = len(content) // 2 * 2
        rest = content[whole:]
        if whole:
            yield np.frombuffer(content[:whole], np.dtype("<i2")).astype(np.int16, copy=False)
    if rest:
        raise AudioFormatError(
            "the raw sound ended in the middle of a 16-bit sample; expected 16-bit little-endian mono: "
            "check what writes it (sox … -t raw -e signed -b 16 -c 1 -)"
        )
