"""What ``--mqtt mqtt://…`` says: broker, login, topic and how to talk."""

from __future__ import annotations

import dataclasses
import difflib
import re
import socket
from pathlib import Path
from typing import NoReturn
from urllib.parse import parse_qsl, unquote, urlsplit

from kwspot.runtime.errors import ConfigError

FORM = "mqtt[s]://[USER:PASSWORD@]HOST[:PORT][/TOPIC][?version=5&discovery=PREFIX&ca=FILE&cert=FILE&key=FILE]"
PORT_OF = {"mqtt": 1883, "mqtts": 8883}
FILES = ("ca", "cert", "key")
PARAMETERS = ("version", "discovery", *FILES)
VERSIONS = ("3.1.1", "5")


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
    password: str | None = None
    version: str = "3.1.1"
    discovery: str = "homeassistant"
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}/{self.topic}"


def mqtt_address(url: str) -> MqttAddress:
    """Read the URL of a broker.

    Raises
    ------
    ConfigError
        If it has another form, an unknown parameter, or a file that is missing.
    """

    def wrong(what: str) -> NoReturn:
        raise ConfigError(f"--mqtt: {what}; expected {FORM}")

    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        wrong(str(error))
    if parts.scheme not in PORT_OF:
        wrong(f"no protocol {parts.scheme!r}" if parts.scheme else "no protocol")
    if not host:
        wrong("no host")
    topic = unquote(parts.path).strip("/") or f"kwspot/{socket.gethostname()}"
    if "#" in url or re.search(r"[#+\x00]|//", topic):
        wrong(f"{topic!r} is no topic: it may not hold # or +")
    values = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in values:
        if name not in PARAMETERS:
            near = difflib.get_close_matches(name, PARAMETERS, 1, 0)[0]
            wrong(f"no parameter {name!r}, did you mean {near!r}?")
    version = values.get("version", "3.1.1")
    if version not in VERSIONS:
        wrong(f"version {version!r} is not {' or '.join(VERSIONS)}")
    tls = parts.scheme == "mqtts"
    for name in FILES:
        if name in values and not tls:
            wrong(f"{name} needs mqtts://")
        if name in values and not Path(values[name]).is_file():
            wrong(f"{name}: there is no file {values[name]}")
    if ("cert" in values) != ("key" in values):
        wrong("cert and key belong together")
    return MqttAddress(
        host,
        port or PORT_OF[parts.scheme],
        tls,
        topic,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        version=version,
        discovery=values.get("discovery", "homeassistant").strip("/"),
        ca=values.get("ca"),
        cert=values.get("cert"),
        key=values.get("key"),
    )
