"""WAV files: read forwards once, so that a pipe can be read, and forgiving, as players are; written by the standard
library, which says of a full disk what libsndfile has an error of its own for."""

from __future__ import annotations

import dataclasses
import io
import os
import struct
import wave
from collections.abc import Iterator
from io import FileIO
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.errors import RecordingError

BYTE_ORDERS = {b"RIFF": "<", b"RIFX": ">", b"RF64": "<", b"BW64": "<"}
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE

SIZE_UNKNOWN = 0x7FFF_F000
"""ffmpeg, sox and arecord write this size, or a greater one, into a pipe, since they cannot go back to mend it."""

_MOST_FORMAT_BYTES = 4096
_CHUNK_NAMES = (
    b"fmt |data|fact|LIST|PEAK|JUNK|junk|PAD |FLLR|bext|cue |smpl|inst|id3 |ID3 |iXML|axml|_PMX|cart|DISP|ds64"
)
_CHUNKS = frozenset(_CHUNK_NAMES.split(b"|"))
_STANDARD_GUID = bytes.fromhex("000000001000800000aa00389b71")


class ByteSource:
    """An open file or pipe that is read forwards.

    Parameters
    ----------
    size
        Of the file in bytes; None for a pipe.
    """

    def __init__(self, file: FileIO, size: int | None) -> None:
        self._file, self.size = file, size
        self._ahead = b""
        self.at = 0
        """How many bytes have been taken."""

    def peek(self, count: int) -> bytes:
        """Return the next `count` bytes, or fewer at the end, and take none."""
        while len(self._ahead) < count and (content := self._file.read(count - len(self._ahead))):
            self._ahead += content
        return self._ahead[:count]

    def read(self, count: int) -> bytes:
        """Take `count` bytes, or fewer at the end."""
        content = self.peek(count)
        self._ahead = self._ahead[count:]
        self.at += len(content)
        return content

    def skip(self, count: int) -> bool:
        """Pass over `count` bytes; False if the file ends before."""
        if self.size is None:
            while count and (content := self.read(min(count, 65_536))):
                count -= len(content)
            return not count
        if self.at + count > self.size:
            return False
        self.at += count
        self._ahead = b""
        self._file.seek(self.at)
        return True


_VALUES = {
    (PCM, 8): ("u1", 1 << 7),
    (PCM, 16): ("i2", None),
    (PCM, 24): ("i4", 1 << 31),
    (PCM, 32): ("i4", 1 << 31),
    (FLOAT, 32): ("f4", 1),
    (FLOAT, 64): ("f8", 1),
}
"""Codec and bits → numpy type and full scale; None: as it is."""


@dataclasses.dataclass(frozen=True)
class WavHeader:
    """How the sound of a WAV file is stored; `promised_bytes` of it, None if the header does not know."""

    byte_order: str
    codec: int
    channels: int
    rate_hz: int
    frame_bytes: int
    sample_bits: int
    format_chunk: bytes
    promised_bytes: int | None

    @property
    def is_plain(self) -> bool:
        """Return whether the samples are PCM or floats, as :meth:`WavSound.frames` reads them."""
        known = (self.codec, self.sample_bits) in _VALUES
        return known and 0 < self.frame_bytes == self.channels * self.sample_bits // 8


def read_wav_header(source: ByteSource, name: object) -> WavHeader:
    """Take the header up to the first byte of sound.

    Chunks may lack the byte that pads them to an even length.

    Raises
    ------
    RecordingError
        If there is no sound, or a chunk before it says no format or reaches
        beyond the end of the file; `name` names the file.
    """

    def corrupt(reason: str) -> RecordingError:
        return RecordingError(
            f"{name} cannot be read as sound ({reason}); expected a whole WAV file: record or convert it again, or "
            "remove it",
            fault="corrupt",
        )

    order = BYTE_ORDERS[source.read(12)[:4]]
    format_chunk, wide_bytes = b"", 0
    while True:
        chunk = source.read(8)
        if len(chunk) < 8:
            raise corrupt("it ends before its sound begins")
        kind, size = chunk[:4], struct.unpack(f"{order}I", chunk[4:])[0]
        if kind == b"data":
            break
        content = source.read(min(size, _MOST_FORMAT_BYTES)) if kind in (b"fmt ", b"ds64") else b""
        if not source.skip(size - len(content)):
            raise corrupt(f"its chunk {kind.decode('latin-1')!r} promises {size} bytes, beyond the end of the file")
        if size % 2 and source.peek(4) not in _CHUNKS:
            source.skip(1)
        if kind == b"fmt ":
            format_chunk = content
        elif kind == b"ds64" and len(content) >= 16:
            wide_bytes = struct.unpack(f"{order}Q", content[8:16])[0]
    if len(format_chunk) < 16:
        raise corrupt("no format stands before its sound")
    codec, channels, rate_hz, _, frame_bytes, bits = struct.unpack(f"{order}HHIIHH", format_chunk[:16])
    if codec == EXTENSIBLE and format_chunk[26:40] == _STANDARD_GUID:
        codec = struct.unpack(f"{order}H", format_chunk[24:26])[0]
    promised = wide_bytes if size == 0xFFFF_FFFF and 0 < wide_bytes < 1 << 62 else size
    # So large a size is true of a file that has so much.
    if SIZE_UNKNOWN <= promised <= 0xFFFF_FFFF and (source.size is None or source.at + promised > source.size):
        promised = None
    return WavHeader(order, codec, channels, rate_hz, frame_bytes, bits, format_chunk, promised)


