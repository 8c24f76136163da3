"""Other programs in a process of their own: what they print, or one line that says why they failed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kwspot.runtime.errors import KwspotError


def kwspot_command(*arguments: str) -> list[str]:
    """Return the command line of a kwspot command in this environment."""
    return [sys.executable, "-m", "kwspot.runtime.cli", *arguments]


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
