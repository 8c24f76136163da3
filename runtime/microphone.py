"""The microphone: a callback that copies and queues, nothing else.

Importing sounddevice loads PortAudio, so it happens when a microphone is opened.
"""

from __future__ import annotations

import queue
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.errors import DeviceError
from kwspot.runtime.sources import BLOCK_SAMPLES, Gap

QUEUE_SECONDS = 5
LOST_AFTER_S = 3.0
"""Without a callback for so long the microphone counts as lost."""


class Microphone:
    """An open microphone; iterating gives int16 blocks, and a :class:`Gap` where sound was lost.

    Parameters
    ----------
    device
        Number or part of a name of an input device; None is the system's default.
    rate_hz
        The rate to open it with.

    Raises
    ------
    DeviceError
        If there is no such device, it cannot be opened at `rate_hz`, or, while
        iterating, it stops delivering.
    """

    def __init__(
        self, device: str | int | None = None, *, rate_hz: int = 16_000, block_samples: int = BLOCK_SAMPLES
    ) -> None:
        sounddevice = _sounddevice()
        self._queue: queue.Queue[NDArray[np.int16] | Gap] = queue.Queue(QUEUE_SECONDS * rate_hz // block_samples)
        self._dropped_samples = 0
        try:
            self._stream = sounddevice.RawInputStream(
                samplerate=rate_hz,
                blocksize=block_samples,
                device=device,
                channels=1,
                dtype="int16",
                callback=self._on_block,
            )
        except (ValueError, sounddevice.PortAudioError) as error:
            raise DeviceError(_opening_failed(sounddevice, device, rate_hz, error)) from error

    def _on_block(self, content: Any, frames: int, time: Any, status: Any) -> None:
        """Copy and queue. Called on PortAudio's thread: it must neither wait nor raise."""
        if status.input_overflow:
            # Sound was lost before this block. PortAudio does not say how much: at least one sample.
            self._dropped_samples += 1
        try:
            if self._dropped_samples:
                self._queue.put_nowait(Gap(self._dropped_samples))
                self._dropped_samples = 0
            self._queue.put_nowait(np.frombuffer(bytes(content), np.int16))
        except queue.Full:
            self._dropped_samples += frames

    def __enter__(self) -> Microphone:
        self._stream.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.abort()
        self._stream.close()

    def __iter__(self) -> Iterator[NDArray[np.int16] | Gap]:
        while True:
            try:
                yield self._queue.get(timeout=LOST_AFTER_S)
            except queue.Empty:
                raise DeviceError(
                    f"the microphone has delivered nothing for {LOST_AFTER_S:g} s; expected a block every "
                    "80 ms: check that it is plugged in, and start again"
                ) from None


def microphone_blocks(device: str | int | None = None, *, rate_hz: int = 16_000) -> Iterator[NDArray[np.int16]]:
    """Blocks from a microphone, int16 (n,), for ever.

    Sound that was lost is replaced by as many zeros, so that the sample clock
    stays right, with a warning that says how much.

    Raises
    ------
    DeviceError
        As :class:`Microphone`.
    """
    with Microphone(device, rate_hz=rate_hz) as microphone:
        for block in microphone:
            if isinstance(block, Gap):
                warnings.warn(
                    f"{block.lost_samples} samples from the microphone were lost and are replaced by zeros: "
                    "the loop is too slow for this machine, or another program keeps it busy",
                    RuntimeWarning,
                    stacklevel=2,
                )
                yield np.zeros(block.lost_samples, np.int16)
            else:
                yield block


def _sounddevice() -> Any:
    try:
        import sounddevice
    except OSError as error:
        raise DeviceError(
            f"PortAudio cannot be loaded ({error}); expected the system library libportaudio2: "
            "sudo apt install libportaudio2"
        ) from error
    return sounddevice


def _opening_failed(sounddevice: Any, device: str | int | None, rate_hz: int, error: Exception) -> str:
    try:
        inputs = [
            f"{number} {info['name']}"
            for number, info in enumerate(sounddevice.query_devices())
            if info["max_input_channels"] > 0
        ]
    except sounddevice.PortAudioError:
        inputs = []
    if not inputs:
        return "no microphone was found; plug one in, or use --wav FILE or --stdin"
    wanted = "the default microphone" if device is None else f"microphone {device!r}"
    reason = " ".join(str(error).split())
    return f"{wanted} cannot be opened at {rate_hz} Hz mono ({reason}); there are: {'; '.join(inputs)}"
