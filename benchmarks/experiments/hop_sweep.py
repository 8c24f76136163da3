"""What the hop of inference does to misses, delay and cost.

::

    python -m kwspot.benchmarks.experiments.hop_sweep commands --data build/recordings/speech_commands

Clips of one part of a data folder become a stream with gaps of faint noise. A
window bundle runs at every hop that is asked for, a stream bundle at its own:
give one for each hop. The delay of a word is from its end to the ``at_sample``
of its detection. The end of a word is the end of the last 10 ms of its clip
that are less than 20 dB below the loudest 10 ms. Each run is also compared with
the first, word by word: `lost` heard by that alone, `won` by this alone.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kwspot.benchmarks.experiments.steps import parser_of
from kwspot.benchmarks.tables import Columns, Table
from kwspot.runtime.audio.recordings import Clip, DataFolder
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.audio.sources import BLOCK_SAMPLES
from kwspot.runtime.cli import guarded
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.model.bundle import Bundle, load_bundle
from kwspot.runtime.results import result, write_result

SCHEMA = "kwspot.hops/1"
HOPS_MS = (20, 40, 60, 80, 100)
GRACE_S = 0.5
"""A detection so long after the clip still is this word's."""

_GAP_S = 0.5, 2.0
_GAP_NOISE = 8.0
_END_WINDOW_S, _END_BELOW_DB = 0.01, 20.0


class Word(NamedTuple):
    """A word of the stream: where its clip starts and ends, and where it is over."""

    label: str
    clip_start: int
    clip_end: int
    word_end: int


def end_of_word(sound: NDArray[np.int16], rate_hz: int) -> int:
    """Return the sample at which the word in a sound, int16 (n,), is over: see the module."""
    window = round(_END_WINDOW_S * rate_hz)
    count = len(sound) // window
    if count == 0:
        return len(sound)
    power = (sound[: count * window].reshape(count, window).astype(np.float64) ** 2).mean(axis=1)
    loud = np.flatnonzero(power >= power.max() * 10 ** (-_END_BELOW_DB / 10))
    return (int(loud[-1]) + 1) * window


def stream_of(
    clips: Sequence[Clip], *, minutes: float, rate_hz: int, seed: int = 3
) -> tuple[NDArray[np.int16], list[Word]]:
    """Return clips drawn at random with gaps of faint noise, and a second of zeros at the end, int16 (n,)."""
    rng = np.random.default_rng(seed)
    parts: list[NDArray[np.int16]] = []
    words: list[Word] = []
    samples = 0
    while samples < minutes * 60 * rate_hz:
        clip = clips[int(rng.integers(len(clips)))]
        gap = rng.normal(0, _GAP_NOISE, round(rng.uniform(*_GAP_S) * rate_hz))
        sound = read_sound(clip.path, rate_hz)
        start = samples + len(gap)
        words.append(Word(clip.word, start, start + len(sound), start + end_of_word(sound, rate_hz)))
        parts += [np.rint(gap).astype(np.int16), sound]
        samples = start + len(sound)
    return np.concatenate([*parts, np.zeros(rate_hz, np.int16)]), words


def score(found: Sequence[tuple[str, int]], words: Sequence[Word], rate_hz: int) -> dict[str, Any]:
    """Count misses, detections that are no word's, the delays of the others in ms, and the places of the words heard.

    Each detection belongs to one word at the most, the first that it fits.
    """
    heard: dict[int, float] = {}
    others = 0
    for label, at_sample in found:
        for place, word in enumerate(words):
            inside = word.clip_start < at_sample <= word.clip_end + GRACE_S * rate_hz
            if inside and label == word.label and place not in heard:
                heard[place] = 1000 * (at_sample - word.word_end) / rate_hz
                break
        else:
            others += 1
    delays_ms = list(heard.values())
    return {
        "words": len(words),
        "missed": len(words) - len(heard),
        "false_or_wrong": others,
        "delay_ms": {
            "median": float(np.median(delays_ms)) if delays_ms else None,
            "p95": float(np.percentile(delays_ms, 95)) if delays_ms else None,
        },
        "heard": sorted(heard),
    }


