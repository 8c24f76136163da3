"""What a board says about itself: temperature, throttling, memory."""

from __future__ import annotations

import contextlib
from pathlib import Path

THROTTLED = {
    0: "under-voltage now",
    1: "slowed down now",
    2: "throttled now",
    3: "soft temperature limit now",
    16: "under-voltage since the start",
    17: "slowed down since the start",
    18: "throttled since the start",
    19: "soft temperature limit since the start",
}
"""Bit of the firmware's word → what it means.

References
----------
Raspberry Pi documentation, ``vcgencmd get_throttled``.
"""

_TEMPERATURE = "sys/class/thermal/thermal_zone0/temp"
_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"


def temperature_c(root: Path = Path("/")) -> float | None:
    """Return the processor's temperature in degrees Celsius; None where the system does not tell."""
    with contextlib.suppress(OSError, ValueError):
        return int((root / _TEMPERATURE).read_text()) / 1000
    return None


def throttling(root: Path = Path("/")) -> list[str] | None:
    """Return what the firmware complains of, from :data:`THROTTLED`; None where it cannot be asked."""
    with contextlib.suppress(OSError, ValueError):
        word = int((root / _THROTTLED).read_text(), 16)
        return [meaning for bit, meaning in THROTTLED.items() if word >> bit & 1]
    return None


def peak_rss_mb() -> float:
    """Return the largest memory of this process so far, in MiB.

    Not by getrusage: its peak is inherited from the process that started this one.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no VmHWM")
