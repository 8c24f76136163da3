"""``docs/results.md`` by one command: every preset trained, exported and measured through kwspot's own commands.

::

    python -m kwspot.benchmarks.experiments.results_page --data DIR --work DIR --out docs/results.md

Only the files that the commands write are read. What is there already in
``--work`` is taken as it is, so that an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kwspot.benchmarks.experiments.results_seeds import asked_seeds, measured_seeds
from kwspot.benchmarks.experiments.results_text import page
from kwspot.runtime.child import kwspot as _kwspot
from kwspot.runtime.cli import guarded
from kwspot.runtime.errors import RunError
from kwspot.runtime.files import whole_file

PRESETS = (
    *("perceptron", "conv1", "conv2", "conv2-dropout", "conv1d", "lstm", "gru", "ds-cnn", "tc-cnn"),
    *("bc-resnet-1", "bc-resnet-2", "bc-resnet-3"),
)
SEED_PRESETS = ("perceptron", "conv1", "conv2", "conv2-dropout", "lstm")
TUTORIAL_PROTOCOLS = ("tutorial", "tutorial-speakers")


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
    for name, known in (("presets", PRESETS), ("seed-presets", SEED_PRESETS)):
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


def _train(args: argparse.Namespace, run: Path, *choice: str) -> Any:
    """Train, or go on, or take what is there; returns ``metrics.json``."""
    # An interrupted training leaves both: the best epoch so far, and what it needs to go on.
    if not (run / "metrics.json").exists() or (run / "checkpoint").exists():
        command = ["train", "--data", args.data, "--run", str(run), *choice]
        command += ["--words", args.words] if args.words else []
        command += ["--epochs", str(args.epochs)] if args.epochs else []
        if (run / "checkpoint").exists():
            command.append("--resume")
        elif run.exists():
            command.append("--overwrite")
        _kwspot(*command)
    return json.loads((run / "metrics.json").read_text())


def _preset(args: argparse.Namespace, name: str) -> dict[str, Any]:
    """What the page says of a preset, from the files that the commands wrote."""
    folder = args.work / name
    run, bundle = folder / "run", folder / f"{name}.kws"
    _train(args, run, "--preset", name)
    if not bundle.exists():
        _kwspot("export", str(run), "--bundle", str(bundle))
    accuracy, latency = folder / "accuracy.json", folder / "latency.json"
    if not accuracy.exists():
        words = ["--words", args.words] if args.words else []
        where = ["--data", args.data, "--part", args.part, *words, "--run", str(run)]
        _kwspot("bench", "accuracy", str(bundle), *where, "--json", str(accuracy))
    if not latency.exists():
        _kwspot("bench", "latency", str(bundle), "--json", str(latency))
    return {
        "name": name,
        "accuracy": json.loads(accuracy.read_text()),
        "latency": json.loads(latency.read_text()),
        "parameters": json.loads((bundle / "bundle.json").read_text())["parameters"],
        "macs": json.loads((bundle / "bundle.json").read_text())["macs"],
        "bytes": (bundle / "model.int8.tflite").stat().st_size,
    }


def _same_settings(args: argparse.Namespace) -> None:
    """Refuse results in ``--work`` that were made with other settings: they would be mixed on one page."""
    settings = {"data": str(Path(args.data).resolve()), "words": args.words, "part": args.part, "epochs": args.epochs}
    file = args.work / "settings.json"
    if file.exists():
        if (there := json.loads(file.read_text())) != settings:
            raise RunError(f"{args.work} holds results of {there}, now asked for is {settings}; name another --work")
        return
    with whole_file(file) as path:
        path.write_text(json.dumps(settings, indent=1) + "\n")


def main(argv: Sequence[str]) -> int:
    """Make the page."""
    args = _parse(argv)
    runs_of = asked_seeds(args.seeds)
    _same_settings(args)
    presets = [_preset(args, name) for name in args.presets]
    seed = {
        name: {
            protocol: _train(args, args.work / name / protocol, "--preset", name, "--protocol", protocol)
            for protocol in TUTORIAL_PROTOCOLS
        }
        for name in args.seed_presets
    }
    seeds = {name: measured_seeds(_kwspot, args.work / "seeds", name, runs) for name, runs in runs_of.items()}
    text = page(presets, seeds, seed, ["python", "-m", "kwspot.benchmarks.experiments.results_page", *argv])
    with whole_file(args.out) as path:
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
