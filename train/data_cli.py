"""`kwspot data`: what a folder of recordings holds, and words from a synthesiser."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str]) -> int:
    """Run `kwspot data check` or `kwspot data synth`; returns the exit status."""
    parser = argparse.ArgumentParser(prog="kwspot data", description="Folders of recordings, a folder for each word.")
    commands = parser.add_subparsers(dest="command", required=True)

    check = commands.add_parser(
        "check",
        help="report what a folder holds and all that is wrong in it",
        description="Counts clips, speakers and hours per word and part, and lists what is corrupt, truncated, empty, "
        "clipped, silent, duplicated, no sound, or of a speaker in two parts. Nothing is changed.",
    )
    check.add_argument("folder", metavar="DIR", type=Path, help="<word>/<speaker>_nohash_<n>.wav below it")
    check.add_argument("--json", metavar="FILE", help="write the report as JSON; - for standard output, then no table")

    synth = commands.add_parser(
        "synth",
        help="make a data folder of words spoken by espeak-ng",
        description="Speaks words in many voices (accents, variants, rates, pitches), each voice a speaker, and adds "
        "background noise: something to train on before anything is recorded.",
    )
    synth.add_argument("words", metavar="WORD", nargs="+", help="a word, or a phrase in quotes")
    synth.add_argument("--to", metavar="DIR", type=Path, required=True, help="the data folder to make")
    synth.add_argument("--per-word", metavar="N", type=int, default=100, help="clips of each word (default 100)")
    synth.add_argument("--voices", metavar="N", type=int, help="how many speakers (default: one for each clip)")
    synth.add_argument("--seed", metavar="S", type=int, default=1, help="another seed, other voices (default 1)")
    synth.add_argument("--overwrite", action="store_true", help="replace DIR if it was made by this command")

    args = parser.parse_args(argv)
    return _check(args) if args.command == "check" else _synth(args)


def _check(args: argparse.Namespace) -> int:
    from kwspot.runtime.recordings import DataFolder
    from kwspot.train.data_check import as_json, as_text, examine

    report = examine(DataFolder(args.folder))
    if args.json == "-":
        print(as_json(report))
        return 0
    if args.json:
        from kwspot.runtime.atomic import whole_file

        with whole_file(args.json) as path:
            path.write_text(as_json(report) + "\n", encoding="utf-8")
    print(as_text(report))
    return 0


def _synth(args: argparse.Namespace) -> int:
    from kwspot.runtime.errors import ConfigError
    from kwspot.train.synth_folder import write_synthetic_folder

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
