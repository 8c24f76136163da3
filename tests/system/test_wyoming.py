"""The wake-word service: Wyoming's own client gets the events of ``--wav``, and what is no message harms nobody."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hearing import EventNotes
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.wake import Detect, Detection, NotDetected

from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.sinks.events import EventWriter
from kwspot.runtime.wyoming import messages, server
from kwspot.runtime.wyoming.server import WyomingServer, wyoming_address

RATE_HZ = 16_000


class Running:
    """A server on a thread of its own."""

    def __init__(self, bundle) -> None:
        self.notes = EventNotes()
        self.server = WyomingServer("127.0.0.1", 0, lambda: KeywordSpotter(bundle), EventWriter(RATE_HZ, [self.notes]))
        self._thread = threading.Thread(target=self.server.run)
        self._thread.start()
        while not self.events():
            time.sleep(0.01)
        self.port = int(self.events()[0]["source"].rpartition(":")[2])
        self.uri = f"tcp://127.0.0.1:{self.port}"

    def events(self) -> list[dict]:
        return self.notes.events

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def close(self) -> None:
        self.server.stop()
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.fixture
def running(tiny_bundle) -> Iterator[Running]:
    running = Running(tiny_bundle)
    yield running
    running.close()


@pytest.fixture(scope="module")
def sound(tone_folder) -> np.ndarray:
    """The words of one speaker after each other, with pauses."""
    from kwspot.runtime.audio.recordings import DataFolder
    from kwspot.runtime.audio.sound_file import read_sound

    clips = DataFolder(tone_folder).clips("test", ["low", "high"])
    pause = np.zeros(RATE_HZ // 2, np.int16)
    return np.concatenate([part for clip in clips[::4] for part in (read_sound(clip.path, RATE_HZ), pause)])


@pytest.fixture(scope="module")
def expected(tiny_bundle, sound) -> list[tuple[str, int]]:
    """Word and milliseconds of what the spotter hears in `sound`."""
    found = [(d.label, round(1000 * d.at_s)) for d in KeywordSpotter(tiny_bundle).push(sound)]
    assert len({word for word, _ in found}) == 2
    return found


async def stream(
    uri: str, sound: np.ndarray, *, chunk: int = 1024, start_ms: int = 0, names=None, rate_hz=RATE_HZ, channels=1
):
    """Send sound as Home Assistant does; the detections, and whether it was told that there are none."""
    async with AsyncClient.from_uri(uri) as client:
        await client.write_event(Detect(names=names).event())
        await client.write_event(AudioStart(rate_hz, 2, channels, timestamp=start_ms).event())
        for start in range(0, len(sound), chunk):
            content = sound[start : start + chunk].tobytes()
            await client.write_event(AudioChunk(rate_hz, 2, channels, content).event())
        await client.write_event(AudioStop().event())
        await client.write_event(Ping(text="all").event())
        found, none = [], False
        while not Pong.is_type((event := await client.read_event()).type):
            if Detection.is_type(event.type):
                detection = Detection.from_event(event)
                found.append((detection.name, detection.timestamp))
            none |= NotDetected.is_type(event.type)
        return found, none


def test_a_client_gets_the_events_of_a_file(running, sound, expected, save_wav, tiny_bundle, tmp_path, capsys):
    from kwspot.runtime.cli import main

    assert asyncio.run(stream(running.uri, sound)) == (expected, False)
    assert main(["listen", str(tiny_bundle.path), "--wav", str(save_wav(tmp_path / "s.wav", sound))]) == 0
    from_file = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    running.close()
    detections = [event for event in running.events() if event["event"] == "detection"]
    assert {event["client"].partition(":")[0] for event in detections} == {"127.0.0.1"}
    ours, theirs = (
        [(event["label"], event["score"], event["at_s"], event["at_sample"]) for event in events]
        for events in (detections, [event for event in from_file if event["event"] == "detection"])
    )
    assert ours == theirs
    stop = running.events()[-1]
    assert (stop["event"], stop["samples"], stop["detections"]) == ("stop", len(sound), len(expected))


def test_four_clients_at_once_each_get_their_own(running, sound, expected):
    async def four():
        quiet = np.zeros(len(sound), np.int16)
        return await asyncio.gather(
            stream(running.uri, sound),
            stream(running.uri, quiet),
            stream(running.uri, sound, chunk=333, start_ms=5000),
            stream(running.uri, sound[::-1].copy()[:0]),
            stream(running.uri, sound, chunk=16_000, names=["high"]),
        )

    plain, quiet, later, nothing, high = asyncio.run(four())
    assert plain == (expected, False)
    assert quiet == nothing == ([], True)
    assert later == ([(word, at_ms + 5000) for word, at_ms in expected], False)
    assert high == ([(word, at_ms) for word, at_ms in expected if word == "high"], False)


def test_each_stream_of_a_connection_starts_anew(running, sound, expected):
    async def twice():
        async with AsyncClient.from_uri(running.uri) as client:
            found = []
            for _ in range(2):
                await client.write_event(AudioStart(RATE_HZ, 2, 1).event())
                await client.write_event(AudioChunk(RATE_HZ, 2, 1, sound[: 4 * RATE_HZ].tobytes()).event())
                await client.write_event(Ping(text="").event())
                while not Pong.is_type((event := await client.read_event()).type):
                    found.append(Detection.from_event(event).timestamp)
            return found

    found = asyncio.run(twice())
    assert found
    assert found[: len(found) // 2] == found[len(found) // 2 :]


def test_describe_tells_the_words(running):
    async def ask():
        async with AsyncClient.from_uri(running.uri) as client:
            await client.write_event(Event("a-message-of-tomorrow", {"x": 1}))
            await client.write_event(Describe().event())
            return Info.from_event(await client.read_event())

    (program,) = asyncio.run(ask()).wake
    assert program.name == "kwspot"
    assert [(model.name, model.phrase) for model in program.models] == [("low", "low"), ("high", "high")]


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (AudioStart(16_000, 1, 1).event(), "expected 4000 to 384000 Hz, 2 bytes, 1 to 8 channels"),
        (AudioStart(1, 2, 1).event(), "expected 4000 to 384000 Hz"),
        (AudioStart(16_000, 2, 10**9).event(), "1 to 8 channels"),
        (AudioChunk(48_000, 2, 2, b"ab").event(), "middle of a 16-bit sample"),
        (AudioChunk(RATE_HZ, 2, 1, b"abc").event(), "middle of a 16-bit sample"),
        (Detect(names=["loud"]).event(), "expected some of low, high"),
        (Detect(names=["loud", "soft"]).event(), "expected some of low, high"),
        (Event("detect", {"names": [{"a": 1}, "low"]}), "expected a list of words"),
        (Event("audio-chunk", {"rate": [1] * 1000}, b"ab"), "expected 4000 to 384000 Hz"),
    ],
)
def test_what_cannot_be_heard_is_told_to_the_client_and_once_here(running, event, told, capsys):
    async def ask():
        async with AsyncClient.from_uri(running.uri) as client:
            await client.write_event(event)
            return await client.read_event(), await client.read_event()

    asyncio.run(ask())
    answer, end = asyncio.run(ask())
    assert told in Error.from_event(answer).text
    assert capsys.readouterr().err.count("kwspot: wyoming: 127.0.0.1 is put out: ") == 1
    assert len(Error.from_event(answer).text) < 300
    assert end is None


@pytest.mark.parametrize(("rate_hz", "channels"), [(48_000, 2), (44_100, 1), (8_000, 3)])
def test_sound_of_another_format_is_converted(running, sound, expected, rate_hz, channels):
    import soxr

    wide = soxr.resample(sound / 32_768, RATE_HZ, rate_hz)
    wide = np.repeat(np.rint(wide * 32_768).clip(-32_768, 32_767).astype(np.int16)[:, None], channels, axis=1)
    found, _ = asyncio.run(stream(running.uri, wide, rate_hz=rate_hz, channels=channels))
    assert [word for word, _ in found] == [word for word, _ in expected]
    assert max(abs(a - b) for (_, a), (_, b) in zip(found, expected, strict=True)) <= 40


def test_a_format_that_changes_within_a_stream_is_refused(running):
    async def ask():
        async with AsyncClient.from_uri(running.uri) as client:
            for rate_hz in (16_000, 48_000):
                await client.write_event(AudioChunk(rate_hz, 2, 1, bytes(320)).event())
            return await client.read_event()

    assert "changes in the middle of a stream" in Error.from_event(asyncio.run(ask())).text


def test_of_several_names_the_unknown_ones_are_told_here_and_the_others_heard(running, sound, expected, capsys):
    for _ in range(2):
        found, _ = asyncio.run(stream(running.uri, sound, names=["ok nabu", "high"]))
        assert found == [(word, at_ms) for word, at_ms in expected if word == "high"]
    told = capsys.readouterr().err
    assert told == "kwspot: wyoming: 127.0.0.1 asks for ['ok nabu'], which tiny does not hold\n"


def test_everybody_who_is_put_out_while_talking_can_read_why(running):
    message = b'{"type":"audio-chunk","data":{"rate":1,"width":2,"channels":1},"payload_length":320}\n' + bytes(320)
    connections = [running.connect() for _ in range(8)]
    for _ in range(50):
        for connection in connections:
            with contextlib.suppress(OSError):  # what happens to what is sent on is not the question
                connection.sendall(message)
    for connection in connections:
        assert b"expected 4000 to 384000 Hz" in all_of(connection)
        connection.close()


CHUNK = b'{"type":"audio-chunk","data":{"rate":16000,"width":2,"channels":1},"payload_length":320}\n' + bytes(320)


def test_it_stops_at_once_however_many_clients_are_streaming(tiny_bundle):
    """The fault was Python 3.11's: a cancellation that came with a message was lost."""
    for _ in range(12):
        running = Running(tiny_bundle)
        ended = threading.Event()

        def stream_on(connection, ended=ended):
            with connection, contextlib.suppress(OSError):
                while not ended.wait(0.001):
                    connection.sendall(CHUNK)

        for _ in range(4):
            threading.Thread(target=stream_on, args=(running.connect(),), daemon=True).start()
        while running.server.samples < 4000:
            time.sleep(0.001)
        began = time.monotonic()
        running.close()
        assert time.monotonic() - began < 2
        ended.set()
        assert running.events()[-1]["event"] == "stop"


