"""Hosts and ports as people write them in ``--mqtt``, ``--web`` and ``--wyoming``: read by one rule."""

from __future__ import annotations

import ipaddress
import re

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NAME_LETTERS = 253


def split_host_port(text: str) -> tuple[str, int | None]:
    """Read ``HOST``, ``HOST:PORT`` or ``[IPV6]:PORT``.

    Returns
    -------
    str
        The host without brackets; "" if there is none.
    int or None
        None if there is no port.

    Raises
    ------
    ValueError
        With a clause for the message. It never shows the port: in a URL without
        an ``@`` that may be a password.
    """
    host, colon, port = text.partition(":")
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        if not bracket or colon not in ("", ":") or ":" not in host or not _is_address(host):
            raise ValueError("between [ and ] there is no IPv6 address")
    elif ":" in port:
        raise ValueError("an IPv6 address is written in brackets, as in [::1]")
    elif host:
        _check_name(host)
    if not colon:
        return host, None
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65_535:
        raise ValueError("the port is no number from 0 to 65535")
    return host, int(port)


def join_host_port(host: str, port: int) -> str:
    """Return ``HOST:PORT``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_open_to_network(host: str) -> bool:
    """Return whether a server at this host answers other machines than its own."""
    if _is_address(host):
        return not ipaddress.ip_address(host).is_loopback
    return host.lower().rstrip(".") != "localhost"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _check_name(host: str) -> None:
    try:
        name = host.encode("idna").decode("ascii")
    except UnicodeError:  # an empty label, or one of more than 63 letters
        name = ""
    labels = name.removesuffix(".").split(".")
    whole = len(name) <= _NAME_LETTERS and all(map(_LABEL.fullmatch, labels))
    if not whole or (labels[-1].isdecimal() and not _is_address(host)):
        raise ValueError(f"{host[:80]!r} is neither a host name nor an address")
