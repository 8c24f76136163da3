"""How long a start takes: help, and until ``kwspot listen`` hears.

::

    python -m kwspot.benchmarks.startup BUNDLE

Each start is a fresh process, as typed; ready is when the ``start`` event has
arrived. Files are in the system's cache, as at a second start.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from kwspot.benchmarks.engine_choice import engines_to_measure
from kwspot.runtime.bundle import load_bundle
from kwspot.runtime.cli import COMMANDS, guarded
from kwspot.runtime.errors import ConfigError, EngineError

HELP_S, LISTEN_S = 0.15, 0.5
"""What a person should wait at the most."""


def _help_s(command: Sequence[str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    passed_s = time.perf_counter() - start
    _check(command, done.returncode, done.stderr)
    return passed_s


def _ready_s(command: Sequence[str]) -> float:
    """Seconds until the first event, with standard input open as a microphone is."""
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        passed_s = time.perf_counter() - start
        _, said = process.communicate()
    _check(command, process.returncode, said)
    if '"start"' not in first:
        raise EngineError(f"'{' '.join(command)}' began with {first!r}; expected a start event: look at its output")
    return passed_s


def _check(command: Sequence[str], status: int, said: str) -> None:
    if status:
        last_line = (said.strip().splitlines() or ["it said nothing"])[-1]
        raise EngineError(f"'{' '.join(command)}' ended with status {status}: {last_line}")


def main(argv: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m kwspot.benchmarks.startup", description=__doc__)
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle folder, or the name of one that ships with the kit")
    parser.add_argument("--starts", type=int, default=11, metavar="N", help="of each command (default: %(default)s)")
    args = parser.parse_args(argv)
    if args.starts < 1:
        raise ConfigError(f"--starts {args.starts}; expected 1 or more")
    bundle = load_bundle(args.bundle)
    program = str(Path(sys.executable).with_name("kwspot"))
    helps = [["--help"], *([name, "--help"] for name in COMMANDS)]
    engines = engines_to_measure(bundle, None)
    listens = [["listen", str(bundle.path), "--stdin", "--engine", engine] for engine in engines]
    print(f"{f'seconds, {args.starts} starts each':46}{'median':>8}{'least':>8}{'most':>8}{'wanted':>8}")
    for commands, measure, wanted_s in ((helps, _help_s, HELP_S), (listens, _ready_s, LISTEN_S)):
        for words in commands:
            times = sorted(measure([program, *words]) for _ in range(args.starts))
            title = " ".join(["kwspot", *words]).replace(str(bundle.path), bundle.manifest.name)
            print(f"{title:46}{times[len(times) // 2]:8.3f}{times[0]:8.3f}{times[-1]:8.3f}{f'< {wanted_s}':>8}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
