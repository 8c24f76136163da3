"""A Python of an emulated board with a bundle's wheels, and counting the instructions of a program in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from kwspot.benchmarks.pi.cores import Core
from kwspot.benchmarks.pi.emulator import EmulatedBoard, require
from kwspot.benchmarks.pi.userland import PYTHON_OF
from kwspot.runtime.child import run_child
from kwspot.runtime.errors import DeployError
from kwspot.runtime.files import scratch_folder, whole_folder

_PLUGIN = Path(__file__).with_name("count_instructions.c")

Counts = dict[int, tuple[int, int]]
"""Region → (calls, instructions)."""


def unpack_wheels(wheels: Sequence[Path], folder: Path) -> None:
    """Unpack wheels of another architecture into a folder for PYTHONPATH; what scripts they have is not needed."""
    with whole_folder(folder, overwrite=True) as site:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as content:
                content.extractall(site)


def unpack_archive(archive: Path, folder: Path) -> Path:
    """Unpack an offline archive; returns the folder for PYTHONPATH. The bundle lies beside it."""
    with whole_folder(folder, overwrite=True) as beside, tarfile.open(archive) as content:
        content.extractall(beside, filter="data")
    (unpacked,) = folder.iterdir()
    wheels = [*unpacked.glob("wheels/*.whl"), *unpacked.glob("kwspot-*.whl")]
    unpack_wheels(wheels, unpacked / "site")
    # A board gets the runtime alone; the workers are of this room.
    ours = Path(__file__).parents[1]
    shutil.copytree(ours, unpacked / "site/kwspot/benchmarks", ignore=shutil.ignore_patterns("__pycache__"))
    return unpacked / "site"


class Guest:
    """A program runner on one emulated core, without proot: what counts is one process."""

    def __init__(self, work: Path, core: Core, *, release: str) -> None:
        self._board = EmulatedBoard(work, core, release=release, packages=("libportaudio2",))
        self._python = f"/usr/bin/python{PYTHON_OF[release]}"
        self._plugin = work.resolve() / "count_instructions.so"
        compiler = [require("gcc"), "-O2", "-shared", "-fPIC", "-o", str(self._plugin), str(_PLUGIN)]
        if subprocess.run(compiler, capture_output=True, check=False).returncode:
            raise DeployError(f"{_PLUGIN} cannot be compiled; run gcc on it to see why")

    def count(self, program: Sequence[str], *, sites: Sequence[Path]) -> Counts:
        """Run ``python PROGRAM`` with the packages of `sites` on the board; what was counted in each region."""
        with scratch_folder("count") as scratch:
            report = Path(scratch) / "report"
            # One thread, and the same order of every dictionary, so that a count repeats.
            command = self._board.qemu_command(
                [self._python, *program],
                plugin=f"{self._plugin},report={report}",
                PYTHONPATH=":".join(str(site.resolve()) for site in sites),
                PYTHONHASHSEED="0",
                OPENBLAS_NUM_THREADS="1",
            )
            environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

            def failure(output: str) -> DeployError:
                return DeployError(
                    f"counting on the emulated {self._board.core.board} failed: {output}; "
                    "the plugin needs QEMU 4.2 to 8, as in Debian 12's qemu-user"
                )

            run_child(command, failure, environment=environment)
            if not report.exists():
                raise failure("the plugin wrote no report")
            rows = [line.split() for line in report.read_text().splitlines()]
        return {int(region): (int(calls), int(instructions)) for region, calls, instructions in rows}
