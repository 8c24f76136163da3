"""Standard input, output and error: there whatever the caller did with them, and lines for people on the last."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import re
import select
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

STDIN, STDOUT, STDERR = 0, 1, 2

_HARMLESS = re.compile(
    rb"INFO: (Created TensorFlow Lite \S+ delegate|Initialized TensorFlow Lite runtime)\b.*"
    rb"|WARNING: All log messages before absl::InitializeLog.*"
    rb"|I\d{4} \d\d:\d\d:.*"  # notes of TensorFlow, such as on oneDNN
    rb"|E\d{4} .*use_unbounded_threadpool.*"  # an attribute that TensorFlow writes and does not know
)
"""What native libraries write on standard error, and no user can use."""

_lock = threading.RLock()


_print_above: Callable[[str], None] | None = None


def show_picture(print_above: Callable[[str], None] | None) -> None:
    """Let lines for people be printed above a picture on the terminal from now on; None: there is none."""
    global _print_above
    _print_above = print_above


def escape_unprintable(text: str) -> str:
    r"""Return `text` as one line that a terminal shows as it is: a file's name may hold anything.

    >>> escape_unprintable("a\nb: größer")
    'a\\nb: größer'
    """
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def say(text: str) -> None:
    """Print ``kwspot: text`` on standard error; where nobody takes it within a second, it is lost."""
    line = f"kwspot: {text}\n"
    with _lock:
        if _print_above is not None:
            _print_above(line)
        elif _is_taken():
            sys.stderr.write(line)
            sys.stderr.flush()


_patience_ms = _PATIENCE_MS = 1000


def _is_taken() -> bool:
    """Return whether a line can be written on standard error without waiting for its reader."""
    global _patience_ms
    waiting = select.poll()
    try:
        waiting.register(sys.stderr.fileno(), select.POLLOUT)
    except OSError:  # no file: a program that captures it
        return True
    taken = bool(waiting.poll(_patience_ms))
    # Whoever stalls is waited for once.
    _patience_ms = _PATIENCE_MS if taken else 0
    return taken


def is_same_terminal() -> bool:
    """Return whether standard output and standard error are one terminal."""
    return os.isatty(STDOUT) and os.isatty(STDERR) and os.fstat(STDOUT).st_rdev == os.fstat(STDERR).st_rdev


class _LossyFile(io.FileIO):
    """Standard error on a disk that is full: its lines are lost, and the work goes on."""

    def write(self, content: Any) -> int:  # any buffer of bytes
        try:
            return super().write(content)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            return memoryview(content).nbytes


def repair() -> None:
    """Open what the caller has closed, and let no letter that a terminal does not have be an error.

    A descriptor of 0 to 2 that is closed would be given to the next file that is
    opened (a shell script that starts us may be that file), and ``print(file=None)``
    would write messages among the events.
    """
    for number, name, mode in ((STDIN, "stdin", "r"), (STDOUT, "stdout", "w"), (STDERR, "stderr", "w")):
        if getattr(sys, name) is None or (mode == "w" and _is_read_only(number)):
            # Standard input for writing alone: whoever reads it is told, as of a closed one.
            opened = os.open(os.devnull, os.O_WRONLY)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            stream = open(number, mode, closefd=False, encoding="utf-8")  # noqa: SIM115 - a descriptor
            setattr(sys, name, stream)
    if sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper):  # not where a program captures it
        binary = io.BufferedWriter(_LossyFile(STDERR, "w", closefd=False))
        sys.stderr = io.TextIOWrapper(binary, encoding=sys.stderr.encoding, line_buffering=True)
    for text in (sys.stdout, sys.stderr):
        if isinstance(text, io.TextIOWrapper):
            text.reconfigure(errors="backslashreplace")


def _is_read_only(descriptor: int) -> bool:
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    except OSError:  # closed since
        return True


@contextlib.contextmanager
def without_native_chatter() -> Iterator[None]:
    """Collect standard error within; then write it without lines that are known to be harmless."""
    with _lock, contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # no standard error, no descriptor or no disk: then nothing is left out
            before = os.dup(STDERR)
            stack.callback(os.close, before)
            collected = stack.enter_context(tempfile.TemporaryFile())
            os.dup2(collected.fileno(), STDERR)
            stack.callback(_write_what_matters, collected, before)
        yield


def _write_what_matters(collected: BinaryIO, descriptor: int) -> None:
    os.dup2(descriptor, STDERR)
    collected.seek(0)
    kept = b"".join(line for line in collected.read().splitlines(keepends=True) if not _HARMLESS.match(line))
    with contextlib.suppress(OSError):  # whoever read it has gone
        os.write(STDERR, kept)
