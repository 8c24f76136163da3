"""Other programs in a process of their own: what they print, or one line that says why they failed."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kwspot.runtime.errors import KwspotError, RunError


class CommandFailed(RunError):
    """A command of the program ended with a status other than 0; it has said why."""

    def __init__(self, command: str, status: int) -> None:
        super().__init__(f"'{command}' ended with status {status}; mend that and run this again")
        self.status = status


def kwspot_command(*arguments: str) -> list[str]:
    """Return the command line of a kwspot command in this environment."""
    return [sys.executable, "-m", "kwspot.runtime.cli", *arguments]


def kwspot(
    *arguments: str,
    module: str = "kwspot.runtime.cli",
    quiet: bool = False,
    results: bool = True,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a command of the program for people to watch; its results go to stderr, as our stdout holds our own.

    Rooms exchange files: this is how one room has another's work done. The child ends with us, however we end; after
    Ctrl-C it is ended before it can give advice of its own.

    Parameters
    ----------
    module
        A module to run in place of the program.
    quiet
        Do not print the command.
    results
        Show what it writes to stdout, else it is dropped.
    environment
        Variables to set for the child.

    Raises
    ------
    CommandFailed
        If the command fails.
    """
    named = "kwspot " + " ".join(arguments)
    if not quiet:
        print(f"$ {named}", file=sys.stderr, flush=True)
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=2 if results else subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
        process_group=0,  # Ctrl-C is for us
        preexec_fn=_die_with_parent,
    ) as process:
        try:
            status = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if status:
        raise CommandFailed(named, status)


def _die_with_parent() -> None:
    # Linux's PR_SET_PDEATHSIG: after kill -9 of the program a training would go on and be in the way of the next.
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def run_child(
    command: Sequence[str],
    failure: Callable[[str], KwspotError],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    """Run a program to its end and return what it prints on standard output.

    Parameters
    ----------
    failure
        Makes the error from the last words of a program that fails.
    environment
        All of its variables, in place of ours.
    folder
        Where it runs.

    Raises
    ------
    KwspotError
        What `failure` makes, if the program cannot be started or ends with another status than 0.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    except OSError as error:
        raise failure(f"{command[0]} cannot be run ({error.strerror})") from None
    if done.returncode:
        raise failure(last_words(done.stderr or done.stdout, done.returncode))
    return done.stdout


def last_words(output: str, status: int) -> str:
    """Return the last line of a program that failed, without the name of ours before it.

    >>> last_words("loading\\nkwspot: no such file\\n", 2), last_words("", 1), last_words("", -9)
    ('no such file', 'it ended with status 1 and said nothing', 'it ended by signal 9 and said nothing')
    """
    lines = output.strip().splitlines()
    if lines:
        return lines[-1].removeprefix("kwspot: ")
    return f"it ended {f'by signal {-status}' if status < 0 else f'with status {status}'} and said nothing"
