"""Running programs of an emulated board: whole shells by proot, one program by qemu alone."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from kwspot.benchmarks.pi.cores import Core
from kwspot.benchmarks.pi.userland import make_userland
from kwspot.runtime.errors import DeployError

_QEMU = {"arm64": "qemu-aarch64", "armhf": "qemu-arm"}
_PACKAGE = {"qemu-aarch64": "qemu-user", "qemu-arm": "qemu-user", "proot": "proot"}


def require(program: str) -> str:
    """The path of a program of the machine, or a :class:`DeployError` that names its package."""
    found = shutil.which(program)
    if found is None:
        package = _PACKAGE.get(program, program)
        raise DeployError(f"an emulated board needs {program}, which is not installed: sudo apt install {package}")
    return found


class EmulatedBoard:
    """A board in a folder; the home folder of its user is ``/root``.

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
        self._qemu = [require(_QEMU[core.debian]), "-cpu", core.name]
        if not self.root.exists():
            make_userland(self.root, release=release, architecture=core.debian, packages=packages)
        self._describe_core()

    @property
    def home(self) -> Path:
        """Where ``/root`` is on this machine."""
        return self.root / "root"

    def _describe_core(self) -> None:
        """The folders that qemu and proot show in place of this machine's own."""
        (self.root / "proc").mkdir(exist_ok=True)
        (self.root / "proc/cpuinfo").write_text(self.core.cpuinfo())
        cpus = self.root / "sys/devices/system/cpu"
        cpus.mkdir(parents=True, exist_ok=True)
        for name in ("possible", "present", "online"):
            (cpus / name).write_text("0-3\n")

    def run(
        self, command: Sequence[str], *, network: bool = False, timeout_s: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as the board's user; every program it starts is the board's too.

        Without `network` it has none, not even loopback, so that nothing can be downloaded unseen.
        """
        alone = [] if network else [require("unshare"), "--map-root-user", "--net"]
        proot = [require("proot"), "-q", " ".join(self._qemu), "-r", str(self.root), "-w", "/root"]
        proot += ["-b", "/proc", "-b", "/dev", "-b", f"{self.root}/proc/cpuinfo:/proc/cpuinfo"]
        environment = {"HOME": "/root", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TMPDIR": "/tmp"}
        return subprocess.run(
            [*alone, *proot, *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def qemu_command(self, command: Sequence[str], *, plugin: str | None = None, **environment: str) -> list[str]:
        """The command line of this machine that runs one program of the board under qemu alone."""
        words = [*self._qemu, "-L", str(self.root)]
        for name, value in environment.items():
            words += ["-E", f"{name}={value}"]
        if plugin is not None:
            words += ["-plugin", plugin]
        return [*words, str(self.root / command[0].lstrip("/")), *command[1:]]
