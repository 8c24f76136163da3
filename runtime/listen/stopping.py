"""SIGINT, SIGTERM and SIGHUP as requests, which whoever listens takes at a moment of its own.

Nothing is raised at an arbitrary place, such as in the middle of somebody's import,
and no request is lost to another. Python's own handlers run only between two
instructions of the main thread, which may hang in a driver; so a thread reads the
signals from a pipe, and sees to it that a request to stop ends the process in time.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType, TracebackType
from typing import TypeVar

from kwspot.runtime.errors import AudioFormatError

GRACE_S = 0.9
"""Within this time of a request the sound is left by itself; what hangs then, as in opening a named pipe, is broken
off."""
LAST_S = 0.8
"""After this time more the process ends, whatever it is doing."""

_STOP = (signal.SIGINT, signal.SIGTERM)
_REQUESTED, _ENDED = 0, 255  # no signals
_IMPORTS = "<frozen importlib"

Item = TypeVar("Item")


class Stopped(BaseException):
    """Listening is to stop; not an Exception, so that nothing between takes it for an error."""


class StopRequest:
    """While entered, signals are requests. Only on the main thread.

    Parameters
    ----------
    reloads
        Whether SIGHUP is a request to read the settings again; if not, it stays what it was.
    status
        With which the process ends where nothing else helps.
    """

    def __init__(self, *, reloads: bool = False, status: int = 0) -> None:
        self._status = status
        self._handled = (*_STOP, signal.SIGHUP) if reloads else _STOP
        self.event = threading.Event()
        """Set by a request to stop or to reload."""
        self.is_final = False
        """Whether listening is to stop for good."""
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._ended = threading.Event()
        self._may_raise = self._forced = False

    def __enter__(self) -> StopRequest:
        self._signals, self._told = os.pipe()
        self._readable, self._wake = os.pipe()
        for descriptor in (self._told, self._wake):
            os.set_blocking(descriptor, False)
        self._wakeup_before = signal.set_wakeup_fd(self._told, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._handle) for number in self._handled}
        self._thread = threading.Thread(target=self._read_signals, name="signals", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            # A second signal must not change how a process ends that has been stopped.
            signal.signal(number, signal.SIG_IGN if self.is_final else handler)
        signal.set_wakeup_fd(self._wakeup_before)
        self._ended.set()
        os.write(self._told, bytes([_ENDED]))
        self._thread.join()
        for descriptor in (self._signals, self._told, self._readable, self._wake):
            os.close(descriptor)

    def request(self) -> None:
        """Stop, as after SIGTERM. From any thread."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._told, bytes([_REQUESTED]))

    def fileno(self) -> int:
        """Return a descriptor that is readable from a request on."""
        return self._readable

    @contextlib.contextmanager
    def calling(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call `callback` on a request within, on another thread; at once for one that has come before."""
        with self._lock:
            self._callbacks.append(callback)
            came = self.event.is_set()
        if came:
            callback()
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)

    @contextlib.contextmanager
    def breaking_off(self) -> Iterator[None]:
        """Break off what hangs within by :class:`Stopped`."""
        self._may_raise = True
        try:
            yield
        finally:
            self._may_raise = False

    def check(self) -> None:
        """Raise :class:`Stopped` after a request."""
        if self.event.is_set():
            raise Stopped

    def until(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items, and raise :class:`Stopped` between two of them after a request."""
        for item in items:
            self.check()
            yield item

    def take_reload(self) -> bool:
        """Return whether to read the settings again and go on; then a new request can come."""
        with self._lock:
            if self.is_final or not self.event.is_set():
                return False
            os.read(self._readable, select.PIPE_BUF)
            self.event.clear()
            return True

    def _read_signals(self) -> None:
        while True:
            numbers = os.read(self._signals, select.PIPE_BUF)
            if _ENDED in numbers:
                return
            stops = _REQUESTED in numbers or any(number in numbers for number in _STOP)
            if stops or signal.SIGHUP in numbers:
                with self._lock:
                    self.is_final |= stops
                    came_before = self.event.is_set()
                    self.event.set()
                    if not came_before:
                        os.write(self._wake, b"!")
                    callbacks = list(self._callbacks)
                for callback in callbacks:
                    callback()
            if stops:
                self._see_to_the_end()
                return

    def _see_to_the_end(self) -> None:
        if self._ended.wait(GRACE_S):
            return
        self._forced = True
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        if not self._ended.wait(LAST_S):
            os._exit(self._status)

    def _handle(self, _signal: int, frame: FrameType | None) -> None:
        # The thread has read it from the pipe.
        if not (self._forced and self._may_raise):
            return
        while frame is not None:
            if frame.f_code.co_filename.startswith(_IMPORTS):
                return
            frame = frame.f_back
        self._forced = False
        raise Stopped


class InterruptibleInput:
    """Bytes of a descriptor; reading ends with :class:`Stopped` on a request, however long nothing comes."""

    def __init__(self, descriptor: int, stop: StopRequest) -> None:
        self._descriptor, self._stop = descriptor, stop
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._poll.register(stop.fileno(), select.POLLIN)

    def read1(self, size: int) -> bytes:
        """Return what is there, 1 to `size` bytes; nothing at the end."""
        self._poll.poll()
        self._stop.check()
        try:
            return os.read(self._descriptor, size)
        except OSError as error:
            raise AudioFormatError(
                f"standard input cannot be read ({error.strerror}); expected raw sound from a file or a pipe: "
                "kwspot listen --stdin <FILE.raw"
            ) from None

    read = read1
