"""Which boards there are, what runs on each, and which cannot be served and why."""

from __future__ import annotations

import dataclasses
from fnmatch import fnmatch

from kwspot.runtime.errors import DeployError

_OLDEST_GLIBC = 17
"""manylinux2014 is glibc 2.17; no wheel asks for less."""


@dataclasses.dataclass(frozen=True, slots=True)
class Board:
    """An operating system of a Raspberry Pi, with what runs on it.

    Parameters
    ----------
    python
        Version of the system's Python, as in ``"3.13"``.
    multiarch
        Debian's name of the userland. Not the kernel's machine: Raspberry Pi OS
        runs 32-bit programs on a 64-bit kernel.
    machine
        As in the platform tag of a wheel.
    glibc
        Minor version of glibc 2: the newest ``manylinux`` that runs.
    requirements
        Engine → its list of pinned wheels; the first is taken unless one is named.
    apt
        Packages that the system has to bring.
    system_site
        Whether numpy and cffi are those of apt.
    """

    name: str
    title: str
    python: str
    multiarch: str
    machine: str
    glibc: int
    requirements: dict[str, str]
    apt: tuple[str, ...] = ("libportaudio2",)
    system_site: bool = False

    @property
    def wheel_platforms(self) -> tuple[str, ...]:
        """Return the platform tags of wheels that run here, the newest first."""
        tags = [f"manylinux_2_{minor}_{self.machine}" for minor in range(self.glibc, _OLDEST_GLIBC - 1, -1)]
        return (*tags, f"manylinux2014_{self.machine}")

    def requirements_for(self, engine: str | None) -> tuple[str, str]:
        """Return an engine and the name of its list of wheels; None takes the board's first."""
        chosen = engine or next(iter(self.requirements))
        if chosen not in self.requirements:
            raise DeployError(
                f"the engine {chosen} does not run on {self.name}; expected one of {', '.join(self.requirements)}"
            )
        return chosen, self.requirements[chosen]


BOARDS = {
    board.name: board
    for board in (
        Board(
            name="pi-os-13-arm64",
            title="Raspberry Pi OS 13 (Trixie), 64 bit",
            python="3.13",
            multiarch="aarch64-linux-gnu",
            machine="aarch64",
            glibc=41,
            requirements={"litert": "litert.txt", "onnx": "onnx.txt"},
        ),
        Board(
            name="pi-os-12-arm64",
            title="Raspberry Pi OS 12 (Bookworm), 64 bit",
            python="3.11",
            multiarch="aarch64-linux-gnu",
            machine="aarch64",
            glibc=36,
            requirements={"litert": "litert.txt", "tflite": "tflite.txt", "onnx": "onnx.txt"},
        ),
        Board(
            name="pi-os-12-armhf",
            title="Raspberry Pi OS 12 (Bookworm), 32 bit",
            python="3.11",
            multiarch="arm-linux-gnueabihf",
            machine="armv7l",
            glibc=36,
            requirements={"tflite": "tflite-system-numpy.txt"},
            apt=("libportaudio2", "python3-numpy", "python3-cffi"),
            system_site=True,
        ),
    )
}
"""``--target`` → board. Newest first."""


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """A board that cannot be served; `machine` narrows it to one kind of processor (a shell pattern)."""

    name: str
    python: str
    multiarch: str
    machine: str
    reason: str


REFUSED = {
    board.name: board
    for board in (
        Refused(
            "pi-os-12-armv6",
            "3.11",
            "arm-linux-gnueabihf",
            "armv6*",
            "the processor of a Pi 1 or Zero is an ARMv6, for which there is no engine; take a Pi Zero 2 W, 3 or newer",
        ),
        Refused(
            "pi-os-13-armhf",
            "3.13",
            "arm-linux-gnueabihf",
            "*",
            "32-bit Raspberry Pi OS 13 has Python 3.13, for which there is no 32-bit engine; "
            "install the 64-bit Raspberry Pi OS, or version 12",
        ),
    )
}
"""Boards people ask for that cannot be served, with the reason."""

AUTO = "auto"


def choose(target: str) -> tuple[Board, ...]:
    """Return the boards that an archive is for: one, or all of them for ``"auto"``.

    Raises
    ------
    DeployError
        If there is no such board, or nothing can run on it.
    """
    if target == AUTO:
        return tuple(BOARDS.values())
    if target in REFUSED:
        raise DeployError(f"{target} cannot be served: {REFUSED[target].reason}")
    if target not in BOARDS:
        raise DeployError(f"no board {target!r}; expected {AUTO} or one of {', '.join(BOARDS)}")
    return (BOARDS[target],)


def recognise(multiarch: str, python: str, machine: str) -> Board:
    """Return the board that says this about itself.

    Parameters
    ----------
    multiarch, python
        Of its system's Python.
    machine
        What ``uname -m`` says.
    """
    for refused in REFUSED.values():
        if (refused.multiarch, refused.python) == (multiarch, python) and fnmatch(machine, refused.machine):
            return choose(refused.name)[0]
    for board in BOARDS.values():
        if (board.multiarch, board.python) == (multiarch, python):
            return board
    titles = "; ".join(board.title for board in BOARDS.values())
    raise DeployError(f"the board is {multiarch} with Python {python}, which is none of: {titles}")
