"""``kwspot verifier``: a bundle learns to look again at what it suspects."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from kwspot.runtime.errors import BundleError, ConfigError

TRIGGER_SCORE, PASSES = 0.05, 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kwspot verifier",
        description="Give a bundle a second, larger network that is asked only about what the first suspects: fewer "
        "false accepts, at next to no cost while nothing is. It is taught on the recordings of the bundle's run, and "
        "thresholds have to be calibrated anew.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder that kwspot export wrote; it is changed")
    parser.add_argument("--run", type=Path, required=True, metavar="RUN", help="run folder that it was exported from")
    parser.add_argument(
        "--trigger-score",
        type=float,
        default=TRIGGER_SCORE,
        metavar="X",
        help="the first stage's score of a word from which on the verifier is asked (default: %(default)g)",
    )
    parser.add_argument(
        "--passes", type=int, default=PASSES, metavar="N", help="how often each example is heard (default: %(default)s)"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Teach and write; 0."""
    args = _parser().parse_args(argv)
    # Before numpy comes: two threads with an example each are quicker than two with half of a small matrix.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if not 0 < args.trigger_score < 1:
        raise ConfigError(f"--trigger-score {args.trigger_score:g}; expected a score between 0 and 1")
    if args.passes < 1:
        raise ConfigError(f"--passes {args.passes}; expected 1 or more")
    from kwspot.runtime.model.bundle import load_bundle
    from kwspot.runtime.model.edit import check_writable
    from kwspot.runtime.model.embedding import RATE_HZ
    from kwspot.runtime.run_folder import read_run

    bundle = load_bundle(args.bundle)
    check_writable(bundle, args.bundle)
    rate_hz = bundle.manifest.features.sample_rate_hz
    if rate_hz != RATE_HZ:
        raise BundleError(f"{args.bundle} hears sound of {rate_hz} Hz, the verifier {RATE_HZ} Hz; train one of that")
    run = read_run(args.run)
    if run.labels != bundle.manifest.labels:
        raise BundleError(
            f"{args.bundle} hears {', '.join(bundle.manifest.labels)}, {args.run} was trained for "
            f"{', '.join(run.labels)}; expected the run that the bundle was exported from: check --run"
        )
    # The slow imports from here on.
    from kwspot.train.cli import recorded_config
    from kwspot.train.word.verifier import add_verifier, train_verifier

    arrays = train_verifier(run.data_folder, recorded_config(run.config), args.passes)
    add_verifier(bundle, arrays, args.trigger_score)
    print(
        f"written: the verifier is asked from a score of {args.trigger_score:g} on. Calibrate the thresholds anew: "
        f"kwspot calibrate {args.bundle} --negatives DIR"
    )
    return 0
