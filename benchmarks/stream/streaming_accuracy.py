"""TensorFlow's streaming accuracy test: a long recording, words with times, and what was detected near them.

References
----------
``test_streaming_accuracy`` among the speech commands examples of TensorFlow:
matched, correct and wrong are shares of the words that were spoken; a detection
without a word near it is a false positive.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kwspot.runtime.errors import ConfigError, RecordingError

SCHEMA = "kwspot.streaming/1"
TOLERANCE_MS = 1500.0
"""A detection counts for a word that begins at most so long before or after it, as in TensorFlow's test."""


@dataclass(frozen=True)
class Labelled:
    """A word and when it begins, or a detection and when it came, in milliseconds."""

    label: str
    at_ms: float


def count(words: Sequence[Labelled], detections: Sequence[Labelled], tolerance_ms: float) -> dict[str, int]:
    """Count ``words``, and of them ``correct`` and ``wrong`` (both are ``matched``); and ``false`` detections.

    A detection belongs to one word and a word to one detection. A detection
    takes the nearest free word of its own label within the tolerance, else the
    nearest free one of another label.
    """
    free = list(words)
    result = {"words": len(words), "matched": 0, "correct": 0, "wrong": 0, "false": 0}
    for detection in sorted(detections, key=lambda d: d.at_ms):
        near = [word for word in free if abs(word.at_ms - detection.at_ms) <= tolerance_ms]
        if not near:
            result["false"] += 1
            continue
        word = min(near, key=lambda w: (w.label != detection.label, abs(w.at_ms - detection.at_ms)))
        free.remove(word)
        result["matched"] += 1
        result["correct" if word.label == detection.label else "wrong"] += 1
    return result


def read_labels(path: Path, known: Sequence[str]) -> list[Labelled]:
    """Read lines ``label, milliseconds`` in any order; background labels are no words and are left out."""
    from kwspot.runtime.labels import BACKGROUND_LABELS

    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); expected lines 'label, milliseconds'") from None
    found = []
    for number, row in enumerate(rows, 1):
        try:
            label, at_ms = row[0], float(row[1])
            if len(row) != 2 or not at_ms >= 0:
                raise ValueError
        except (ValueError, IndexError):
            raise ConfigError(
                f"{path}, line {number}: {','.join(row)!r}; expected 'label, milliseconds' from the start"
            ) from None
        if label not in known and label not in BACKGROUND_LABELS:
            raise ConfigError(f"{path}, line {number}: no word {label!r}; the bundle hears {', '.join(known)}")
        if label not in BACKGROUND_LABELS:
            found.append(Labelled(label, at_ms))
    if not found:
        raise ConfigError(f"{path} names no word; expected lines 'label, milliseconds'")
    return found


def measure(args: argparse.Namespace, tolerance_ms: float) -> int:
    """Run the part of ``kwspot bench stream`` that takes ``--wav`` and ``--labels``."""
    if not tolerance_ms > 0:
        raise ConfigError(f"--tolerance-ms {tolerance_ms:g}; expected more than 0")
    from kwspot.runtime.audio.sound_file import read_sound
    from kwspot.runtime.detect.replay import Replay, Scorer
    from kwspot.runtime.model.bundle import load_bundle
    from kwspot.runtime.results import result, write_result

    bundle = load_bundle(args.bundle)
    rate_hz = bundle.manifest.features.sample_rate_hz
    words = read_labels(Path(args.labels), bundle.manifest.words)
    sound = read_sound(args.wav, rate_hz)
    if max(word.at_ms for word in words) > 1000 * len(sound) / rate_hz:
        raise RecordingError(f"{args.wav} ends before the last word of {args.labels}; expected the labels of this file")
    scorer = Scorer(bundle, args.engine)
    events = Replay(bundle.manifest).events(scorer.score(sound))
    detections = [Labelled(event.label, 1000 * event.at_s) for event in events]
    counts = count(words, detections, tolerance_ms)
    shares = {key: counts[key] / counts["words"] for key in ("matched", "correct", "wrong", "false")}
    content: dict[str, Any] = {
        "wav": Path(args.wav).name,
        "seconds": len(sound) / rate_hz,
        "tolerance_ms": tolerance_ms,
        "engine": scorer.engine_name,
        "counts": counts,
        "shares": shares,
    }
    said = (
        f"{counts['words']} words in {len(sound) / rate_hz:.0f} s: {shares['matched']:.1%} matched, "
        f"{shares['correct']:.1%} correct, {shares['wrong']:.1%} wrong, {shares['false']:.1%} false "
        f"({counts['matched']}, {counts['correct']}, {counts['wrong']}, {counts['false']})"
    )
    write_result(result(SCHEMA, bundle, content), said, args.json)
    return 0
