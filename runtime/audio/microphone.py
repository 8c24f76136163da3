"""The microphone: blocks as long as it lives, what was lost, and back again when it went away."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.capture import BLOCK, FAILED, FINISHED, HEADER, OPENED
from kwspot.runtime.audio.capture_link import CaptureProcess, CaptureProcesses
from kwspot.runtime.audio.gaps import LostAudio
from kwspot.runtime.audio.resample import StreamResampler
from kwspot.runtime.audio.sources import DeviceBack, DeviceLost, Gap, SourceEvent
from kwspot.runtime.errors import DeviceError

SILENT_AFTER_S = 3.0
"""Without a block for so long a microphone hangs; it delivers one every 80 ms."""

OPENS_WITHIN_S = 10.0
"""Bluetooth takes seconds; what takes longer hangs."""

FIRST_RETRY_S, LAST_RETRY_S = 0.5, 10.0
"""Back-off: each attempt to open a lost microphone waits twice as long as the one before, up to the last."""

_NOTICES_STOP_S = 0.1


class Microphone:
    """An open microphone; iterating gives int16 blocks at `rate_hz`, and what happened to the sound in its place.

    While it is lost, it is opened again and again; iterating ends only after :meth:`stop`.

    Parameters
    ----------
    device
        Number or part of a name of an input device; None is the system's default.
    rate_hz
        What the blocks are to have; a device that does not do it is resampled.
    channel
        From 1, or "mean" of all; None takes one channel where the device gives one, otherwise the mean.
    captures
        Where the sound comes from; tests have their own.

    Raises
    ------
    DeviceError
        On entering the block or on the first iteration: if there is no such
        device, or it cannot be opened.
    ModuleNotFoundError
        If sounddevice is not installed.
    """

    def __init__(
        self,
        device: str | int | None = None,
        *,
        rate_hz: int = 16_000,
        channel: int | str | None = None,
        captures: CaptureProcesses | None = None,
    ) -> None:
        self._device, self._channel = device, channel
        self._rate_hz = rate_hz
        self._captures = captures or CaptureProcesses()
        self._link: CaptureProcess | None = None
        self._stopping = False
        self._is_open = False
        self._heard_until_s = 0.0
        self.alive: Callable[[], None] = lambda: None
        """Called at least five times a second while iterating or waiting for the device."""
        self.name = "microphone"
        """Of the device, once it is open."""

    def __enter__(self) -> Microphone:
        """Begin to open it. What comes of that is seen by :meth:`wait_until_open`, so that other work can go on."""
        self._link = self._captures.open(self._device, self._rate_hz, self._channel)
        return self

    def __exit__(self, *_: object) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def stop(self) -> None:
        """End the iteration within 0.1 s, also while the device hangs. May be called by a signal's handler."""
        self._stopping = True

    def cpu_s(self) -> float:
        """CPU seconds of recording, since the device was opened last."""
        return 0.0 if self._link is None else self._link.cpu_s()

    def wait_until_open(self) -> None:
        """Return when the device is open, or after :meth:`stop`; a :class:`DeviceError` if it does not open."""
        if self._link is None:
            raise RuntimeError("a Microphone is to be used in a with statement")
        if not self._is_open and (packet := self._receive(OPENS_WITHIN_S)) is not None:
            self._opened(packet)
            self._heard_until_s = self._captures.now_s()
        if not self._is_open and not self._stopping:
            raise DeviceError(
                f"the microphone has not opened within {OPENS_WITHIN_S:g} s; another program may hold it, or it hangs: "
                "unplug it and plug it in again, or look with 'kwspot doctor'"
            )

    def _receive(self, timeout_s: float) -> bytes | None:
        """Return the next packet, or None if there is none in time or it is to stop."""
        assert self._link is not None
        deadline_s = self._captures.now_s() + timeout_s
        while not self._stopping:
            self.alive()
            left_s = deadline_s - self._captures.now_s()
            if left_s <= 0:
                return None
            packet = self._link.receive(min(left_s, _NOTICES_STOP_S))
            if packet is not None:
                return packet
        return None

    def _opened(self, packet: bytes) -> None:
        if packet[:1] == FAILED:
            raise DeviceError(packet[1:].decode())
        if packet[:1] != OPENED:
            raise DeviceError("PortAudio ended while it opened the microphone; try again, or look with 'kwspot doctor'")
        opened: dict[str, Any] = json.loads(packet[1:])
        self._resampler = StreamResampler(opened["rate_hz"], self._rate_hz)
        self._lost_audio = LostAudio(opened["rate_hz"])
        self._device_rate_hz: int = opened["rate_hz"]
        if isinstance(self._device, int):
            # Numbers change when devices come and go.
            self._device = f"{opened['name']}, {opened['host_api']}"
        self.name = opened["name"]
        self._is_open = True

    def __iter__(self) -> Iterator[NDArray[np.int16] | SourceEvent]:
        self.wait_until_open()
        while not self._stopping:
            packet = self._receive(SILENT_AFTER_S)
            if packet is not None and packet[:1] == BLOCK:
                yield from self._block(packet)
            elif not self._stopping:
                yield from self._away(_why_lost(packet))

    def _block(self, packet: bytes) -> Iterator[NDArray[np.int16] | SourceEvent]:
        _, overflows, frames_before, time_ns = HEADER.unpack_from(packet)
        block = np.frombuffer(packet, np.int16, offset=HEADER.size)
        self._heard_until_s = time_ns / 1e9
        for loss in self._lost_audio.take(frames_before, len(block), self._heard_until_s, overflows):
            yield from _gap(self._resampler, loss.frames, loss.cause)
        sound = self._resampler.push(block)
        if len(sound):
            yield sound

    def _away(self, reason: str) -> Iterator[NDArray[np.int16] | SourceEvent]:
        """Wait from the loss of the device to its first block, or to the stop."""
        assert self._link is not None
        self._link.close()
        # The old stream's last samples and the time away are one stretch on the old stream's count.
        resampler, rate_hz, heard_until_s = self._resampler, self._device_rate_hz, self._heard_until_s
        yield DeviceLost(reason)
        retry_s = FIRST_RETRY_S
        block = None
        while block is None and not self._stopping:
            self._wait(retry_s)
            retry_s = min(2 * retry_s, LAST_RETRY_S)
            if not self._stopping:
                block = self._open_again()
        if block is None:
            back_s = self._captures.now_s()
        else:
            _, _, _, time_ns = HEADER.unpack_from(block)
            back_s = time_ns / 1e9 - (len(block) - HEADER.size) / 2 / self._device_rate_hz
            yield DeviceBack(self.name, round(back_s - heard_until_s, 3))
        yield from _gap(resampler, max(0, round((back_s - heard_until_s) * rate_hz)), "device lost")
        if block is not None:
            yield from self._block(block)

    def _open_again(self) -> bytes | None:
        """Try once; return the first block, which alone shows that the device is back."""
        try:
            self._link = self._captures.open(self._device, self._rate_hz, self._channel)
        except DeviceError:  # no descriptor or process is left: try again later
            return None
        packet = self._receive(OPENS_WITHIN_S)
        if packet is not None:
            try:
                self._opened(packet)
            except DeviceError:
                packet = None
        block = None if packet is None else self._receive(SILENT_AFTER_S)
        if block is not None and block[:1] == BLOCK:
            return block
        self._link.close()
        return None

    def _wait(self, seconds: float) -> None:
        until_s = self._captures.now_s() + seconds
        while not self._stopping and (left_s := until_s - self._captures.now_s()) > 0:
            self.alive()
            self._captures.sleep(min(left_s, _NOTICES_STOP_S))


