"""The machine's microphones, as PortAudio sees them.

PortAudio looks for devices once, when it is loaded, and a device that hangs may
hang whoever asks. So the list is made by a program of its own::

    python -m kwspot.runtime.audio.devices

which prints JSON; :func:`input_devices` runs it and does not wait for ever.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
import sys
from typing import Any

from kwspot.runtime.errors import DeviceError

RATES_HZ = (16_000, 44_100, 48_000)
"""The rates that are tried: what bundles hear, and what sound cards do."""

LIST_TIMEOUT_S = 20.0

NO_MICROPHONE = (
    "no microphone was found; expected one: plug one in ('kwspot listen' also hears --wav FILE and --stdin), "
    "or let 'kwspot doctor' look for causes"
)


@dataclasses.dataclass(frozen=True)
class InputDevice:
    """One microphone; `rates_hz` are those of :data:`RATES_HZ` that it opens at."""

    number: int
    name: str
    host_api: str
    channels: int
    is_default: bool
    rates_hz: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class DeviceList:
    """What PortAudio says of itself, and its microphones."""

    portaudio: str
    inputs: tuple[InputDevice, ...]


def load_portaudio() -> Any:
    """Return the module sounddevice, which loads PortAudio; a :class:`DeviceError` where the library is missing."""
    try:
        import sounddevice
    except OSError as error:
        raise DeviceError(
            f"PortAudio cannot be loaded ({error}); expected the system library libportaudio2: "
            "sudo apt install libportaudio2"
        ) from error
    return sounddevice


def need_sounddevice() -> None:
    """Raise ModuleNotFoundError where sounddevice is not installed, without loading PortAudio."""
    if importlib.util.find_spec("sounddevice") is None:
        raise ModuleNotFoundError("No module named 'sounddevice'", name="sounddevice")


def names_of_inputs(sounddevice: Any) -> list[str]:
    """``NUMBER NAME`` of each microphone."""
    return [
        f"{number} {info['name']}"
        for number, info in enumerate(sounddevice.query_devices())
        if info["max_input_channels"] > 0
    ]


def _opens(sounddevice: Any, number: int, rate_hz: int, most_channels: int) -> bool:
    for channels in sorted({1, most_channels}):
        try:
            sounddevice.check_input_settings(device=number, channels=channels, dtype="int16", samplerate=rate_hz)
        except sounddevice.PortAudioError:
            continue
        return True
    return False


def _find_inputs() -> DeviceList:
    sounddevice = load_portaudio()
    apis = sounddevice.query_hostapis()
    default = sounddevice.default.device[0]
    inputs = [
        InputDevice(
            number=number,
            name=info["name"],
            host_api=apis[info["hostapi"]]["name"],
            channels=info["max_input_channels"],
            is_default=number == default,
            rates_hz=tuple(rate for rate in RATES_HZ if _opens(sounddevice, number, rate, info["max_input_channels"])),
        )
        for number, info in enumerate(sounddevice.query_devices())
        if info["max_input_channels"] > 0
    ]
    return DeviceList(sounddevice.get_portaudio_version()[1], tuple(inputs))


def input_devices() -> DeviceList:
    """Return the microphones that are plugged in now.

    Raises
    ------
    DeviceError
        If PortAudio is missing, or a device does not answer.
    ModuleNotFoundError
        If sounddevice is not installed.
    """
    need_sounddevice()
    command = [sys.executable, "-m", "kwspot.runtime.audio.devices"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIST_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise DeviceError(
            f"a sound device has not answered for {LIST_TIMEOUT_S:g} s; expected a list of microphones: "
            "unplug devices one by one, or restart the sound server"
        ) from None
    try:
        found = json.loads(done.stdout)
    except ValueError:
        from kwspot.runtime.child import last_words  # not above: the process that records imports this file

        why = last_words(done.stderr, done.returncode)
        raise DeviceError(f"PortAudio failed to list the microphones ({why}); try: kwspot doctor") from None
    if "error" in found:
        raise DeviceError(found["error"])
    inputs = tuple(InputDevice(**{**device, "rates_hz": tuple(device["rates_hz"])}) for device in found["inputs"])
    return DeviceList(found["portaudio"], inputs)


def main() -> int:
    """Print the list as JSON, or ``{"error": ...}``."""
    try:
        print(json.dumps(dataclasses.asdict(_find_inputs()), allow_nan=False))
    except DeviceError as error:
        print(json.dumps({"error": str(error)}, allow_nan=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
