"""How long a start takes: help, and until ``kwspot listen`` hears.

::

    python -m kwspot.benchmarks.experiments.startup BUNDLE

Each start is a fresh process, as typed; ready is when the ``start`` event has
arrived: after how many seconds, how many of the CPU, and with how much memory
at the most. Files are in the system's cache, as at a second start.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from kwspot.benchmarks.engine_choice import engines_to_measure
from kwspot.runtime.child import last_words, run_child
from kwspot.runtime.cli import COMMANDS, guarded
from kwspot.runtime.errors import ConfigError, EngineError
from kwspot.runtime.model.bundle import Bundle, load_bundle

HELP_S, LISTEN_S = 0.15, 0.5
"""What a person should wait at the most."""

READY_CPU_S, READY_MB = 0.3, 45
"""What a start should take of a board at the most, in LiteRT."""


def _help_s(command: Sequence[str]) -> float:
    start = time.perf_counter()
    run_child(command, partial(_failure, command))
    return time.perf_counter() - start


class Ready(NamedTuple):
    """What a start took until the first event."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def _used(pid: int) -> tuple[float, float]:
    """CPU seconds of a process that runs, of all its threads, and its peak memory in MB."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return cpu_s, next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def _ready(command: Sequence[str]) -> Ready:
    """Until the first event, with standard input open as a microphone is."""
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        passed_s = time.perf_counter() - start
        cpu_s, peak_mb = _used(process.pid) if first else (0.0, 0.0)
        _, errors = process.communicate()
    if process.returncode:
        raise _failure(command, last_words(errors, process.returncode))
    if '"start"' not in first:
        raise EngineError(f"'{' '.join(command)}' began with {first!r}; expected a start event: look at its output")
    return Ready(passed_s, cpu_s, peak_mb)


def _failure(command: Sequence[str], output: str) -> EngineError:
    return EngineError(f"'{' '.join(command)}' failed: {output}")


def _title(words: Sequence[str], bundle: Bundle) -> str:
    return " ".join(["kwspot", *words]).replace(str(bundle.path), bundle.name)


def _print_row(title: str, values: Sequence[float], wanted: float) -> None:
    values = sorted(values)
    print(f"{title:46}{values[len(values) // 2]:8.3f}{values[0]:8.3f}{values[-1]:8.3f}{f'< {wanted}':>8}")


def main(argv: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m kwspot.benchmarks.experiments.startup", description=__doc__)
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
    for words in helps:
        _print_row(_title(words, bundle), [_help_s([program, *words]) for _ in range(args.starts)], HELP_S)
    for words in listens:
        starts = [_ready([program, *words]) for _ in range(args.starts)]
        _print_row(_title(words, bundle), [start.wall_s for start in starts], LISTEN_S)
        _print_row("  of the CPU", [start.cpu_s for start in starts], READY_CPU_S)
        _print_row("  MB at the most", [start.peak_mb for start in starts], READY_MB)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
