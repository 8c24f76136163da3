"""Sound files by their first bytes and by their names: which are read, and how the others are converted."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import PurePath

from kwspot.runtime.audio.wav import SIZE_UNKNOWN, ByteSource

SOUND_EXTENSIONS = frozenset(
    (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64", ".voc")
)
"""What marks a file as a recording; the contents decide how it is read."""

UNREAD_EXTENSIONS = frozenset(
    (".m4a", ".m4b", ".m4r", ".mp4", ".mov", ".3gp", ".aac", ".webm", ".weba", ".mka", ".mkv", ".wma", ".amr", ".wv")
)
"""What marks a recording of a phone or a browser that libsndfile does not read."""

_FIRST_BYTES = {
    b"RIFF": "WAV",
    b"RIFX": "WAV",
    b"RF64": "WAV",
    b"BW64": "WAV",
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"FORM": "AIFF",
    b".snd": "AU",
    b"caff": "CAF",
    b"riff": "W64",
    b"\x1aE\xdf\xa3": "WebM",
    b"#!AM": "AMR",
    b"Crea": "VOC",
    b"0&\xb2u": "WMA",
    b"wvpk": "WavPack",
}
UNREAD_FORMATS = frozenset(("MP4", "WebM", "AMR", "WMA", "WavPack"))
ENOUGH_BYTES = 12
"""So many of a file tell its format."""


def format_of(head: bytes) -> str:
    """Return the name of the sound format that a file of these first bytes has; "" if it is none that is known.

    >>> format_of(b"RIFF....WAVEfmt "), format_of(bytes(12))
    ('WAV', '')
    """
    if head[4:8] == b"ftyp":
        return "MP4"
    if head[:3] == b"ID3" or _begins_with_mpeg_frames(head):
        return "MP3"
    return _FIRST_BYTES.get(head[:4], "")


def _begins_with_mpeg_frames(head: bytes) -> bool:
    """Return whether two frames of MPEG layer 3 follow each other there: two bytes alone may be sound."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return False
    version, rate, kind = head[1] >> 3 & 3, head[2] >> 2 & 3, head[2] >> 4
    if version == 1 or rate == 3 or kind in (0, 15):
        return False
    first = version == 3
    kbit = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320) if first else (
        8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160
    )  # fmt: skip
    rate_hz = (44_100, 48_000, 32_000)[rate] >> (0 if first else 1 if version == 2 else 2)
    length = (144 if first else 72) * kbit[kind - 1] * 1000 // rate_hz + (head[2] >> 1 & 1)
    return head[length : length + 2] == head[:2] if len(head) >= length + 2 else False


def is_sound(name: str | PurePath) -> bool:
    """Tell whether a file's name is that of a recording that can be read; hidden ones are none."""
    name = PurePath(name)
    return name.suffix.lower() in SOUND_EXTENSIONS and not name.name.startswith(".")


def is_unread(name: str | PurePath) -> bool:
    """Tell whether a file's name is that of a recording that has to be converted first."""
    name = PurePath(name)
    return name.suffix.lower() in UNREAD_EXTENSIONS and not name.name.startswith(".")


def unread_note(names: Sequence[str | PurePath]) -> str:
    """Return which files of a folder are not read and how to convert them, in a sentence; "" of no names."""
    if not names:
        return ""
    files = f"{names[0]} is" if len(names) == 1 else f"{len(names)} files, such as {names[0]}, are"
    return f"{files} of a format that is not read; convert to WAV first: {conversion_of(names[0])}"


def conversion_of(name: str | PurePath) -> str:
    """Return the command that makes a WAV file of a recording.

    >>> conversion_of("yes/p1.m4a")
    'ffmpeg -i p1.m4a -ar 16000 -ac 1 p1.wav'
    """
    name = PurePath(name)
    return f"ffmpeg -i {name.name} -ar 16000 -ac 1 {name.stem}.wav"


_CHUNKED = {
    b"FORM": (12, 4, ">I", 0, 2, b"SSND"),  # AIFF
    b"caff": (8, 4, ">q", 0, 1, b"data"),
    b"riff": (40, 16, "<q", 24, 8, b"data"),  # W64
}
"""First bytes → bytes before the first chunk, bytes of a chunk's name, format of its size, bytes of the chunk's head
that the size counts, what chunks are padded to, and how the name of the chunk with the sound begins."""


def missing_bytes_of(source: ByteSource) -> int:
    """Return how many bytes the sound of an AIFF, AU, CAF or W64 file lacks, where libsndfile reads on in silence."""
    assert source.size is not None
    kind = source.peek(4)
    if kind == b".snd" and len(head := source.read(12)) == 12:
        start, promised = struct.unpack(">II", head[4:])
        return 0 if promised >= SIZE_UNKNOWN else max(0, start + promised - source.size)
    if kind not in _CHUNKED:
        return 0
    before, name_bytes, size_format, counted, pad, sound_name = _CHUNKED[kind]
    head_bytes = name_bytes + struct.calcsize(size_format)
    source.skip(before)
    while len(head := source.read(head_bytes)) == head_bytes:
        promised = struct.unpack(size_format, head[name_bytes:])[0] - counted
        is_unknown = promised < 0 or promised >= (SIZE_UNKNOWN if size_format == ">I" else 1 << 62)
        if head.startswith(sound_name):
            return 0 if is_unknown else max(0, source.at + int(promised) - source.size)
        if is_unknown or not source.skip(-(-promised // pad) * pad):
            break
    return 0
