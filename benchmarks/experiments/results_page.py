"""``docs/results.md`` by one command: every preset trained, exported and measured through kwspot's own commands.

::

    python -m kwspot.benchmarks.experiments.results_page --data DIR --work DIR --out docs/results.md

Only the files that the commands write are read. What is there already in
``--work`` is taken as it is, so that an interrupted run goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kwspot.benchmarks.experiments.results_text import page
from kwspot.benchmarks.experiments.steps import command_line, keep_settings, measure, parser_of, train
from kwspot.runtime.cli import guarded
from kwspot.runtime.errors import RunError
from kwspot.runtime.files import whole_file
from kwspot.runtime.run_folder import Run, read_run

PRESETS = (
    *("perceptron", "conv1", "conv2", "conv2-dropout", "conv1d", "lstm", "gru", "ds-cnn", "tc-cnn"),
    *("bc-resnet-1", "bc-resnet-2", "bc-resnet-3"),
)
TUTORIAL_PRESETS = ("perceptron", "conv1", "conv2", "conv2-dropout", "lstm")
TUTORIAL = "kwspot.train.experiments.tutorial_protocol"
TUTORIAL_PROTOCOLS: dict[str, tuple[str, ...]] = {"tutorial": (), "tutorial-speakers": ("--by-speaker",)}


# What may differ between two seeds of one configuration: what the seed draws, and how the kit was installed.
_DRAWN = ("normalisation", "calibration", "versions", "preset")


def main(argv: Sequence[str]) -> int:
    """Make the page."""
    parser = parser_of("results_page", __doc__)
    parser.add_argument("--data", required=True, metavar="DIR", help="folder of recordings")
    parser.add_argument("--work", required=True, metavar="DIR", type=Path, help="runs and results are kept here")
    parser.add_argument("--out", required=True, metavar="FILE", type=Path, help="Markdown page to write")
    parser.add_argument("--words", metavar="A,B,C", help="train on and score these words (default: all of DIR)")
    parser.add_argument("--epochs", type=int, metavar="N", help="in place of each preset's own")
    for name, known in (("presets", PRESETS), ("tutorial-presets", TUTORIAL_PRESETS)):
        parser.add_argument(f"--{name}", nargs="*", default=known, choices=known, metavar="NAME", help="default: all")
    runs = "a name, and finished runs of one configuration with several seeds; may be repeated"
    parser.add_argument("--seeds", action="append", nargs="+", default=[], metavar=("NAME", "RUN"), help=runs)
    args = parser.parse_args(argv)
    data = str(Path(args.data).resolve())
    keep_settings(args.work, {"data": data, "words": args.words, "epochs": args.epochs})
    where = ("--data", args.data, *(("--words", args.words) if args.words else ()))
    recipe = (*where, *(("--epochs", str(args.epochs)) if args.epochs else ()))
    presets = []
    for name in args.presets:
        folder = args.work / name
        train(folder / "run", *recipe, "--preset", name)
        measured = measure(folder / "run", folder, folder / f"{name}.kws", *where, "--part", "validation")
        presets.append({"name": name, **measured})
    tutorial = {
        name: {
            protocol: train(args.work / name / protocol, *recipe, "--preset", name, *options, module=TUTORIAL)
            for protocol, options in TUTORIAL_PROTOCOLS.items()
        }
        for name in args.tutorial_presets
    }
    seeds = {name: _measure_seeds(args.work / "seeds" / name, list(map(Path, runs))) for name, *runs in args.seeds}
    with whole_file(args.out) as path:
        path.write_text(page(presets, seeds, tutorial, command_line("results_page", argv)), encoding="utf-8")
    return 0


def _measure_seeds(work: Path, folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Measure finished runs that differ in their seed alone; what is in `work` already is taken as it is."""
    runs = [read_run(folder) for folder in folders]
    for run in runs:
        if not run.finished:
            raise RunError(f"{run.path} is not finished; go on with kwspot train --resume --run {run.path}")
        if _without_seed(run.config) != _without_seed(runs[0].config):
            raise RunError(
                f"{run.path} and {runs[0].path} differ in more than their seed; "
                "expected runs of one configuration: train again with --seed alone changed"
            )
    return [_measured(work / run.path.name, run) for run in runs]


def _without_seed(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in config.items() if key not in _DRAWN}
    return {**kept, "training": {key: value for key, value in config["training"].items() if key != "seed"}}


def _measured(folder: Path, run: Run) -> dict[str, Any]:
    data = run.config["data"]
    # Without a class for other words only the folders of the words can be scored.
    words = () if data["unknown_share"] else ("--words", ",".join(data["words"]))
    where = ("--data", data["folder"], "--part", "validation", *words)
    measured = measure(run.path, folder, folder / "bundle.kws", *where)
    return {**measured, "seed": run.config["training"]["seed"], "minutes": run.metrics["minutes"]}


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
