"""The process that holds the microphone: a callback that copies and queues, nothing else.

::

    python -m kwspot.runtime.audio.capture SOCKET-FD REQUEST-JSON

A sound device may hang for ever in ``stop`` and ``close``, keeps its handle while
it hangs, and PortAudio sees a device that was plugged in again only when it is
loaded anew. So the microphone lives in a process of its own, which can be killed
and replaced at any moment (:mod:`kwspot.runtime.audio.capture_link` does), and which
imports no numpy unless channels are to be averaged.

Packets, each one message on a SOCK_SEQPACKET socket. Its send buffer is the bounded
queue: what does not fit is dropped and shows in the next packet's ``frames_before``.

========  =====================================================================
``b"O"``  open: JSON with ``name``, ``host_api``, ``rate_hz``, ``channels``
``b"E"``  it cannot be opened: one line of UTF-8 for the user; nothing follows
``b"B"``  a block: :data:`HEADER`, then mono int16 in this machine's byte order
``b"F"``  PortAudio has ended the stream; nothing follows
========  =====================================================================
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from kwspot.runtime.audio.devices import NO_MICROPHONE, load_portaudio, names_of_inputs
from kwspot.runtime.errors import DeviceError

OPENED, FAILED, BLOCK, FINISHED = b"O", b"E", b"B", b"F"

HEADER = struct.Struct("=cxxxLqq")
"""Kind, overflows that PortAudio has flagged so far, frames that it delivered before this block, and the
monotonic clock in ns when the block arrived."""

BLOCK_MS = 80
"""What is delivered at once: enough frames to share the cost of a call."""

_INVALID_CHANNELS, _INVALID_RATE = -9998, -9997  # paInvalidChannelCount, paInvalidSampleRate


class Recorder:
    """The callback of a stream.

    Parameters
    ----------
    channels
        Of the device, interleaved in each block.
    channel
        The one that is wanted, from 1; None is the mean of all.
    """

    def __init__(
        self,
        link: socket.socket,
        *,
        channels: int = 1,
        channel: int | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._link = link
        self._to_mono = _to_mono(channels, channel)
        self._clock_ns = clock_ns
        self._frames = self._overflows = 0

    def on_block(self, content: Any, frames: int, _time: Any, status: Any) -> None:
        """Copy and queue. Called on PortAudio's thread: it must neither wait nor raise."""
        if status.input_overflow:
            self._overflows += 1
        header = HEADER.pack(BLOCK, self._overflows & 0xFFFFFFFF, self._frames, self._clock_ns())
        self._frames += frames
        try:
            self._link.send(header + self._to_mono(content), socket.MSG_DONTWAIT)
        except OSError:
            # Full (BlockingIOError): the next header tells. Or the listener has left, and this process ends.
            return


def _to_mono(channels: int, channel: int | None) -> Callable[[Any], bytes]:
    if channels == 1:
        return bytes
    if channel is not None:
        return lambda content: memoryview(content).cast("h")[channel - 1 :: channels].tobytes()
    import numpy as np

    def mean(content: Any) -> bytes:
        samples = np.frombuffer(content, np.int16).reshape(-1, channels)
        return np.rint(samples.mean(axis=1)).astype(np.int16).tobytes()

    return mean


def _mixes(name: str, host_api: str) -> bool:
    """Return whether a device mixes channels itself: ALSA's are plug-ins that claim 32, but for the hardware."""
    return host_api == "ALSA" and "(hw:" not in name


def _ways_to_open(
    request: dict[str, Any], most_channels: int, own_rate_hz: int, *, mixes: bool
) -> Iterator[tuple[int, int]]:
    """(rate, channels), the best first: the rate that is wanted, then as few channels as will do.

    One channel of a device that mixes is the mean of those it has, never the first of them.
    """
    channel = request["channel"]
    if channel == "mean":
        counts = [1] if mixes else [most_channels]
    else:
        fewest = min(2, most_channels) if mixes and channel == 1 else channel or 1
        counts = sorted({fewest, most_channels})
    for rate_hz in dict.fromkeys((request["rate_hz"], own_rate_hz, 48_000, 44_100)):
        yield from ((rate_hz, count) for count in counts)


