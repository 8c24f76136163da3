"""The archive: the kit's wheel, a bundle, an installer, pinned requirements or the wheels, and a hash of each file."""

from __future__ import annotations

import gzip
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from string import Template

from kwspot.export.deploy.boards import REFUSED, Board
from kwspot.export.deploy.kit_wheel import kit_wheel, wheel_name
from kwspot.runtime.errors import BundleError, DeployError
from kwspot.runtime.files import scratch_folder, whole_file
from kwspot.runtime.model.bundle import Bundle, sha256_of
from kwspot.runtime.model.engines import ENGINES
from kwspot.runtime.names import find_name_fault

FOLDER = "kwspot-pi"
"""What the archive unpacks to."""


_HERE = Path(__file__).parent
INSTALLER = _HERE / "requirements/installer.txt"
"""What puts wheels into an environment on a board that has no pip."""
_TOP_MB = 10
"""Bytecode, the log, and what a file system rounds up."""


def write_archive(
    target: Path, bundle: Bundle, boards: Sequence[Board], *, engine: str | None, offline: bool
) -> dict[str, int]:
    """Write ``kwspot-pi.tar.gz``, whole or not at all.

    Parameters
    ----------
    boards
        Those that the archive can be installed on.
    engine
        None takes each board's first.
    offline
        Whether the wheels come along; then for one board alone.

    Returns
    -------
    dict
        File in the archive → its bytes.

    Raises
    ------
    DeployError
        If an engine does not run on a board, or a wheel cannot be downloaded.
    OSError
        If the archive cannot be written.
    """
    with scratch_folder("deploy") as scratch:
        folder = scratch / FOLDER
        _fill(folder, bundle, boards, engine=engine, offline=offline)
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        sums = "".join(f"{sha256_of(path.read_bytes())}  {name}\n" for name, path in files.items())
        files["SHA256SUMS"] = folder / "SHA256SUMS"
        files["SHA256SUMS"].write_text(sums)
        with whole_file(target) as beside:
            _pack(beside, files)
        return {name: path.stat().st_size for name, path in files.items()}


def _fill(folder: Path, bundle: Bundle, boards: Sequence[Board], *, engine: str | None, offline: bool) -> None:
    if fault := find_name_fault(bundle.name):
        raise BundleError(f"the bundle {bundle.name!r} cannot be deployed under this name: {fault}; rename its folder")
    name = f"{bundle.name}.kws"
    (folder / name).mkdir(parents=True)
    for file, content in bundle.files():
        (folder / name / file).write_bytes(content)
    (folder / wheel_name()).write_bytes(kit_wheel())
    shutil.copy(_HERE / "install.sh", folder)
    (folder / "boards").mkdir()
    (folder / "requirements").mkdir()
    needs_mb = 0
    for board in boards:
        chosen, requirements = board.requirements_for(engine)
        shutil.copy(_HERE / "requirements" / requirements, folder / "requirements")
        (folder / "boards" / f"{board.name}.conf").write_text(_board_conf(board, chosen, requirements))
        needs_mb = max(needs_mb, ENGINES[chosen].installed_mb)
        if offline:
            _download(board, folder / "requirements" / requirements, folder / "wheels")
            # Not one of those to be installed.
            for path in (folder / "wheels").glob("installer-*.whl"):
                path.rename(folder / path.name)
            needs_mb = _TOP_MB + sum(map(_unpacked_bytes, (folder / "wheels").iterdir())) // 1_000_000
    for refused in REFUSED.values():
        conf = _conf(
            MULTIARCH=refused.multiarch, PYTHON=refused.python, MACHINE=refused.machine, REFUSED=refused.reason
        )
        # First in the alphabet, so that what narrows a board down is seen before the board.
        (folder / "boards" / f"0-{refused.name}.conf").write_text(conf)
    (folder / "archive.conf").write_text(_conf(BUNDLE=name, OFFLINE="yes" if offline else "no", NEEDS_MB=str(needs_mb)))
    readme = Template((_HERE / "board_readme.txt").read_text(encoding="utf-8"))
    titles = "; ".join(board.title for board in boards)
    words = ", ".join(bundle.manifest.words)
    text = readme.substitute(bundle=shlex.quote(name), boards=titles, words=words)
    (folder / "README.txt").write_text(text, encoding="utf-8")


def _board_conf(board: Board, engine: str, requirements: str) -> str:
    return _conf(
        TITLE=board.title,
        MULTIARCH=board.multiarch,
        PYTHON=board.python,
        MACHINE="*",
        APT=" ".join(board.apt),
        SYSTEM_SITE="yes" if board.system_site else "no",
        ENGINE=engine,
        REQUIREMENTS=requirements,
    )


def _conf(**values: str) -> str:
    """Return assignments for a shell."""
    quoted = {key: value.replace("'", "'\\''") for key, value in values.items()}
    return "".join(f"{key}='{value}'\n" for key, value in quoted.items())


def _download(board: Board, requirements: Path, folder: Path) -> None:
    """Download the board's wheels, from wherever pip is configured to take them; each has to have its hash."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", board.python]
    command += [f"--platform={tag}" for tag in board.wheel_platforms]
    command += ["--dest", str(folder), "--require-hashes"]
    command += [f"--requirement={path}" for path in (requirements, INSTALLER)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise DeployError(
            f"the wheels for {board.name} cannot be downloaded: {said[-1] if said else 'pip said nothing'}; "
            "check the network and pip's configuration, or deploy without --offline"
        )


def _unpacked_bytes(wheel: Path) -> int:
    with zipfile.ZipFile(wheel) as content:
        return sum(entry.file_size for entry in content.infolist())


def _pack(target: Path, files: dict[str, Path]) -> None:
    """Pack the files without dates and owners, so that the same files give the same bytes."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o755 if entry.name.endswith(".sh") else 0o644
        return entry

    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, path in files.items():
            archive.add(path, f"{FOLDER}/{name}", filter=plain)
