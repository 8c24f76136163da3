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

from kwspot.runtime.address import is_open_to_network, join_host_port, split_host_port
from kwspot.runtime.detect.decision import Detection as WordDetection
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.sinks.events import EventWriter
from kwspot.runtime.standard_streams import say
from kwspot.runtime.wyoming.client import Client
from kwspot.runtime.wyoming.messages import LINE_BYTES, BadMessage, dismiss, info_message

PORT = 10400  # of wake-word services
CLIENTS = 8
UNREAD_BYTES = 64 * 1024
"""2 s of sound: what a client has sent and left behind is soon heard."""
ALIVE_EVERY_S = 0.5
PARTS_WITHIN_S = 1.0
DISMISSED = 16
"""Clients that are told that there is no room; any beyond are closed without a word."""
MOST_TOLD = 100
NO_LINGERING = struct.pack("ii", 1, 0)  # struct linger: on, for 0 s
KEEP_ALIVE = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}


def wyoming_address(url: str) -> tuple[str, int]:
    """Read host and port of ``tcp://HOST[:PORT]``; anything else is a :class:`ConfigError`."""
    scheme, _, place = url.partition("://")
    try:
        host, port = split_host_port(place.removesuffix("/"))
        fault = "" if host and scheme == "tcp" else "no tcp:// and host"
    except ValueError as error:
        fault = str(error)
    if fault:
        raise ConfigError(f"--wyoming {url[:80]}: {fault}; expected tcp://HOST:PORT, as in tcp://127.0.0.1:{PORT}")
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
        self.info = info_message(self.bundle)  # now, so that a missing package is told at once, too
        self._clients: dict[asyncio.Task[None], asyncio.WriteTransport] = {}
        self._served = 0
        self._told: set[str] = set()
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
        source = f"wyoming tcp://{join_host_port(self._host, port)}"
        if is_open_to_network(self._host):
            self._say("it is open to the network: whoever reaches it may send sound and get detections")
        self._events.start(source, self._idle[0])
        try:
            while not (self._stopping or self._stop.is_set()):
                self._alive()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ALIVE_EVERY_S):
                        await self._stop.wait()
        finally:
            await self._part(server)
            self._loop = None
            self._events.stop(source, self.samples, self.detections, refused=self.refused)

    async def _part(self, server: asyncio.Server) -> None:
        """Take no more clients, and let go those that there are, however they behave."""
        server.close()
        clients = dict(self._clients)
        for task, transport in clients.items():
            transport.abort()
            task.cancel()
        if clients:
            await asyncio.wait(clients, timeout=PARTS_WITHIN_S)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or self._stopping or len(self._clients) >= CLIENTS + DISMISSED:
            writer.transport.abort()
            return
        self._clients[task] = writer.transport
        name = "{}:{}".format(*(writer.get_extra_info("peername") or ("a client that has gone", 0))[:2])
        try:
            _bound(writer)
            await self._serve_client(reader, writer, name)
        except BadMessage as error:
            self.refused += 1
            # Without the port: a client that comes again and again is told of once.
            self._say_once(f"{name.rpartition(':')[0]} is put out: {error}")
            await dismiss(str(error), reader, writer)
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass
        finally:
            del self._clients[task]
            if writer.transport.get_write_buffer_size():
                # What it did not take is dropped, by the system too, which else keeps it and the client waiting.
                with contextlib.suppress(OSError):
                    connection = writer.get_extra_info("socket")
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGERING)
                writer.transport.abort()
            else:
                writer.close()

    async def _serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
        if self._served >= CLIENTS:
            raise BadMessage(f"there are {CLIENTS} clients already; come back later")
        self._served += 1
        spotter = self._idle.pop() if self._idle else self._new_spotter()
        try:
            await Client(self, spotter, reader, writer, name).serve()
        finally:
            self._idle.append(spotter)
            self._served -= 1

    def _say(self, text: str) -> None:
        say(f"wyoming: {text}")

    def _say_once(self, text: str) -> None:
        if text not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(text)
            self._say(text)

    def count(self, samples: int) -> None:
        """Count sound that was heard."""
        self.samples += samples

    def heard(self, detection: WordDetection, client: str) -> None:
        """Count a detection and tell the other programs."""
        self.detections += 1
        self._events.detection(detection, client=client)

    def unknown(self, names: Sequence[str], client: str) -> None:
        """Say that a client asks for words that this bundle does not hold."""
        host = client.rpartition(":")[0]
        self._say_once(f"{host} asks for {str(list(names))[:80]}, which {self.bundle.name} does not hold")


def _bound(writer: asyncio.StreamWriter) -> None:
    """Bound what waits at a connection, in either direction, and notice when its client is no more."""
    writer.transport.set_write_buffer_limits(high=UNREAD_BYTES)
    connection = writer.get_extra_info("socket")
    for option, value in ((socket.SO_SNDBUF, UNREAD_BYTES), (socket.SO_RCVBUF, UNREAD_BYTES), (socket.SO_KEEPALIVE, 1)):
        connection.setsockopt(socket.SOL_SOCKET, option, value)
    for option, value in KEEP_ALIVE.items():
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
