"""What ``--mqtt mqtt://…`` says: broker, login, topic and how to talk."""

from __future__ import annotations

import dataclasses
import difflib
import re
import socket
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote

from kwspot.runtime.address import join_host_port, split_host_port
from kwspot.runtime.errors import ConfigError

FORM = "mqtt[s]://[USER:PASSWORD@]HOST[:PORT][/TOPIC][?version=5&discovery=PREFIX&ca=FILE&cert=FILE&key=FILE]"
PORT_OF = {"mqtt": 1883, "mqtts": 8883}
FILES = ("ca", "cert", "key")
PARAMETERS = ("version", "discovery", *FILES)
VERSIONS = ("3.1.1", "5")
TOPIC_BYTES = 1000
LOGIN_BYTES = 65_535
"""MQTT writes a length in 16 bits."""
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclasses.dataclass(frozen=True)
class MqttAddress:
    """A broker and how to talk to it.

    Parameters
    ----------
    topic
        All topics begin with it.
    version
        "3.1.1" or "5".
    discovery
        Topic prefix at which Home Assistant looks for devices; "" publishes no description.
    ca, cert, key
        PEM files: who may sign the broker's certificate (None: whom the system
        trusts), and this client's own certificate and key.
    """

    host: str
    port: int
    tls: bool
    topic: str
    user: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    version: str = "3.1.1"
    discovery: str = "homeassistant"
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{join_host_port(self.host, self.port)}/{self.topic}"


def mqtt_address(url: str) -> MqttAddress:
    """Read the URL of a broker.

    The URL is cut by hand: :func:`urllib.parse.urlsplit` shows in its errors what
    may be a part of the password.

    Raises
    ------
    ConfigError
        If it has another form, an unknown parameter, or a file that is missing.
        No message holds a part of the user name or the password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or not scheme.isalpha():
        _refuse("no protocol")
    if scheme not in PORT_OF:
        _refuse(f"no protocol {scheme!r}")
    authority, behind = re.fullmatch(r"([^/?#]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    if "@" in behind:
        _refuse(
            "an @ after the first /, ? or #. If it ends the password, write the password percent-encoded: "
            "/ as %2F, ? as %3F, # as %23, @ as %40, % as %25"
        )
    if "#" in behind:
        _refuse("a # outside of user and password; write it as %23")
    login, at, place = authority.rpartition("@")
    user, password = _login(login) if at else (None, None)
    try:
        host, port = split_host_port(place)
    except ValueError as error:
        _refuse(str(error))
    if not host:
        _refuse("no host")
    if port == 0:
        _refuse("port 0 is none")
    path, _, query = behind.partition("?")
    topic = _decode(path, "the topic").strip("/") or f"kwspot/{socket.gethostname()}"
    _check_topic(topic)
    values = _parameters(query)
    version = values.get("version", "3.1.1")
    if version not in VERSIONS:
        _refuse(f"version {version!r} is not {' or '.join(VERSIONS)}")
    tls = scheme == "mqtts"
    for name in FILES:
        if name in values and not tls:
            _refuse(f"{name} needs mqtts://")
        if name in values and not Path(values[name]).is_file():
            _refuse(f"{name}: there is no file {values[name]}")
    if ("cert" in values) != ("key" in values):
        _refuse("cert and key belong together")
    if discovery := values.get("discovery", "homeassistant").strip("/"):
        _check_topic(discovery)
    return MqttAddress(
        host,
        port or PORT_OF[scheme],
        tls,
        topic,
        user,
        password,
        version=version,
        discovery=discovery,
        ca=values.get("ca"),
        cert=values.get("cert"),
        key=values.get("key"),
    )


def _refuse(what: str) -> NoReturn:
    raise ConfigError(f"--mqtt: {what}; expected {FORM}")


def _decode(text: str, what: str) -> str:
    """Undo percent-encoding. A ``+`` stays one: it means a blank in forms of the web alone."""
    try:
        decoded = unquote(text, errors="strict")
        decoded.encode()  # a byte of the command line that is no UTF-8 is a lone surrogate
    except UnicodeError:
        _refuse(f"{what} is no UTF-8")
    if CONTROL.search(decoded):
        _refuse(f"{what} holds a control character")
    return decoded


def _login(text: str) -> tuple[str, str | None]:
    """Return user and password; a password without a user has the empty user, as MQTT wants it."""
    user, colon, password = (_decode(part, "user or password") for part in text.partition(":"))
    if max(len(user.encode()), len(password.encode())) > LOGIN_BYTES:
        _refuse(f"user or password of more than {LOGIN_BYTES} bytes")
    return user, password if colon else None


def _check_topic(topic: str) -> None:
    if re.search(r"[#+]|//|^\$", topic):
        _refuse(f"{topic[:80]!r} is no topic to publish to: it may hold neither # nor + nor //, nor begin with $")
    if len(topic.encode()) > TOPIC_BYTES:
        _refuse(f"a topic of more than {TOPIC_BYTES} bytes")


def _parameters(query: str) -> dict[str, str]:
    values = {}
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        if name not in PARAMETERS:
            near = difflib.get_close_matches(name, PARAMETERS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(PARAMETERS)}"
            _refuse(f"no parameter {name[:40]!r}, {hint}")
        values[name] = _decode(value, f"the parameter {name}")
    return values
