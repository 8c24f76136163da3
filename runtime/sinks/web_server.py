"""``kwspot listen --web HOST:PORT``: the live page over HTTP, from the standard library.

Whoever looks may see and steer; so only this page may. A request with another
host's name (DNS rebinding) or from another origin's page is refused; the page may
load nothing from elsewhere; requests are bounded in size, time and number. The page
is one file; its charts are drawn by uPlot 1.6.32 (MIT, ``web/uPlot-LICENSE``).
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import ipaddress
import json
import queue
import re
import secrets
import socket
import sys
import threading
import time
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from kwspot.runtime.address import join_host_port, split_host_port
from kwspot.runtime.errors import ConfigError, KwspotError
from kwspot.runtime.model.manifest_check import parse_json
from kwspot.runtime.sinks.saved_sounds import SavedSounds

if TYPE_CHECKING:
    from kwspot.runtime.sinks.web_sink import WebFeed

CONNECTIONS = 24
REQUEST_BYTES = 16 * 1024
BODY_BYTES = 1024
ASKS_WITHIN_S = 10.0
"""From the connection to the end of its request."""
GOES_WITHIN_S = 0.5
HTTP_PORT = 80
TAKES_WITHIN_S = 5.0
"""A message that a viewer does not take for so long ends its connection."""
UNREAD_BYTES = 32 * 1024
ALIVE_EVERY_S = 5.0
LOOPBACK_NAMES = ("localhost",)


def web_address(text: str) -> tuple[str, int]:
    """Read ``HOST:PORT`` or ``PORT``; anything else is a :class:`ConfigError`."""
    try:
        host, port = split_host_port(text if ":" in text else f":{text}")
        fault = "no port" if port is None else ""
    except ValueError as error:
        fault, host, port = str(error), "", None
    if port is None:
        raise ConfigError(f"--web {text[:80]}: {fault}; expected HOST:PORT, as in 127.0.0.1:8765")
    return host or "127.0.0.1", port


class WebServer(http.server.ThreadingHTTPServer):
    """Serves the page until :meth:`close`.

    Raises
    ------
    ConfigError
        If the address is taken or not this machine's.
    """

    daemon_threads = True
    request_queue_size = 64  # with 5, a connection beside a flood waits for seconds

    def __init__(self, host: str, port: int, feed: WebFeed, saved: SavedSounds | None) -> None:
        self.feed, self.saved = feed, saved
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._room = threading.BoundedSemaphore(CONNECTIONS)
        self.asking: dict[socket.socket, float] = {}
        """Connections whose request is not whole, with the time at which they are put out."""
        try:
            super().__init__((host, port), _Request)
        except OSError as error:
            raise ConfigError(
                f"--web {host}:{port}: {error.strerror or error}; expected an address of this machine and a port that "
                "is free"
            ) from None
        self.host, self.port = host, int(self.server_address[1])
        own = socket.gethostname().lower()
        self._names = {*LOOPBACK_NAMES, own, f"{own}.local", host.lower()}
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Return the address of the page."""
        return f"http://{join_host_port(self.host, self.port)}/"

    def close(self) -> None:
        """Serve no more."""
        self.shutdown()
        self.server_close()

    def knows(self, host: str) -> bool:
        """Return whether a Host header means this server: an address as such, or a name of this machine.

        Browsers leave out the port of HTTP, and keep the dot at the end of a name.
        """
        try:
            name, port = split_host_port(host.lower())
        except ValueError:
            return False
        if (HTTP_PORT if port is None else port) != self.port:
            return False
        with contextlib.suppress(ValueError):
            return bool(ipaddress.ip_address(name))
        return name.removesuffix(".") in self._names

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread; where there is no room, whoever has been asking longest has to go."""
        if not self._room.acquire(blocking=False):
            if slowest := next(iter(list(self.asking)), None):
                self._put_out(slowest)
            if slowest is None or not self._room.acquire(timeout=GOES_WITHIN_S):
                self.shutdown_request(request)
                return
        request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD_BYTES)
        self.asking[request] = time.monotonic() + ASKS_WITHIN_S
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve the connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.asking.pop(request, None)
            self._room.release()

    def service_actions(self) -> None:
        """Put out whoever has been asking for too long, however it drips."""
        now = time.monotonic()
        for connection, until in list(self.asking.items()):
            if now > until:
                self._put_out(connection)

    def _put_out(self, connection: socket.socket) -> None:
        self.asking.pop(connection, None)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over connections that break; anything else is a fault of ours and shows its traceback."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Bounded(io.RawIOBase):
    """What a connection sends, up to a number of bytes; then it ends, and `cut` says so."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._left = REQUEST_BYTES
        self.cut = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            self.cut = True
            return 0
        count = self._connection.recv_into(memoryview(buffer)[: self._left])
        self._left -= count
        return count


class _Lines(io.BufferedReader):
    """A reader that keeps the line it has read last: the one that ends headers is empty."""

    last = b""

    def readline(self, size: int | None = -1, /) -> bytes:
        self.last = super().readline(size)
        return self.last


