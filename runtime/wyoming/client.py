"""One client of the Wyoming service: its connection, the stream of sound on it, and what it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.resample import StreamResampler
from kwspot.runtime.audio.sources import BLOCK_SAMPLES
from kwspot.runtime.detect.decision import Detection as WordDetection
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.errors import AudioFormatError
from kwspot.runtime.wyoming.messages import BadMessage, read_message, send

if TYPE_CHECKING:
    from wyoming.event import Event

    from kwspot.runtime.wyoming.server import WyomingServer

RATES_HZ = range(4_000, 384_001)
CHANNELS = range(1, 9)
MOST_MS = 2**53


class Client:
    """One connection and the stream of sound on it."""

    def __init__(
        self,
        server: WyomingServer,
        spotter: KeywordSpotter,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        name: str,
    ) -> None:
        self._server, self._spotter = server, spotter
        self._reader, self._writer = reader, writer
        self._name = name
        self._rate_hz = spotter.bundle.manifest.features.sample_rate_hz
        self._names: list[str] | None = None
        self._begin(0)

    def _begin(self, timestamp_ms: int) -> None:
        self._spotter.reset()
        self._format: tuple[int, int] | None = None
        self._timestamp_ms = timestamp_ms
        self._detected = False

    async def serve(self) -> None:
        """Answer messages until the client goes; what it has sent by then is a whole stream."""
        try:
            while (message := await read_message(self._reader)) is not None:
                await self._answer(message)
        except OSError:
            await self._finish()
            raise
        await self._finish()

    async def _finish(self) -> None:
        """End a stream: the silence after it completes its last word."""
        if self._format is not None:
            await self._push(self._resampler.flush())
            await self._tell(self._spotter.finish())

    async def _answer(self, message: Event) -> None:
        from wyoming.info import Describe
        from wyoming.ping import Ping, Pong
        from wyoming.wake import NotDetected

        match message.type:
            case "audio-chunk":
                await self._hear(message)
            case "audio-start":
                _format_of(message.data)
                await self._finish()
                timestamp = message.data.get("timestamp")
                self._begin(timestamp if isinstance(timestamp, int) and abs(timestamp) < MOST_MS else 0)
            case "audio-stop":
                await self._finish()
                if not self._detected:
                    await send(NotDetected(), self._writer)
                self._begin(0)
            case "detect":
                self._names = self._known(message.data.get("names"))
            case kind if Describe.is_type(kind):
                await send(self._server.info, self._writer)
            case kind if Ping.is_type(kind):
                await send(Pong(text=Ping.from_event(message).text), self._writer)
            case _:
                pass  # the protocol says: what a service does not know, it lets pass

    def _known(self, names: object) -> list[str] | None:
        """Return the words that the client wants, of those there are; None for all."""
        words = self._spotter.bundle.manifest.words
        if not names:
            return None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise BadMessage(f"detect {str(names)[:80]}: expected a list of words")
        if unknown := [name for name in names if name not in words]:
            self._server.unknown(unknown, self._name)
        if len(unknown) == len(names):
            raise BadMessage(f"detect {str(names)[:80]}: expected some of {', '.join(words)}")
        return names

    async def _hear(self, message: Event) -> None:
        rate_hz, channels = found = _format_of(message.data)
        if self._format is None:
            self._resampler = self._new_resampler(rate_hz)
            self._format = found
        if found != self._format:
            raise BadMessage("sound whose format changes in the middle of a stream; expected audio-stop before")
        sound = message.payload or b""
        if len(sound) % (2 * channels):
            raise BadMessage("a chunk that ends in the middle of a 16-bit sample")
        samples = np.frombuffer(sound, "<i2").reshape(-1, channels)  # (n, channels)
        mono = samples[:, 0] if channels == 1 else np.rint(samples.mean(axis=1))
        await self._push(self._resampler.push(mono.astype(np.int16)))

    def _new_resampler(self, rate_hz: int) -> StreamResampler:
        try:
            return StreamResampler(rate_hz, self._rate_hz)
        except AudioFormatError:
            raise BadMessage(
                f"sound of {rate_hz} Hz; expected {self._rate_hz} Hz, or soxr where kwspot runs: "
                "pip install 'kwspot[files]'"
            ) from None

    async def _push(self, samples: NDArray[np.int16]) -> None:
        for start in range(0, len(samples), BLOCK_SAMPLES):
            block = samples[start : start + BLOCK_SAMPLES]
            self._server.count(len(block))
            await self._tell(self._spotter.push(block))
            await asyncio.sleep(0)  # the others' turn

    async def _tell(self, detections: Sequence[WordDetection]) -> None:
        """Report those of the words that the client wants, to it and to the other programs."""
        from wyoming.wake import Detection

        wanted = [detection for detection in detections if self._names is None or detection.label in self._names]
        for detection in wanted:
            self._detected = True
            self._server.heard(detection, self._name)
        for detection in wanted:
            at_ms = self._timestamp_ms + round(1000 * detection.at_s)
            await send(Detection(name=detection.label, timestamp=at_ms), self._writer)


def _format_of(data: dict[str, Any]) -> tuple[int, int]:
    """Return rate in Hz and channels of a stream; what cannot be converted is a :class:`BadMessage`."""
    rate_hz, width, channels = (data.get(name) for name in ("rate", "width", "channels"))
    if type(rate_hz) is int and type(channels) is int and rate_hz in RATES_HZ and width == 2 and channels in CHANNELS:
        return rate_hz, channels
    raise BadMessage(
        f"sound of rate, width, channels {str((rate_hz, width, channels))[:80]}; expected "
        f"{RATES_HZ[0]} to {RATES_HZ[-1]} Hz, 2 bytes, {CHANNELS[0]} to {CHANNELS[-1]} channels"
    )
