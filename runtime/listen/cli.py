"""``kwspot listen``: words in files, on standard input or from a microphone, as JSON events.

The options and their checks. What needs numpy is imported after them, so that help is instant.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from kwspot.runtime.audio.options import DEVICE_HELP, add_channel, channel_of
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.listen.sinks import add_options

DEFAULT_BUNDLE = "commands"
SAMPLE = Path(__file__).parents[1] / "audio/sample.wav"
"""A synthesised voice that says yes, left, right, stop: what `commands` answers before there is a microphone."""


def parser_of_options() -> argparse.ArgumentParser:
    """Return the parser of the command line, which is also the table of what a file may say."""
    parser = argparse.ArgumentParser(
        prog="kwspot listen",
        description="Detect words in sound and write each event as a line of JSON on standard output. Without a "
        "source, listen to the default microphone.",
    )
    parser.add_argument(
        "bundle",
        nargs="?",
        default=DEFAULT_BUNDLE,
        metavar="BUNDLE",
        help=f"bundle folder, or the name of one that ships with the kit (default: {DEFAULT_BUNDLE})",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--wav", nargs="+", metavar="FILE", help="sound files, each a stream of its own")
    source.add_argument("--sample", action="store_true", help="a sample sound: a voice says yes, left, right, stop")
    source.add_argument(
        "--stdin", action="store_true", help="standard input: raw 16-bit little-endian mono at the bundle's rate"
    )
    source.add_argument("--device", metavar="NAME", help=DEVICE_HELP)
    source.add_argument(
        "--wyoming", metavar="tcp://HOST:PORT", help="listen to what Wyoming clients send, such as Home Assistant"
    )
    add_channel(parser)
    parser.add_argument("--engine", metavar="NAME", help="litert, tflite or onnx (default: the first installed)")
    parser.add_argument(
        "--threshold",
        action="append",
        default=[],
        metavar="WORD=0.8",
        help="smoothed score from which WORD is detected; may be repeated",
    )
    parser.add_argument(
        "--gate",
        metavar="DB",
        help="save work in silence: no inference while all mel bands are below this level in dBFS, as in -55",
    )
    parser.add_argument("--config", metavar="FILE.toml", help="read these options from a file; SIGHUP reads it again")
    add_options(parser)
    return parser


def read_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Return the checked options of the command line and of the file that it may name.

    Of these, `threshold` is a mapping of words to scores, `gate` a level in dB, and
    `channel` as a microphone takes it.

    Raises
    ------
    ConfigError
        If an option has a value that it cannot have, or does not go with another.
    """
    from kwspot.runtime.listen.config import arguments

    args = arguments(parser_of_options(), argv)
    if args.sample:
        args.wav = [str(SAMPLE)]
    if args.channel is not None and (args.wav or args.stdin or args.wyoming):
        raise ConfigError("--channel is of the microphone; expected neither --wav, --stdin nor --wyoming beside it")
    args.threshold = _thresholds(args.threshold)
    args.channel = channel_of(args.channel)
    args.gate = _gate_db(args.gate)
    return args


def _thresholds(texts: Iterable[str]) -> dict[str, float]:
    thresholds = {}
    for text in texts:
        word, _, value = text.rpartition("=")
        try:
            thresholds[word] = float(value)
        except ValueError:
            word = ""
        if not word:
            raise ConfigError(f"--threshold {text}: expected WORD=NUMBER with a number from 0 to 1, as in happy=0.8")
    return thresholds


def _gate_db(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        raise ConfigError(f"--gate {text}: expected a level in decibels, as in -55") from None


def main(argv: Sequence[str]) -> int:
    """Run ``kwspot listen``; returns the exit status."""
    from kwspot.runtime.listen.stopping import StopRequest

    args = read_arguments(argv)
    with StopRequest(reloads=args.config is not None) as stop:
        from kwspot.runtime.listen.session import listen_until_stopped

        return listen_until_stopped(args, lambda: read_arguments(argv), stop)


def check_config(path: str) -> argparse.Namespace:
    """Read a file for ``--config`` and return what it says; a :class:`ConfigError` says what is wrong with it."""
    return read_arguments(["--config", path])
