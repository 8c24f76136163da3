"""Copying to a board and installing there, with the system's ssh and scp and whatever its configuration says."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from kwspot.export.deploy.archive import FOLDER
from kwspot.export.deploy.boards import Board, recognise
from kwspot.runtime.errors import DeployError
from kwspot.runtime.files import scratch_folder

_ASK = (
    "uname -m; python3 -c "
    '\'import sys, sysconfig; print(sysconfig.get_config_var("MULTIARCH"), "%d.%d" % sys.version_info[:2])\''
)


class RemoteBoard:
    """A board that ssh reaches; one connection, so that a password is asked for once.

    Parameters
    ----------
    host
        As ssh takes it: ``user@host``, or a name of ``~/.ssh/config``.
    """

    def __init__(self, host: str) -> None:
        if host.startswith("-"):
            raise DeployError(f"--ssh {host}; expected user@host")
        for program in ("ssh", "scp"):
            if shutil.which(program) is None:
                raise DeployError(f"--ssh needs {program}, which is not installed: sudo apt install openssh-client")
        self._host = host
        # A Unix socket's path is short, so not in a TMPDIR that may be long.
        self._scratch = contextlib.ExitStack()
        control = f"ControlPath={self._scratch.enter_context(scratch_folder('ssh', '/tmp'))}/%C"
        self._options = ["-o", "ControlMaster=auto", "-o", control, "-o", "ControlPersist=60"]

    def __enter__(self) -> RemoteBoard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        command = ["ssh", *self._options, "-O", "exit", self._host]
        subprocess.run(command, capture_output=True, check=False)
        self._scratch.close()

    def _run(self, command: str, *, doing: str) -> str:
        """Run a command on the board and return its standard output; the user sees the rest."""
        done = subprocess.run(
            ["ssh", *self._options, self._host, command], stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode == 255:
            raise DeployError(f"{self._host} cannot be reached; check that 'ssh {self._host}' works")
        if done.returncode:
            raise DeployError(f"{doing} on {self._host} ended with status {done.returncode}; it says why above")
        return done.stdout

    def recognise(self) -> Board:
        """Ask the board what it is; a :class:`DeployError` if nothing runs on it."""
        said = self._run(_ASK, doing="asking for python3").split()
        if len(said) != 3:
            raise DeployError(f"{self._host} did not say what it is but {said}; expected a Raspberry Pi OS")
        machine, multiarch, python = said
        return recognise(multiarch, python, machine)

    def install(self, archive: Path, options: Sequence[str]) -> None:
        """Copy an archive and run its installer with these options."""
        folder = self._run("mktemp -d", doing="making a folder").strip()
        try:
            copy = ["scp", "-q", *self._options, str(archive), f"{self._host}:{folder}/kwspot.tar.gz"]
            if subprocess.run(copy, check=False).returncode:
                raise DeployError(f"the archive cannot be copied to {self._host}:{folder}; scp says why above")
            unpack = f"cd {folder} && tar -xzf kwspot.tar.gz && rm kwspot.tar.gz"
            # Run from the home folder: a relative --prefix is meant from there.
            install = shlex.join(["sh", f"{folder}/{FOLDER}/install.sh", *options])
            self._run(f"({unpack}) && {install}", doing="installing")
        finally:
            self._run(f"rm -rf {folder}", doing="cleaning up")
