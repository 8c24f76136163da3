"""Devices and channels as they are typed."""

import pytest

from kwspot.runtime.audio.options import channel_of, device_of
from kwspot.runtime.errors import ConfigError


def test_a_device_is_a_number_or_a_part_of_its_name():
    digits = "9" * 5_000  # more than Python reads as a number
    assert [device_of(text) for text in ("3", "usb", "²", digits, None)] == [3, "usb", "²", digits, None]


@pytest.mark.parametrize("typed", ["0", "-1", "²", "two", "9" * 5_000])
def test_a_channel_that_is_none_is_told(typed):
    with pytest.raises(ConfigError, match="expected a number from 1, or mean"):
        channel_of(typed)
