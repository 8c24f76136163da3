"""Download a large file of known size and SHA-256: a broken download continues, and the file is whole or not there."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import re
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO

from kwspot.runtime.errors import DownloadError

TIMEOUT_S = 30.0
"""For a connection to open, and between two pieces of the answer."""

LEAST_BYTES, LEAST_WITHIN_S = 65_536, 60.0
"""A server that sends less in this time is taken for broken off."""
WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Before each further try. A try that came `_BLOCK` bytes further than any before starts the row anew."""

_BLOCK = 1 << 20
_PASSING = frozenset((408, 429, 500, 502, 503, 504))
"""HTTP statuses of a server that may answer later."""


def download(url: str, target: Path, *, size: int, sha256: str) -> None:
    """Download `url` to `target`, by way of ``<target>.part`` beside it.

    The partial file outlives a failure, a kill or Ctrl-C, and the next call
    asks (HTTP Range) for the rest alone. A server that cannot do that sends
    all of it again. Size and SHA-256 are known beforehand, so there is no
    need of an ETag: parts that do not fit each other fail the SHA-256.

    Raises
    ------
    DownloadError
        If the server has no such file or one of another size, cannot be
        reached or breaks off in every try, the disk is full, another process
        downloads the same file, or the SHA-256 is another; only then is the
        partial file removed.
    """
    part = target.with_name(target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("ab") as file:
            _lock(file, part)
            try:
                _receive_all(url, file, size)
                file.flush()
            finally:
                if file.tell() == 0:
                    part.unlink()
            print(f"checking the SHA-256 of {target.name}", file=sys.stderr)
            if (found := sha256_of(part)) != sha256:
                part.unlink()
                raise DownloadError(
                    f"{url} came with SHA-256 {found}, expected {sha256}: it was removed and nothing was unpacked; run "
                    "the same command again, and if this repeats, find out what changes the file on its way"
                )
            part.replace(target)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DownloadError(
            f"the disk of {part.parent} is full, {megabytes(size)} were expected to fit: free some space and run the "
            "same command again, it goes on where it stopped"
        ) from None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def megabytes(count: float) -> str:
    """Write a number of bytes for people: ``2428.9 MB`` (10⁶ bytes)."""
    return f"{count / 1e6:.1f} MB"


class Progress:
    """How far something is, on standard error: one line that changes, or a line every 10 s where that is a file."""

    def __init__(self, what: str, size: int, done: int = 0) -> None:
        self._what, self._size, self._first, self._done = what, size, done, done
        self._terminal = sys.stderr.isatty()
        self._began = self._said = time.monotonic()

    def at(self, done: int) -> None:
        """`done` of the `size` bytes are there."""
        self._done = done
        if time.monotonic() - self._said >= (0.2 if self._terminal else 10.0):
            self._say("\r" if self._terminal else "", "\033[K" if self._terminal else "\n")

    def end(self) -> None:
        """No more comes: the last state stays on its line."""
        self._say("\r" if self._terminal else "", "\033[K\n" if self._terminal else "\n")

    def _say(self, before: str, after: str) -> None:
        self._said = time.monotonic()
        rate = (self._done - self._first) / max(self._said - self._began, 1e-3)  # bytes/s
        text = f"{self._what}: {self._done / 1e6:.1f} of {megabytes(self._size)}, {rate / 1e6:.1f} MB/s"
        if rate > 0 and self._done < self._size:
            minutes, seconds = divmod(round((self._size - self._done) / rate), 60)
            text += f", {minutes}:{seconds:02} left"
        sys.stderr.write(before + text + after)
        sys.stderr.flush()


def _lock(file: BinaryIO, part: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DownloadError(f"{part} is being downloaded by another process: wait until it is done") from None


def _receive_all(url: str, file: BinaryIO, size: int) -> None:
    """Append to `file` what it lacks of `size` bytes, in as many tries as are allowed."""
    if file.tell() > size:
        _empty(file)
    tries, most = 0, file.tell()
    while file.tell() < size:
        try:
            _receive(url, file, size)
            continue
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"HTTP {error.code} {error.reason}"
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                _empty(file)
            elif error.code not in _PASSING:
                raise DownloadError(
                    f"{url}: the server answers {reason}, expected the file: try again later, and if this repeats, "
                    "look for a newer kwspot"
                ) from None
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = str(getattr(error, "reason", error) or type(error).__name__)
        if file.tell() - most >= _BLOCK:
            tries = 0
        most = max(most, file.tell())
        if tries == len(WAITS_S):
            raise DownloadError(_gave_up(url, file.tell(), size, reason))
        print(f"{reason}; another try in {WAITS_S[tries]:g} s", file=sys.stderr)
        time.sleep(WAITS_S[tries])
        tries += 1


def _receive(url: str, file: BinaryIO, size: int) -> None:
    """One request for what is missing; a break of the connection is a ``URLError``, a fault of the disk another."""
    done = file.tell()
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        offered = _offered(response, done)
        if offered is not None and offered[1] != size:
            raise DownloadError(
                f"{url}: the server offers {offered[1]} bytes, expected {size}: it is not the file that kwspot knows; "
                "try another network, and if this repeats, look for a newer kwspot"
            )
        if done and (offered is None or offered[0] != done):
            print(f"{url}: the server cannot go on at {megabytes(done)}; it starts again", file=sys.stderr)
            _empty(file)
        progress = Progress(url.rpartition("/")[2], size, file.tell())
        since, begun_at = time.monotonic(), file.tell()
        try:
            while (missing := size - file.tell()) > 0:
                try:
                    block = response.read1(min(_BLOCK, missing))
                except (OSError, http.client.HTTPException) as error:
                    raise urllib.error.URLError(str(error)) from error
                if not block:
                    raise urllib.error.URLError(f"the server broke off at {megabytes(file.tell())}")
                file.write(block)
                if time.monotonic() - since > LEAST_WITHIN_S:
                    if file.tell() - begun_at < LEAST_BYTES:
                        raise urllib.error.URLError(f"the server sent less than {LEAST_BYTES} bytes in a minute")
                    since, begun_at = time.monotonic(), file.tell()
                progress.at(file.tell())
        finally:
            progress.end()


def _offered(response: http.client.HTTPResponse, asked: int) -> tuple[int, int] | None:
    """(first byte of the answer, size of the whole file); None where the server does not tell the size."""
    if asked and response.status == http.HTTPStatus.PARTIAL_CONTENT:
        match = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18})", response.headers.get("Content-Range", ""))
        if match is None:
            raise urllib.error.URLError("the server sends a part of the file and does not say which")
        return int(match[1]), int(match[2])
    return None if response.length is None else (0, response.length)


def _empty(file: BinaryIO) -> None:
    file.seek(0)
    file.truncate()


def _gave_up(url: str, done: int, size: int, reason: str) -> str:
    if done == 0:
        return (
            f"{url}: nothing came ({reason}), expected {megabytes(size)}: check the network, then run the same "
            "command again"
        )
    return (
        f"{url} broke off after {done / 1e6:.1f} of {megabytes(size)} ({reason}): run the same command again, it goes "
        "on where it stopped"
    )
