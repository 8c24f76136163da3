"""A run trained on for a few epochs, in int8 or, as the control, in float: ``python -m`` this module."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from kwspot.runtime.cli import guarded
from kwspot.runtime.errors import ConfigError, RunError

_EPOCHS = 5


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kwspot.train.experiments.finetune_cli",
        description="Train a finished run on for a few epochs at a small rate, on the recordings it was trained on; "
        "for a model that loses accuracy in int8. What is written is a run like any other.",
    )
    parser.add_argument("source", metavar="RUN", type=Path, help="run folder to start from; it stays as it is")
    parser.add_argument("--run", type=Path, required=True, metavar="NEW", help="folder to write")
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--quantised", action="store_true", help="round weights and activations as int8 does")
    form.add_argument("--float", action="store_true", help="round nothing: the control of the same length")
    parser.add_argument("--epochs", type=int, default=_EPOCHS, metavar="N", help=f"default: {_EPOCHS}")
    parser.add_argument("--data", type=Path, metavar="DIR", help="recordings (default: those RUN was trained on)")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on where a fine-tuning was stopped")
    again.add_argument("--overwrite", action="store_true", help="replace NEW")
    return parser


def main(argv: Sequence[str]) -> int:
    """Fine-tune; returns 0, or 130 after Ctrl-C."""
    args = _parser().parse_args(argv)
    if args.epochs < 1:
        raise ConfigError(f"--epochs {args.epochs}; expected 1 or more")
    if args.run.resolve() == args.source.resolve():
        raise RunError(f"--run {args.run} is the run to start from; name another folder to write")
    from kwspot.runtime.audio.recordings import DataFolder
    from kwspot.runtime.run_folder import read_run

    source = read_run(args.source)
    data = args.data or Path(source.config["data"]["folder"])
    folder = DataFolder(data)
    # The slow imports from here on.
    from kwspot.train.cli import recorded_config, report
    from kwspot.train.experiments.finetune import finetuning_config, network_from, prepare_finetuning
    from kwspot.train.fit.trainer import check_place, train

    check_place(args.run, resume=args.resume, overwrite=args.overwrite)
    config = finetuning_config(recorded_config(source.config), args.epochs)
    task = prepare_finetuning(source, folder, config, quantised=args.quantised)
    fit_result = train(
        task,
        args.run,
        network_of=lambda task: network_from(source, data=data, quantised=args.quantised, task=task),
        resume=args.resume,
        overwrite=args.overwrite,
    )
    again = [
        "python",
        "-m",
        "kwspot.train.experiments.finetune_cli",
        *(arg for arg in argv if arg not in ("--overwrite", "--resume")),
        "--resume",
    ]
    return report(fit_result, args.run, args.epochs, shlex.join(again))


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
