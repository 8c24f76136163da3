"""``kwspot listen --web HOST:PORT``: level, MFCC frames, scores and events, for whoever looks at the moment.

The loop that listens only queues; features for the picture are computed on a
thread of their own, and only while somebody looks.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import json
import queue
import threading
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.address import is_open_to_network
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.features.level import power_db
from kwspot.runtime.features.mfcc import StreamingMfcc
from kwspot.runtime.sinks.observer import Event, Heard, Observer, SinkContext
from kwspot.runtime.sinks.saved_sounds import SavedSounds
from kwspot.runtime.sinks.web_server import WebServer, web_address
from kwspot.runtime.standard_streams import say

VIEWERS = 8
QUEUED_BLOCKS = 64
UNREAD_MESSAGES = 128
"""About ten seconds; a viewer that is further behind is put out."""
KEPT_EVENTS = 50
SILENT_DB = -90.0
SHOWN_DEVIATIONS = 3.0  # of a coefficient from its mean: black to white


class Viewer:
    """One page that is open: messages wait here until it takes them."""

    def __init__(self) -> None:
        self.messages: queue.Queue[bytes] = queue.Queue(UNREAD_MESSAGES)
        self.gone = False

    def send(self, message: bytes) -> None:
        """Queue a message; a viewer that is too far behind is gone."""
        try:
            self.messages.put_nowait(message)
        except queue.Full:
            self.gone = True


class WebFeed(Observer):
    """An observer of the loop, with viewers at the other end."""

    def __init__(self, spotter: KeywordSpotter) -> None:
        self._spotter = spotter
        spotter.keeps_smoothed = True
        manifest = spotter.bundle.manifest
        self._manifest = manifest
        self._rate_hz = manifest.features.sample_rate_hz
        self._words = tuple(manifest.words)
        self._columns = [manifest.labels.index(word) for word in self._words]
        self._viewers: set[Viewer] = set()
        self._lock = threading.Lock()
        self._events: collections.deque[Event] = collections.deque(maxlen=KEPT_EVENTS)
        self._blocks: queue.Queue[tuple[NDArray[np.int16], list[tuple[int, NDArray[np.float32]]], int] | None]
        self._blocks = queue.Queue(QUEUED_BLOCKS)
        self._wanted: queue.SimpleQueue[tuple[str, float]] = queue.SimpleQueue()
        self._features = StreamingMfcc(manifest.features)
        self._thread = threading.Thread(target=self._work, name="web feed", daemon=True)
        self._thread.start()

    # On the thread of the loop.

    def watch(self, heard: Heard) -> None:
        """Queue a block for the page, and take the thresholds that were set there."""
        while not self._wanted.empty():
            self._spotter.set_threshold(*self._wanted.get())
        if not self._viewers:
            return
        smoothed = zip((at for at, _ in heard.scores), heard.smoothed, strict=True)
        means = [(at, mean) for at, mean in smoothed if mean is not None]
        with contextlib.suppress(queue.Full):  # the picture has a hole then; listening has none
            self._blocks.put_nowait((heard.block, means, heard.end_sample))

    def put(self, event: Event) -> None:
        """Show an event on the page."""
        with self._lock:
            self._events.append(event)
        self._send("happened", event)

    def close(self, within_s: float = 2.0) -> None:
        """Let the viewers go."""
        with self._lock:
            for viewer in self._viewers:
                viewer.gone = True
        try:
            self._blocks.put_nowait(None)
        except queue.Full:
            self._blocks.get_nowait()
            self._blocks.put_nowait(None)

    # On the threads of the server.

    def enter(self) -> Viewer | None:
        """Let a viewer in, who first gets the state; return None if there are `VIEWERS` already."""
        with self._lock:
            if len(self._viewers) >= VIEWERS:
                return None
            viewer = Viewer()
            viewer.send(_message("state", self.state()))
            self._viewers.add(viewer)
            return viewer

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer."""
        with self._lock:
            self._viewers.discard(viewer)

    def state(self) -> dict[str, object]:
        """Return all that a page needs to begin."""
        return {
            "bundle": self._spotter.bundle.name,
            "words": self._words,
            "thresholds": self._spotter.thresholds,
            "coefficients": self._manifest.features.coefficients,
            "hop_s": self._manifest.features.hop_samples / self._rate_hz,
            "events": list(self._events),
        }

    def set_threshold(self, word: object, threshold: object) -> None:
        """Set a threshold from the next block on.

        Raises
        ------
        ConfigError
            If it is anything but a word of the bundle and a number from 0 to 1.
        """
        if not isinstance(word, str) or word not in self._words:
            raise ConfigError(f"no word {str(word)[:40]!r}; expected one of {', '.join(self._words)}")
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
            raise ConfigError(f"threshold {str(threshold)[:40]}; expected a number from 0 to 1")
        self._wanted.put((word, float(threshold)))
        self._send("threshold", {"word": word, "threshold": threshold})

    # On the feed's own thread.

    def _work(self) -> None:
        while (item := self._blocks.get()) is not None:
            block, means, samples_seen = item
            frames = self._features.push(block)  # (k, coefficients)
            rows = [
                [round(at_sample / self._rate_hz, 3), *(round(float(mean[column]), 4) for column in self._columns)]
                for at_sample, mean in means
            ]
            self._send(
                "sound",
                {
                    "at_s": round(samples_seen / self._rate_hz, 3),
                    "level": round(power_db(block, SILENT_DB), 1),
                    "scores": rows,
                    "frames": base64.b64encode(self._shades(frames)).decode(),
                },
            )

    def _shades(self, frames: NDArray[np.float32]) -> bytes:
        deviations = self._manifest.normalisation.apply(frames) / SHOWN_DEVIATIONS
        return np.clip(np.rint(127.5 + 127.5 * deviations), 0, 255).astype(np.uint8).tobytes()

    def _send(self, kind: str, content: Mapping[str, object]) -> None:
        message = _message(kind, content)
        with self._lock:
            for viewer in self._viewers:
                viewer.send(message)


def _message(kind: str, content: Mapping[str, object]) -> bytes:
    """Return a server-sent event: https://html.spec.whatwg.org/multipage/server-sent-events.html."""
    return f"event: {kind}\ndata: {json.dumps(content, allow_nan=False)}\n\n".encode()


class WebPage(WebFeed):
    """A feed with a server of its own."""

    def __init__(self, address: str, context: SinkContext) -> None:
        host, port = web_address(address)
        super().__init__(context.one_spotter("--web"))
        saved = SavedSounds(context.save_events) if context.save_events else None
        try:
            self._server = WebServer(host, port, self, saved)
        except BaseException:
            super().close()
            raise
        say(f"the page to watch is {self._server.url}")
        if is_open_to_network(host):
            say("it is open to the network: whoever reaches it may hear and steer")

    def close(self, within_s: float = 2.0) -> None:
        """Let the viewers go, and serve no more."""
        super().close(within_s)
        self._server.close()


def open_sink(value: object, context: SinkContext) -> WebPage:
    """Open what ``--web HOST:PORT`` asks for."""
    return WebPage(str(value), context)
