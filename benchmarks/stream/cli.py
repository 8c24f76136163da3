"""``kwspot bench stream``: a page on utterances and hours of negatives, or TensorFlow's test of one recording."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kwspot.benchmarks.stream.streaming_accuracy import TOLERANCE_MS
from kwspot.runtime.errors import BundleError, ConfigError

SCHEMA = "kwspot.stream/1"
RATIOS_DB = (20.0, 10.0, 5.0, 0.0)
MOST_NOISE_FILES, MOST_NOISE_S = 60, 30
"""Of the noise that is mixed in: so many files, evenly chosen, and so much of each at most, 30 minutes in all."""


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="kwspot bench stream",
        description="Count what the streaming int8 detector misses and falsely accepts. With --positives and "
        "--negatives: one page with curves, noise, speakers and the worst mistakes to listen to. With "
        "--wav and --labels: TensorFlow's streaming accuracy test.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle folder, or the name of one that ships with the kit")
    parser.add_argument("--engine", metavar="NAME", help="default: the first that is installed")
    parser.add_argument("--json", metavar="FILE", help=f"write {SCHEMA} or kwspot.streaming/1; - is standard output")
    utterances = parser.add_argument_group("utterances and hours")
    utterances.add_argument("--positives", nargs="+", metavar="DIR", help="a folder for each word, or WORD=DIR")
    utterances.add_argument(
        "--negatives", nargs="+", metavar="DIR", help="sound without the words, any length, any depth"
    )
    utterances.add_argument("--out", metavar="FILE.html", help="the page")
    utterances.add_argument("--part", metavar="PART", help="as for 'kwspot calibrate'")
    utterances.add_argument(
        "--noise", metavar="DIR", help="default: _background_noise_ of a folder above, else --negatives"
    )
    utterances.add_argument(
        "--snr-db", nargs="+", type=float, metavar="DB", help="noise below the word (default: 20 10 5 0)"
    )
    utterances.add_argument(
        "--near-misses", metavar="DIR", help="clips that sound like the word, for the equal error rate"
    )
    labelled = parser.add_argument_group("one labelled recording")
    labelled.add_argument("--wav", metavar="FILE", help="the recording")
    labelled.add_argument("--labels", metavar="FILE.csv", help="lines 'label, milliseconds'")
    labelled.add_argument(
        "--tolerance-ms",
        type=float,
        metavar="MS",
        help=f"how far an event may be from its label (default: {TOLERANCE_MS:g})",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    args = _parse(argv)
    kinds = {
        "utterances and hours": (["positives", "negatives", "out"], ["part", "noise", "snr_db", "near_misses"]),
        "one labelled recording": (["wav", "labels"], ["tolerance_ms"]),
    }
    named = {
        kind: [option for option in (*needed, *others) if getattr(args, option) is not None]
        for kind, (needed, others) in kinds.items()
    }
    expected = "expected --positives, --negatives and --out, or --wav and --labels: see kwspot bench stream --help"
    if all(named.values()):
        both = " and ".join("--" + options[0].replace("_", "-") for options in named.values())
        raise ConfigError(f"{both} are of two different tests; {expected}")
    kind = next((kind for kind, options in named.items() if options), None)
    if kind is None:
        raise ConfigError(f"nothing to measure was named; {expected}")
    missing = [f"--{option}" for option in kinds[kind][0] if getattr(args, option) is None]
    if missing:
        raise ConfigError(f"{' and '.join(missing)} missing; {expected}")
    if kind == "one labelled recording":
        from kwspot.benchmarks.stream.streaming_accuracy import measure

        return measure(args, TOLERANCE_MS if args.tolerance_ms is None else args.tolerance_ms)
    return _measure(args)


def _measure(args: argparse.Namespace) -> int:
    from kwspot.benchmarks.stream.page import page, sentences
    from kwspot.benchmarks.stream.worst import embed_mistake, worst_false_accepts, worst_misses
    from kwspot.runtime.files import whole_file
    from kwspot.runtime.model.bundle import load_bundle
    from kwspot.runtime.progress import Progress
    from kwspot.runtime.results import result, write_result

    bundle = load_bundle(args.bundle)
    if not bundle.manifest.words:
        raise BundleError(f"{bundle.path} hears no word, so there is nothing to measure; export one that does")
    progress = Progress()
    content, utterances_scored, negatives_scored = _score(args, bundle, progress)
    values = result(SCHEMA, bundle, content)
    thresholds = {word: row["threshold"] for word, row in content["words"].items()}
    manifest = bundle.manifest
    progress.step("the worst mistakes")
    shown = [
        [(mistake, *embed_mistake(manifest, mistake)) for mistake in mistakes]
        for mistakes in (
            worst_misses(manifest, thresholds, utterances_scored),
            worst_false_accepts(manifest, thresholds, negatives_scored),
        )
    ]
    with whole_file(args.out) as path:
        path.write_text(page(values, *shown), encoding="utf-8")
    progress.step(f"written: {args.out} ({Path(args.out).stat().st_size / 1e6:.1f} MB)")
    write_result(values, "\n".join(sentences(values)), args.json)
    return 0


def _score(args: argparse.Namespace, bundle: Any, progress: Any) -> tuple[dict[str, Any], list[Any], list[Any]]:
    """Return the content of the result, and the utterances and negatives with their scores."""
    from kwspot.benchmarks.stream import measures
    from kwspot.benchmarks.stream.wake_mix import Noise
    from kwspot.runtime.audio.recordings import sounds_below
    from kwspot.runtime.audio.sound_lists import negatives_in, utterances_of
    from kwspot.runtime.detect.operating_points import outcome
    from kwspot.runtime.detect.replay import Scorer

    manifest, rate_hz = bundle.manifest, bundle.manifest.features.sample_rate_hz
    utterances = utterances_of(args.positives, manifest.words, args.part)
    negatives = negatives_in(args.negatives, manifest.words, args.part)
    near = [] if args.near_misses is None else sounds_below(args.near_misses, "clips that sound like the word")
    noise_kind, noise_files = _noise_of(args, negatives.paths)
    scorer = Scorer(bundle, args.engine)
    progress.step(f"{len(negatives.paths):,} negatives")
    negatives_scored = scorer.score_negatives(negatives.paths, progress.count)
    hours = sum(sound.seconds for sound in negatives_scored) / 3600
    progress.step(f"{hours:.2f} h of negatives scored; {len(utterances) + len(near):,} utterances and near misses")
    utterances_scored = scorer.score_utterances(utterances, progress.count)
    close = scorer.score_negatives(near, progress.count)
    thresholds = {word: manifest.decision.threshold_of(word) for word in manifest.words}
    progress.step("misses against false accepts")
    found = outcome(manifest, thresholds, negatives_scored, utterances_scored)
    curves = measures.trade_off(manifest, negatives_scored, utterances_scored)
    progress.step("utterances in noise")
    ratios = RATIOS_DB if args.snr_db is None else args.snr_db
    noise = Noise(noise_files, rate_hz, most_s=MOST_NOISE_S)
    rows = measures.in_noise(manifest, thresholds, scorer, utterances_scored, noise, ratios, progress.count)
    missed = sum(row["missed"] for row in found["words"].values())
    content = {
        "engine": scorer.engine_name,
        "utterances": len(utterances_scored),
        "negatives": {"hours": hours, "sounds": len(negatives_scored), "kind": negatives.kind},
        **found,
        "missed_together": measures.share("miss", missed, len(utterances_scored)),
        "trade_off": curves,
        "speakers": measures.by_speaker(manifest, thresholds, utterances_scored),
        "noise": {"kind": noise_kind, "files": len(noise_files), "rows": rows},
        "near_misses": measures.near_miss_rates(manifest, thresholds, utterances_scored, close) if close else None,
    }
    return content, utterances_scored, negatives_scored


def _noise_of(args: argparse.Namespace, negatives: Sequence[Path]) -> tuple[str, list[Path]]:
    """Return what noise is mixed in, for people, and its files, evenly chosen."""
    from kwspot.runtime.audio.recordings import NOISE_FOLDER, sounds_below

    folders = [Path(folder) / NOISE_FOLDER for folder in (*args.positives, *args.negatives)]
    own = next((folder for folder in folders if folder.is_dir()), None)
    if args.noise is not None:
        kind, files = Path(args.noise).name, sounds_below(args.noise, "noise")
    elif own is not None:
        kind, files = NOISE_FOLDER, sounds_below(own, "noise")
    else:
        kind, files = "the negatives", list(negatives)
    count = min(len(files), MOST_NOISE_FILES)
    return kind, [files[place * len(files) // count] for place in range(count)]