def test_clients_that_have_gone_leave_their_places_at_once(running):
    for _ in range(3):
        gone = [running.connect() for _ in range(8)]
        for connection in gone:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    connection.send(CHUNK)
        for connection in gone:
            connection.close()
    began = time.monotonic()
    while True:
        with running.connect() as connection, contextlib.suppress(OSError):
            connection.sendall(b'{"type":"describe"}\n')
            if b'"info"' in connection.recv(10_000):
                break
        assert time.monotonic() - began < 10
        time.sleep(0.05)


def test_it_warns_where_it_is_open_to_the_network(tiny_bundle, capsys):
    for host, open_to_all in (("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True), ("::", True)):
        notes = EventNotes()
        server = WyomingServer(host, 0, lambda: KeywordSpotter(tiny_bundle), EventWriter(RATE_HZ, [notes]))
        server.stop()
        server.run()
        assert [event["event"] for event in notes.events] == ["start", "stop"]
        assert ("open to the network" in capsys.readouterr().err) == open_to_all


def all_of(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


ORDINARY = (
    b'{"type":"describe"}\n',
    b'{"type":"ping","data":{"text":"a\\u00e9"}}\n',
    b'{"type":"detect","data":{"names":["low","high"]}}\n',
    b'{"type":"audio-start","data":{"rate":48000,"width":2,"channels":2,"timestamp":5}}\n',
    b'{"type":"audio-chunk","data":{"rate":48000,"width":2,"channels":2},"payload_length":8}\nabcdefgh' * 3,
    b'{"type":"audio-chunk","data_length":41,"payload_length":2}\n{"rate":16000,"width":2,"channels":1}    ab',
    b'{"type":"audio-stop","data":{"timestamp":null}}\n',
)


def test_fuzz_floods_and_half_messages_neither_stop_the_others_nor_grow_memory(
    running, sound, expected, monkeypatch, capsys, caplog
):
    monkeypatch.setattr(messages, "WHOLE_WITHIN_S", 1.0)
    rng = random.Random(7)
    good = b'{"type":"audio-chunk","data":{"rate":16000,"width":2,"channels":1},"payload_length":4}\nabcd'
    bad = [
        b"\x00" * 100_000,
        b"[" * 60_000 + b"\n",
        b"{" + b'"a":' * 10_000 + b"\n",
        b'{"type":"audio-chunk","payload_length":9999999999}\n',
        b'{"type":"audio-chunk","payload_length":-1}\n',
        b'{"type":"audio-chunk","payload_length":"x"}\n',
        b'{"type":"describe","data_length":1e999}\n',
        b'{"type":"detect","data":{"names":{"a":1}}}\n',
        b'{"type":"audio-start","data":{"timestamp":"soon","rate":16000,"width":2,"channels":1}}\n{"type":1}\n',
        b'{"type":"ping","data":{"text":"\\ud800"}}\n',
        b'{"type":"detect","data":{"names":["\\udfff"]}}\n',
        b'{"type":"ping","data":{"text":"\xed\xa0\x80"}}\n',
        b'{"type":"ping","data":{"text":1e999}}\n',
        b'{"type":"audio-start","data":{"timestamp":' + b"9" * 4300 + b',"rate":16000,"width":2,"channels":1}}\n',
        b'{"type":"detect","data":{"names":[' + b"9" * 5000 + b"]}}\n",
        '{"type":"ping","data":{}}\n'.encode("utf-16"),
        b"null\n",
        b"\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        *(bytes(b if rng.random() > 0.05 else rng.randrange(256) for b in good * 20) for _ in range(40)),
        *(bytes(b if rng.random() > 0.02 else rng.randrange(256) for b in rng.choice(ORDINARY)) for _ in range(200)),
        *(rng.randbytes(rng.randrange(1, 5000)) for _ in range(20)),
    ]
    before = resident_mb()
    half = [running.connect() for _ in range(3)]
    promised = b'{"type":"audio-chunk","payload_length":200000}\n'
    for connection, content in zip(half, (b'{"type"', promised + b"a" * 100_000, b""), strict=True):
        connection.sendall(content)
    for content in bad:
        with running.connect() as connection:
            connection.settimeout(60)
            try:
                connection.sendall(content)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65_536):
                    pass
            except ConnectionError:
                pass  # put out while it was still talking
    assert asyncio.run(stream(running.uri, sound)) == (expected, False)
    assert half[0].recv(10_000).startswith(b'{"type": "error"'), "half a message is not waited for"
    for connection in half:
        connection.close()
    assert resident_mb() - before < 30
    assert "Traceback" not in capsys.readouterr().err
    assert caplog.text == ""  # asyncio logs what a task raises


def test_a_client_that_does_not_read_is_put_out(running, monkeypatch, sound, expected):
    monkeypatch.setattr(messages, "TAKES_WITHIN_S", 0.5)
    with running.connect() as mute:
        mute.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        before = resident_mb()
        mute.settimeout(60)
        with contextlib.suppress(ConnectionError):
            for _ in range(200_000):
                mute.sendall(b'{"type":"describe"}\n' * 100)
            pytest.fail("it was never put out")
        assert resident_mb() - before < 30
    assert asyncio.run(stream(running.uri, sound)) == (expected, False)


def test_more_clients_than_there_may_be_are_told(running, monkeypatch):
    monkeypatch.setattr(server, "CLIENTS", 2)
    first = [running.connect() for _ in range(2)]
    for connection in first:
        connection.sendall(b'{"type":"describe"}\n')
        assert connection.recv(10)
    with running.connect() as third:
        assert b"clients already" in all_of(third)
    first[0].close()
    deadline = time.monotonic() + 60
    while True:
        with running.connect() as third:
            third.sendall(b'{"type":"describe"}\n')
            if b"wake" in third.recv(10_000):
                break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first[1].close()


def test_an_address_that_cannot_be_served_is_told(tiny_bundle):
    def server(host: str, port: int) -> WyomingServer:
        return WyomingServer(host, port, lambda: KeywordSpotter(tiny_bundle), EventWriter(RATE_HZ))

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="a port that is free"):
            server("127.0.0.1", port).run()
    assert wyoming_address("tcp://[::1]:99") == ("::1", 99)
    assert wyoming_address("tcp://kitchen") == ("kitchen", 10400)
    wrong = (
        "kitchen:99",
        "udp://kitchen",
        "tcp://",
        "tcp://kitchen:x",
        "tcp://kitchen:1/path",
        "tcp://a..b",
        "tcp://::1",
    )
    for url in (*wrong, f"tcp://kitchen:{'9' * 5000}"):
        with pytest.raises(ConfigError, match="expected tcp://HOST:PORT"):
            wyoming_address(url)
