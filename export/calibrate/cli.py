"""``kwspot calibrate``: the thresholds of a bundle from recordings, and in the bundle what they rest on."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kwspot.runtime.errors import BundleError, ConfigError

if TYPE_CHECKING:
    from kwspot.runtime.model.bundle import Bundle

SCHEMA = "kwspot.thresholds/1"


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="kwspot calibrate",
        description="Choose each word's threshold on your recordings: of those that stay under your false-accept "
        "target, one that misses the fewest words. The detector runs as it is deployed, verifier "
        "included. The thresholds, and the hours and recordings that they rest on, are written into the "
        "bundle.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle folder")
    parser.add_argument(
        "--negatives", nargs="+", required=True, metavar="DIR", help="sound without the words, any length, any depth"
    )
    parser.add_argument(
        "--positives", nargs="+", default=[], metavar="DIR", help="a folder for each word, or WORD=DIR for any folder"
    )
    parser.add_argument(
        "--part",
        metavar="PART",
        help="part of a data folder: train, validation, test or all (default: validation where the folder has a list "
        "of it, else all)",
    )
    parser.add_argument(
        "--target-fa-per-hour",
        type=float,
        default=0.5,
        metavar="X",
        help="the false-accept target: false accepts per hour that each word may have (default: %(default)g)",
    )
    parser.add_argument("--engine", metavar="NAME", help="litert, tflite or onnx (default: the first installed)")
    parser.add_argument("--json", metavar="FILE", help=f"write {SCHEMA}; - is standard output")
    args = parser.parse_args(argv)
    if not (args.target_fa_per_hour > 0 and math.isfinite(args.target_fa_per_hour)):
        raise ConfigError(
            f"--target-fa-per-hour {args.target_fa_per_hour:g}; expected more than 0, as no number of hours can show "
            "that nothing ever fires: 0.5 is a usual target"
        )
    return args


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    args = _parse(argv)
    from kwspot.export.calibrate.choose import choices, evidence
    from kwspot.runtime.audio.sound_lists import negatives_in, utterances_of
    from kwspot.runtime.detect.operating_points import outcome
    from kwspot.runtime.detect.replay import Scorer
    from kwspot.runtime.model.bundle import load_bundle
    from kwspot.runtime.model.edit import check_writable, store
    from kwspot.runtime.progress import Progress
    from kwspot.runtime.results import result, write_result

    bundle = load_bundle(args.bundle)
    words = bundle.manifest.words
    if not words:
        raise BundleError(f"{bundle.path} hears no word, so there is no threshold to choose; export one that does")
    check_writable(bundle, args.bundle)
    utterances = utterances_of(args.positives, words, args.part)
    negatives = negatives_in(args.negatives, words, args.part)
    progress, scorer = Progress(), Scorer(bundle, args.engine)
    progress.step(f"scoring {len(negatives.paths):,} negatives")
    negatives_scored = scorer.score_negatives(negatives.paths, progress.count)
    hours = sum(sound.seconds for sound in negatives_scored) / 3600
    progress.step(f"scored {hours:.2f} h of negatives; scoring {len(utterances):,} utterances")
    utterances_scored = scorer.score_utterances(utterances, progress.count)
    progress.step("choosing thresholds")
    chosen = choices(bundle.manifest, negatives_scored, utterances_scored, args.target_fa_per_hour)
    thresholds = {word: choice.threshold for word, choice in chosen.items()}
    manifest = bundle.manifest
    together = outcome(manifest, thresholds, negatives_scored, utterances_scored)
    found = {
        "engine": scorer.engine_name,
        "negatives": {"hours": hours, "sounds": len(negatives_scored), "kind": negatives.kind},
        **evidence(manifest, chosen, negatives_scored, together, args.target_fa_per_hour),
    }
    decision = manifest.decision.with_thresholds(thresholds, manifest.labels)
    bundle = store(bundle, dataclasses.replace(manifest, decision=decision, calibration=found))
    write_result(result(SCHEMA, bundle, found), _summary(bundle, found), args.json)
    return 0


def _summary(bundle: Bundle, found: Mapping[str, Any]) -> str:
    from kwspot.runtime.false_accept_rate import hours_needed, rate_sentence

    hours, target = found["negatives"]["hours"], found["target_false_accepts_per_hour"]
    width = max(map(len, found["words"]))
    lines = []
    for word, values in found["words"].items():
        line = f"{word:{width}}  threshold {values['threshold']:5.3f}  "
        line += rate_sentence(values["false_accepts"], hours, target)
        if values["positives"]:
            low, high = (100 * end for end in values["miss_rate_ci95"])
            line += (
                f"; misses {values['missed']} of {values['positives']}: {100 * values['miss_rate']:.1f} % "
                f"[{low:.1f}, {high:.1f}]"
            )
            if values["synthesised"]:
                line += f" ({values['synthesised']} are synthesised: people will be missed more often)"
            line += f", {values['double_fires']} fired twice" if values["double_fires"] else ""
        else:
            line += "; misses are unknown without --positives"
        lines.append(line)
        if values["next"]:
            nearest = ", ".join(f"{s['sound']} at {s['at_s']:g} s (from {s['threshold']:g} on)" for s in values["next"])
            lines.append(f"{'':{width}}  a lower threshold would also fire in {nearest}")
    by_rate = [word for word, values in found["words"].items() if values["basis"] == "rate"]
    if by_rate:
        reason = (
            f"to show {target:g} per hour at 95 % takes {hours_needed(target):.1f} h of negatives or more, these are "
            f"{hours:.2f} h"
            if hours < hours_needed(target)
            else f"no threshold has a 95 % bound below {target:g} per hour"
        )
        lines.append(f"chosen by the rate that was counted, without a 95 % bound: {', '.join(by_rate)}; {reason}")
    together = found["together"]
    lines.append(
        f"all words together: {together['false_accepts']} in {hours:.2f} h, {together['per_hour']:.2f} per hour "
        f"(< {together['upper_per_hour']:.2f} at 95 %)\nwritten: {bundle.path}"
    )
    return "\n".join(lines)
