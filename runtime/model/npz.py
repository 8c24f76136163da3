"""Arrays from a ``.npz`` of strangers: names, types, shapes and sizes are checked before anything is unpacked."""

from __future__ import annotations

import dataclasses
import io
import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.errors import BundleDamagedError

MOST_ARRAY_BYTES = 64_000_000
"""Of all arrays of a file together; the largest shipped ones have 2 MB."""

# NumPy parses a header as Python, which fails in more ways than can be caught; what it writes for numbers is this.
_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    rb"\{'descr': '([<>|][iuf][1248])', 'fortran_order': (True|False), 'shape': \(((?:\d{1,10},? ?){0,8})\), \} *\n"
)


@dataclasses.dataclass(frozen=True)
class ArraySpec:
    """What an array must be: of one of `dtypes`, as in ``"int16"``, and of a shape in which None is any length."""

    dtypes: tuple[str, ...]
    shape: tuple[int | None, ...]

    def fits(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bool:
        """Return whether an array of this type and shape may be read."""
        lengths = zip(shape, self.shape, strict=False)
        return dtype.name in self.dtypes and len(shape) == len(self.shape) and all(b in (None, a) for a, b in lengths)

    def __str__(self) -> str:
        lengths = ", ".join("any" if length is None else str(length) for length in self.shape)
        return f"{' or '.join(self.dtypes)} ({lengths})"


def read_npz(content: bytes, expected: Mapping[str, ArraySpec], named: str) -> dict[str, NDArray[Any]]:
    """Read exactly the `expected` arrays of a file that the message calls `named`.

    Raises
    ------
    BundleDamagedError
        If it is no ``.npz``, lacks an array or has another one, an array has another type or shape than expected or
        is not as long as its header says, all together are larger than :data:`MOST_ARRAY_BYTES`, or a number is not
        finite.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            found = sorted(member.filename for member in members)
            if found != sorted(f"{name}.npy" for name in expected):
                raise BundleDamagedError(_told(named, f"holds {', '.join(found)!a:.200}", ", ".join(expected)))
            size = sum(member.file_size for member in members)
            if size > MOST_ARRAY_BYTES:
                raise BundleDamagedError(_told(named, f"unpacks to {size:,} bytes", f"at most {MOST_ARRAY_BYTES:,}"))
            return {
                member.filename.removesuffix(".npy"): _read_array(archive, member, expected, named)
                for member in members
            }
    # Not all that is wrong with a zip file is a BadZipFile: encryption is a RuntimeError, as is a method of compression
    # that Python does not know, and a torn end an EOFError.
    except (zipfile.BadZipFile, zlib.error, ValueError, TypeError, EOFError, RuntimeError, OSError):
        raise BundleDamagedError(f"{named} is no .npz, or is torn; export or copy the bundle again") from None


def _read_array(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, expected: Mapping[str, ArraySpec], named: str
) -> NDArray[Any]:
    name = member.filename.removesuffix(".npy")
    spec, place = expected[name], f"{named}: the array {name}"
    with archive.open(member) as file:
        if file.read(8) != _MAGIC:
            raise BundleDamagedError(_told(place, "has no header", "NumPy's format 1.0"))
        header = _HEADER.fullmatch(file.read(int.from_bytes(file.read(2), "little")))
        if header is None:
            raise BundleDamagedError(_told(place, "has a header of something else", str(spec)))
        dtype, by_columns = np.dtype(header[1].decode()), header[2] == b"True"
        shape = tuple(int(length) for length in header[3].split(b",") if length.strip())
        if not spec.fits(dtype, shape):
            raise BundleDamagedError(_told(place, f"is {dtype} {shape}", str(spec)))
        size = math.prod(shape) * dtype.itemsize
        if file.tell() + size != member.file_size:
            raise BundleDamagedError(_told(place, f"has {member.file_size - file.tell():,} bytes", f"{size:,}"))
        flat = np.frombuffer(file.read(), dtype)
    array = flat.reshape(shape, order="F" if by_columns else "C")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BundleDamagedError(f"{place} holds numbers that are not finite; export the bundle again")
    return np.ascontiguousarray(array)


def _told(place: str, seen: str, expected: str) -> str:
    return f"{place} {seen}; expected {expected}: export or copy the bundle again"
