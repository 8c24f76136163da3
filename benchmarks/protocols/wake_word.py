"""Picovoice's wake-word benchmark on one's own recordings: misses against false accepts an hour.

References
----------
Picovoice, *wake-word-benchmark*: utterances of the word mixed into speech and
noise at a fixed ratio; every threshold gives a miss rate and a number of false
accepts for an hour of background.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kwspot.benchmarks.tables import Table
from kwspot.runtime.errors import ConfigError

if TYPE_CHECKING:
    from kwspot.benchmarks.stream.wake_mix import Piece
    from kwspot.runtime.model.bundle import Bundle

SCHEMA = "kwspot.wake-word/1"
AFTER_S = 1.0
"""So long after the end of an utterance a detection still belongs to it."""

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)


def hear(bundle: Bundle, engine: str | None, pieces: Iterable[Piece]) -> dict[str, Any]:
    """Score the whole stream, and note where in it the word is spoken.

    Returns
    -------
    dict
        ``scored`` (:class:`~kwspot.runtime.detect.replay.Scored`), ``utterances``
        (begin, end) in samples for every take, and ``background_s``.
    """
    from kwspot.runtime.detect.replay import Scored, Scorer

    rate_hz = bundle.manifest.features.sample_rate_hz
    scorer = Scorer(bundle, engine)
    parts: list[Scored] = []
    utterances: list[tuple[int, int]] = []
    clock = background = 0
    for piece in pieces:
        if piece.is_word:
            utterances.append((clock, clock + len(piece.sound)))
        else:
            background += len(piece.sound)
        clock += len(piece.sound)
        parts.append(scorer.push(piece.sound))
    return {
        "scored": Scored.join([*parts, scorer.finish()]),
        "utterances": utterances,
        "background_s": background / rate_hz,
    }


def operating_point(bundle: Bundle, word: str, threshold: float, stream: dict[str, Any]) -> dict[str, float | int]:
    """Count misses and false accepts at a threshold; an utterance that fires twice is one hit and no false accept."""
    import numpy as np

    from kwspot.runtime.detect.replay import Replay

    manifest = bundle.manifest
    thresholds = {other: manifest.decision.threshold_of(other) for other in manifest.words}
    utterances, after = stream["utterances"], round(AFTER_S * manifest.features.sample_rate_hz)
    starts = np.array([begin for begin, _ in utterances])
    hit = np.zeros(len(utterances), bool)
    false = 0
    for detection in Replay(manifest, {**thresholds, word: threshold}).events(stream["scored"]):
        if detection.label != word:
            continue
        place = int(np.searchsorted(starts, detection.at_sample, side="right")) - 1
        if place >= 0 and detection.at_sample <= utterances[place][1] + after:
            hit[place] = True
        else:
            false += 1
    return {
        "threshold": threshold,
        "missed": int((~hit).sum()),
        "miss_rate": float(1 - hit.mean()),
        "false_accepts": false,
        "false_accepts_per_hour": 3600 * false / stream["background_s"],
    }


def main(argv: Sequence[str]) -> int:
    """Run ``kwspot bench wake``."""
    parser = argparse.ArgumentParser(
        prog="kwspot bench wake",
        description="Run Picovoice's wake-word benchmark: mix utterances of a word into background speech and noise, "
        "and count misses and false accepts per hour at ten thresholds. Each event is counted once.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle folder, or the name of one that ships with the kit")
    parser.add_argument("--word", required=True, metavar="WORD", help="a label of the bundle")
    parser.add_argument("--utterances", required=True, metavar="DIR", help="recordings of the word, at any depth")
    parser.add_argument("--background", required=True, metavar="DIR", help="speech without the word, at any depth")
    parser.add_argument("--noise", metavar="DIR", help="noise to mix in, at any depth (default: none)")
    parser.add_argument("--snr-db", type=float, default=10.0, metavar="DB", help="(default: %(default)g)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="random seed of the order of utterances (default: %(default)s)"
    )
    parser.add_argument("--engine", metavar="NAME", help="default: the first that is installed")
    parser.add_argument("--json", metavar="FILE", help=f"write {SCHEMA}; - is standard output")
    args = parser.parse_args(argv)
    from kwspot.benchmarks.stream.wake_mix import mix_stream
    from kwspot.runtime.audio.recordings import sounds_below
    from kwspot.runtime.model.bundle import load_bundle
    from kwspot.runtime.progress import Progress
    from kwspot.runtime.results import result, write_result

    bundle = load_bundle(args.bundle)
    if args.word not in bundle.manifest.words:
        raise ConfigError(f"no word {args.word!r}; the bundle hears {', '.join(bundle.manifest.words)}")
    utterances = sounds_below(args.utterances, f"utterances of {args.word}")
    background = sounds_below(args.background, f"speech without {args.word}")
    noise = [] if args.noise is None else sounds_below(args.noise, "noise")
    progress = Progress()
    progress.step(f"{len(utterances)} utterances in {len(background)} files of background")
    rate_hz = bundle.manifest.features.sample_rate_hz
    pieces = mix_stream(utterances, background, noise, snr_db=args.snr_db, rate_hz=rate_hz, seed=args.seed)
    stream = hear(bundle, args.engine, _counted(pieces, len(utterances) + len(background), progress))
    points = [operating_point(bundle, args.word, threshold, stream) for threshold in THRESHOLDS]
    content = {
        "word": args.word,
        "utterances": len(utterances),
        "background_hours": stream["background_s"] / 3600,
        "snr_db": args.snr_db if noise else None,
        "noise_files": len(noise),
        "seed": args.seed,
        "points": points,
    }
    head = f"{args.word}: {len(utterances)} utterances, {stream['background_s'] / 3600:.2f} h of background"
    columns = {
        "threshold": "{threshold:.2f}",
        "missed": "{missed}",
        "miss rate": "{miss_rate:.2%}",
        "false": "{false_accepts}",
        "false/h": "{false_accepts_per_hour:.2f}",
    }
    table = Table.of("", points, columns)
    write_result(result(SCHEMA, bundle, content), f"{head}\n\n{table.text()}", args.json)
    return 0


def _counted(pieces: Iterable[Piece], total: int, progress: Any) -> Iterable[Piece]:
    for number, piece in enumerate(pieces, 1):
        progress.count(number, total)
        yield piece