def open_stream(request: dict[str, Any], link: socket.socket, finished: Callable[[], None]) -> tuple[Any, bytes]:
    """Return an open stream that has not been started, and the packet that says what it is.

    Raises
    ------
    DeviceError
        If there is no such device, or it opens in no way that would do.
    """
    sounddevice = load_portaudio()
    device, channel = request["device"], request["channel"]
    try:
        info = sounddevice.query_devices(device, "input")
    except (ValueError, sounddevice.PortAudioError) as error:
        raise DeviceError(_cannot_open(sounddevice, request, error)) from error
    most_channels = info["max_input_channels"]
    if isinstance(channel, int) and channel > most_channels:
        raise DeviceError(f"microphone {info['name']!r} has {most_channels} channels; expected --channel up to that")
    refused: Exception | None = None
    host_api = sounddevice.query_hostapis(info["hostapi"])["name"]
    mixes = _mixes(info["name"], host_api)
    for rate_hz, channels in _ways_to_open(request, most_channels, round(info["default_samplerate"]), mixes=mixes):
        recorder = Recorder(link, channels=channels, channel=channel if isinstance(channel, int) else None)
        try:
            stream = sounddevice.RawInputStream(
                samplerate=rate_hz,
                blocksize=rate_hz * BLOCK_MS // 1000,
                device=info["index"],
                channels=channels,
                dtype="int16",
                callback=recorder.on_block,
                finished_callback=finished,
            )
        except sounddevice.PortAudioError as error:
            refused = refused or error
            if len(error.args) > 1 and error.args[1] in (_INVALID_CHANNELS, _INVALID_RATE):
                continue
            raise DeviceError(_cannot_open(sounddevice, request, error)) from error
        opened = {"name": info["name"], "host_api": host_api, "rate_hz": rate_hz, "channels": channels}
        return stream, OPENED + json.dumps(opened, allow_nan=False).encode()
    assert refused is not None
    raise DeviceError(_cannot_open(sounddevice, request, refused)) from refused


def _cannot_open(sounddevice: Any, request: dict[str, Any], error: Exception) -> str:
    try:
        inputs = names_of_inputs(sounddevice)
    except sounddevice.PortAudioError:
        inputs = []
    if not inputs:
        return NO_MICROPHONE
    device = request["device"]
    wanted = "the default microphone" if device is None else f"microphone {device!r}"
    reason = " ".join(str(error).split())
    return f"{wanted} cannot be opened ({reason}); expected a number or a part of a name of: {'; '.join(inputs)}"


def _end_with_listener(link: socket.socket) -> None:
    """End when the listener has left: it sends nothing, so the socket becomes readable only then."""
    link.recv(1)
    os._exit(0)


def main(argv: list[str]) -> None:
    """Record until the stream ends, the listener leaves, or this process is killed."""
    # Ctrl-C and a service manager's SIGTERM reach the whole group; the listener decides.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    link, request = socket.socket(fileno=int(argv[0])), json.loads(argv[1])
    # Before anything that may hang.
    threading.Thread(target=_end_with_listener, args=(link,), daemon=True).start()
    finished = threading.Event()
    try:
        stream, opened = open_stream(request, link, finished.set)
        link.send(opened)
        stream.start()
        finished.wait()
        link.send(FINISHED)
    except DeviceError as error:
        link.send(FAILED + str(error).encode())
    except Exception as error:
        # PortAudio's own errors when the stream starts. Whatever else it is, the listener is to hear of it.
        link.send(FAILED + f"the microphone failed: {' '.join(str(error).split())}; try: kwspot doctor".encode())
    # Not through PortAudio's own end, which waits for a device that hangs.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
