"""``docs/results.md`` by one command: every preset trained, exported and measured through kwspot's own commands.

::

    python -m kwspot.benchmarks.experiments.results_page --data DIR --work DIR --out docs/results.md

Only the files that the commands write are read. What is there already in
``--work`` is taken as it is, so that an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from kwspot.benchmarks.experiments.results_seeds import measure_seeds, parse_seeds
from kwspot.benchmarks.experiments.results_text import page
from kwspot.benchmarks.experiments.steps import keep_settings, measure, train
from kwspot.runtime.cli import guarded
from kwspot.runtime.files import whole_file

PRESETS = (
    *("perceptron", "conv1", "conv2", "conv2-dropout", "conv1d", "lstm", "gru", "ds-cnn", "tc-cnn"),
    *("bc-resnet-1", "bc-resnet-2", "bc-resnet-3"),
)
TUTORIAL_PRESETS = ("perceptron", "conv1", "conv2", "conv2-dropout", "lstm")
TUTORIAL = "kwspot.train.experiments.tutorial_protocol"
TUTORIAL_PROTOCOLS: dict[str, tuple[str, ...]] = {"tutorial": (), "tutorial-speakers": ("--by-speaker",)}


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m kwspot.benchmarks.experiments.results_page", description=__doc__)
    parser.add_argument("--data", required=True, metavar="DIR", help="folder of recordings")
    parser.add_argument(
        "--work", required=True, metavar="DIR", type=Path, help="runs, bundles and results are kept here"
    )
    parser.add_argument("--out", required=True, metavar="FILE", type=Path, help="Markdown page to write")
    parser.add_argument("--words", metavar="A,B,C", help="train on and score these words (default: all of DIR)")
    parser.add_argument(
        "--part", choices=("validation", "test"), default="validation", help="part to score (default: %(default)s)"
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="in place of each preset's own")
    for name, known in (("presets", PRESETS), ("tutorial-presets", TUTORIAL_PRESETS)):
        parser.add_argument(
            f"--{name}", nargs="*", default=known, choices=known, metavar="NAME", help="default: " + " ".join(known)
        )
    parser.add_argument(
        "--seeds",
        action="append",
        default=[],
        metavar="NAME=RUN,RUN",
        help="finished runs of one configuration with several seeds, for a table of their own; may be repeated",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Make the page."""
    args = _parse(argv)
    runs_of = parse_seeds(args.seeds)
    data = str(Path(args.data).resolve())
    keep_settings(args.work, {"data": data, "words": args.words, "part": args.part, "epochs": args.epochs})
    words = ("--words", args.words) if args.words else ()
    recipe = ("--data", args.data, *words, *(("--epochs", str(args.epochs)) if args.epochs else ()))
    presets = []
    for name in args.presets:
        folder = args.work / name
        train(folder / "run", *recipe, "--preset", name)
        where = ("--data", args.data, "--part", args.part, *words)
        presets.append({"name": name, **measure(folder / "run", folder, folder / f"{name}.kws", *where)})
    tutorial = {
        name: {
            protocol: train(args.work / name / protocol, *recipe, "--preset", name, *options, module=TUTORIAL)
            for protocol, options in TUTORIAL_PROTOCOLS.items()
        }
        for name in args.tutorial_presets
    }
    seeds = {name: measure_seeds(args.work / "seeds" / name, runs) for name, runs in runs_of.items()}
    text = page(presets, seeds, tutorial, ["python", "-m", "kwspot.benchmarks.experiments.results_page", *argv])
    with whole_file(args.out) as path:
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
