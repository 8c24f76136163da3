"""``--wyoming tcp://HOST:PORT``: a wake-word service in the Wyoming protocol, as Home Assistant uses it.

Clients send sound and get detections. Each stream has a spotter of its own, so
that its detections are those of ``--wav`` on the same sound.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from kwspot.runtime.audio.sources import BLOCK_SAMPLES
from kwspot.runtime.detect.decision import Detection as WordDetection
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.sinks.events import EventWriter
from kwspot.runtime.wyoming.messages import (
    LINE_BYTES,
    BadMessage,
    error_message,
    info_message,
    read_message,
    send,
)

if TYPE_CHECKING:
    from wyoming.event import Event

PORT = 10400  # of wake-word services
CLIENTS = 8
UNREAD_BYTES = 64 * 1024
ALIVE_EVERY_S = 0.5
NO_LINGERING = struct.pack("ii", 1, 0)  # struct linger: on, for 0 s
KEEP_ALIVE = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}


def wyoming_address(url: str) -> tuple[str, int]:
    """Host and port of ``tcp://HOST[:PORT]``; anything else is a :class:`ConfigError`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme != "tcp" or parts.path not in ("", "/"):
        raise ConfigError(f"--wyoming {url}: expected tcp://HOST:PORT, as in tcp://127.0.0.1:{PORT}")
    return host, PORT if port is None else port


class WyomingServer:
    """Serves clients until it is stopped, on one thread.

    Parameters
    ----------
    new_spotter
        Makes a spotter; there are as many as there were clients at once.
    alive
        Called at least every half second while the server works.

    Raises
    ------
    ConfigError
        From :meth:`run`, if the address is taken or not this machine's.
    """

    def __init__(
        self,
        host: str,
        port: int,
        new_spotter: Callable[[], KeywordSpotter],
        events: EventWriter,
        *,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._host, self._port = host, port
        self._new_spotter = new_spotter
        self._events = events
        self._alive = alive
        self._idle = [new_spotter()]  # made now, so that what is wrong with the bundle is told at once
        self.bundle = self._idle[0].bundle
        self.manifest = self.bundle.manifest
        self.info = info_message(self.bundle)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._stopping = False
        self.samples = self.detections = self.refused = 0

    def run(self) -> None:
        """Serve until :meth:`stop`."""
        asyncio.run(self._serve())

    def stop(self) -> None:
        """End :meth:`run`; may be called from a signal handler."""
        self._stopping = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            server = await asyncio.start_server(self._accept, self._host, self._port, limit=LINE_BYTES)
        except OSError as error:
            raise ConfigError(
                f"--wyoming tcp://{self._host}:{self._port}: {error.strerror or error}; expected an address of this "
                "machine and a port that is free"
            ) from None
        port = server.sockets[0].getsockname()[1]
        source = f"wyoming tcp://{self._host}:{port}"
        self._events.write(
            "start",
            source=source,
            bundle=self.bundle.name,
            engine=self._idle[0].engine_name,
            words=list(self.manifest.words),
            sample_rate_hz=self.manifest.features.sample_rate_hz,
        )
        try:
            async with server:
                while not (self._stopping or self._stop.is_set()):
                    self._alive()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._stop.wait(), ALIVE_EVERY_S)
                server.close()
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            self._loop = None
            self._events.write(
                "stop",
                source=source,
                samples=self.samples,
                at_s=self._events.seconds(self.samples),
                detections=self.detections,
                refused=self.refused,
                **self._events.losses(),
            )

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writer.transport.set_write_buffer_limits(high=UNREAD_BYTES)
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD_BYTES)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEP_ALIVE.items():
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
        try:
            if len(self._tasks) > CLIENTS:
                raise BadMessage(f"there are {CLIENTS} clients already; come back later")
            spotter = self._idle.pop() if self._idle else self._new_spotter()
            try:
                await _Client(self, spotter, reader, writer).serve()
            finally:
                self._idle.append(spotter)
        except BadMessage as error:
            self.refused += 1
            with contextlib.suppress(OSError, TimeoutError):
                await send(error_message(str(error)), writer)
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            if writer.transport.get_write_buffer_size():
                # What it did not take is dropped, by the system too, which else keeps it and the client waiting.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGERING)
                writer.transport.abort()
            else:
                writer.close()

    def heard(self, detection: WordDetection, client: str) -> None:
        """A detection, for the totals and the other programs."""
        self.detections += 1
        self._events.detection(detection, client=client)


