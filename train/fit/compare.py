"""``kwspot compare``: several runs side by side, as a table and as curves over each other."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kwspot.runtime.errors import RunError
from kwspot.runtime.intervals import wilson_interval

if TYPE_CHECKING:
    from kwspot.runtime.run_folder import Run

_TEXT_COLUMNS = ("run", "preset")
_NUMBER_COLUMNS = ("labels", "parameters", "MACs", "best epoch", "training %", "validation %", "95 % CI", "minutes")


def main(argv: Sequence[str]) -> int:
    """Print the table; returns 0."""
    parser = argparse.ArgumentParser(
        prog="kwspot compare", description="Show training runs side by side: a table, and a picture of their curves."
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folder of kwspot train")
    parser.add_argument("--out", type=Path, metavar="FILE.png", help="draw the curves of all runs into one picture")
    args = parser.parse_args(argv)
    if args.out is not None and args.out.suffix.lower() != ".png":
        raise RunError(f"--out {args.out} is no PNG; expected a name that ends in .png")
    from kwspot.runtime.run_folder import read_run

    runs = [read_run(path) for path in args.runs]
    rows = [_TEXT_COLUMNS + _NUMBER_COLUMNS, *(_row(run) for run in runs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    texts = len(_TEXT_COLUMNS)
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:texts], widths[:texts], strict=True)]
        cells += [cell.rjust(width) for cell, width in zip(row[texts:], widths[texts:], strict=True)]
        print("  ".join(cells))
    if args.out is not None:
        from kwspot.train.fit.pictures import draw_comparison

        draw_comparison(args.out, {str(run.path): run.history for run in runs})
    return 0


def _row(run: Run) -> tuple[str, ...]:
    from kwspot.runtime.run_folder import PROTOCOL

    metrics, validation = run.metrics, run.metrics["validation"]
    low, high = wilson_interval(validation["correct"], validation["total"])
    protocol = run.config["protocol"]
    return (
        str(run.path),
        run.config["preset"] + ("" if protocol == PROTOCOL else f" ({protocol})"),
        str(len(run.labels)),
        str(metrics["parameters"]),
        str(metrics["macs"]),
        f"{metrics['best_epoch']}/{metrics['epochs_run']}",
        f"{100 * metrics['train_accuracy']:.2f}",
        f"{100 * validation['accuracy']:.2f}",
        f"{100 * low:.1f}–{100 * high:.1f}",
        f"{metrics['minutes']:.1f}",
    )
