"""A bundle in an engine, in a process of its own: a model or a library that is not sound ends that process, not ours.

``python -m kwspot.runtime.board.engine_trial BUNDLE [ENGINE]`` runs the golden vectors. Status 0: they come out as the
bundle says; 1: they do not, and standard error says what differs; 2: the bundle or the engine cannot be used.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from kwspot.runtime.child import last_words
from kwspot.runtime.errors import EngineError, KwspotError

TIMEOUT_S = 120
"""A board of the first generation takes a minute to start an engine."""


def try_bundle(bundle: str | os.PathLike[str], engine: str | None = None) -> str | None:
    """Run a bundle's golden vectors in a process of its own; return what differs from the bundle, None if nothing.

    Raises
    ------
    EngineError
        If the bundle or the engine cannot be used, does not end, or ends its process by a signal.
    """
    command = [sys.executable, "-m", "kwspot.runtime.board.engine_trial", os.fspath(bundle)]
    command += [] if engine is None else [engine]
    named = f"the engine {engine}" if engine else "the engine"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, errors="replace")
    except subprocess.TimeoutExpired:
        raise EngineError(f"{named} does not answer in {TIMEOUT_S} s on {bundle}") from None
    if done.returncode < 0:
        what = signal.strsignal(-done.returncode) or "unknown"
        raise EngineError(f"{named} died with signal {-done.returncode} ({what.lower()}) on {bundle}: do not run it")
    if done.returncode not in (0, 1):
        raise EngineError(last_words(done.stderr, done.returncode))
    return last_words(done.stderr, done.returncode) if done.returncode else None


def main(argv: Sequence[str]) -> int:
    """Run the golden vectors of a bundle in this process."""
    from kwspot.runtime.board.selftest import run_checks
    from kwspot.runtime.model.bundle import load_bundle
    from kwspot.runtime.model.engines import open_engine

    try:
        bundle = load_bundle(argv[0])
        checks = run_checks(bundle, open_engine(bundle, *argv[1:2]))
    except (KwspotError, ModuleNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    if wrong := [f"{check.name} of {bundle.name}: {check.seen}" for check in checks if not check.passed]:
        print("; ".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
