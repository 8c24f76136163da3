"""Messages of the Wyoming protocol, to and from anybody who connects: none of them makes memory grow.

A message is a line of JSON, then as many bytes of more JSON and of payload as it
says. The ``wyoming`` package reads any amount of either; this reads up to a bound
and within a time.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from kwspot.runtime.errors import ConfigError
from kwspot.runtime.model.manifest_check import parse_json

if TYPE_CHECKING:
    from wyoming.event import Event, Eventable

    from kwspot.runtime.model.bundle import Bundle

LINE_BYTES = 64 * 1024
PAYLOAD_BYTES = 256 * 1024
"""8 s of sound at 16 kHz; clients send a few hundredths of a second at once."""
IDLE_S = 300.0
WHOLE_WITHIN_S = 20.0
"""From the first byte of a message to its last."""
LEAVES_WITHIN_S = 2.0
"""For a client that is dismissed to read why, and to close."""
TAKES_WITHIN_S = 5.0
"""A client that does not read what it is sent for so long is put out."""


class BadMessage(Exception):
    """What a client sent is no message, too large or too slow; the text is for the client."""


async def read_message(reader: asyncio.StreamReader) -> Event | None:
    """Return the next message; None when the client has gone, or has been silent for `IDLE_S`.

    With :func:`asyncio.timeout`, since ``wait_for`` of Python 3.11 loses a
    cancellation that comes together with a message.

    Raises
    ------
    BadMessage
        If it is malformed, larger than the bounds, or not whole in time.
    """
    try:
        async with asyncio.timeout(IDLE_S):
            first = await reader.read(1)
    except TimeoutError:
        return None
    if not first:
        return None
    try:
        async with asyncio.timeout(WHOLE_WITHIN_S):
            return await _rest(first, reader)
    except TimeoutError:
        raise BadMessage(f"a message that is not whole after {WHOLE_WITHIN_S:g} s") from None
    except asyncio.IncompleteReadError:
        return None


async def _rest(first: bytes, reader: asyncio.StreamReader) -> Event:
    from wyoming.event import Event

    try:
        line = first + await reader.readuntil(b"\n") if first != b"\n" else first
    except asyncio.LimitOverrunError:
        raise BadMessage(f"a line of more than {LINE_BYTES} bytes") from None
    header = _object(line)
    kind, data = header.get("type"), header.get("data") or {}
    if not isinstance(kind, str) or not isinstance(data, dict):
        raise BadMessage("a message without a type, or with data that is no object")
    if length := _length(header, "data_length", LINE_BYTES):
        data = {**data, **_object(await reader.readexactly(length))}
    length = _length(header, "payload_length", PAYLOAD_BYTES)
    return Event(type=kind, data=data, payload=await reader.readexactly(length) if length else None)


def _object(content: bytes) -> dict[str, Any]:
    try:
        return parse_json(content)
    except ConfigError as error:
        raise BadMessage(f"a line that cannot be read: {error}") from None


def _length(header: dict[str, Any], name: str, most: int) -> int:
    length = header.get(name) or 0
    if isinstance(length, bool) or not isinstance(length, int) or not 0 <= length <= most:
        raise BadMessage(f"{name} {str(length)[:40]}: expected 0 to {most}")
    return length


def error_message(text: str) -> Eventable:
    """Return the message that a client gets before its connection is closed."""
    from wyoming.error import Error

    return Error(text=f"expected a message of the Wyoming protocol; got {text}")


def info_message(bundle: Bundle) -> Eventable:
    """Return what ``describe`` is answered with: one program, one model per word."""
    from importlib.metadata import version

    from wyoming.info import Attribution, Info, WakeModel, WakeProgram

    by = Attribution(name="kwspot", url="")

    def model(word: str) -> WakeModel:
        return WakeModel(
            name=word,
            phrase=word,
            description=f"{word} ({bundle.name})",
            version=None,
            attribution=by,
            installed=True,
            languages=[],
        )

    program = WakeProgram(
        name="kwspot",
        description="Keyword spotting",
        version=version("kwspot"),
        attribution=by,
        installed=True,
        models=[model(word) for word in bundle.manifest.words],
    )
    return Info(wake=[program])


async def send(message: Eventable, writer: asyncio.StreamWriter) -> None:
    """Send one message; a client that does not take it in time is a TimeoutError."""
    from wyoming.event import async_write_event

    async with asyncio.timeout(TAKES_WITHIN_S):
        await async_write_event(message.event(), writer)


async def dismiss(text: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Tell a client why its connection ends, so that it can read it.

    A connection that is closed with something unread in it is reset, and what was
    sent last is lost with it: so what the client still sends is read and dropped.
    """
    with contextlib.suppress(OSError, TimeoutError):
        await send(error_message(text), writer)
        writer.write_eof()
        async with asyncio.timeout(LEAVES_WITHIN_S):
            while await reader.read(LINE_BYTES):
                pass
