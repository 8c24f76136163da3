"""Read ``--device`` and ``--channel`` of the commands that use a microphone."""

from __future__ import annotations

import argparse

from kwspot.runtime.errors import ConfigError

DEVICE_HELP = "number or part of the name of a microphone: kwspot devices"
CHANNEL_HELP = "channel of the microphone: a number from 1, or mean (default: the only one, or the mean)"


def add_channel(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--channel``."""
    parser.add_argument("--channel", metavar="N", help=CHANNEL_HELP)


def device_of(text: str | None) -> int | str | None:
    """Return a device as the microphone takes it: a number, a part of a name, or None for the default."""
    return int(text) if text and _is_number(text) else text


def channel_of(text: str | None) -> int | str | None:
    """Return a channel as the microphone takes it: a number from 1, "mean", or None."""
    if text is None or text == "mean":
        return text
    if not _is_number(text) or int(text) < 1:
        raise ConfigError(f"--channel {text}: expected a number from 1, or mean")
    return int(text)


def _is_number(text: str) -> bool:
    # Nine digits: more is neither a device nor a channel, and Python reads no number of thousands of digits.
    return text.isdecimal() and len(text) < 10
