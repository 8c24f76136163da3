"""``kwspot listen``: words in files, on standard input or from a microphone, as JSON events.

What needs numpy is imported after the arguments have been read, so that help is instant.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from kwspot.runtime.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kwspot.runtime.events import EventWriter
    from kwspot.runtime.sources import Gap
    from kwspot.runtime.spotter import KeywordSpotter

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
    source.add_argument("--device", metavar="NAME", help="number or part of the name of a microphone")
    parser.add_argument("--engine", metavar="NAME", help="litert, tflite or onnx (default: the first installed)")
    parser.add_argument(
        "--threshold",
        action="append",
        default=[],
        metavar="WORD=0.8",
        help="score from which a word fires; may be given several times",
    )
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


class _Stopped(BaseException):
    """SIGINT or SIGTERM; not an Exception, so that nothing between takes it for an error."""


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise _Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listen(spotter: KeywordSpotter, blocks: Iterable[NDArray[np.int16] | Gap], events: EventWriter, name: str) -> None:
    """One stream from its first sample to its last, or to a signal or an error, with its totals."""
    from kwspot.runtime.sources import Gap

    manifest = spotter.bundle.manifest
    spotter.reset()
    detections = lost_samples = 0
    try:
        events.write(
            "start",
            source=name,
            bundle=manifest.name,
            engine=spotter.engine_name,
            words=list(manifest.words),
            sample_rate_hz=manifest.features.sample_rate_hz,
        )
        for block in blocks:
            if isinstance(block, Gap):
                spotter.skip(block.lost_samples)
                lost_samples += block.lost_samples
                events.gap(block.lost_samples, spotter.samples_seen)
                continue
            for detection in spotter.push(block):
                detections += 1
                events.detection(detection)
    finally:
        events.write(
            "stop",
            source=name,
            samples=spotter.samples_seen,
            at_s=events.seconds(spotter.samples_seen),
            detections=detections,
            lost_samples=lost_samples,
        )


def main(argv: Sequence[str]) -> int:
    """``kwspot listen``."""
    args = _parser().parse_args(argv)
    from kwspot.runtime.bundle import load_bundle
    from kwspot.runtime.events import EventWriter
    from kwspot.runtime.sources import raw_blocks, wav_blocks
    from kwspot.runtime.spotter import KeywordSpotter

    bundle = load_bundle(args.bundle)
    rate_hz = bundle.manifest.features.sample_rate_hz
    spotter = KeywordSpotter(bundle, engine=args.engine, thresholds=_thresholds(args.threshold))
    events = EventWriter(sys.stdout, rate_hz)
    with contextlib.suppress(_Stopped), _stopped_by_signals():
        if args.wav:
            for path in args.wav:
                _listen(spotter, wav_blocks(path, rate_hz=rate_hz), events, path)
        elif args.stdin:
            _listen(spotter, raw_blocks(sys.stdin.buffer), events, "stdin")
        else:
            from kwspot.runtime.microphone import Microphone

            device = int(args.device) if args.device and args.device.isdecimal() else args.device
            with Microphone(device, rate_hz=rate_hz) as microphone:
                _listen(spotter, microphone, events, "microphone" if device is None else str(device))
    return 0
