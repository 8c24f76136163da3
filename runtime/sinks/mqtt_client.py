"""A paho client that trusts no broker: packets are bounded, faults have a reason, and its thread outlives them."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kwspot.runtime.sinks.mqtt_url import MqttAddress

PACKET_BYTES = 64 * 1024
MESSAGE_BYTES = 1024
"""Of a message that the broker passes on; the topic, at most `TOPIC_BYTES`, comes on top."""
TOPIC_BYTES = 1024

CONNACK, PUBLISH, PUBACK, SUBACK, UNSUBACK, PINGRESP, DISCONNECT = 0x20, 0x30, 0x40, 0x90, 0xB0, 0xD0, 0xE0
EXPECTED = frozenset({CONNACK, PUBLISH, PUBACK, SUBACK, UNSUBACK, PINGRESP, DISCONNECT})
"""What a broker may send to a client that publishes with QoS 1 and subscribes with QoS 0.

Nothing of it is answered by paho, so that a broker that sends without reading
fills no queue.
"""
RETAINED = 0x01
AFTER_FAULT_S = 1.0

# X509_V_ERR_… of OpenSSL, as in ssl.SSLCertVerificationError.verify_code.
_UNKNOWN_AUTHORITY = (18, 19, 20, 21)
_OUT_OF_DATE = (9, 10)
_OTHER_HOST = (62, 64)


class PacketGuard:
    """Reads along what a broker sends and refuses what none may send, before memory is taken for it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin with a new connection."""
        self._connected = False
        self._kind: int | None = None
        self._length = self._shift = self._left = 0

    def feed(self, data: bytes) -> None:
        """Follow the next bytes, in any slices.

        Raises
        ------
        ConnectionError
            At the header of a packet that is refused.
        """
        place = 0
        while place < len(data):
            if self._left:
                step = min(self._left, len(data) - place)
                self._left -= step
                place += step
                continue
            byte = data[place]
            place += 1
            if self._kind is None:
                self._begin(byte)
                continue
            self._length |= (byte & 0x7F) << self._shift
            self._shift += 7
            if byte & 0x80:
                if self._shift > 21:
                    raise ConnectionError("it sends what is no MQTT")
                continue
            self._check_length()
            self._left, self._kind, self._length, self._shift = self._length, None, 0, 0

    def _begin(self, byte: int) -> None:
        kind = byte & 0xF0
        first = not self._connected
        if first != (kind == CONNACK) or kind not in EXPECTED:
            raise ConnectionError("it sends what is no MQTT" if first else f"it sends a packet 0x{byte:02x}")
        if byte & 0x0F & ~(RETAINED if kind == PUBLISH else 0):
            raise ConnectionError(f"it sends a packet 0x{byte:02x}, which nobody asked for")
        self._connected = True
        self._kind = kind

    def _check_length(self) -> None:
        most = MESSAGE_BYTES + TOPIC_BYTES if self._kind == PUBLISH else PACKET_BYTES
        if self._length > most:
            raise ConnectionError(f"it sends a packet of {self._length} bytes; at most {most} are taken")


def guarded_client(address: MqttAddress, client_id: str, report: Callable[[str], None]) -> Any:
    """Return paho's client with a guard in front of its parser.

    Its `fault` says why a connection broke; `report` is told of what even paho's
    own parser fails at.
    """
    from paho.mqtt.client import Client, MQTTv5, MQTTv311
    from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

    class GuardedClient(Client):
        guard = PacketGuard()
        fault: Exception | None = None
        """Why the connection broke, of which paho tells a number alone."""

        def _sock_recv(self, bufsize: int) -> bytes:
            try:
                data = super()._sock_recv(bufsize)
                self.guard.feed(data)
            except BlockingIOError:
                raise
            except OSError as error:
                self.fault = error
                raise
            return data

        def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
            """Run as long as paho does; a packet that its parser fails at ends the connection, not the thread."""
            while True:
                try:
                    return super().loop_forever(timeout, retry_first_connection)
                except Exception as error:
                    report(f"it sends what is no MQTT ({error!r:.80})")
                    time.sleep(AFTER_FAULT_S)
                    with contextlib.suppress(OSError):  # then paho's loop tries again
                        self.reconnect()

    client = GuardedClient(
        CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTv5 if address.version == "5" else MQTTv311
    )

    def begin(*_: object) -> None:
        client.guard.reset()
        client.fault = None

    client.on_socket_open = begin
    return client


def fault_text(error: BaseException | None, address: MqttAddress) -> str:
    """Return why a connection to the broker cannot be made or broke, and what to do if that is known."""
    if isinstance(error, ssl.SSLCertVerificationError):
        told, code = error.verify_message.rstrip("."), error.verify_code
        if code in _OTHER_HOST:
            return f"its certificate is another host's ({told}); expected the name that the certificate holds"
        if code in _UNKNOWN_AUTHORITY:
            return f"no authority known here has signed its certificate ({told}); name the authority's with ?ca=FILE"
        if code in _OUT_OF_DATE:
            return f"its certificate is not valid today ({told}); check the clock of both machines"
        return f"its certificate is refused ({told})"
    if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
        return f"it refuses TLS with this client ({_words(error.reason)}); check cert and key"
    if address.tls and isinstance(error, ssl.SSLError | ConnectionResetError | BrokenPipeError):
        why = _words(error.reason) if isinstance(error, ssl.SSLError) else "it ends the connection"
        return f"there is no TLS at port {address.port} ({why}); expected a port for TLS, as 8883, or mqtt://"
    if isinstance(error, socket.gaierror):
        return f"no address is known for {address.host} ({error.strerror})"
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "it ends the connection"


def _words(reason: str | None) -> str:
    return (reason or "no reason told").replace("_", " ").lower()
