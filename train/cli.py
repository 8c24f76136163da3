"""``kwspot train``: recordings in, a run folder out."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kwspot.runtime.errors import ConfigError
from kwspot.train.config.config import Config, load_config, load_preset, preset_summaries

if TYPE_CHECKING:
    from kwspot.runtime.audio.recordings import DataFolder
    from kwspot.train.fit.loop import FitResult
    from kwspot.train.fit.trainer import Network, TrainingTask

DEFAULT_PRESET = "ds-cnn"
"""The smallest network that missed next to nothing on three words of Speech Commands (docs/results.md)."""

_GROUPS = {
    "networks to train on your own recordings": ("ds-cnn", "tc-cnn", "bc-resnet-1", "bc-resnet-2", "bc-resnet-3"),
    "networks of the tutorial, from simple to good": (
        *("perceptron", "conv1", "conv2", "conv2-dropout", "conv1d", "lstm", "gru"),
    ),
    "recipes of what ships with the kit": (
        *("commands", "commands-window", "commands-held-out", "tutorial", "word", "words"),
    ),
}


def main(argv: Sequence[str]) -> int:
    """Train; returns 0, or 130 after Ctrl-C."""
    parser = training_parser("kwspot train", "Train a network to tell the words of a data folder apart.")
    parser.add_argument(
        "--words", metavar="A,B,C", help="the words to tell apart (default: every folder of DIR is a word)"
    )
    parser.add_argument(
        "--start-from",
        metavar="RUN",
        help="begin with the weights of another run where they fit, or with the shipped ones: commands, words",
    )
    args = parser.parse_args(argv)
    config, preset, data = read_asked(args)
    from kwspot.runtime.audio.parts import split_names
    from kwspot.runtime.audio.recordings import DataFolder

    folder = DataFolder(data)
    if args.words is not None:
        words = tuple(split_names(args.words, folder.words))
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, words=words))
    way_on = ["kwspot", "train", "--resume", "--run", str(args.run)]
    return train_on_folder(folder, config, preset, args, way_on, start_from=_start_name(args))


def training_parser(program: str, description: str) -> argparse.ArgumentParser:
    """Return a parser of the options that every training has."""
    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog=_describe_presets(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of recordings, DIR/<word>/<file>.wav")
    parser.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder to write the result to")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--preset", metavar="NAME", help=f"a network and how to train it (default: {DEFAULT_PRESET})")
    how.add_argument("--config", type=Path, metavar="FILE", help="a TOML file of your own in place of a preset")
    parser.add_argument("--epochs", type=int, metavar="N", help="how often to go through the recordings")
    parser.add_argument("--seed", type=int, metavar="N", help="random seed; the same seed gives the same result")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="continue a training that was stopped")
    again.add_argument("--overwrite", action="store_true", help="replace RUN")
    parser.add_argument("--tensorboard", action="store_true", help="write learning curves for TensorBoard too")
    return parser


def read_asked(args: argparse.Namespace) -> tuple[Config, str, Path]:
    """Return configuration, preset and data folder; ``--resume`` reads the rest from the run."""
    there = None
    if args.resume:
        from kwspot.runtime.run_folder import read_run_config

        there = read_run_config(args.run)
    if args.data is None and not there:
        raise ConfigError("no --data; expected the folder of recordings, DIR/<word>/<file>.wav")
    if args.config:
        config, preset = load_config(args.config), args.config.stem
    elif there and not args.preset:
        config, preset = recorded_config(there), there["preset"]
    else:
        preset = args.preset or DEFAULT_PRESET
        config = load_preset(preset)
    changed = {key: value for key in ("epochs", "seed") if (value := getattr(args, key)) is not None}
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, **changed))
    return config, preset, args.data if args.data is not None else Path(there["data"]["folder"] if there else "")


def train_on_folder(
    folder: DataFolder,
    config: Config,
    preset: str,
    args: argparse.Namespace,
    way_on: Sequence[str],
    *,
    start_from: str | None = None,
) -> int:
    """Train on a data folder and say how it ended; returns the exit status. `way_on` is the command that goes on."""
    # The slow imports.
    from kwspot.train.fit.event_files import EVENTS_FOLDER
    from kwspot.train.fit.pretrained import read_start
    from kwspot.train.fit.trainer import begin_with, build_fresh, check_place, prepare, train

    check_place(args.run, resume=args.resume, overwrite=args.overwrite)
    network_of: Callable[[TrainingTask], Network] = build_fresh
    if start_from is None:
        task = prepare(folder, config, preset)
    else:
        start = read_start(start_from)
        task = prepare(folder, config, preset, normalisation=start.normalisation)
        task, network_of = begin_with(task, start_from, start)
    fit_result = train(
        task,
        args.run,
        network_of=network_of,
        resume=args.resume,
        overwrite=args.overwrite,
        tensorboard=args.tensorboard or (args.resume and (args.run / EVENTS_FOLDER).is_dir()),
    )
    return report(fit_result, args.run, config.training.epochs, shlex.join(way_on))


def _start_name(args: argparse.Namespace) -> str | None:
    """Whose weights a training begins with; one that is resumed tells it itself."""
    name: str | None = args.start_from
    if args.resume and name is None:
        from kwspot.runtime.run_folder import read_run_config

        name = read_run_config(args.run).get("start", {}).get("from")
    return name


def _describe_presets() -> str:
    summaries = preset_summaries()
    width = max(map(len, summaries))
    lines = []
    for title, names in _GROUPS.items():
        lines += ["", f"{title}:", *(f"  {name:{width}}  {summaries[name]}" for name in names)]
    return "\n".join(lines[1:])


def report(fit_result: FitResult, run: Path, epochs: int, way_on: str) -> int:
    """Say how a training ended; returns the exit status. `way_on` is the command that goes on with it."""
    if not fit_result.best_epoch:
        print("kwspot: interrupted before the first epoch ended; nothing was kept", file=sys.stderr)
        return 130
    best = fit_result.best
    print(
        f"{run}: best epoch {fit_result.best_epoch}, {100 * best['val_accuracy']:.2f} % on validation", file=sys.stderr
    )
    if fit_result.interrupted:
        print(
            f"kwspot: interrupted after {fit_result.epochs_run} of {epochs} epochs; go on with {way_on}",
            file=sys.stderr,
        )
        return 130
    return 0


def recorded_config(there: Mapping[str, Any]) -> Config:
    """Return the configuration that a run was started with."""
    tables = {field.name: there[field.name] for field in dataclasses.fields(Config) if field.name in there}
    added = ("folder", "noise", "counts")  # by the training
    tables["data"] = {key: value for key, value in there["data"].items() if key not in added}
    return Config.from_dict(tables)
