"""``kwspot word``: from typed phrases to a calibrated stream bundle."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kwspot.runtime.errors import BundleError, ConfigError

if TYPE_CHECKING:
    from kwspot.train.word.steps import Step


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kwspot word",
        description="Make a bundle that hears phrases of your own: speak them with all voices of this machine, train, "
        "look for what fires wrongly, train on, calibrate. If it is stopped, the same command goes on.",
    )
    parser.add_argument("phrases", metavar="PHRASE", nargs="+", help='a word, or a phrase in quotes: "hey computer"')
    parser.add_argument("--bundle", type=Path, required=True, metavar="BUNDLE", help="folder to write, NAME.kws")
    parser.add_argument(
        "--recordings", type=Path, metavar="DIR", help="takes of the phrases by people, a folder each: kwspot record"
    )
    parser.add_argument(
        "--negatives",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="recordings without the phrases: speech, other words, noise, saved events that are marked as wrong",
    )
    parser.add_argument("--language", default="en", metavar="CODE", help="of espeak-ng, as in de (default: en)")
    parser.add_argument(
        "--target-fa-per-hour",
        type=float,
        default=0.5,
        metavar="X",
        help="false accepts per hour to calibrate for (default: %(default)g)",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML: the table [word] and a training's")
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder to work in (default: BUNDLE.work)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another seed, other takes (default 1)")
    parser.add_argument("--overwrite", action="store_true", help="replace BUNDLE")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; 0, or the status of the step that failed."""
    args = _parser().parse_args(argv)
    if not (args.target_fa_per_hour > 0 and math.isfinite(args.target_fa_per_hour)):
        raise ConfigError(f"--target-fa-per-hour {args.target_fa_per_hour:g}; expected more than 0")
    if not 0 <= args.seed < 2**32:
        raise ConfigError(f"--seed {args.seed}; expected 0 to 4294967295")
    _check_bundle(args.bundle, overwrite=args.overwrite)
    from kwspot.train.word.negatives import negative_sounds
    from kwspot.train.word.plan import Plan, check_phrases, remember
    from kwspot.train.word.recordings import recorded_utterances
    from kwspot.train.word.settings import read_word_config

    settings, tables = read_word_config(args.config)
    phrases = tuple(" ".join(phrase.split()) for phrase in args.phrases)
    check_phrases(phrases, args.language)
    if args.recordings is not None:
        recorded_utterances(args.recordings, phrases)
    for folder in args.negatives:
        negative_sounds(folder, phrases)
    plan = Plan(
        phrases=phrases,
        language=args.language,
        seed=args.seed,
        settings=settings,
        tables=tables,
        recordings=args.recordings,
        negatives=tuple(args.negatives),
        target_fa_per_hour=args.target_fa_per_hour,
    )
    work = args.work or args.bundle.with_name(args.bundle.name + ".work")
    remember(plan, work)
    if not args.negatives:
        print(
            "kwspot: no --negatives: other words are spoken ones alone, and the threshold is not to be trusted until "
            "hours of real sound have been heard: kwspot calibrate",
            file=sys.stderr,
        )
    from kwspot.train.word.steps import CommandFailed, steps

    with _alone(work):
        try:
            _work_through(list(steps(plan, work, args.bundle, overwrite=args.overwrite)))
        except CommandFailed as failed:
            return failed.status
    print(f"written: {args.bundle}; listen with: kwspot listen {args.bundle}")
    return 0


def _check_bundle(bundle: Path, *, overwrite: bool) -> None:
    if not bundle.exists():
        return
    if not overwrite:
        raise BundleError(f"{bundle} exists; expected a new folder: name another --bundle, or add --overwrite")
    if not (bundle / "bundle.json").is_file():
        raise BundleError(f"{bundle} exists and is no bundle; name another --bundle")


def _work_through(all_steps: Sequence[Step]) -> None:
    """Do what is not done, and say before each step how long the rest may take on this machine."""
    expected_s = spent_s = 0.0
    for number, step in enumerate(all_steps, 1):
        if step.done():
            print(f"[{number}/{len(all_steps)}] {step.name}: done", file=sys.stderr)
            continue
        pace = spent_s / expected_s if expected_s else 1.0
        left_s = pace * sum(other.about_s for other in all_steps[number - 1 :] if not other.done())
        print(f"[{number}/{len(all_steps)}] {step.name}; about {_minutes(left_s)} left", file=sys.stderr, flush=True)
        started = time.monotonic()
        step.do()
        spent_s += time.monotonic() - started
        expected_s += step.about_s


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Nobody else works in the folder meanwhile."""
    import fcntl

    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{work} is being worked in by another kwspot word; wait for it, or name another --work"
            ) from None
        yield
