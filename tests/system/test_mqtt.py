"""Events through a real mosquitto: delivered, described to Home Assistant, kept while the broker is away."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kwspot.runtime.errors import ConfigError
from kwspot.runtime.sinks import mqtt, mqtt_client
from kwspot.runtime.sinks.mqtt import MqttSink
from kwspot.runtime.sinks.mqtt_url import MqttAddress, mqtt_address

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
START = {"event": "start", "source": "microphone", "bundle": "tiny", "words": ["low", "high"]}


def heard(number: int) -> dict[str, object]:
    return {"event": "detection", "label": "low", "score": 0.9, "at_s": number / 10, "at_sample": number * 1600}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(done: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


class Broker:
    """mosquitto on loopback."""

    def __init__(self, folder: Path, settings: str = "allow_anonymous true") -> None:
        if not Path(MOSQUITTO).exists():
            pytest.skip("mosquitto is not installed (Debian package mosquitto)")
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\n{settings}\n")
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([MOSQUITTO, "-c", str(self._config)], stderr=subprocess.DEVNULL)
        until(self._answers)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


class Listener:
    """Another program at the broker: what it got, by topic."""

    def __init__(self, port: int, **tls: str) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.got: list[tuple[str, Any]] = []
        ready: list[int] = []
        self.client = Client(CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
        if tls:
            self.client.tls_set(**tls)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self.client.on_subscribe = lambda *_: ready.append(1)
        self.client.on_message = lambda _client, _data, message: self.got.append((message.topic, message.payload))
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        until(lambda: ready)

    def events(self, name: str = "detection") -> list[Any]:
        return [json.loads(payload) for topic, payload in list(self.got) if topic == f"home/kitchen/{name}"]

    def status(self) -> list[bytes]:
        return [payload for topic, payload in list(self.got) if topic == "home/kitchen/status"]

    def described(self) -> list[Any]:
        """What Home Assistant was told, the newest of each topic."""
        found = {topic: payload for topic, payload in list(self.got) if topic.startswith("homeassistant/event/")}
        assert all(re.fullmatch(r"homeassistant/event/home_kitchen_[0-9a-f]{8}/word/config", topic) for topic in found)
        return [json.loads(payload) for payload in found.values()]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.stop()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    listener = Listener(broker.port)
    yield listener
    listener.close()


def address(port: int, more: str = "") -> MqttAddress:
    return mqtt_address(f"mqtt://127.0.0.1:{port}/home/kitchen{more}")


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_events_arrive_as_they_are_written_and_the_status_says_who_is_there(broker, listener, version):
    sink = MqttSink(address(broker.port, f"?version={version}"))
    for event in (START, heard(1), heard(2), {"event": "stop", "detections": 2}):
        sink.put(event)
    sink.close(10)
    until(lambda: len(listener.status()) == 2)
    assert (sink.delivered, sink.dropped) == (4, 0)
    assert listener.events("start") == [START]
    assert listener.events() == [heard(1), heard(2)]
    assert listener.events("stop") == [{"event": "stop", "detections": 2}]
    assert listener.status() == [b"online", b"offline"]


def test_home_assistant_is_told_what_there_is(broker, listener):
    sink = MqttSink(address(broker.port))
    sink.put(START)
    sink.close(10)
    until(lambda: len(listener.status()) == 2)
    (told,) = listener.described()
    assert told["event_types"] == ["low", "high"]
    assert (told["state_topic"], told["availability_topic"]) == ("home/kitchen/detection", "home/kitchen/status")
    # Home Assistant asks for both, or rejects the message.
    assert told["unique_id"]
    assert told["device"]["identifiers"]
    template = "{{ {'event_type': value_json.label, 'score': value_json.score, 'at_s': value_json.at_s} | to_json }}"
    assert told["value_template"] == template


def test_two_listeners_on_one_topic_both_stay_each_with_its_own_description(broker, listener, capsys):
    sinks = [MqttSink(address(broker.port)) for _ in range(2)]
    assert sinks[0].client_id != sinks[1].client_id
    assert all(re.fullmatch(r"[0-9A-Za-z-]{1,23}", sink.client_id) for sink in sinks)
    for sink, bundle in zip(sinks, ("tiny", "other"), strict=True):
        sink.put({**START, "bundle": bundle})
    time.sleep(2.5)  # in which they would have put each other out twice
    for sink in sinks:
        sink.put(heard(1))
    until(lambda: all(sink.delivered == 2 for sink in sinks))
    assert {told["device"]["model"] for told in listener.described()} == {"tiny", "other"}
    assert len({told["unique_id"] for told in listener.described()}) == 2
    # One leaves: the topic has a listener still.
    sinks[0].close(10)
    until(lambda: b"offline" in listener.status() and listener.status()[-1] == b"online")
    sinks[1].close(10)
    until(lambda: listener.status()[-1] == b"offline")
    assert capsys.readouterr().err == ""


def test_a_description_outlives_a_restart_and_is_of_one_machine(broker, listener, monkeypatch):
    for machine in ("one", "one", "two"):
        monkeypatch.setattr(mqtt, "_machine_id", lambda machine=machine: machine)
        sink = MqttSink(address(broker.port))
        sink.put(START)
        sink.close(10)
    until(lambda: len(listener.described()) == 2)


def test_without_discovery_nothing_is_told(broker, listener):
    sink = MqttSink(address(broker.port, "?discovery="))
    sink.put(START)
    sink.close(10)
    until(lambda: len(listener.status()) == 2)
    assert not [topic for topic, _ in listener.got if topic.startswith("homeassistant")]


def test_events_wait_while_the_broker_is_away_and_each_is_delivered_or_counted(broker, listener, capsys):
    sink = MqttSink(address(broker.port), room=10)
    sink.put(heard(0))
    until(lambda: sink.delivered == 1)
    broker.stop()
    for number in range(1, 31):
        sink.put(heard(number))
        time.sleep(0.05)
    broker.start()
    until(lambda: sink.delivered + sink.dropped == 31)
    sink.close(10)
    until(lambda: len({event["at_sample"] for event in listener.events()}) == sink.delivered)
    got = [event["at_sample"] // 1600 for event in listener.events()]
    assert got == [*range(len(got))], "the first that were queued, in their order"
    assert (len(got), sink.dropped) == (sink.delivered, 31 - sink.delivered)
    assert sink.delivered in (11, 12)  # what had room, and the one that was on its way
    told = capsys.readouterr().err
    assert "is gone" in told
    assert "is back" in told
    assert f"mqtt: {sink.dropped} of 31 events were not delivered" in told


def test_a_broker_that_comes_later_gets_what_happened_before(tmp_path):
    broker = Broker(tmp_path)
    broker.stop()
    sink = MqttSink(address(broker.port))
    sink.put(heard(1))
    time.sleep(0.3)
    broker.start()
    until(lambda: sink.delivered == 1)
    sink.close()
    broker.stop()


def test_a_broker_that_hangs_does_not_hold_the_end():
    with socket.create_server(("127.0.0.1", 0)) as mute:  # accepts, and says nothing
        sink = MqttSink(address(mute.getsockname()[1]))
        sink.put(heard(1))
        started = time.monotonic()
        sink.close(0.2)
        assert time.monotonic() - started < 60
    assert (sink.delivered, sink.dropped) == (0, 1)


def test_the_will_says_offline_when_the_process_dies(broker, listener, tmp_path):
    code = (
        "import os, sys, time; from kwspot.runtime.sinks.mqtt import MqttSink; "
        "from kwspot.runtime.sinks.mqtt_url import mqtt_address\n"
        f"sink = MqttSink(mqtt_address('mqtt://127.0.0.1:{broker.port}/home/kitchen'))\n"
        f"sink.put({START!r})\nwhile not sink.delivered: time.sleep(0.01)\nos.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    until(lambda: listener.status() == [b"online", b"offline"])


CONNACK = b"\x20\x02\x00\x00"


class BadBroker:
    """Says what it is given, one string of bytes for each connection; after the last it confirms whatever comes."""

    def __init__(self, *answers: bytes, endless: bool = False) -> None:
        self._answers, self._endless = list(answers), endless
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                self.connections += 1
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(30)
                    connection.recv(1000)
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        if not self._answers:
            connection.sendall(CONNACK)
            while (packet := connection.recv(4096))[:1]:
                # Of each PUBLISH of QoS 1 in it: header, topic, and the number to be confirmed.
                while packet[:1] and packet[0] >> 4 == 3:
                    length, at, shift = 0, 1, 0
                    while True:
                        length |= (packet[at] & 127) << shift
                        at, shift = at + 1, shift + 7
                        if packet[at - 1] < 128:
                            break
                    topic = int.from_bytes(packet[at : at + 2], "big")
                    connection.sendall(b"\x40\x02" + packet[at + 2 + topic : at + 4 + topic])
                    packet = packet[at + length :]
            return
        answer = self._answers.pop(0)
        connection.sendall(answer)
        while self._endless:
            connection.sendall(answer[len(CONNACK) :] or bytes(65_536))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass

    def close(self) -> None:
        self._server.close()


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def message(topic: bytes, payload: bytes, kind: int = 0x30) -> bytes:
    content = len(topic).to_bytes(2, "big") + topic + payload
    length, header = len(content), bytes([kind])
    while length >= 128:
        header += bytes([length & 127 | 128])
        length >>= 7
    return header + bytes([length]) + content


@pytest.mark.parametrize(
    ("flood", "told"),
    [
        (b"\x30\xff\xff\xff\x7f\x00\x01a" + bytes(1 << 20), "it sends a packet of 268435455 bytes"),
        (b"\x90\xff\xff\xff\x7f" + bytes(1 << 20), "it sends a packet of 268435455 bytes; at most 65536"),
        (b"\x30\x80\x80\x80\x80", "it sends what is no MQTT"),
        (message(b"home/kitchen/status", bytes(3000)), "it sends a packet of 3021 bytes; at most 2048"),
        (message(b"t", b"\0\1" + bytes(100), 0x32), "it sends a packet 0x32"),
        (message(b"t", b"\0\1" + bytes(100), 0x34), "it sends a packet 0x34"),
        (b"\xc0\x00" * 5000, "it sends a packet 0xc0"),
        (b"\x62\x02\x00\x01" * 5000, "it sends a packet 0x62"),
        (CONNACK * 5000, "it sends a packet 0x20"),
    ],
)
def test_a_broker_that_floods_is_left_and_memory_stays(flood, told, capsys, monkeypatch):
    monkeypatch.setattr(mqtt, "RECONNECT_S", (0.05, 0.1))
    broker = BadBroker(CONNACK + flood, endless=True)
    before = resident_mb()
    sink = MqttSink(address(broker.port))
    sink.put(heard(1))
    until(lambda: sink.delivered == 1)
    sink.close()
    broker.close()
    assert resident_mb() - before < 20
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("flood", [message(b"other/topic", bytes(900)), message(b"home/kitchen/status", b"offline")])
def test_messages_that_may_come_fill_no_memory(flood, monkeypatch):
    monkeypatch.setattr(mqtt, "RECONNECT_S", (0.05, 0.1))
    broker = BadBroker(CONNACK + flood * 20_000)
    before = resident_mb()
    sink = MqttSink(address(broker.port))
    sink.put(heard(1))
    until(lambda: sink.delivered == 1)
    sink.close()
    broker.close()
    assert resident_mb() - before < 20


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_nonsense_of_a_broker_ends_connections_and_nothing_else(version, monkeypatch, capsys):
    monkeypatch.setattr(mqtt, "RECONNECT_S", (0.01, 0.02))
    monkeypatch.setattr(mqtt_client, "AFTER_FAULT_S", 0.01)
    failed: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    rng = random.Random(5)
    kinds = (0x30, 0x31, 0x40, 0x90, 0xB0, 0xD0, 0xE0)
    valid = [message(b"t", rng.randbytes(rng.randrange(40)), rng.choice(kinds)) for _ in range(60)]
    broken = [bytes(b if rng.random() > 0.1 else rng.randrange(256) for b in packet) for packet in valid]
    begun = CONNACK if version == "3.1.1" else b"\x20\x03\x00\x00\x00"
    broker = BadBroker(b"", b"\x15\x03\x03\x00\x02\x02\x46", *(begun + packet for packet in valid + broken),
                       *(rng.randbytes(rng.randrange(1, 60)) for _ in range(60)))  # fmt: skip
    if version == "5":
        monkeypatch.setattr(sys.modules[__name__], "CONNACK", begun)
    sink = MqttSink(address(broker.port, f"?version={version}"))
    sink.put(heard(1))
    until(lambda: broker.connections > 180 and sink.delivered == 1, 90)
    sink.close()
    broker.close()
    assert failed == []
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert len(told.splitlines()) < 40


def test_a_packet_is_judged_alike_in_any_slices():
    good = CONNACK + message(b"t", bytes(300)) + b"\xd0\x00" + b"\x90\x03\x00\x01\x00"
    for size in (1, 2, 3, 7, len(good)):
        guard = mqtt_client.PacketGuard()
        for start in range(0, len(good), size):
            guard.feed(good[start : start + size])
        with pytest.raises(ConnectionError, match="at most 2048"):
            guard.feed(b"\x30\x81\x20")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates: an authority, a broker's signed by it, a stranger."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed (Debian package openssl)")
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    for name in ("ca", "stranger"):
        openssl(*new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1"]
    openssl(*new, "-subj", "/CN=broker", "-keyout", "broker.key", "-out", "broker.pem", *signed)
    for key in folder.glob("*.key"):
        key.chmod(0o644)  # mosquitto leaves root before it reads them
    folder.parent.chmod(0o755)
    folder.chmod(0o755)
    return folder


ONE_EVENT = """
import sys
from kwspot.runtime.sinks.mqtt import MqttSink
from kwspot.runtime.sinks.mqtt_url import mqtt_address
sink = MqttSink(mqtt_address(sys.argv[1]))
sink.put({"event": "stop"})
sink.close(1)
print(f"{sink.delivered} delivered, {sink.dropped} dropped")
"""


def test_tls_with_a_certificate_and_a_login(authority, tmp_path, capsys):
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(tmp_path / "users"), "pi", "s3c:ret/@"], check=True)
    (tmp_path / "users").chmod(0o644)
    broker = Broker(
        tmp_path,
        f"cafile {authority}/ca.pem\ncertfile {authority}/broker.pem\nkeyfile {authority}/broker.key\n"
        f"allow_anonymous false\npassword_file {tmp_path}/users\nuser root",
    )
    try:
        url = f"mqtts://pi:s3c%3Aret%2F%40@127.0.0.1:{broker.port}/home/kitchen?ca={authority}/ca.pem"
        sink = MqttSink(mqtt_address(url))
        sink.put(heard(1))
        until(lambda: sink.delivered == 1)
        sink.close()
        for wrong, told in (
            (url.replace("ca.pem", "stranger.pem"), "no authority known here has signed its certificate (self-signed"),
            (url.replace("127.0.0.1", "localhost"), "its certificate is another host's (Hostname mismatch"),
            (url.replace("mqtts", "mqtt").partition("?")[0], "ends the connection"),
            (url.replace("s3c", "bad"), "check user and password"),
        ):
            # In a process of its own: paho leaves the socket of a failed handshake to the garbage collector.
            done = subprocess.run([sys.executable, "-c", ONE_EVENT, wrong], capture_output=True, text=True, check=True)
            assert told in done.stderr
            assert done.stdout == "0 delivered, 1 dropped\n"
    finally:
        broker.stop()


def test_the_url_says_everything(tmp_path):
    full = mqtt_address("mqtt://me:p%40ss@[::1]:2883/a/b%20c?version=5&discovery=ha/")
    assert full == MqttAddress("::1", 2883, False, "a/b c", "me", "p@ss", "5", "ha")
    assert mqtt_address("mqtts://broker").port == 8883
    plain = mqtt_address("mqtt://broker/")
    assert (plain.port, plain.topic, plain.discovery) == (1883, f"kwspot/{socket.gethostname()}", "homeassistant")
    assert "p@ss" not in str(full) + repr(full)
    assert str(full) == "mqtt://[::1]:2883/a/b c"
    (tmp_path / "a+b c.pem").write_text("")
    assert mqtt_address(f"mqtts://broker?ca={tmp_path}/a+b%20c.pem").ca == f"{tmp_path}/a+b c.pem"


@pytest.mark.parametrize(
    ("login", "user", "password"),
    [
        (":pw@", "", "pw"),
        ("me@", "me", None),
        ("me:@", "me", ""),
        ("me:a:b@", "me", "a:b"),
        ("me:a@b@", "me", "a@b"),
        ("me:a+b@", "me", "a+b"),
        ("me:50%@", "me", "50%"),
        ("%C3%A4:%2F%23%3F@", "ä", "/#?"),
        ("", None, None),
    ],
)
def test_user_and_password_are_read_as_they_are(login, user, password):
    address = mqtt_address(f"mqtt://{login}broker")
    assert (address.host, address.user, address.password) == ("broker", user, password)


SECRET = "gehe1m"


def test_tls_where_there_is_none_is_told(broker):
    command = [sys.executable, "-c", ONE_EVENT, f"mqtts://127.0.0.1:{broker.port}/home/kitchen"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"there is no TLS at port {broker.port} (" in done.stderr


@pytest.mark.parametrize("sign", ["/", "?", "#", "/?", "#/", "@/", ":/", "[", "[x]/", "%2/"])
@pytest.mark.parametrize(
    "form", ["mqtt://ann:{}@broker.local", "mqtt://ann:1{}@broker/t?version=5", "mqtts://{}@broker"]
)
def test_a_password_is_never_shown_and_it_is_told_to_encode_it(form, sign):
    url = form.format(f"{SECRET}{sign}{SECRET}")
    try:
        address = mqtt_address(url)
    except ConfigError as error:
        told = str(error)
        assert "percent-encoded" in told
        assert "%2F" in told
    else:
        assert not set(sign) & set("/?#")
        told = str(address) + repr(dataclasses.replace(address, user=None))
    assert SECRET not in told


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("broker", "no protocol"),
        ("http://broker", "no protocol 'http'"),
        ("mqtt://", "no host"),
        ("mqtt://me:pw@", "no host"),
        ("mqtt://broker:abc", "no number from 0 to 65535"),
        ("mqtt://broker:99999", "no number from 0 to 65535"),
        (f"mqtt://broker:{'9' * 5000}", "no number from 0 to 65535"),
        ("mqtt://broker:0", "port 0"),
        ("mqtt://a..b", "neither a host name nor an address"),
        (f"mqtt://{'a' * 64}.local", "neither a host name nor an address"),
        ("mqtt://a b", "neither a host name nor an address"),
        ("mqtt://192.168.1.300", "neither a host name nor an address"),
        ("mqtt://-x", "neither a host name nor an address"),
        ("mqtt://fe80::1", r"\[::1\]"),
        ("mqtt://[broker]", "no IPv6 address"),
        ("mqtt://broker/a/%23", "neither # nor"),
        ("mqtt://broker/a/+/b", "neither # nor"),
        ("mqtt://broker/$SYS/x", "begin with"),
        ("mqtt://broker/a%00b", "control character"),
        ("mqtt://broker/%ff", "no UTF-8"),
        ("mqtt://me:\udcff@broker", "no UTF-8"),
        (f"mqtt://broker/{'a' * 70_000}", "more than 1000 bytes"),
        ("mqtt://broker?discovery=a%23", "neither # nor"),
        ("mqtt://broker?versoin=5", "did you mean 'version'"),
        ("mqtt://broker?client_id=me", "there are version, discovery, ca, cert, key"),
        ("mqtt://broker?version=4", "is not 3.1.1 or 5"),
        ("mqtt://broker?ca=/etc/passwd", "needs mqtts"),
        ("mqtts://broker?ca=/no/file", "there is no file /no/file"),
        ("mqtts://broker?ca=/no/fi%00le", "control character"),
        ("mqtts://broker?cert=/etc/passwd", "belong together"),
    ],
)
def test_a_wrong_url_is_told_with_what_is_expected(url, told):
    with pytest.raises(ConfigError, match=told) as error:
        mqtt_address(url)
    assert "mqtt[s]://" in str(error.value)
    assert len(str(error.value)) < 500


def test_a_certificate_that_is_none_is_told(tmp_path):
    (tmp_path / "ca.pem").write_text("not a certificate")
    with pytest.raises(ConfigError, match=r"ca\.pem cannot be used \(no certificate or crl found\); expected .* PEM"):
        MqttSink(mqtt_address(f"mqtts://127.0.0.1?ca={tmp_path}/ca.pem"))
