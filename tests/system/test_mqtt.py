"""Events through a real mosquitto: delivered, described to Home Assistant, kept while the broker is away."""

from __future__ import annotations

import dataclasses
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kwspot.runtime.errors import ConfigError
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
    (payload,) = [payload for topic, payload in listener.got if topic == "homeassistant/event/home_kitchen/word/config"]
    told = json.loads(payload)
    assert told["event_types"] == ["low", "high"]
    assert (told["state_topic"], told["availability_topic"]) == ("home/kitchen/detection", "home/kitchen/status")
    # Home Assistant asks for both, or rejects the message.
    assert told["unique_id"]
    assert told["device"]["identifiers"]
    template = "{{ {'event_type': value_json.label, 'score': value_json.score, 'at_s': value_json.at_s} | to_json }}"
    assert told["value_template"] == template


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
            (url.replace("ca.pem", "stranger.pem"), "cannot be reached"),
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
    with pytest.raises(ConfigError, match="PEM"):
        MqttSink(mqtt_address(f"mqtts://127.0.0.1?ca={tmp_path}/ca.pem"))
