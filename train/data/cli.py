"""`kwspot data`: Google's recordings, what a folder of recordings holds, and words from a synthesiser."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str]) -> int:
    """Run `kwspot data fetch`, `check` or `synth`; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="kwspot data",
        description="Download, check or synthesise recordings: a data folder holds a folder for each word.",
    )
    commands = parser.add_subparsers(dest="command", required=True)

    fetch = commands.add_parser(
        "fetch",
        help="download Google's Speech Commands",
        description="Download the recordings and Google's separate 12-class test set (2.5 GB; version 1: 1.6 GB), "
        "check their SHA-256 and unpack them into DIR/speech_commands_v2 and "
        "DIR/speech_commands_test_set_v2. If the download breaks off, the same command continues where it "
        "stopped. Licence of the recordings: CC BY 4.0.",
    )
    fetch.add_argument("dataset", choices=["speech-commands"])
    fetch.add_argument("--version", type=int, choices=[1, 2], default=2, help="30 words, or 35 (default 2)")
    fetch.add_argument("--to", metavar="DIR", type=Path, required=True, help="the folder to download and unpack in")
    fetch.add_argument(
        "--test-set",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="the 12-class test set too (default) or not",
    )
    fetch.add_argument("--keep-archives", action="store_true", help="keep the downloaded archives in DIR")
    fetch.add_argument(
        "--overwrite", action="store_true", help="download and unpack again, over what this command made before"
    )

    check = commands.add_parser(
        "check",
        help="report what a folder holds and all that is wrong in it",
        description="Count clips, speakers and hours per word and part, and list every file that is corrupt, "
        "truncated, empty, clipped, silent, duplicated, not a sound, or of a speaker in two parts. "
        "Nothing is changed.",
    )
    check.add_argument("folder", metavar="DIR", type=Path, help="the data folder: DIR/<word>/<speaker>_nohash_<n>.wav")
    check.add_argument("--json", metavar="FILE", help="write the report as JSON; - for standard output, then no table")

    synth = commands.add_parser(
        "synth",
        help="make a data folder of words spoken by espeak-ng",
        description="Speak words in many voices (accents, variants, rates, pitches) and add background noise: "
        "something to train on before anything is recorded. Each voice is a speaker.",
    )
    synth.add_argument("words", metavar="WORD", nargs="+", help="a word, or a phrase in quotes")
    synth.add_argument("--to", metavar="DIR", type=Path, required=True, help="the data folder to make")
    synth.add_argument("--per-word", metavar="N", type=int, default=100, help="clips of each word (default 100)")
    synth.add_argument("--voices", metavar="N", type=int, help="number of voices (default: one for each clip)")
    synth.add_argument(
        "--seed", metavar="S", type=int, default=1, help="random seed: another one draws other voices (default 1)"
    )
    synth.add_argument("--overwrite", action="store_true", help="replace DIR if it was made by this command")

    args = parser.parse_args(argv)
    return {"fetch": _fetch, "check": _check, "synth": _synth}[args.command](args)


def _fetch(args: argparse.Namespace) -> int:
    from kwspot.train.data.fetch import fetch_speech_commands

    fetch_speech_commands(
        args.to, args.version, test_set=args.test_set, keep_archives=args.keep_archives, overwrite=args.overwrite
    )
    return 0


def _check(args: argparse.Namespace) -> int:
    from kwspot.runtime.audio.recordings import DataFolder
    from kwspot.runtime.results import write_result
    from kwspot.train.data.check import as_text, examine, to_dict

    report = examine(DataFolder(args.folder))
    write_result(to_dict(report), as_text(report), args.json)
    return 0


def _synth(args: argparse.Namespace) -> int:
    from kwspot.runtime.errors import ConfigError
    from kwspot.train.data.synth_folder import write_synthetic_folder

    if args.seed < 0:
        raise ConfigError(f"--seed is {args.seed}; expected 0 or more: choose another")
    voice_count = args.per_word if args.voices is None else args.voices
    write_synthetic_folder(
        args.to,
        args.words,
        clips_per_word=args.per_word,
        voice_count=voice_count,
        seed=args.seed,
        overwrite=args.overwrite,
    )
    print(
        f"{args.to}: {args.per_word} clips of each of {len(args.words)} words, spoken by {voice_count} voices",
        file=sys.stderr,
    )
    return 0
