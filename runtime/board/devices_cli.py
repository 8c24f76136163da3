"""``kwspot devices``: the machine's microphones."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from kwspot.runtime.errors import DeviceError


def main(argv: Sequence[str]) -> int:
    """``kwspot devices``."""
    argparse.ArgumentParser(
        prog="kwspot devices",
        description="List microphones: number, name, channels, host API, and the rates in Hz that open.",
    ).parse_args(argv)
    from kwspot.runtime.audio.devices import NO_MICROPHONE, input_devices

    inputs = input_devices().inputs
    if not inputs:
        raise DeviceError(NO_MICROPHONE)
    width = max(len(device.name) for device in inputs)
    for device in inputs:
        mark = "*" if device.is_default else " "
        rates = ", ".join(map(str, device.rates_hz)) or "none opens"
        print(
            f"{mark} {device.number:3}  {device.name:{width}}  {device.channels:3} channels  {device.host_api}  {rates}"
        )
    return 0