def _gap(resampler: StreamResampler, lost_frames: int, cause: str) -> Iterator[NDArray[np.int16] | Gap]:
    tail, lost_samples = resampler.skip(lost_frames)
    if len(tail):
        yield tail
    if lost_samples > 0:
        yield Gap(lost_samples, cause)


def _why_lost(packet: bytes | None) -> str:
    if packet is None:
        return f"no sound for {SILENT_AFTER_S:g} s"
    if packet[:1] == FINISHED:
        return "PortAudio ended the stream"
    if packet[:1] == FAILED:
        return packet[1:].decode()
    return "the recording process ended"


def microphone_blocks(
    device: str | int | None = None, *, rate_hz: int = 16_000, channel: int | str | None = None
) -> Iterator[NDArray[np.int16] | Gap]:
    """Yield blocks from a microphone, int16 (n,), for ever, and a :class:`Gap` in the place of sound that was lost.

    :meth:`kwspot.runtime.KeywordSpotter.push` takes both, so that its sample clock
    stays right and an outage, however long, costs no work. A warning says how much
    was lost.

    Raises
    ------
    DeviceError
        As :class:`Microphone`.
    """
    with Microphone(device, rate_hz=rate_hz, channel=channel) as microphone:
        for item in microphone:
            if isinstance(item, Gap):
                warnings.warn(
                    f"{item.lost_samples} samples from the microphone were lost ({item.cause}): the loop is too slow "
                    "for this machine, or the microphone went away",
                    RuntimeWarning,
                    stacklevel=2,
                )
            if isinstance(item, Gap | np.ndarray):
                yield item
