"""``kwspot record``: record utterances of a word from the microphone, checked and trimmed, into a data folder."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kwspot.runtime.audio.options import DEVICE_HELP, add_channel, channel_of, device_of
from kwspot.runtime.errors import ConfigError, DeviceError
from kwspot.runtime.names import check_speaker, check_word

if TYPE_CHECKING:
    from kwspot.runtime.audio.microphone import Microphone
    from kwspot.runtime.record.folder import UtteranceFolder

RATE_HZ = 16_000
INTERRUPTED = 130  # the exit status after Ctrl-C
SHORTEST_WAIT_S, LONGEST_WAIT_S = 1.5, 60.0
NOTHING_IN_A_ROW = 5
"""After so many times of nothing the microphone is taken to be muted."""


def main(argv: Sequence[str]) -> int:
    """Run ``kwspot record``."""
    args = _parser().parse_args(argv)
    check_word(args.word)
    speaker = _login_name() if args.speaker is None else args.speaker
    check_speaker(speaker)
    channel = channel_of(args.channel)
    if args.count < 1:
        raise ConfigError(f"--count {args.count}: expected the number of utterances to keep, 1 or more")
    if not (math.isfinite(args.seconds) and SHORTEST_WAIT_S <= args.seconds <= LONGEST_WAIT_S):
        raise ConfigError(f"--seconds {args.seconds:g}: expected {SHORTEST_WAIT_S:g} to {LONGEST_WAIT_S:g}")
    from kwspot.runtime.listen.stopping import Stopped, StopRequest

    with StopRequest(status=INTERRUPTED) as stop:
        from kwspot.runtime.audio.microphone import Microphone
        from kwspot.runtime.record.folder import UtteranceFolder

        with (
            contextlib.suppress(Stopped),
            Microphone(device_of(args.device), rate_hz=RATE_HZ, channel=channel) as microphone,
            stop.calling(microphone.stop),
        ):
            microphone.wait_until_open()
            stop.check()
            folder = UtteranceFolder(args.to, args.word, speaker)
            _say(
                f"{microphone.name}: say {args.word!r} {args.count} times, with a pause after each; "
                "Ctrl-C ends, and what was recorded stays"
            )
            with stop.breaking_off():
                _record(microphone, folder, args)
    if stop.event.is_set():
        raise KeyboardInterrupt
    _say(_part_of(speaker))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kwspot record",
        description="Record utterances of a word from the microphone. Each is trimmed and written to "
        "DIR/WORD/SPEAKER_nohash_N.wav (16 kHz, mono, 16 bit). One that is too quiet, clipped or cut off is not kept, "
        "and you are told to say it again. Standard output gets one JSON object for each utterance.",
    )
    parser.add_argument("word", metavar="WORD", help="the word, or a phrase in quotes")
    parser.add_argument(
        "--to", metavar="DIR", type=Path, required=True, help="the data folder; no recording there is overwritten"
    )
    parser.add_argument(
        "--count", metavar="N", type=int, default=20, help="number of utterances to record (default 20)"
    )
    parser.add_argument("--speaker", metavar="NAME", help="name of the person who speaks (default: the login name)")
    parser.add_argument("--device", metavar="NAME", help=DEVICE_HELP)
    add_channel(parser)
    parser.add_argument(
        "--seconds",
        metavar="S",
        type=float,
        default=4.0,
        help="longest time for one utterance and the pause after it (default 4)",
    )
    return parser


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise ConfigError(
            "this user has no login name, and the files need the name of a speaker: add --speaker NAME"
        ) from None


def _record(microphone: Microphone, folder: UtteranceFolder, args: argparse.Namespace) -> None:
    """Record until all utterances are kept."""
    import numpy as np

    from kwspot.runtime.audio.sources import DeviceBack, DeviceLost, Gap
    from kwspot.runtime.features.level import bar, level_share, power_db
    from kwspot.runtime.record.utterances import Utterance, UtteranceCutter

    cutter = UtteranceCutter(RATE_HZ, longest_s=args.seconds)
    kept = nothing_in_a_row = 0
    is_terminal = sys.stderr.isatty()
    _say(f"1 of {args.count}: say {args.word!r}")
    for item in microphone:
        if not isinstance(item, np.ndarray):
            cutter.reset()
            if isinstance(item, DeviceLost):
                _say(f"the microphone was lost ({item.reason}); waiting for it")
            elif isinstance(item, DeviceBack):
                _say(f"{item.name} is back; say {args.word!r} again")
            elif isinstance(item, Gap):
                _say(f"{item.lost_samples / RATE_HZ:.2f} s of sound were lost ({item.cause}); say {args.word!r} again")
            continue
        if is_terminal:
            level_db = power_db(item)
            sys.stderr.write(f"\r{bar(level_share(level_db), 1.0)} {level_db:5.1f} dB of full scale\x1b[K")
            sys.stderr.flush()
        for result in cutter.push(item):
            if not isinstance(result, Utterance):
                nothing_in_a_row = nothing_in_a_row + 1 if result.kind == "nothing" else 0
                if nothing_in_a_row == NOTHING_IN_A_ROW:
                    raise DeviceError(
                        f"{result.text}, {NOTHING_IN_A_ROW} times in a row; expected {args.word!r}: check that "
                        f"{microphone.name} is not muted, or choose another with --device; kwspot devices lists them"
                    )
                _say(f"   {result.text}. Say {args.word!r} again")
                continue
            nothing_in_a_row = 0
            path = folder.keep(result.samples, RATE_HZ)
            kept += 1
            measured = {
                "word_s": round(result.word_s, 2),
                "clip_s": round(len(result.samples) / RATE_HZ, 4),
                "peak_db": round(result.peak_db, 1),
                "level_db": round(result.level_db, 1),
                "room_db": round(result.room_db, 1),
            }
            _say(f"   {path}: {result.word_s:.2f} s, peak {result.peak_db:.0f} dB of full scale")
            print(json.dumps({"file": str(path), **measured}, allow_nan=False), flush=True)
            if kept == args.count:
                return
            _say(f"{kept + 1} of {args.count}: say {args.word!r}")


def _part_of(speaker: str) -> str:
    from kwspot.runtime.audio.parts import part_of_speaker

    part = part_of_speaker(speaker)
    use = "training" if part == "train" else f"the {part} part"
    return (
        f"recordings of {speaker!r} are used for {use}, unless lists in the folder say otherwise; of a folder of one "
        "or two speakers, one in ten is used to validate"
    )


def _say(text: str) -> None:
    """Print a line for the user, over the level that stands there on a terminal."""
    print(f"\r{text}\x1b[K" if sys.stderr.isatty() else text, file=sys.stderr, flush=True)
