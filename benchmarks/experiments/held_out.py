"""Score a bundle on sounds that were held out of its training, source by source.

::

    python -m kwspot.train.experiments.held_out_folder --data DIR --preset commands-held-out --to TEST
    python -m kwspot.benchmarks.experiments.held_out BUNDLE --data TEST

Each folder in TEST is a source, itself a data folder: ``TEST/<source>/<word>/*.wav``. A word that is no label of the
bundle is ``_unknown_``. The accuracy of the words to be heard stands beside it, since a model that never detects a word
is right about everything else.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kwspot.runtime.cli import guarded
from kwspot.runtime.errors import DataFolderError
from kwspot.runtime.labels import BACKGROUND_LABELS

SCHEMA = "kwspot.held-out/1"
_MOST_CONFUSED = 3


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m kwspot.benchmarks.experiments.held_out", description=__doc__.split("\n")[0]
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle folder, or the name of one that ships with the kit")
    parser.add_argument(
        "--data", required=True, type=Path, metavar="TEST", help="folder that train.experiments.held_out_folder made"
    )
    parser.add_argument("--engine", metavar="NAME", help="litert, tflite or onnx (default: the first installed)")
    parser.add_argument("--json", metavar="FILE", help=f"write {SCHEMA}; - is standard output")
    parser.add_argument("--predictions", metavar="FILE.csv", type=Path, help="write a row per clip")
    return parser.parse_args(argv)


def sources_of(test: Path) -> list[Path]:
    """Return the folders in a test folder: words first, silence from quiet to loud last."""
    found = [path for path in test.iterdir() if path.is_dir()] if test.is_dir() else []
    if not found:
        raise DataFolderError(
            f"{test} holds no folder of a source; expected TEST/<source>/<word>/*.wav: "
            "make it with python -m kwspot.train.experiments.held_out_folder --to TEST"
        )
    order = ("words", "trained", "frequent", "rare")

    def place(path: Path) -> tuple[int, int, str]:
        level = re.fullmatch(r"silence(-\d+)dBFS", path.name)
        first = order.index(path.name) if path.name in order else len(order)
        return (first + path.name.startswith("silence"), int(level[1]) if level else 0, path.name)

    return sorted(found, key=place)


def main(argv: Sequence[str]) -> int:
    """Score every source."""
    args = _parse(argv)
    from kwspot.benchmarks.accuracy.scores import engine_stage, load_clips
    from kwspot.benchmarks.engine_choice import engines_to_measure
    from kwspot.runtime.audio.recordings import DataFolder
    from kwspot.runtime.intervals import wilson_interval
    from kwspot.runtime.model.bundle import load_bundle
    from kwspot.runtime.results import result, table_stream, write_json

    bundle, folders = load_bundle(args.bundle), sources_of(args.data)
    engine = engines_to_measure(bundle, [args.engine] if args.engine else None)[0]
    labels = bundle.manifest.labels
    rows: list[dict[str, Any]] = []
    evidence: list[tuple[str, ...]] = []
    for path in folders:
        clips = load_clips(DataFolder(path), "all", None, bundle.manifest)
        stage = engine_stage(bundle, engine, "int8", clips.frames)
        right = stage.predicted == clips.truth
        wrong = Counter(labels[other] for other, is_right in zip(stage.predicted, right, strict=True) if not is_right)
        rows.append(
            {
                "source": path.name,
                "clips": len(right),
                "correct": int(right.sum()),
                "accuracy": float(right.mean()),
                "ci95": list(wilson_interval(int(right.sum()), len(right))),
                "per_word": {
                    word: [
                        sum(bool(ok) for clip, ok in zip(clips.clips, right, strict=True) if clip.word == word),
                        sum(clip.word == word for clip in clips.clips),
                    ]
                    for word in sorted({clip.word for clip in clips.clips})
                },
                # Background taken for the other background fires nothing; a wrong word does.
                "wrong_words": sum(count for label, count in wrong.items() if label not in BACKGROUND_LABELS),
                "heard_instead": dict(wrong.most_common()),
            }
        )
        for clip, label, score in zip(clips.clips, stage.predicted, stage.score, strict=True):
            name = clip.path.relative_to(args.data).as_posix()
            evidence.append((path.name, name, labels[label], f"{score:.6f}"))
    if args.predictions:
        _write_predictions(args.predictions, evidence)
    values = result(SCHEMA, bundle, {"data": str(args.data), "engine": engine, "sources": rows})
    write_json(values, args.json)
    print(table(values), file=table_stream(args.json))
    return 0


def table(values: dict[str, Any]) -> str:
    """Return a row for each source, as Markdown."""
    lines = [
        f"{values['bundle']['name']} in int8 ({values['engine']}) on {values['data']}",
        "",
        "| source | clips | right | 95 % interval | a wrong word | heard instead, most often |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for row in values["sources"]:
        low, high = row["ci95"]
        wrong = ", ".join(f"{label} {count}" for label, count in list(row["heard_instead"].items())[:_MOST_CONFUSED])
        lines.append(
            f"| {row['source']} | {row['clips']} | {row['accuracy']:.1%} | {low:.1%} – {high:.1%} "
            f"| {row['wrong_words'] / row['clips']:.1%} | {wrong or '–'} |"
        )
    return "\n".join(lines)


def _write_predictions(target: Path, rows: Sequence[tuple[str, ...]]) -> None:
    from kwspot.runtime.files import whole_file

    with whole_file(target) as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("source", "clip", "predicted", "score"))
        writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
