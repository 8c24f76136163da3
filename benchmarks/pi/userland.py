"""A Debian userland of another architecture in a folder, from the packages that apt resolves.

apt works with folders of its own, against the mirror that the machine's apt is
configured with; nothing of the machine is changed and no root is needed. The
packages are unpacked, not configured: what their scripts would do is done here,
as far as Python, a shell and the usual tools need it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from kwspot.runtime.child import run_child
from kwspot.runtime.errors import DeployError
from kwspot.runtime.files import whole_folder

PYTHON_OF = {"bookworm": "3.11", "trixie": "3.13"}
"""Debian release → its Python. Raspberry Pi OS 12 is Bookworm, 13 is Trixie."""

_TOOLS = ("python3", "base-files", "coreutils", "dash", "dpkg", "findutils", "grep", "gzip", "mawk", "sed", "tar")
_TOOLS_TOO = ("util-linux",)
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_MERGED = ("bin", "sbin", "lib")
"""Links into /usr, as on an installed system."""


def make_userland(folder: Path, *, release: str, architecture: str, packages: Sequence[str] = ()) -> None:
    """Make a userland in a new folder, whole or not at all.

    Parameters
    ----------
    release
        One of :data:`PYTHON_OF`.
    architecture
        Debian's name, ``"arm64"`` or ``"armhf"``.
    packages
        On top of Python, a shell and the usual tools.
    """
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise DeployError(f"emulated boards are made of Debian packages and {program} is not here: run on Debian")
    with whole_folder(folder) as root:
        private = root / ".apt"
        debs = _download(private, release, architecture, (*_TOOLS, *_TOOLS_TOO, *packages))
        for name in _MERGED:
            (root / "usr" / name).mkdir(parents=True)
            (root / name).symlink_to(f"usr/{name}")
        for deb in debs:
            _unpack(deb, root)
        _write_package_list(debs, root)
        shutil.rmtree(private)
        _link_alternatives(root)
        for name in ("root", "tmp", "proc", "dev", "sys"):
            (root / name).mkdir(exist_ok=True)
        _compile(root, PYTHON_OF[release])


def _run(command: Sequence[str], *, doing: str, **environment: str) -> str:
    return run_child(
        command,
        lambda output: DeployError(f"{doing} failed: {output}; check the network and run 'apt-get update'"),
        environment={**os.environ, **environment},
    )


def _mirror() -> str:
    """Return where the machine's apt takes Debian from."""
    listed = _run(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(SUITE)|$(REPO_URI)"], doing="asking apt")
    for line in listed.splitlines():
        origin, suite, address = line.split("|")
        if origin == "Debian" and not re.search("security|updates|backports", suite):
            return address
    raise DeployError("apt knows no mirror of Debian; run 'apt-get update' first")


def _download(private: Path, release: str, architecture: str, packages: Sequence[str]) -> list[Path]:
    for name in ("etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "state/lists/partial", "cache/archives"):
        (private / name).mkdir(parents=True)
    (private / "cache/archives/partial").mkdir()
    (private / "state/status").touch()
    (private / "etc/sources.list").write_text(f"deb [signed-by={_KEYRING}] {_mirror()} {release} main\n")
    configuration = private / "apt.conf"
    configuration.write_text(
        f'APT::Architecture "{architecture}"; APT::Architectures {{ "{architecture}"; }};\n'
        'APT::Sandbox::User ""; APT::Install-Recommends "false"; Acquire::Languages "none"; Debug::NoLocking "true";\n'
        f'Dir::Etc "{private}/etc"; Dir::State "{private}/state"; Dir::State::status "{private}/state/status";\n'
        f'Dir::Cache "{private}/cache";\n'
    )
    environment = {"APT_CONFIG": str(configuration)}
    _run(["apt-get", "-qq", "update"], doing=f"reading the list of {release} for {architecture}", **environment)
    install = ["apt-get", "-qq", "-y", "--download-only", "install", *packages]
    _run(install, doing=f"downloading {release} for {architecture}", **environment)
    return sorted((private / "cache/archives").glob("*.deb"))


def _unpack(deb: Path, root: Path) -> None:
    # tar would replace the links of a merged /usr by folders; with this it follows them.
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as content:
        tar = ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", str(root), "-f", "-"]
        done = subprocess.run(tar, stdin=content.stdout, capture_output=True, text=True, check=False)
    if done.returncode or content.returncode:
        raise DeployError(f"{deb.name} cannot be unpacked: {done.stderr.strip()}; free some space and try again")


def _write_package_list(debs: Sequence[Path], root: Path) -> None:
    """Write the list of what dpkg says is installed."""
    entries = []
    for deb in debs:
        control = _run(["dpkg-deb", "--field", str(deb)], doing=f"reading {deb.name}")
        entries.append(control.rstrip("\n") + "\nStatus: install ok installed\n")
    for name in ("info", "updates"):
        (root / "var/lib/dpkg" / name).mkdir(parents=True, exist_ok=True)
    (root / "var/lib/dpkg/status").write_text("\n".join(entries), encoding="utf-8")


def _link_alternatives(root: Path) -> None:
    """Link what update-alternatives would choose: awk, and the linear algebra of numpy."""
    (root / "usr/bin/awk").symlink_to("mawk")
    for library in (*root.glob("usr/lib/*/blas/lib*.so.3"), *root.glob("usr/lib/*/lapack/lib*.so.3")):
        (library.parent.parent / library.name).symlink_to(library.relative_to(library.parent.parent))


def _compile(root: Path, python: str) -> None:
    """Compile the library as the packages' scripts do, where this is the same Python; else bytecode comes with use.

    Bytecode is that of the version, whatever the processor.
    """
    if python != f"{sys.version_info.major}.{sys.version_info.minor}":
        return
    library = root / "usr/lib" / f"python{python}"
    command = [sys.executable, "-m", "compileall", "-q", "-s", str(root), "-p", "/", "-x", "/(test|lib2to3)/"]
    _run([*command, str(library)], doing="compiling Python's library")
