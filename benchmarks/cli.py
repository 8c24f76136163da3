"""``kwspot bench``: knows its subcommands by module name and loads only the one that is typed."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from kwspot.runtime.errors import ConfigError, expected_one_of

SUBCOMMANDS = {
    "accuracy": ("kwspot.benchmarks.accuracy.cli", "score each form of the model on the same clips"),
    "engines": ("kwspot.benchmarks.latency.engines_cli", "compare the events of all engines on the same sound"),
    "latency": ("kwspot.benchmarks.latency.cli", "time a hop, an hour of sound and a start, for each engine"),
    "instructions": ("kwspot.benchmarks.pi.instructions_cli", "count instructions on the core of an emulated board"),
    "model": (
        "kwspot.benchmarks.protocols.mlperf_cli",
        "run MLPerf Tiny's keyword spotting on a bundle or any .tflite",
    ),
    "stream": ("kwspot.benchmarks.stream.cli", "count misses and false accepts in a stream: a page, or one recording"),
    "wake": ("kwspot.benchmarks.protocols.wake_word", "run Picovoice's wake-word benchmark in speech and noise"),
    "compare": ("kwspot.benchmarks.compare_cli", "compare two results and say what got worse, for CI"),
    "report": ("kwspot.benchmarks.report.cli", "write one page: what a model loses and costs, step by step"),
}
"""Subcommand → (module with ``main(argv) -> int``, one line of help)."""


def _usage() -> str:
    lines = ["usage: kwspot bench COMMAND [OPTION ...]", "", "Measure a bundle.", ""]
    lines += [f"  {name:12} {text}" for name, (_, text) in SUBCOMMANDS.items()]
    return "\n".join([*lines, "", "kwspot bench COMMAND --help shows the options."])


def main(argv: Sequence[str]) -> int:
    """Run one of :data:`SUBCOMMANDS`."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0 if argv else 2
    if argv[0] not in SUBCOMMANDS:
        raise ConfigError(f"no benchmark {argv[0]!r}; {expected_one_of(argv[0], SUBCOMMANDS)}")
    return int(importlib.import_module(SUBCOMMANDS[argv[0]][0]).main(argv[1:]))