def at_hop(bundle: Bundle, hop_ms: float) -> Bundle:
    """Return a window bundle that runs its model at another hop, a whole number of its frames."""
    frames = round(hop_ms / bundle.manifest.features.hop_ms)
    return dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, inference_hop_frames=frames))


def run(bundle: Bundle, sound: NDArray[np.int16], words: Sequence[Word], threshold: float | None) -> dict[str, Any]:
    """Measure one of the ``runs`` of ``kwspot.hops/1`` on a sound, int16 (n,), but for what another loses and wins."""
    rate_hz = bundle.manifest.features.sample_rate_hz
    spotter = KeywordSpotter(
        bundle, thresholds=None if threshold is None else dict.fromkeys(bundle.manifest.words, threshold)
    )
    start = time.process_time()
    blocks = np.split(sound, range(BLOCK_SAMPLES, len(sound), BLOCK_SAMPLES))
    found = [(event.label, event.at_sample) for block in blocks for event in spotter.push(block)]
    return {
        "bundle": bundle.name,
        "kind": bundle.manifest.kind,
        "hop_ms": 1000 * bundle.manifest.inference_hop_samples / rate_hz,
        **score(found, words, rate_hz),
        "cpu_s_per_hour": (time.process_time() - start) * 3600 * rate_hz / len(sound),
    }


def _delay(ms: float | None) -> str:
    return "–" if ms is None else f"{ms:.0f}"


def main(argv: Sequence[str]) -> int:
    """Measure and print."""
    parser = parser_of("hop_sweep", __doc__, SCHEMA)
    parser.add_argument("bundles", nargs="+", type=load_bundle, metavar="BUNDLE", help="of the same words")
    parser.add_argument(
        "--data", required=True, metavar="DIR", help="data folder, of which the validation part is used"
    )
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M", help="of stream (default: %(default)g)")
    parser.add_argument("--hops-ms", nargs="+", type=float, default=HOPS_MS, metavar="MS", help="of window bundles")
    parser.add_argument("--threshold", type=float, metavar="P", help="of every word (default: the bundle's own)")
    args = parser.parse_args(argv)
    first = args.bundles[0].manifest
    rate_hz = first.features.sample_rate_hz
    folder = DataFolder(args.data)
    clips = folder.clips("validation", [word for word in first.words if (folder.root / word).is_dir()])
    sound, words = stream_of(clips, minutes=args.minutes, rate_hz=rate_hz)
    runs = [
        run(one, sound, words, args.threshold)
        for bundle in args.bundles
        for one in ([at_hop(bundle, ms) for ms in args.hops_ms] if bundle.manifest.kind == "window" else [bundle])
    ]
    first_heard = set(runs[0]["heard"])
    for one in runs:
        heard = set(one.pop("heard"))
        one["lost"], one["won"] = (
            [[words[place].label, words[place].clip_start / rate_hz] for place in sorted(places)]
            for places in (first_heard - heard, heard - first_heard)
        )
    values = result(SCHEMA, args.bundles[0], {"minutes": len(sound) / rate_hz / 60, "runs": runs})
    columns: Columns = {
        "bundle": "{bundle}",
        "hop ms": "{hop_ms:g}",
        "words": "{words}",
        "missed": "{missed}",
        "lost": lambda one: str(len(one["lost"])),
        "won": lambda one: str(len(one["won"])),
        "other": "{false_or_wrong}",
        "delay ms": lambda one: _delay(one["delay_ms"]["median"]),
        "p95": lambda one: _delay(one["delay_ms"]["p95"]),
        "CPU s/h": "{cpu_s_per_hour:.2f}",
    }
    write_result(values, Table.of("Hops", runs, columns).text(), args.json)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
