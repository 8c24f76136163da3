"""``kwspot listen``: words in files, on standard input or from a microphone, as JSON events.

What needs numpy is imported after the arguments have been read, so that help is instant.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kwspot.runtime.audio.options import DEVICE_HELP, add_channel, channel_of, device_of
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.listen.outputs import add_options

if TYPE_CHECKING:
    from kwspot.runtime.audio.microphone import Microphone
    from kwspot.runtime.detect.spotter import KeywordSpotter
    from kwspot.runtime.listen.reload import Begun
    from kwspot.runtime.sinks.meter import Meter
    from kwspot.runtime.sinks.saved_events import SavedEvents

DEFAULT_BUNDLE = "commands"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kwspot listen",
        description="Detect words; one JSON event a line on standard output. Without a source: the default microphone.",
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
    source.add_argument("--stdin", action="store_true", help="raw 16-bit little-endian mono at the bundle's rate")
    source.add_argument("--device", metavar="NAME", help=DEVICE_HELP)
    source.add_argument("--wyoming", metavar="tcp://HOST:PORT", help="serve sound from Wyoming clients: Home Assistant")
    add_channel(parser)
    parser.add_argument("--engine", metavar="NAME", help="litert, tflite or onnx (default: the first installed)")
    parser.add_argument(
        "--threshold",
        action="append",
        default=[],
        metavar="WORD=0.8",
        help="score from which a word fires; may be given several times",
    )
    parser.add_argument(
        "--gate", metavar="DB", help="no inference while all bands lie below this level of full scale, as in -55"
    )
    parser.add_argument("--meter", action="store_true", help="draw level, scores and losses on the terminal (stderr)")
    parser.add_argument("--save-events", metavar="DIR", help="keep the sound around each detection, the newest 1000")
    add_options(parser)
    return parser


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
    """``kwspot listen``."""
    from kwspot.runtime.listen.config import arguments
    from kwspot.runtime.listen.reload import listen_until_stopped

    listen_until_stopped(lambda: arguments(_parser(), argv), _listen)
    return 0


def check_config(path: str) -> None:
    """Read a file for ``--config``; a :class:`ConfigError` says what is wrong with it."""
    from kwspot.runtime.listen.config import arguments

    args = arguments(_parser(), ["--config", path])
    _thresholds(args.threshold)
    channel_of(args.channel)
    _gate_db(args.gate)


def _seeing(
    args: argparse.Namespace, spotter: KeywordSpotter, microphone: Microphone | None
) -> list[Meter | SavedEvents]:
    """What ``--meter`` and ``--save-events`` ask for: each a watcher and a sink."""
    seen: list[Meter | SavedEvents] = []
    if args.save_events:
        from kwspot.runtime.sinks.saved_events import SavedEvents

        seen.append(SavedEvents(args.save_events, spotter.bundle))
    if args.meter:
        if not sys.stderr.isatty():
            raise ConfigError(
                "--meter draws on a terminal, and standard error is none: leave it out, or do not redirect"
            )
        from kwspot.runtime.sinks.meter import Meter

        def cpu_s() -> float:
            return time.process_time() + (0.0 if microphone is None else microphone.cpu_s())

        seen.append(Meter(sys.stderr, spotter, cpu_s=cpu_s))
    return seen


def _listen(args: argparse.Namespace, begun: Begun) -> None:
    """Listen as `args` say, to the end or a signal."""
    if args.wyoming and (args.meter or args.save_events):
        raise ConfigError("--meter and --save-events are of one stream and --wyoming serves several; leave them out")
    if args.channel is not None and (args.wav or args.stdin or args.wyoming):
        raise ConfigError("--channel is of the microphone; expected neither --wav, --stdin nor --wyoming beside it")
    thresholds, channel, gate_db = _thresholds(args.threshold), channel_of(args.channel), _gate_db(args.gate)
    from kwspot.runtime.audio.sources import raw_blocks, wav_blocks
    from kwspot.runtime.detect.spotter import KeywordSpotter
    from kwspot.runtime.listen.loop import Stopped, listen, stopped_by_signals
    from kwspot.runtime.listen.outputs import opened
    from kwspot.runtime.model.bundle import load_bundle
    from kwspot.runtime.sinks.events import EventWriter

    bundle = load_bundle(args.bundle)
    rate_hz = bundle.manifest.features.sample_rate_hz
    device = device_of(args.device)
    with contextlib.suppress(Stopped), stopped_by_signals(), contextlib.ExitStack() as stack:
        if args.wyoming:
            from kwspot.runtime.wyoming.server import WyomingServer, wyoming_address

            address = wyoming_address(args.wyoming)
            outputs = stack.enter_context(opened(args, None, live=True))
            events = EventWriter(sys.stdout, rate_hz, sinks=[begun, *outputs.sinks])
            server = WyomingServer(
                *address,
                lambda: KeywordSpotter(bundle, engine=args.engine, thresholds=thresholds, gate_db=gate_db),
                events,
                alive=outputs.alive,
            )
            stack.enter_context(stopped_by_signals(server.stop))
            server.run()
            return
        microphone = None
        if not (args.wav or args.stdin):
            # It opens while the engine is loaded.
            from kwspot.runtime.audio.microphone import Microphone

            microphone = stack.enter_context(Microphone(device, rate_hz=rate_hz, channel=channel))
        spotter = KeywordSpotter(bundle, engine=args.engine, thresholds=thresholds, gate_db=gate_db)
        outputs = stack.enter_context(opened(args, spotter, live=not args.wav))
        seen = _seeing(args, spotter, microphone)
        events = EventWriter(sys.stdout, rate_hz, sinks=[begun, *outputs.sinks, *seen])
        for watcher in seen:
            stack.callback(watcher.close)
        watchers = [*outputs.watchers, *seen]
        if args.wav:
            for path in args.wav:
                listen(spotter, wav_blocks(path, rate_hz=rate_hz), events, path, finite=True, watchers=watchers)
        elif args.stdin:
            listen(spotter, raw_blocks(sys.stdin.buffer), events, "stdin", finite=True, watchers=watchers)
        elif microphone is not None:
            microphone.alive = outputs.alive
            stack.enter_context(stopped_by_signals(microphone.stop))
            microphone.wait_until_open()
            name = "microphone" if device is None else str(device)
            listen(spotter, microphone, events, name, finite=False, watchers=watchers)
