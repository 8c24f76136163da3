"""``kwspot verifier``: teach a bundle a second stage that checks every candidate before an event is sent."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from pathlib import Path

from kwspot.runtime.errors import BundleError, ConfigError

TRIGGER_SCORE, PASSES, CALLS_PER_HOUR = 0.05, 2, 2000.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kwspot verifier",
        description="Add a verifier to a bundle: a second, larger network that checks every candidate before an event "
        "is sent. It lowers the false accepts, and costs nothing while nothing resembles a word. It is "
        "trained on the recordings of the bundle's run. Calibrate the thresholds again afterwards.",
    )
    parser.add_argument(
        "bundle", type=Path, metavar="BUNDLE", help="bundle folder that kwspot export wrote; it is changed"
    )
    parser.add_argument(
        "--run", type=Path, required=True, metavar="RUN", help="run folder that the bundle was exported from"
    )
    parser.add_argument(
        "--trigger-score",
        type=float,
        default=TRIGGER_SCORE,
        metavar="X",
        help="ask the verifier where the first stage scores a word this high (default: %(default)g)",
    )
    parser.add_argument(
        "--passes",
        type=int,
        default=PASSES,
        metavar="N",
        help="train on each example N times, augmented differently each time (default: %(default)s)",
    )
    parser.add_argument("--negatives", metavar="DIR", help="sound without the words, for --calls-per-hour")
    parser.add_argument(
        "--calls-per-hour",
        type=float,
        default=CALLS_PER_HOUR,
        metavar="N",
        help="raise the trigger score until the verifier is asked at most N times per hour of --negatives "
        "(default: %(default)g)",
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Train the verifier and write it into the bundle."""
    args = _parser().parse_args(argv)
    # Before numpy comes: two threads with an example each are quicker than two with half of a small matrix.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if not 0 < args.trigger_score < 1:
        raise ConfigError(f"--trigger-score {args.trigger_score:g}; expected a score between 0 and 1")
    if args.passes < 1:
        raise ConfigError(f"--passes {args.passes}; expected 1 or more")
    if not 0 < args.calls_per_hour < math.inf:
        raise ConfigError(f"--calls-per-hour {args.calls_per_hour:g}; expected a number above 0")
    from kwspot.runtime.audio.recordings import sounds_below
    from kwspot.runtime.model.bundle import load_bundle
    from kwspot.runtime.model.edit import check_writable
    from kwspot.runtime.model.embedding import RATE_HZ
    from kwspot.runtime.run_folder import read_run

    bundle = load_bundle(args.bundle)
    check_writable(bundle, args.bundle)
    rate_hz = bundle.manifest.features.sample_rate_hz
    if rate_hz != RATE_HZ:
        raise BundleError(
            f"{args.bundle} hears sound of {rate_hz} Hz; the verifier needs {RATE_HZ} Hz: train a bundle of that rate"
        )
    run = read_run(args.run)
    if run.labels != bundle.manifest.labels:
        raise BundleError(
            f"{args.bundle} hears {', '.join(bundle.manifest.labels)}, {args.run} was trained for "
            f"{', '.join(run.labels)}; expected the run that the bundle was exported from: check --run"
        )
    trigger_score = args.trigger_score
    if args.negatives is not None:
        from kwspot.train.word.verifier import choose_trigger_score

        sounds = sounds_below(args.negatives, "sound without the words")
        trigger_score = choose_trigger_score(bundle, sounds, trigger_score, args.calls_per_hour)
    # The slow imports from here on.
    from kwspot.train.cli import recorded_config
    from kwspot.train.word.verifier import add_verifier, train_verifier

    arrays = train_verifier(run.data_folder, recorded_config(run.config), args.passes)
    add_verifier(bundle, arrays, trigger_score)
    print(
        f"written: {args.bundle} has a verifier, asked from a first-stage score of {trigger_score:.3g}. Calibrate the "
        f"thresholds again: kwspot calibrate {args.bundle} --negatives DIR"
    )
    return 0
