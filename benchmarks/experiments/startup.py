"""How long a start takes: help, and until ``kwspot listen`` hears.

::

    python -m kwspot.benchmarks.experiments.startup BUNDLE

Each start is a fresh process, as typed; ready is when the ``start`` event has
arrived: after how many seconds, how many of the CPU, and with how much memory
at the most. Files are in the system's cache, as at a second start.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from kwspot.benchmarks.engine_choice import engines_to_measure
from kwspot.benchmarks.experiments.steps import parser_of
from kwspot.benchmarks.tables import Table
from kwspot.runtime.child import last_words, run_child
from kwspot.runtime.cli import COMMANDS, guarded
from kwspot.runtime.errors import EngineError
from kwspot.runtime.model.bundle import load_bundle

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


def _row(title: str, values: Sequence[float], wanted: float) -> list[str]:
    return [title, *(f"{value:.3f}" for value in (statistics.median(values), min(values), max(values))), f"< {wanted}"]


def main(argv: Sequence[str]) -> int:
    """Print the table."""
    parser = parser_of("startup", __doc__)
    parser.add_argument("bundle", type=load_bundle, metavar="BUNDLE", help="bundle folder, or the name of one")
    parser.add_argument("--starts", type=int, default=11, metavar="N", help="of each command (default: %(default)s)")
    args = parser.parse_args(argv)
    program = str(Path(sys.executable).with_name("kwspot"))
    rows = []
    for words in ([], *([name] for name in COMMANDS)):
        command = [program, *words, "--help"]
        rows.append(
            _row(" ".join(["kwspot", *words, "--help"]), [_help_s(command) for _ in range(args.starts)], HELP_S)
        )
    for engine in engines_to_measure(args.bundle, None):
        command = [program, "listen", str(args.bundle.path), "--stdin", "--engine", engine]
        starts = [_ready(command) for _ in range(args.starts)]
        title = f"kwspot listen {args.bundle.name} --stdin --engine {engine}"
        rows += [
            _row(title, [start.wall_s for start in starts], LISTEN_S),
            _row("  of the CPU", [start.cpu_s for start in starts], READY_CPU_S),
            _row("  MB at the most", [start.peak_mb for start in starts], READY_MB),
        ]
    print(Table("", [f"seconds, {args.starts} starts each", "median", "least", "most", "wanted"], rows).text())
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
