"""Emulated Raspberry Pi boards: a Debian userland of the board's architecture, run by qemu without root."""
