"""Running programs of an emulated board: whole shells in namespaces of their own, or one program by qemu alone."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from kwspot.benchmarks.pi.cores import Core
from kwspot.benchmarks.pi.userland import make_userland
from kwspot.runtime.errors import DeployError

_QEMU = {"arm64": "qemu-aarch64", "armhf": "qemu-arm"}
_ENTER = Path(__file__).with_name("enter.sh")
_CANNOT_ENTER = 124
"""No program of a board ends with this status of its own accord here."""

# The first 20 bytes of a program: 32 or 64 bit, little endian, executable or shared, and the machine.
_ELF = {"arm64": r"\x7fELF\x02\x01\x01", "armhf": r"\x7fELF\x01\x01\x01"}
_MACHINE = {"arm64": r"\x02\x00\xb7\x00", "armhf": r"\x02\x00\x28\x00"}
_MASK = r"\xff" * 7 + r"\x00" + r"\xff" * 8 + r"\xfe\xff\xff\xff"


def require(program: str, package: str | None = None) -> str:
    """Return the path of a program of the machine, or a :class:`DeployError` that names its package."""
    found = shutil.which(program)
    if found is None:
        raise DeployError(
            f"an emulated board needs {program}, which is not installed: sudo apt install {package or program}"
        )
    return found


class EmulatedBoard:
    """A board in a folder; the home folder of its user is ``/root``. One at a time in a folder.

    Parameters
    ----------
    folder
        Made if it is not there, and kept for the next time.
    release
        ``"bookworm"`` or ``"trixie"``.
    packages
        Debian packages on top of Python and the usual tools.
    """

    def __init__(self, folder: Path, core: Core, *, release: str, packages: Sequence[str] = ()) -> None:
        self.core = core
        self.root = folder.resolve() / f"{release}-{core.debian}"
        if not self.root.exists():
            make_userland(self.root, release=release, architecture=core.debian, packages=packages)
        self._describe_core()

    @property
    def home(self) -> Path:
        """Return where ``/root`` is on this machine."""
        return self.root / "root"

    def _describe_core(self) -> None:
        """Return what the board shows in place of this machine's processor; twice, for :meth:`run` covers ``/proc``."""
        for path in (self.root / "proc/cpuinfo", self.root / ".cpuinfo"):
            path.write_text(self.core.cpuinfo())
        cpus = self.root / "sys/devices/system/cpu"
        cpus.mkdir(parents=True, exist_ok=True)
        for name in ("possible", "present", "online"):
            (cpus / name).write_text("0-3\n")

    def run(
        self, command: Sequence[str], *, network: bool = False, timeout_s: float = 3600
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as the board's user; every program it starts is the board's too.

        Without `network` it has none, not even loopback, so that nothing can be downloaded unseen.
        """
        architecture = self.core.debian
        qemu = require(f"{_QEMU[architecture]}-static", "qemu-user-static")
        magic = _ELF[architecture] + r"\x00" * 9 + _MACHINE[architecture]
        program = f":kwspot:M::{magic}:{_MASK}:{qemu}:F"
        alone = [require("unshare", "util-linux"), "--map-root-user", "--mount", *([] if network else ["--net"])]
        enter = ["sh", str(_ENTER), str(self.root), str(self.root / ".cpuinfo"), program]
        environment = {
            "HOME": "/root",
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "LANG": "C.UTF-8",
            "TMPDIR": "/tmp",
            "QEMU_CPU": self.core.name,
        }
        done = subprocess.run(
            [*alone, *enter, *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode == _CANNOT_ENTER:
            raise DeployError(
                f"this machine does not let a user enter a userland of {architecture}: {done.stderr.strip()}; "
                "Linux 6.7 or newer with user namespaces is needed"
            )
        return done

    def qemu_command(self, command: Sequence[str], *, plugin: str, **environment: str) -> list[str]:
        """Return the command line that runs one program of the board under qemu alone, with a plugin."""
        # Plugins need the dynamic build.
        words = [require(_QEMU[self.core.debian], "qemu-user"), "-cpu", self.core.name, "-L", str(self.root)]
        for name, value in environment.items():
            words += ["-E", f"{name}={value}"]
        return [*words, "-plugin", plugin, str(self.root / command[0].lstrip("/")), *command[1:]]
