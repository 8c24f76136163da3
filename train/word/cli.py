"""``kwspot word``: from typed phrases to a calibrated stream bundle."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kwspot.runtime.errors import ConfigError

if TYPE_CHECKING:
    from kwspot.train.word.plan import Plan


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kwspot word",
        description="Make a bundle that detects phrases you type: all voices of this machine speak them, a network "
        "and its verifier are trained, and the thresholds are calibrated. If it is stopped, the same "
        "command continues where it was; what depends on a changed option is done again.",
    )
    parser.add_argument("phrases", metavar="PHRASE", nargs="+", help='a word, or a phrase in quotes: "hey computer"')
    parser.add_argument("--bundle", type=Path, required=True, metavar="BUNDLE", help="folder to write, NAME.kws")
    parser.add_argument(
        "--listen-first",
        type=Path,
        metavar="DIR",
        help="only write a few spoken WAV files to DIR, for you to listen to",
    )
    parser.add_argument(
        "--recordings",
        type=Path,
        metavar="DIR",
        help="recordings of the phrases by people, a folder for each phrase (kwspot record makes them)",
    )
    parser.add_argument(
        "--negatives",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="recordings without the phrases: speech, other words, noise, saved events that you marked as wrong",
    )
    parser.add_argument(
        "--language", default="en", metavar="CODE", help="language of the phrases, such as de (default: en)"
    )
    parser.add_argument(
        "--target-fa-per-hour",
        type=float,
        default=0.5,
        metavar="X",
        help="how often in an hour each phrase may be detected where nobody said it (default: %(default)g)",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings in TOML, see the manual: docs/own-words.md"
    )
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder to work in (default: BUNDLE.work)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="random seed (default 1)")
    parser.add_argument("--overwrite", action="store_true", help="replace BUNDLE")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; return 0, or the status of the step that failed."""
    args = _parser().parse_args(argv)
    if not (args.target_fa_per_hour > 0 and math.isfinite(args.target_fa_per_hour)):
        raise ConfigError(f"--target-fa-per-hour {args.target_fa_per_hour:g}; expected more than 0")
    if not 0 <= args.seed < 2**32:
        raise ConfigError(f"--seed {args.seed}; expected 0 to 4294967295")
    from kwspot.runtime.model.edit import check_target

    check_target(args.bundle, overwrite=args.overwrite)
    from kwspot.train.speech.espeak import Synthesiser
    from kwspot.train.speech.phrases import check_length, tidy_phrase, transcribe, write_samples
    from kwspot.train.speech.voices import voice_set
    from kwspot.train.word.plan import Plan, read_word_config
    from kwspot.train.word.sources import negative_sounds, recorded_utterances

    settings, tables = read_word_config(args.config)
    phrases, synthesiser = tuple(map(tidy_phrase, args.phrases)), Synthesiser()
    spoken = transcribe(phrases, args.language, synthesiser)
    if args.recordings is not None:
        recorded_utterances(args.recordings, phrases)
    for folder in args.negatives:
        negative_sounds(folder, phrases)
    for phrase in spoken:
        print(f"kwspot: {phrase.phrase!r} will be spoken {phrase.ipa}", file=sys.stderr)
        if phrase.is_short:
            print(
                f"kwspot: {phrase.phrase!r} has so few sounds that it is part of many other words and will fire often; "
                "four or more syllables are better",
                file=sys.stderr,
            )
    voices = voice_set(synthesiser, args.language, args.seed, settings.held_out_voices)
    for phrase in spoken:
        check_length(phrase.phrase, voices, args.seed)
    if args.listen_first is not None:
        count = write_samples(phrases, voices, args.listen_first, args.seed)
        print(f"written: {count} files in {args.listen_first}; if they sound right, go on without --listen-first")
        return 0
    if not args.negatives:
        print(
            "kwspot: without --negatives the thresholds rest on synthesised speech alone and are not to be trusted "
            "until you have calibrated with hours of real sound: kwspot calibrate",
            file=sys.stderr,
        )
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
    return _work(plan, args, shlex.join(["kwspot", "word", *argv]))


def _work(plan: Plan, args: argparse.Namespace, again: str) -> int:
    from kwspot.runtime.child import CommandFailed
    from kwspot.train.word.state import open_work
    from kwspot.train.word.steps import Steps, work_through

    work = args.work or args.bundle.with_name(args.bundle.name + ".work")
    steps = Steps(plan, work, args.bundle, overwrite=args.overwrite)
    with open_work(plan, work) as state:
        try:
            work_through(steps.list(), state)
        except CommandFailed as failed:
            return failed.status
        except KeyboardInterrupt:
            print(f"\nkwspot: stopped; go on with the same command: {again}", file=sys.stderr)
            return 130
        steps.write()
    print(f"written: {args.bundle}; listen with: kwspot listen {args.bundle}")
    return 0