class _Request(http.server.BaseHTTPRequestHandler):
    """One request: HTTP/1.0, so that each has a connection of its own."""

    server: WebServer
    raw_requestline: bytes
    timeout = TAKES_WITHIN_S
    server_version, sys_version = "kwspot", ""

    def setup(self) -> None:
        super().setup()
        self._bounded = _Bounded(self.connection)
        self.rfile = self._lines = _Lines(self._bounded)

    def parse_request(self) -> bool:
        """Read the headers, all or none: what forbids a request may stand in the part that was cut off."""
        parsed = self.raw_requestline.endswith(b"\n") and super().parse_request()
        if parsed and self._lines.last in (b"\r\n", b"\n"):
            return True
        if parsed or not self.raw_requestline.endswith(b"\n"):  # else it has been answered
            self.request_version, self.requestline, self.close_connection = "HTTP/1.0", "", True
            if self._bounded.cut:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {REQUEST_BYTES} bytes")
            else:
                self._refuse(HTTPStatus.BAD_REQUEST, "a request that is not whole")
        return False

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: standard error is for what a person has to know."""

    def do_GET(self) -> None:
        """Answer with the page, its stream or what is saved."""
        path = self.path.partition("?")[0]
        if not self._allowed(navigation=path == "/"):
            return
        saved = self.server.saved
        if path == "/":
            nonce = secrets.token_urlsafe(16)
            page = _page().replace("@NONCE@", nonce)  # the only scripts and styles that the policy lets run
            self._answer(page.encode(), "text/html; charset=utf-8", policy=_policy(nonce))
        elif path == "/stream":
            self._stream()
        elif path == "/saved":
            self._json({"saved": None if saved is None else saved.newest()})
        elif saved is not None and path.startswith("/sound/") and (sound := saved.sound(unquote(path[7:]))) is not None:
            self._answer(sound, "audio/wav")
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "nothing here")

    def do_POST(self) -> None:
        """Take a threshold, or a mark at a saved sound."""
        if not self._allowed(navigation=False):
            return
        if self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/json")
            return
        try:
            content = self._body()
            if self.path == "/threshold":
                self.server.feed.set_threshold(content.get("word"), content.get("threshold"))
            elif self.path == "/mark" and self.server.saved is not None:
                self.server.saved.mark(content.get("name"), content.get("mark"))
            else:
                self._refuse(HTTPStatus.NOT_FOUND, "nothing here")
                return
        except KwspotError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
            return
        self._json({})

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,9}", length) or int(length) > BODY_BYTES:
            raise ConfigError(f"a body of {length[:20]!a} bytes; expected at most {BODY_BYTES}")
        content = self.rfile.read(int(length))
        if len(content) < int(length):
            raise ConfigError(f"a body of {len(content)} bytes; expected the {length} that were announced")
        try:
            return parse_json(content)
        except ConfigError as error:
            raise ConfigError(f"a body that cannot be read: {error}; expected a JSON object") from None

    def _allowed(self, *, navigation: bool) -> bool:
        """Return whether our own page asks, under a name of ours; if not, the answer is given."""
        host = self.headers.get("Host", "")
        if not self.server.knows(host):
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "another host's name")
            return False
        origin = self.headers.get("Origin")
        if origin is not None and origin.lower() != f"http://{host.lower()}":
            self._refuse(HTTPStatus.FORBIDDEN, "another origin")
            return False
        # What a browser says of whoever made it ask; typed addresses are "none".
        if not navigation and self.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            self._refuse(HTTPStatus.FORBIDDEN, "another site")
            return False
        return True

    def _stream(self) -> None:
        viewer = self.server.feed.enter()
        if viewer is None:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many pages are open")
            return
        try:
            self._head(HTTPStatus.OK, "text/event-stream")
            while not viewer.gone:
                try:
                    message = viewer.messages.get(timeout=ALIVE_EVERY_S)
                except queue.Empty:
                    message = b": alive\n\n"
                self.wfile.write(message)
        finally:
            self.server.feed.leave(viewer)

    def _json(self, content: object) -> None:
        self._answer(json.dumps(content, allow_nan=False).encode(), "application/json")

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        self._answer(text.encode(errors="replace"), "text/plain; charset=utf-8", status=status)
        # What still comes is read and dropped: a connection that is closed with something unread in it is reset, and
        # the answer is lost with it.
        until = time.monotonic() + GOES_WITHIN_S
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(GOES_WITHIN_S)
        while time.monotonic() < until and self.connection.recv(REQUEST_BYTES):
            pass

    def _answer(
        self, content: bytes, kind: str, *, status: HTTPStatus = HTTPStatus.OK, policy: str = "default-src 'none'"
    ) -> None:
        self._head(status, kind, policy=policy, length=len(content))
        self.wfile.write(content)

    def _head(
        self, status: HTTPStatus, kind: str, *, policy: str = "default-src 'none'", length: int | None = None
    ) -> None:
        self.server.asking.pop(self.connection, None)  # all has been read that is going to be
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Security-Policy", policy),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()


@functools.cache
def _page() -> str:
    """Return the page with its charts' program and style in it."""
    folder = files("kwspot.runtime.sinks") / "web"
    text = (folder / "page.html").read_text(encoding="utf-8")
    for place, name in (("@UPLOT-STYLE@", "uPlot.min.css"), ("@UPLOT-SCRIPT@", "uPlot.iife.min.js")):
        text = text.replace(place, (folder / name).read_text(encoding="utf-8"))
    return text


def _policy(nonce: str) -> str:
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "media-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