class _Client:
    """One connection and the stream of sound on it."""

    def __init__(
        self,
        server: WyomingServer,
        spotter: KeywordSpotter,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._server, self._spotter = server, spotter
        self._reader, self._writer = reader, writer
        host, port = writer.get_extra_info("peername")[:2]
        self._name = f"{host}:{port}"
        self._rate_hz = spotter.bundle.manifest.features.sample_rate_hz
        self._names: list[str] | None = None
        self._begin(0)

    def _begin(self, timestamp_ms: int) -> None:
        self._spotter.reset()
        self._timestamp_ms = timestamp_ms
        self._detected = False

    async def serve(self) -> None:
        """Answer messages until the client goes; what it has sent by then is a whole stream."""
        try:
            while (message := await read_message(self._reader)) is not None:
                await self._answer(message)
        except OSError:
            await self._finish()
            raise
        await self._finish()

    async def _finish(self) -> None:
        """Hear the end of a stream: its last word is completed by the silence after it."""
        if self._spotter.samples_seen:
            await self._tell(self._spotter.finish())

    async def _answer(self, message: Event) -> None:
        from wyoming.info import Describe
        from wyoming.ping import Ping, Pong
        from wyoming.wake import NotDetected

        match message.type:
            case "audio-chunk":
                await self._hear(message)
            case "audio-start":
                _check_format(message.data, self._rate_hz)
                await self._finish()
                timestamp = message.data.get("timestamp")
                self._begin(timestamp if isinstance(timestamp, int) else 0)
            case "audio-stop":
                await self._finish()
                if not self._detected:
                    await send(NotDetected(), self._writer)
                self._begin(0)
            case "detect":
                self._names = self._known(message.data.get("names"))
            case kind if Describe.is_type(kind):
                await send(self._server.info, self._writer)
            case kind if Ping.is_type(kind):
                await send(Pong(text=Ping.from_event(message).text), self._writer)
            case _:
                pass  # the protocol says: what a service does not know, it lets pass

    def _known(self, names: object) -> list[str] | None:
        """Which words the client wants; None for all."""
        words = self._spotter.bundle.manifest.words
        if not names:
            return None
        if not isinstance(names, list) or not set(map(str, names)) <= set(words):
            raise BadMessage(f"detect {str(names)[:80]}: expected some of {', '.join(words)}")
        return list(map(str, names))

    async def _hear(self, message: Event) -> None:
        _check_format(message.data, self._rate_hz)
        sound = message.payload or b""
        if len(sound) % 2:
            raise BadMessage("a chunk that ends in the middle of a 16-bit sample")
        samples = np.frombuffer(sound, np.dtype("<i2")).astype(np.int16, copy=False)
        for start in range(0, len(samples), BLOCK_SAMPLES):
            block = samples[start : start + BLOCK_SAMPLES]
            self._server.samples += len(block)
            await self._tell(self._spotter.push(block))
            await asyncio.sleep(0)  # the others' turn

    async def _tell(self, detections: Sequence[WordDetection]) -> None:
        """Report those of the words that the client wants, to it and to the other programs."""
        from wyoming.wake import Detection

        wanted = [detection for detection in detections if self._names is None or detection.label in self._names]
        for detection in wanted:
            self._detected = True
            self._server.heard(detection, self._name)
        for detection in wanted:
            at_ms = self._timestamp_ms + round(1000 * detection.at_s)
            await send(Detection(name=detection.label, timestamp=at_ms), self._writer)


def _check_format(data: dict[str, Any], rate_hz: int) -> None:
    told = tuple(data.get(name) for name in ("rate", "width", "channels"))
    if told != (rate_hz, 2, 1):
        raise BadMessage(f"sound of rate, width, channels {str(told)[:80]}; expected {rate_hz} Hz, 2 bytes, 1 channel")
