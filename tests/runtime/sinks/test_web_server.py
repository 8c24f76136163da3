"""The live page's server: who may see and steer, and what bad requests do: nothing."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hearing import hear_sounds

from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.features.level import power_db
from kwspot.runtime.sinks import web_server, web_sink
from kwspot.runtime.sinks.saved_sounds import SavedSounds
from kwspot.runtime.sinks.web_server import WebServer, web_address
from kwspot.runtime.sinks.web_sink import WebFeed

RATE_HZ = 16_000
BLOCK = 1280


class Page:
    """A spotter, what watches it, and the server in front."""

    def __init__(self, bundle, folder: Path, save_wav) -> None:
        self.spotter = KeywordSpotter(bundle)
        self.feed = WebFeed(self.spotter)
        self.folder = folder / "saved"
        self.sound = save_wav_in(self.folder / "low", save_wav)
        self.server = WebServer("127.0.0.1", 0, self.feed, SavedSounds(self.folder))
        self.port = self.server.port

    def hear(self, sound: np.ndarray) -> list:
        """Push sound block by block, as the loop does."""
        found = []
        for start in range(0, len(sound), BLOCK):
            block = sound[start : start + BLOCK]
            heard = hear_sounds(self.spotter, block)
            found += heard.detections
            self.feed.watch(heard)
        return found

    def ask(self, method: str, path: str, content: object = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = None if content is None else json.dumps(content)
        more = {} if content is None else {"Content-Type": "application/json"}
        with contextlib.closing(connection):
            connection.request(method, path, data, {**more, **{k.replace("_", "-"): v for k, v in headers.items()}})
            answer = connection.getresponse()
            self.headers = dict(answer.headers)
            return answer.status, answer.read()

    def connect(self, request: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.sendall(request)
        return connection

    def stream(self) -> socket.socket:
        return self.connect(f"GET /stream HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode())

    def close(self) -> None:
        self.feed.close()
        self.server.close()


def save_wav_in(folder: Path, save_wav) -> str:
    folder.mkdir(parents=True)
    path = save_wav(folder / "20261122T120000Z-1_nohash_0.wav", np.arange(1000, dtype=np.int16))
    path.with_suffix(".json").write_text(json.dumps({"score": 0.9}))
    return f"{folder.name}/{path.name}"


@pytest.fixture
def page(tiny_bundle, tmp_path, save_wav) -> Iterator[Page]:
    page = Page(tiny_bundle, tmp_path, save_wav)
    yield page
    page.close()


def messages(connection: socket.socket, kind: str, count: int) -> list[dict]:
    """Of a stream, the next that are of a kind."""
    found, text = [], b""
    while len(found) < count:
        while b"\n\n" not in text:
            received = connection.recv(65_536)
            assert received, "the stream has ended"
            text += received.partition(b"\r\n\r\n")[2] if text == b"" and received.startswith(b"HTTP") else received
        message, _, text = text.partition(b"\n\n")
        if message.startswith(f"event: {kind}\n".encode()):
            found.append(json.loads(message.partition(b"data: ")[2]))
    return found


def test_a_viewer_is_shown_what_the_loop_hears(page):
    sound = np.random.default_rng(1).normal(0, 3000, 10 * BLOCK).astype(np.int16)
    page.feed.put({"event": "detection", "label": "low", "score": 0.9, "at_s": 1.0})
    with page.stream() as viewer:
        (state,) = messages(viewer, "state", 1)
        assert state["words"] == ["low", "high"]
        assert state["thresholds"] == {"low": 0.8, "high": 0.8}
        assert state["events"] == [{"event": "detection", "label": "low", "score": 0.9, "at_s": 1.0}]
        page.hear(sound)
        shown = messages(viewer, "sound", 10)
    assert [message["at_s"] for message in shown] == [round((n + 1) * BLOCK / RATE_HZ, 3) for n in range(10)]
    assert all(abs(message["level"] - power_db(sound)) < 1 for message in shown)
    rows = [row for message in shown for row in message["scores"]]
    assert len(rows) > 10
    assert all(0 <= score <= 1 for row in rows for score in row[1:])
    # Columns of the picture: 12 coefficients each, base64.
    spec = page.spotter.bundle.manifest.features
    assert sum(len(message["frames"]) for message in shown) * 3 // 4 >= 12 * spec.frames_in(len(sound) - BLOCK)


def test_nobody_looks_nothing_is_queued(page):
    page.hear(np.zeros(10 * BLOCK, np.int16))
    assert page.feed._blocks.qsize() == 0


def test_a_threshold_is_taken_between_two_blocks_and_told_to_all_pages(page, tone_folder):
    from kwspot.runtime.audio.sound_file import read_sound

    sound = read_sound(next((tone_folder / "low").glob("*.wav")), RATE_HZ)
    with page.stream() as viewer:
        messages(viewer, "state", 1)
        assert page.ask("POST", "/threshold", {"word": "low", "threshold": 0.25})[0] == 200
        assert messages(viewer, "threshold", 1) == [{"word": "low", "threshold": 0.25}]
    assert page.spotter.thresholds == {"low": 0.8, "high": 0.8}, "not on the server's thread"
    page.hear(np.zeros(BLOCK, np.int16))
    assert page.spotter.thresholds == {"low": 0.25, "high": 0.8}
    assert page.hear(sound)
    page.ask("POST", "/threshold", {"word": "low", "threshold": 1})
    page.spotter.reset()
    assert [found.label for found in page.hear(sound) if found.score < 1] == []


@pytest.mark.parametrize(
    "content",
    [{}, {"word": "loud", "threshold": 0.5}, {"word": "_silence_", "threshold": 0.5}, {"word": "low", "threshold": 1.5},
     {"word": "low", "threshold": True}, {"word": "low", "threshold": "0.5"}, {"word": ["low"], "threshold": 0.5},
     {"word": "low", "threshold": float("nan")}, {"word": "low", "threshold": 10**400}, [], "low",
     3, {"word": "x" * 2000}],
)  # fmt: skip
def test_what_is_no_threshold_is_refused(page, content):
    status, told = page.ask("POST", "/threshold", content)
    assert status == 400
    assert b"expected" in told
    page.hear(np.zeros(BLOCK, np.int16))
    assert page.spotter.thresholds == {"low": 0.8, "high": 0.8}


def test_the_newest_sounds_come_first_however_they_are_called(page, save_wav):
    for number, name in enumerate(("high/b.wav", "low/c.wav", "high/a.wav")):
        path = page.folder / name
        path.parent.mkdir(exist_ok=True)
        save_wav(path, np.zeros(10, np.int16))
        os.utime(path, (2e9 + number, 2e9 + number))
    told = json.loads(page.ask("GET", "/saved")[1])["saved"]
    assert [sound["name"] for sound in told] == ["high/a.wav", "low/c.wav", "high/b.wav", page.sound]


def test_saved_sounds_are_heard_and_marked(page):
    (told,) = json.loads(page.ask("GET", "/saved")[1])["saved"]
    assert (told["name"], told["mark"]) == (page.sound, None)
    status, sound = page.ask("GET", f"/sound/{page.sound}")
    assert (status, sound) == (200, (page.folder / page.sound).read_bytes())
    beside = (page.folder / page.sound).with_suffix(".json")
    for mark in ("wrong", "right", None):
        assert page.ask("POST", "/mark", {"name": page.sound, "mark": mark})[0] == 200
        assert json.loads(page.ask("GET", "/saved")[1])["saved"][0]["mark"] == mark
        assert json.loads(beside.read_text()) == {"score": 0.9, **({"mark": mark} if mark else {})}
    assert page.ask("POST", "/mark", {"name": page.sound, "mark": "maybe"})[0] == 400


@pytest.mark.parametrize(
    "name", ["../secret.wav", "low/../../secret.wav", "..%2fsecret.wav", "low/link.wav", ".hidden/a.wav", "low/.a.wav",
             "low/none.wav", f"low/{'a' * 3000}.wav", "low/a%00.wav", "/etc/passwd", "low", "low/a.json", ""],
)  # fmt: skip
def test_nothing_but_saved_sounds_can_be_read_or_marked(page, tmp_path, name):
    (tmp_path / "secret.wav").write_bytes(b"secret")
    (page.folder / "low/link.wav").symlink_to(tmp_path / "secret.wav")
    assert page.ask("GET", f"/sound/{name}")[0] == 404
    assert page.ask("POST", "/mark", {"name": name, "mark": "wrong"})[0] == 400
    assert not list(tmp_path.glob("*.json"))


def foreign(port: int) -> list[dict[str, str]]:
    return [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{port + 1}"},
        {"Origin": f"https://127.0.0.1:{port}"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Host": "evil.example"},
        {"Host": f"evil.example:{port}"},
        {"Host": f"127.0.0.1.evil.example:{port}"},
        {"Host": "127.0.0.1"},
    ]


def test_a_foreign_origin_can_neither_read_nor_steer(page):
    for headers in foreign(page.port):
        for path in ("/stream", "/saved", f"/sound/{page.sound}"):
            assert page.ask("GET", path, **headers)[0] in (403, 421), (headers, path)
        for path, content in (("/threshold", {"word": "low", "threshold": 0.1}), ("/mark", {"name": page.sound})):
            assert page.ask("POST", path, content, **headers)[0] in (403, 421), (headers, path)
        assert "Access-Control-Allow-Origin" not in page.headers
    # What a page may send elsewhere without being asked first is no JSON.
    with page.connect(
        f"POST /threshold HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nContent-Type: text/plain\r\n"
        'Content-Length: 31\r\n\r\n{"word":"low","threshold":0.10}'.encode()
    ) as plain:
        assert b" 415 " in plain.recv(1000)
    page.hear(np.zeros(BLOCK, np.int16))
    assert page.spotter.thresholds == {"low": 0.8, "high": 0.8}
    for host in (f"localhost:{page.port}", f"[::1]:{page.port}", f"192.168.1.7:{page.port}"):
        assert page.ask("GET", "/saved", Host=host, Origin=f"http://{host}")[0] == 200


def test_the_page_needs_nothing_from_elsewhere_and_may_load_nothing(page):
    status, content = page.ask("GET", "/")
    assert status == 200
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'nonce-")
    assert "frame-ancestors 'none'" in policy
    nonce = policy.split("'nonce-")[1].split("'")[0]
    text = content.decode()
    assert text.count("<script") == text.count(f'<script nonce="{nonce}"') == 2
    assert not [word for word in ("src=", "@import", "url(") if word in text.replace(".src = `/sound/", "")]
    assert "uPlot" in text
    assert page.ask("GET", "/")[1] != content, "a nonce is used once"


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def test_floods_drips_and_nonsense_are_put_out_while_listening_goes_on(page, monkeypatch):
    monkeypatch.setattr(web_server, "ASKS_WITHIN_S", 1.0)
    rng = random.Random(3)
    before = resident_mb()
    begun = (b"GET /stream HT", b"", b"POST /mark HTTP/1.1\r\nContent-Length: 9\r\n")
    half = [page.connect(request) for request in begun]
    head = f"POST /mark HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nContent-Type: application/json\r\n".encode()
    for content in (
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 30_000,
        head + b"Content-Length: 999999999\r\n\r\n",
        head + b"Content-Length: -1\r\n\r\n",
        head + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",  # TLS
        b"DELETE / HTTP/1.1\r\n\r\n",
        b"\x00" * 100_000,
        *(rng.randbytes(rng.randrange(1, 3000)) for _ in range(30)),
    ):
        with page.connect() as connection, contextlib.suppress(OSError):
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass
    for connection in half:
        with contextlib.suppress(ConnectionError):
            while connection.recv(1000):
                pass
        connection.close()
    assert page.ask("GET", "/saved")[0] == 200
    assert resident_mb() - before < 30


@pytest.mark.parametrize("before", [b"", b"GET /", b"POST /threshold HTTP/1.1\r\nHost: HOST\r\n", None])
def test_whoever_drips_keeps_nobody_else_out(page, before):
    host = f"127.0.0.1:{page.port}".encode()
    body = b"POST /threshold HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"
    dripping: list[socket.socket] = []
    for _ in range(4):
        dripping += [page.connect((body if before is None else before).replace(b"HOST", host)) for _ in range(10)]
        for connection in dripping:
            with contextlib.suppress(OSError):
                connection.send(b" ")
        assert page.ask("GET", "/saved")[0] == 200
    for connection in dripping:
        connection.close()


def test_a_body_has_its_time_limit(page, monkeypatch):
    monkeypatch.setattr(web_server, "ASKS_WITHIN_S", 0.5)
    with page.connect(
        f"POST /threshold HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nContent-Type: application/json\r\n"
        "Content-Length: 900\r\n\r\n".encode()
    ) as slow:
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 30:
                slow.sendall(b" ")
                time.sleep(0.05)
        assert time.monotonic() - began < 5


def status_of(connection: socket.socket) -> bytes:
    """The status of the answer."""
    answer = b""
    with connection, contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while received := connection.recv(65_536):
            answer += received
    return answer[9:12]


@pytest.mark.parametrize("size", [15_000, 16_200, 16_384, 16_500, 60_000, 200_000])
def test_headers_are_taken_whole_or_not_at_all(page, size):
    """What is cut off may be what forbids the request."""
    host = f"Host: 127.0.0.1:{page.port}\r\n"
    for head in (f"GET /saved?{{}} HTTP/1.1\r\n{host}", f"GET /saved HTTP/1.1\r\n{host}X: {{}}\r\n"):
        filled = head.format("x" * (size - len(head) + 2))
        status = status_of(page.connect(f"{filled}Origin: http://evil.example\r\n\r\n".encode()))
        assert status == (b"403" if size < 16_300 else b"431")


@pytest.mark.parametrize("rest", ["", "Host: HOST", "Host: HOST\r\n", "Host: HOST\r\nOrigin: http://evil"])
def test_a_request_that_ends_before_its_headers_is_refused(page, rest):
    request = f"GET /saved HTTP/1.1\r\n{rest}".replace("HOST", f"127.0.0.1:{page.port}")
    assert status_of(page.connect(request.encode())) == b"400"


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "1_0", "\xb2", "0x10", "1" * 9, " ", "12,12"])
def test_a_length_that_is_none_is_refused(page, length, capfd):
    head = f"POST /threshold HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {length}\r\n\r\n".encode("latin-1")
    assert status_of(page.connect(request)) == b"400"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "body",
    ['{"word": "low", "threshold": "\\ud800"}', '{"word": "\\ud800", "threshold": 0.5}', '{"\\udc00": 1}',
     '{"name": "low/\\ud800.wav", "mark": "wrong"}', '{"word": "low", "threshold": ' + "9" * 900 + "}", "[" * 1000,
     '{"word": "low", "threshold": NaN}', '{"word": "low", "threshold": ""}', '{"word": "low", "threshold": null}',
     '{"word": "low", "threshold": 1e999}', b'{"word": "\xed\xa0\x80", "threshold": 0.5}'],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/threshold", "/mark"])
def test_bodies_that_are_no_threshold_and_no_mark(page, path, body, capfd):
    content = body if isinstance(body, bytes) else body.encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nContent-Type: application/json\r\n"
    assert status_of(page.connect(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)) == b"400"
    assert capfd.readouterr().err == ""
    page.hear(np.zeros(BLOCK, np.int16))
    assert page.spotter.thresholds == {"low": 0.8, "high": 0.8}


def test_names_of_this_machine(page):
    own = socket.gethostname().lower()
    for name in ("localhost", "localhost.", "LOCALHOST", "127.0.0.1", "[::1]", "192.168.1.7", own, f"{own}.local"):
        assert page.server.knows(f"{name}:{page.port}"), name
        assert not page.server.knows(name), "the port of HTTP is another"
    for name in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "[", "[::1", "::1", "a..b"):
        assert not page.server.knows(f"{name}:{page.port}"), name
    page.server.port = 80  # of which browsers leave out the port
    assert page.server.knows("localhost")
    assert page.server.knows("[::1]")
    assert page.server.knows("localhost:80")
    assert not page.server.knows("localhost:8080")
    assert not page.server.knows("evil.example")


REQUESTS = (
    "GET / HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "GET /saved?x=%41 HTTP/1.0\r\nHost: HOST\r\nSec-Fetch-Site: none\r\nOrigin: http://HOST\r\n\r\n",
    "GET /sound/low/%2e%2e/x.wav HTTP/1.1\r\nHost: HOST\r\nRange: bytes=0-\r\n\r\n",
    "GET /stream HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "POST /threshold HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\nContent-Length: 33\r\n\r\n"
    '{"word": "low", "threshold": 0.8}',
    "POST /mark HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 36\r\n\r\n"
    '{"name": "low/a.wav", "mark": null}  ',
    "HEAD / HTTP/1.1\r\nHost: HOST\r\nExpect: 100-continue\r\n\r\n",
)


def test_fuzzed_requests_leave_no_traceback(page, capfd):
    rng = random.Random(11)
    host = f"127.0.0.1:{page.port}"
    for _ in range(600):
        request = bytearray(rng.choice(REQUESTS).replace("HOST", host).encode())
        for _ in range(rng.randrange(1, 6)):
            place = rng.randrange(len(request))
            match rng.randrange(4):
                case 0:
                    request[place] = rng.randrange(256)
                case 1:
                    del request[place : place + rng.randrange(1, 20)]
                case 2:
                    request[place:place] = rng.randbytes(rng.randrange(1, 20))
                case _:
                    request[place:place] = rng.choice((b"9" * 5000, b"\\ud800", b"\r\n", b"%", b"a" * 20_000, b"\0"))
            request = request or bytearray(b"\n")
        with contextlib.suppress(OSError), page.connect(bytes(request)) as connection:
            connection.shutdown(socket.SHUT_WR)
            connection.recv(100)
    assert page.ask("GET", "/saved")[0] == 200
    assert capfd.readouterr().err == ""


def test_a_viewer_that_stops_reading_is_put_out_and_delays_nobody(page, monkeypatch):
    monkeypatch.setattr(web_sink, "UNREAD_MESSAGES", 20)
    monkeypatch.setattr(web_server, "TAKES_WITHIN_S", 1.0)
    monkeypatch.setattr(web_server._Request, "timeout", 1.0)
    before = resident_mb()
    mute = page.connect()
    mute.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    mute.sendall(f"GET /stream HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n".encode())
    while not page.feed._viewers:
        time.sleep(0.01)
    deadline = time.monotonic() + 90
    while page.feed._viewers:
        page.feed.put({"event": "detection", "label": "low" * 1000, "score": 0.5})
        assert time.monotonic() < deadline, "it was never put out"
    mute.close()
    assert resident_mb() - before < 30
    with page.stream() as viewer:
        assert messages(viewer, "state", 1)


def test_more_than_there_is_room_for_are_refused_and_come_in_later(page):
    viewers = [page.stream() for _ in range(web_sink.VIEWERS)]
    for viewer in viewers:
        messages(viewer, "state", 1)
    assert page.ask("GET", "/stream")[0] == 503
    idle = [page.connect() for _ in range(web_server.CONNECTIONS)]
    with contextlib.suppress(ConnectionError):
        assert idle[0].recv(100) == b"", "the one that has been asking longest makes room"
    assert page.ask("GET", "/saved")[0] == 200
    for connection in [*viewers, *idle]:
        connection.close()
    page.feed.put({"event": "gap", "lost_s": 1.0})  # it is by sending that a viewer is found gone
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(ConnectionError, http.client.HTTPException):
            if page.ask("GET", "/saved")[0] == 200:
                break
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_an_address_that_cannot_be_served_is_told(page):
    with pytest.raises(ConfigError, match="a port that is free"):
        WebServer("127.0.0.1", page.port, page.feed, None)
    assert web_address("8765") == ("127.0.0.1", 8765)
    assert web_address("[::1]:99") == ("::1", 99)
    assert web_address(":99") == ("127.0.0.1", 99)
    for text in ("", "host", "host:port", "host:70000", "a..b:80", "::1:80", "host:" + "9" * 5000, "host:\u0663"):
        with pytest.raises(ConfigError, match="expected HOST:PORT"):
            web_address(text)
