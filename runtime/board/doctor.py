"""``kwspot doctor``: what is wrong with this machine."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """``kwspot doctor``."""
    argparse.ArgumentParser(
        prog="kwspot doctor",
        description="Look at Python, engines, PortAudio, microphones, rights, sound server and processor. "
        "Each line is OK, or says what to do; exit status 1 if anything is to be done.",
    ).parse_args(argv)
    from kwspot.runtime.board.doctor_checks import all_findings

    wrong = 0
    for finding in all_findings():
        wrong += finding.todo is not None
        mark, rest = ("OK  ", "") if finding.todo is None else ("LOOK", f": {finding.todo}")
        print(f"{mark}  {finding.subject}: {finding.seen}{rest}", flush=True)
    if wrong:
        print(f"{wrong} of these lines say what to do")
    return 1 if wrong else 0
