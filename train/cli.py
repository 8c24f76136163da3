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
from kwspot.train.config.config import Config, load_config, load_preset, preset_names

if TYPE_CHECKING:
    from kwspot.train.experiments.speech_commands_benchmark import Benchmark
    from kwspot.train.fit.loop import FitResult
    from kwspot.train.fit.trainer import Network, TrainingTask

_PROTOCOLS = ("kwspot", "tutorial", "tutorial-speakers")
_BENCHMARKS = ("v1-12", "v2-12", "v2-35")
_SEED_EPOCHS = 50  # as many as that tutorial ran, whatever the preset says


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kwspot train", description="Train a model to tell the words of a data folder apart."
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of recordings, DIR/<word>/<file>.wav")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--preset", metavar="NAME", help=f"one of {', '.join(preset_names())}")
    how.add_argument("--config", type=Path, metavar="FILE", help="a TOML file of your own")
    parser.add_argument("--words", metavar="A,B,C", help="the words to tell apart (default: all folders)")
    parser.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder to write")
    parser.add_argument(
        "--start-from",
        metavar="RUN",
        help="begin with a run's weights where they fit; shipped: commands, words",
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="in place of the configuration's")
    parser.add_argument("--seed", type=int, metavar="N", help="in place of the configuration's")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on where a training was stopped")
    again.add_argument("--overwrite", action="store_true", help="replace RUN")
    parser.add_argument(
        "--protocol",
        choices=_PROTOCOLS,
        help="tutorial, tutorial-speakers: features and split of the tutorial this kit grew from, only to compare with",
    )
    parser.add_argument(
        "--benchmark",
        choices=_BENCHMARKS,
        help="classes, shares and parts of a published benchmark on Speech Commands; scores its test in the end",
    )
    parser.add_argument("--test", type=Path, metavar="DIR", help="Google's test folder (default: beside --data)")
    parser.add_argument("--tensorboard", action="store_true", help="learning curves for TensorBoard too")
    return parser


def main(argv: Sequence[str]) -> int:
    """Train; returns 0, or 130 after Ctrl-C."""
    args = _parser().parse_args(argv)
    config, preset, data, protocol = _asked(args)
    from kwspot.runtime.audio.recordings import DataFolder

    folder = DataFolder(data)
    benchmark = _benchmark(args)
    if benchmark:
        from kwspot.train.experiments.speech_commands_benchmark import test_of, with_protocol

        config, test = with_protocol(config, benchmark), test_of(folder, benchmark, args.test)
    # The slow imports from here on.
    from kwspot.train.experiments.tutorial_protocol import prepare_tutorial
    from kwspot.train.fit.event_files import EVENTS_FOLDER
    from kwspot.train.fit.pretrained import read_start
    from kwspot.train.fit.trainer import check_place, fresh, prepare, started, train

    check_place(args.run, resume=args.resume, overwrite=args.overwrite)
    network_of: Callable[[TrainingTask], Network] = fresh
    if protocol != _PROTOCOLS[0]:
        task = prepare_tutorial(folder, config, preset, by_speaker=protocol == "tutorial-speakers")
    elif name := _start_name(args):
        start = read_start(name)
        task, network_of = started(prepare(folder, config, preset, normalisation=start.normalisation), name, start)
    else:
        task = prepare(folder, config, preset)
    fit_result = train(
        task,
        args.run,
        network_of=network_of,
        resume=args.resume,
        overwrite=args.overwrite,
        tensorboard=args.tensorboard or (args.resume and (args.run / EVENTS_FOLDER).is_dir()),
    )
    again = ["kwspot", "train", "--resume", "--run", str(args.run)]
    again += ["--benchmark", benchmark.name] if benchmark else []
    again += ["--test", str(args.test)] if args.test else []
    status = report(fit_result, args.run, config.training.epochs, shlex.join(again))
    if benchmark and status == 0:
        from kwspot.train.experiments.speech_commands_benchmark import score, told

        print(told(score(args.run, test, benchmark)))
    return status


def _start_name(args: argparse.Namespace) -> str | None:
    """Whose weights a training begins with; one that is resumed tells it itself."""
    if args.resume and args.start_from is None:
        from kwspot.runtime.run_folder import read_run_config

        name = read_run_config(args.run).get("start", {}).get("from")
        return None if name is None else str(name)
    return None if args.start_from is None else str(args.start_from)


def _benchmark(args: argparse.Namespace) -> Benchmark | None:
    if args.benchmark is None:
        if args.test is not None:
            raise ConfigError("--test is Google's test folder; expected --benchmark with it: name one, or leave it out")
        return None
    for option in ("words", "protocol"):
        if getattr(args, option) is not None:
            raise ConfigError(
                f"--benchmark and --{option} contradict each other; expected one of the two: leave one out"
            )
    from kwspot.train.experiments.speech_commands_benchmark import BENCHMARKS

    return BENCHMARKS[args.benchmark]


def report(fit_result: FitResult, run: Path, epochs: int, way_on: str) -> int:
    """Say how a training ended; returns the exit status. `way_on` is the command that goes on with it."""
    if not fit_result.best_epoch:
        print("kwspot: interrupted before the first epoch ended; nothing was kept", file=sys.stderr)
        return 130
    best = fit_result.best
    print(
        f"{run}: best epoch {fit_result.best_epoch}, {100 * best['val_accuracy']:.2f} % on validation",
        file=sys.stderr,
    )
    if fit_result.interrupted:
        print(
            f"kwspot: interrupted after {fit_result.epochs_run} of {epochs} epochs; go on with {way_on}",
            file=sys.stderr,
        )
        return 130
    return 0


def _asked(args: argparse.Namespace) -> tuple[Config, str, Path, str]:
    """Configuration, preset, data folder and protocol; what --resume is not told, it takes from the run."""
    there = None
    if args.resume:
        from kwspot.runtime.run_folder import read_run_config

        there = read_run_config(args.run)
    if args.preset:
        config, preset = load_preset(args.preset), args.preset
    elif args.config:
        config, preset = load_config(args.config), args.config.stem
    elif there:
        config, preset = recorded_config(there), there["preset"]
    else:
        raise ConfigError(f"no --preset or --config; expected --preset with one of {', '.join(preset_names())}")
    if args.data is None and not there:
        raise ConfigError("no --data; expected the folder of recordings, DIR/<word>/<file>.wav")
    if args.words is not None:
        words = tuple(word.strip() for word in args.words.split(",") if word.strip())
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, words=words))
    protocol = args.protocol or (there["protocol"] if there else _PROTOCOLS[0])
    changed = {key: value for key in ("epochs", "seed") if (value := getattr(args, key)) is not None}
    if protocol != _PROTOCOLS[0] and not there:
        changed.setdefault("epochs", _SEED_EPOCHS)
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, **changed))
    data = args.data if args.data is not None else Path(there["data"]["folder"] if there else "")
    return config, preset, data, protocol


def recorded_config(there: Mapping[str, Any]) -> Config:
    """The configuration that a run was started with."""
    tables = {field.name: there[field.name] for field in dataclasses.fields(Config) if field.name in there}
    added = ("folder", "noise", "counts")  # by the training
    tables["data"] = {key: value for key, value in there["data"].items() if key not in added}
    return Config.from_dict(tables)
