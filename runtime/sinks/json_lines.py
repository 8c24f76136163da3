"""Events on standard output, one JSON object a line, whatever its reader does.

A reader that stalls fills the queue and stops nothing; one that has gone is
noticed within half a second, also while nothing happens.
"""

from __future__ import annotations

import errno
import json
import math
import os
import select
import sys
from collections.abc import Callable

from kwspot.runtime.sinks.queued import Event, QueuedSink, Undelivered

_WRITES_BYTES = 4096  # PIPE_BUF: so much a pipe takes at once, once poll(2) has called it writable
_LOOKS_EVERY_MS = 100


class JsonLines(QueuedSink):
    """Writes events to a file descriptor.

    Parameters
    ----------
    descriptor
        None is that of ``sys.stdout``; where that is no file, as within a program that captures it, it is written to.
    on_failure
        Called once, on the sink's thread, when nothing can be written any more; `failure` says why.
    write
        Takes a line in place of the descriptor: a terminal on which a picture stands.
    """

    patience_s = math.inf  # "less" may be left open over the weekend

    def __init__(
        self,
        descriptor: int | None = None,
        *,
        on_failure: Callable[[], None] = lambda: None,
        write: Callable[[str], object] | None = None,
    ) -> None:
        self.failure: OSError | None = None
        self._on_failure, self._write = on_failure, write
        self._reader, self._room_for_bytes = select.poll(), select.poll()
        if descriptor is None:
            try:
                descriptor = sys.stdout.fileno()
            except OSError:
                self._write = write or sys.stdout.write
        if descriptor is not None:
            self._descriptor = descriptor
            self._reader.register(descriptor, 0)  # errors and hang-ups alone
            self._room_for_bytes.register(descriptor, select.POLLOUT)
        super().__init__("stdout")

    def deliver(self, event: Event) -> None:
        """Write the line, as soon as the reader takes it."""
        line = json.dumps(event, allow_nan=False) + "\n"
        if self.failure is not None:
            return
        try:
            if self._write is not None:
                self._write(line)
            else:
                self._write_bytes(line.encode())
        except OSError as error:
            self._fail(error)

    def idle(self) -> None:
        """Notice that the reader has gone."""
        if self.failure is None and self._reader.poll(0):
            self._fail(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))

    def _write_bytes(self, content: bytes) -> None:
        while content:
            while not self._room_for_bytes.poll(_LOOKS_EVERY_MS):
                self.report_drops()
                if self.given_up.is_set():
                    raise Undelivered("its reader took nothing until the end")
            content = content[os.write(self._descriptor, content[:_WRITES_BYTES]) :]

    def _fail(self, error: OSError) -> None:
        self.failure = error
        self._on_failure()
