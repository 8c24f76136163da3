"""The processors of the boards, as their ``/proc/cpuinfo`` tells them.

Inference engines choose their kernels by this text and not by what the
processor can do, so an emulated core has to show its own board's.
"""

from __future__ import annotations

import dataclasses

from kwspot.runtime.errors import ConfigError

_ARM64 = "fp asimd evtstrm crc32 cpuid"
_ARM64_2018 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
_ARMV7 = "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm"


@dataclasses.dataclass(frozen=True, slots=True)
class Core:
    """A processor core: its name for qemu, the board that has it, and what identifies it."""

    name: str
    board: str
    part: str
    variant: str
    revision: int
    features: str
    architecture: int = 8

    @property
    def debian(self) -> str:
        """Return Debian's name of the architecture."""
        return "arm64" if self.architecture == 8 else "armhf"

    def cpuinfo(self) -> str:
        """Return the board's ``/proc/cpuinfo``, four cores."""
        core = (
            f"BogoMIPS\t: 108.00\nFeatures\t: {self.features}\nCPU implementer\t: 0x41\n"
            f"CPU architecture: {self.architecture}\nCPU variant\t: {self.variant}\nCPU part\t: {self.part}\n"
            f"CPU revision\t: {self.revision}\n\n"
        )
        return "".join(f"processor\t: {number}\n{core}" for number in range(4)) + f"Model\t\t: {self.board}\n"


CORES = {
    core.name: core
    for core in (
        Core("cortex-a7", "Raspberry Pi 2 Model B Rev 1.1", "0xc07", "0x0", 5, _ARMV7, architecture=7),
        Core("cortex-a53", "Raspberry Pi 3 Model B Rev 1.2", "0xd03", "0x0", 4, _ARM64),
        Core("cortex-a72", "Raspberry Pi 4 Model B Rev 1.1", "0xd08", "0x0", 3, _ARM64),
        Core("cortex-a76", "Raspberry Pi 5 Model B Rev 1.0", "0xd0b", "0x4", 1, _ARM64_2018),
    )
}
"""``--cpu`` → core."""


def core_of(name: str) -> Core:
    """Return a core by its name, or a :class:`ConfigError` that lists them."""
    if name not in CORES:
        raise ConfigError(f"no processor {name!r}; expected one of {', '.join(CORES)}")
    return CORES[name]
