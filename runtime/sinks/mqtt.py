"""``--mqtt mqtt://HOST``: events to a broker, QoS 1, through paho-mqtt, with a description for Home Assistant.

An event goes to ``TOPIC/<event>`` as the JSON object that standard output gets;
``TOPIC/status`` says "online" or "offline", the latter also as last will.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kwspot.runtime.errors import ConfigError
from kwspot.runtime.sinks.mqtt_client import fault_text, guarded_client
from kwspot.runtime.sinks.mqtt_url import MqttAddress, mqtt_address
from kwspot.runtime.sinks.observer import SinkContext
from kwspot.runtime.sinks.queued import Event, QueuedSink, Undelivered

RECONNECT_S = (1, 30)  # the first wait, doubled up to the last
KEEP_ALIVE_S = 30
AT_MOST_ONCE, AT_LEAST_ONCE = 0, 1
UNREAD_ANSWERS = 16
SHORT_S = 5.0
SHORT_CONNECTIONS = 3
"""So many connections after each other that end within `SHORT_S` have a cause of their own."""
MOST_COMPLAINTS = 10
MACHINE_ID = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


class MqttSink(QueuedSink):
    """Publishes every event and waits until the broker has confirmed it.

    While the broker is away the events wait in the queue; paho reconnects.

    Raises
    ------
    ConfigError
        If a certificate or key cannot be used.
    """

    def __init__(self, address: MqttAddress, *, room: int = 1000) -> None:
        self._address = address
        self._changed = threading.Condition()
        self._connected = self._leaving = False
        self._connected_at = 0.0
        self._short = 0
        self._status_mid: int | None = None
        self._answers: dict[int, Any] = {}
        self._complaints: set[str] = set()
        # Of this run alone: a broker ends the older of two connections with one id.
        self.client_id = f"kwspot-{secrets.token_hex(8)}"
        self._client = self._open()
        super().__init__("mqtt", room=room)
        self._client.connect_async(address.host, address.port, keepalive=KEEP_ALIVE_S)
        self._client.loop_start()

    def _open(self) -> Any:
        address = self._address
        client = guarded_client(address, self.client_id, lambda why: self._complain(f"is gone: {why}; trying again"))
        if address.user is not None:
            client.username_pw_set(address.user, address.password)
        if address.tls:
            try:
                # An empty password: OpenSSL would ask the terminal for one.
                client.tls_set(address.ca, address.cert, address.key, keyfile_password="" if address.key else None)
            except (ssl.SSLError, OSError) as error:
                files = ", ".join(filter(None, (address.ca, address.cert, address.key)))
                why = (
                    str((error.reason if isinstance(error, ssl.SSLError) else error.strerror) or error)
                    .lower()
                    .replace("_", " ")
                )
                raise ConfigError(
                    f"--mqtt: {files} cannot be used ({why}); expected ca, cert and key as PEM "
                    "files that belong together, the key without a password"
                ) from None
        client.will_set(self._topic("status"), "offline", qos=AT_LEAST_ONCE, retain=True)
        client.reconnect_delay_set(*RECONNECT_S)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def deliver(self, event: Event) -> None:
        """Publish and wait for the broker's word; over a lost connection, until it is back."""
        if event["event"] == "start" and self._address.discovery:
            self._publish(*self._description(event), retain=True)
        self._publish(self._topic(str(event["event"])), json.dumps(event, allow_nan=False), retain=False)

    def close(self, within_s: float = 2.0) -> None:
        """Deliver what is queued, say "offline", leave."""
        super().close(within_s)
        self._leaving = True
        if self._connected:
            # All is read before the end: a connection that is closed with something unread in it is reset, and the
            # broker then publishes the will.
            self._client.unsubscribe(self._topic("status"))
            mid = self._client.publish(self._topic("status"), "offline", qos=AT_LEAST_ONCE, retain=True).mid
            with self._changed:
                self._changed.wait_for(lambda: mid in self._answers or not self._connected, timeout=1.0)
        self._client.disconnect()
        with self._changed:
            self._changed.wait_for(lambda: not self._connected, timeout=1.0)

    def _topic(self, name: str) -> str:
        return f"{self._address.topic}/{name}"

    def _publish(self, topic: str, payload: str, *, retain: bool) -> None:
        self._wait(lambda: self._connected)
        # Not while holding the lock: paho calls _on_publish while it holds one that publish wants.
        mid = self._client.publish(topic, payload, qos=AT_LEAST_ONCE, retain=retain).mid
        # Sent again by paho if the connection breaks before the answer.
        self._wait(lambda: mid in self._answers)
        answer = self._answers.pop(mid)
        if answer.is_failure:
            raise Undelivered(f"{self._address} refused {topic}: {answer}")

    def _wait(self, done: Callable[[], bool]) -> None:
        while True:
            with self._changed:
                if self._changed.wait_for(done, timeout=0.2):
                    return
            self.report_drops()
            if self.given_up.is_set():
                raise Undelivered(f"{self._address} did not take an event before the end")

    def _description(self, start: Event) -> tuple[str, str]:
        """Return topic and content of what Home Assistant needs: an entity that fires with the word as its event type.

        Its ids are of machine, topic and bundle, so that they outlive a restart and
        two listeners on one topic do not overwrite each other's.
        """
        topic, host = self._address.topic, socket.gethostname()
        own = hashlib.sha256("\0".join((_machine_id(), topic, str(start["bundle"]))).encode()).hexdigest()[:8]
        node = f"{re.sub(r'[^A-Za-z0-9_-]', '_', topic)}_{own}"
        template = (
            "{{ {'event_type': value_json.label, 'score': value_json.score, 'at_s': value_json.at_s} | to_json }}"
        )
        content = {
            "name": "Word",
            "unique_id": f"{node}_word",
            "icon": "mdi:account-voice",
            "event_types": start["words"],
            "state_topic": self._topic("detection"),
            "value_template": template,
            "availability_topic": self._topic("status"),
            "qos": AT_LEAST_ONCE,
            "device": {
                "identifiers": [node],
                "name": topic if host in topic else f"{topic} ({host})",
                "model": start["bundle"],
            },
            "origin": {"name": "kwspot"},
        }
        return f"{self._address.discovery}/event/{node}/word/config", json.dumps(content, allow_nan=False)

    # paho calls these on its own thread.

    def _on_connect(self, client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            login = "user name" in str(reason) or str(reason) == "Not authorized"
            self._complain(f"refuses: {reason}{'; check user and password' if login else ''}, trying again")
            return
        self._connected_at = time.monotonic()
        if self._complaints and self._short < SHORT_CONNECTIONS:
            self._complaints.clear()
            self.say(f"{self._address} is back")
        self._say_online()
        client.subscribe(self._topic("status"), qos=AT_MOST_ONCE)
        with self._changed:
            self._connected = True
            self._changed.notify_all()

    def _say_online(self) -> None:
        """Publish that this listener is there; what is unanswered paho sends again by itself."""
        if self._status_mid is None:
            self._status_mid = self._client.publish(self._topic("status"), "online", qos=AT_LEAST_ONCE, retain=True).mid

    def _on_message(self, _client: Any, _userdata: Any, message: Any) -> None:
        """Contradict the will of an earlier connection, and another listener on the topic that leaves."""
        if message.topic == self._topic("status") and message.payload == b"offline" and not self._leaving:
            self._say_online()

    def _on_connect_fail(self, _client: Any, _userdata: Any) -> None:
        # paho calls this where it has caught the error.
        self._complain(f"cannot be reached: {fault_text(sys.exception(), self._address)}; trying again, events wait")

    def _on_disconnect(self, client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        with self._changed:
            was, self._connected = self._connected, False
            self._changed.notify_all()
        if self._leaving or not reason.is_failure:
            return
        why = fault_text(client.fault, self._address) if client.fault is not None else str(reason)
        if not was:
            self._complain(f"ends the connection before it answers: {why}; trying again, events wait")
            return
        self._short = self._short + 1 if time.monotonic() - self._connected_at < SHORT_S else 0
        if "taken over" in str(reason) or (client.fault is None and self._short >= SHORT_CONNECTIONS):
            self._complain(
                f"ends each connection soon after it began ({why}): another client may use the id {self.client_id}, "
                f"or the broker forbid {self._topic('#')} to this user; trying again, events wait"
            )
        else:
            self._complain(f"is gone ({why}); trying again, events wait")

    def _on_publish(self, _client: Any, _userdata: Any, mid: int, reason: Any, _properties: Any) -> None:
        if mid == self._status_mid:
            self._status_mid = None
            return
        with self._changed:
            self._answers[mid] = reason
            while len(self._answers) > UNREAD_ANSWERS:  # of events that were given up
                self._answers.pop(next(iter(self._answers)))
            self._changed.notify_all()

    def _complain(self, what: str) -> None:
        """Say what is wrong once until the broker is back, however often it is tried again."""
        if what not in self._complaints and len(self._complaints) < MOST_COMPLAINTS:
            self._complaints.add(what)
            self.say(f"{self._address} {what}")


def _machine_id() -> str:
    """Return what tells this machine from others: of systemd, with the host's name, for cards are copied."""
    known = (path.read_text().strip() for path in MACHINE_ID if path.exists())
    return "\0".join((next(known, ""), socket.gethostname()))


def open_sink(value: object, context: SinkContext) -> MqttSink:
    """Open what ``--mqtt URL`` asks for."""
    return MqttSink(mqtt_address(str(value)))
