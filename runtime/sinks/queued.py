"""Sinks that do I/O: a bounded queue and threads that deliver what is in it.

The loop that listens only puts. A receiver that is slow or down fills its queue;
what finds no room is dropped and counted. Where the sound can wait, as a file can,
the loop waits instead.
"""

from __future__ import annotations

import abc
import queue
import threading
import time

from kwspot.runtime.sinks.observer import Event, Heard, Observer
from kwspot.runtime.standard_streams import say

__all__ = ["Event", "Heard", "QueuedSink", "Undelivered"]

QUEUED_EVENTS = 1000
"""Room of a queue: an event a second for a quarter of an hour, in less than a megabyte; or 80 s of sound in blocks."""
REPORT_EVERY_S = 10.0
IDLE_S = 0.5
"""How often :meth:`QueuedSink.idle` is called while there is nothing to deliver."""
STOPS_WITHIN_S = 0.3
"""How long what is queued may take once listening is to stop."""
_ROOM_EVERY_S = 0.02


class Undelivered(Exception):
    """An event that its receiver did not get; the message says why."""


class QueuedSink(Observer, abc.ABC):
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

    patience_s = 60.0
    """How long a sound that can wait does so for a receiver that takes nothing."""

    def __init__(self, name: str, *, workers: int = 1, room: int = QUEUED_EVENTS) -> None:
        self.name = name
        self.delivered = 0
        self.dropped = 0
        self.given_up = threading.Event()
        """Set when whoever waits in :meth:`deliver` has to stop waiting."""
        self.stopping = threading.Event()
        """Set when listening is to stop: then nothing waits for long. Whoever listens puts its own here."""
        self.sound_waits = False
        """Whether :meth:`put` waits for room; if not, it drops."""
        self._room = room
        self._queue: queue.SimpleQueue[Event | Heard | None] = queue.SimpleQueue()
        self._count = threading.Lock()
        self._reported, self._reported_at = 0, 0.0
        self._stuck = False
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

    def deliver_block(self, heard: Heard) -> None:
        """Deliver a block of sound, for sinks that queue them in :meth:`watch`."""

    def idle(self) -> None:
        """Look after the receiver while there is nothing to deliver, on a thread of the sink."""

    def wants(self, event: Event) -> bool:
        """Return whether this sink delivers such events at all."""
        return True

    def put(self, event: Event) -> None:
        """Take one event; drops it if there is no room."""
        if self.wants(event):
            self.enqueue(event)

    def enqueue(self, item: Event | Heard) -> None:
        """Queue an event or a block; the last event of a stream always finds room."""
        last = not isinstance(item, tuple) and item["event"] == "stop"
        if last or self._has_room():
            self._queue.put(item)
        else:
            self._drop()

    def _has_room(self) -> bool:
        until_s = time.monotonic() + self.patience_s
        while self._queue.qsize() >= self._room:
            if not self.sound_waits or self._stuck or self.stopping.is_set():
                return False
            self._stuck = time.monotonic() > until_s
            time.sleep(_ROOM_EVERY_S)
        return True

    def close(self, within_s: float = 2.0) -> None:
        """Deliver what is queued, for at most `within_s`; what is left is dropped and reported."""
        for _ in self._threads:
            self._queue.put(None)
        until_s = time.monotonic() + within_s
        hurried = False
        while self._is_working() and (left_s := until_s - time.monotonic()) > 0:
            if self.stopping.is_set() and not hurried:
                hurried, until_s = True, min(until_s, time.monotonic() + STOPS_WITHIN_S)
            next(filter(threading.Thread.is_alive, self._threads)).join(min(left_s, 0.05))
        self.given_up.set()
        until_s = time.monotonic() + STOPS_WITHIN_S
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        while not self._queue.empty():
            if self._queue.get_nowait() is not None:
                self._drop()
        if self.dropped:
            self.say(f"{self.dropped} of {self.dropped + self.delivered} events were not delivered")

    def _is_working(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def say(self, text: str) -> None:
        """Print a line for people. Only for the sink's own threads: standard error may block."""
        say(f"{self.name}: {text}")

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
            try:
                item = self._queue.get(timeout=IDLE_S)
            except queue.Empty:
                self.idle()
                continue
            if item is None:
                return
            try:
                if isinstance(item, Heard):
                    self.deliver_block(item)
                else:
                    self.deliver(item)
            except Undelivered as error:
                self._drop()
                self.say(str(error))
            except Exception as error:  # a receiver's surprise must not end its thread, with events uncounted
                self._drop()
                self.say(f"an event was not delivered ({type(error).__name__}: {error})")
            else:
                with self._count:
                    self.delivered += 1
                self._stuck = False
            self.report_drops()
