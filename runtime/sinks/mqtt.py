"""``--mqtt mqtt://HOST``: events to a broker, QoS 1, through paho-mqtt, with a description for Home Assistant.

An event goes to ``TOPIC/<event>`` as the JSON object that standard output gets;
``TOPIC/status`` says "online" or "offline", the latter also as last will.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Callable
from typing import Any

from kwspot.runtime.errors import ConfigError
from kwspot.runtime.sinks.mqtt_url import MqttAddress
from kwspot.runtime.sinks.queued import Event, QueuedSink, Undelivered

RECONNECT_S = (1, 30)  # the first wait, doubled up to the last
KEEP_ALIVE_S = 30
AT_LEAST_ONCE = 1
UNREAD_ANSWERS = 16


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
        self._connected = False
        self._answers: dict[int, Any] = {}
        self._complaint = ""
        self._client = self._open()
        super().__init__("mqtt", room=room)
        self._client.connect_async(address.host, address.port, keepalive=KEEP_ALIVE_S)
        self._client.loop_start()

    def _open(self) -> Any:
        from paho.mqtt.client import Client, MQTTv5, MQTTv311
        from paho.mqtt.enums import CallbackAPIVersion

        address = self._address
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=re.sub(r"[^A-Za-z0-9_-]", "_", address.topic),
            protocol=MQTTv5 if address.version == "5" else MQTTv311,
        )
        if address.user is not None:
            client.username_pw_set(address.user, address.password)
        if address.tls:
            try:
                client.tls_set(ca_certs=address.ca, certfile=address.cert, keyfile=address.key)
            except (ssl.SSLError, OSError) as error:
                raise ConfigError(
                    f"--mqtt: {error}; expected ca, cert and key as PEM files that belong together"
                ) from None
        client.will_set(self._topic("status"), "offline", qos=AT_LEAST_ONCE, retain=True)
        client.reconnect_delay_set(*RECONNECT_S)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        return client

    def deliver(self, event: Event) -> None:
        """Publish and wait for the broker's word; over a lost connection, until it is back."""
        if event["event"] == "start" and self._address.discovery:
            self._publish(*self._description(event), retain=True)
        self._publish(self._topic(str(event["event"])), json.dumps(event), retain=False)

    def close(self, within_s: float = 2.0) -> None:
        """Deliver what is queued, say "offline", leave."""
        super().close(within_s)
        if self._connected:
            self._client.publish(self._topic("status"), "offline", qos=AT_LEAST_ONCE, retain=True)
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
        """What Home Assistant needs to know: an entity that fires with the word as its type of event."""
        node = re.sub(r"[^A-Za-z0-9_-]", "_", self._address.topic)
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
            "device": {"identifiers": [node], "name": self._address.topic, "model": start["bundle"]},
            "origin": {"name": "kwspot"},
        }
        return f"{self._address.discovery}/event/{node}/word/config", json.dumps(content)

    # paho calls these on its own thread.

    def _on_connect(self, client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._complain(f"{self._address} refuses: {reason}; check user and password, trying again")
            return
        if self._complaint:
            self._complain("")
            self.say(f"{self._address} is back")
        client.publish(self._topic("status"), "online", qos=AT_LEAST_ONCE, retain=True)
        with self._changed:
            self._connected = True
            self._changed.notify_all()

    def _on_connect_fail(self, _client: Any, _userdata: Any) -> None:
        self._complain(f"{self._address} cannot be reached; trying again, events wait")

    def _on_disconnect(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        with self._changed:
            was, self._connected = self._connected, False
            self._changed.notify_all()
        if was and reason.is_failure:
            self._complain(f"{self._address} is gone ({reason}); trying again, events wait")

    def _on_publish(self, _client: Any, _userdata: Any, mid: int, reason: Any, _properties: Any) -> None:
        with self._changed:
            self._answers[mid] = reason
            while len(self._answers) > UNREAD_ANSWERS:  # those to "online", which nobody waits for
                self._answers.pop(next(iter(self._answers)))
            self._changed.notify_all()

    def _complain(self, text: str) -> None:
        """Say what is wrong once, however often it is tried again."""
        if text and not self._complaint:
            self.say(text)
        self._complaint = text
