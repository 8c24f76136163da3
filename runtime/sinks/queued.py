"""Where events go besides the JSON lines, each behind a bounded queue of its own.

The loop that listens only ever puts; a thread delivers. A receiver that is slow
or down fills its queue, and what finds no room is dropped and counted.
"""

from __future__ import annotations

import abc
import queue
import sys
import threading
import time
from collections.abc import Mapping

Event = Mapping[str, object]

QUEUED_EVENTS = 1000
"""Room of a queue: an event a second for a quarter of an hour, in less than a megabyte."""
REPORT_EVERY_S = 10.0


class Undelivered(Exception):
    """An event that its receiver did not get; the message says why."""


class QueuedSink(abc.ABC):
    """A bounded queue and the threads that deliver what is in it.

    Every event that was put is in the end counted once, in `delivered` or in
    `dropped`.

    Parameters
    ----------
    name
        What reports on standard error and the totals call it.
    workers
        How many events may be on their way at once; with one, they keep their order.
    room
        How many events may wait.
    """

    def __init__(self, name: str, *, workers: int = 1, room: int = QUEUED_EVENTS) -> None:
        self.name = name
        self.delivered = 0
        self.dropped = 0
        self.given_up = threading.Event()
        """Set when whoever waits in :meth:`deliver` has to stop waiting."""
        self._queue: queue.Queue[Event | None] = queue.Queue(room)
        self._count = threading.Lock()
        self._reported, self._reported_at = 0, 0.0
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    @abc.abstractmethod
    def deliver(self, event: Event) -> None:
        """Deliver one event, on a thread of the sink; it may wait, until `given_up`.

        Raises
        ------
        Undelivered
            If the receiver did not get it.
        """

    def wants(self, event: Event) -> bool:
        """Whether this sink delivers such events at all."""
        return True

    def put(self, event: Event) -> None:
        """Take one event; neither blocks nor raises."""
        if not self.wants(event):
            return
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self._drop()

    def close(self, within_s: float = 2.0) -> None:
        """Deliver what is queued, for at most `within_s`; what is left is dropped and reported."""
        deadline = time.monotonic() + within_s
        for _ in self._threads:
            try:
                self._queue.put(None, timeout=max(0.0, deadline - time.monotonic()))
            except queue.Full:
                break
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.given_up.set()
        for thread in self._threads:
            thread.join(1.0)
        while not self._queue.empty():
            if self._queue.get_nowait() is not None:
                self._drop()
        if self.dropped:
            self.say(f"{self.dropped} of {self.dropped + self.delivered} events were not delivered")

    def say(self, text: str) -> None:
        """A line for humans. Only for the sink's own threads: standard error may block."""
        print(f"kwspot: {self.name}: {text}", file=sys.stderr, flush=True)

    def report_drops(self) -> None:
        """Say how many events were dropped since the last time, now and then."""
        now = time.monotonic()
        if self.dropped > self._reported and now - self._reported_at >= REPORT_EVERY_S:
            self._reported, self._reported_at = self.dropped, now
            self.say(f"too slow or down: {self.dropped} events dropped so far")

    def _drop(self) -> None:
        with self._count:
            self.dropped += 1

    def _work(self) -> None:
        while not self.given_up.is_set():
            event = self._queue.get()
            if event is None:
                return
            try:
                self.deliver(event)
            except Undelivered as error:
                self._drop()
                self.say(str(error))
            else:
                with self._count:
                    self.delivered += 1
            self.report_drops()
