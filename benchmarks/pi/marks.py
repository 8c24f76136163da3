"""Marks in the guest: calls of a system call that only the counting plugin knows.

This file also runs alone in an emulated environment without the kit, beside the
programs that it is compared with, so it imports nothing of ours.
"""

from __future__ import annotations

import ctypes

KWSPOT = 0x4B57
"""The number of the system call, as in count_instructions.c; there is none by it."""

_BEGIN, _END, _REPORT = 0, 1, 2

_syscall = ctypes.CDLL(None).syscall


def begin(region: int) -> None:
    """Count to this region from here."""
    _syscall(KWSPOT, _BEGIN, region)


def end(region: int) -> None:
    """Count to this region up to here."""
    _syscall(KWSPOT, _END, region)


def report() -> None:
    """Have all counts written."""
    _syscall(KWSPOT, _REPORT, 0)