class WavSound:
    """The sound behind a header, as bytes: all that is there.

    Sound goes on behind the promised size where no other chunk begins there:
    a recorder that was cut off, or whose size outgrew 32 bits, has not told.

    Attributes
    ----------
    missing_bytes, further_bytes : int
        What the promise lacks, and what was there beyond it; once all is read.
    """

    def __init__(self, source: ByteSource, header: WavHeader) -> None:
        self._source, self._header, self._promised = source, header, header.promised_bytes
        self.missing_bytes = self.further_bytes = 0

    def pieces(self, piece_bytes: int) -> Iterator[bytes]:
        """Yield the sound in pieces of `piece_bytes`, the last one shorter."""
        rest = b""
        for content in self._all(piece_bytes):
            rest += content
            while len(rest) >= piece_bytes:
                yield rest[:piece_bytes]
                rest = rest[piece_bytes:]
        if rest:
            yield rest

    def frames(self, block_values: int) -> Iterator[NDArray[Any]]:
        """Yield plain samples, int16 or float64 of full scale ±1, (n, channels), an incomplete last frame left out."""
        header = self._header
        kind, full_scale = _VALUES[header.codec, header.sample_bits]
        dtype = np.dtype(header.byte_order + kind)
        for content in self.pieces(max(1, block_values // header.channels) * header.frame_bytes):
            content = content[: len(content) // header.frame_bytes * header.frame_bytes]
            if header.sample_bits == 24:  # as the upper three bytes of 32 bits
                wide = np.zeros((len(content) // 3, 4), np.uint8)
                upper = slice(1, 4) if header.byte_order == "<" else slice(0, 3)
                wide[:, upper] = np.frombuffer(content, np.uint8).reshape(-1, 3)
                content = wide.tobytes()
            samples = np.frombuffer(content, dtype).reshape(-1, header.channels)
            if not len(samples):
                return
            if full_scale is None:
                yield samples.astype(np.int16, copy=False)
            else:
                yield (samples.astype(np.float64) - (full_scale if kind == "u1" else 0)) / full_scale

    def _all(self, piece_bytes: int) -> Iterator[bytes]:
        left = self._promised
        while left is None or left > 0:
            content = self._source.read(piece_bytes if left is None else min(left, piece_bytes))
            if not content:
                self.missing_bytes = left or 0
                return
            left = None if left is None else left - len(content)
            yield content
        if self._promised is None or self._chunk_follows():
            return
        while content := self._source.read(piece_bytes):
            self.further_bytes += len(content)
            yield content
        if not self._promised:  # as a pipe's header: nothing was promised
            self.further_bytes = 0

    def _chunk_follows(self) -> bool:
        """Tell whether the end of the file, or what is no sound, follows."""
        source = self._source
        if (self._promised or 0) % 2 and source.peek(4) not in _CHUNKS:
            source.skip(1)
        head = source.peek(8)
        if len(head) < 8 or head[:4] in _CHUNKS or head[:3] == b"TAG":
            return True
        is_name = all(0x20 <= byte < 0x7F for byte in head[:4])
        end = source.at + 8 + int(struct.unpack("<I", head[4:])[0])
        return is_name and source.size is not None and end <= source.size


class PlainWav(io.RawIOBase):
    """The sound of a WAV file behind a header without faults, as a file for libsndfile."""

    def __init__(self, file: FileIO, header: WavHeader, start: int, length: int) -> None:
        order, chunk = header.byte_order, header.format_chunk
        sizes = [min(size, 0xFFFF_FFFF) for size in (20 + len(chunk) + length, len(chunk), length)]
        riff, form, data = (struct.pack(f"{order}I", size) for size in sizes)
        kind = b"RIFF" if order == "<" else b"RIFX"
        self._head = b"".join([kind, riff, b"WAVEfmt ", form, chunk, b"data", data])
        self._file, self._start, self._at = file, start, 0
        self._size = len(self._head) + length

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = max(0, min(len(buffer), self._size - self._at))
        content = self._head[self._at : self._at + count]
        if not content and count:
            self._file.seek(self._start + self._at - len(self._head))
            content = self._file.read(count)
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)


def write_wav(target: str | os.PathLike[str] | IO[bytes], samples: NDArray[np.int16], rate_hz: int) -> None:
    """Write mono sound, int16 (n,), as 16-bit PCM WAV."""
    with wave.open(os.fspath(target) if isinstance(target, str | os.PathLike) else target, "wb") as file:
        file.setparams((1, 2, rate_hz, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2", copy=False).tobytes())
