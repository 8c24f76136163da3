"""Rooms exchange files: another room's work is done by its command, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

from kwspot.runtime.child import kwspot_command
from kwspot.runtime.errors import RunError


def kwspot(*command: str) -> None:
    """Run one command of the program; its table goes to stderr, as a benchmark's stdout holds its own results.

    Raises
    ------
    RunError
        If the command fails; it has said why.
    """
    print("$ kwspot " + " ".join(command), file=sys.stderr, flush=True)
    status = subprocess.run(kwspot_command(*command), stdout=2, check=False).returncode
    if status:
        raise RunError(f"'kwspot {' '.join(command)}' ended with status {status}; mend that and run this again")
