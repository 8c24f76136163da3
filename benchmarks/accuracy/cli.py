"""``kwspot bench accuracy``: score each form of the model on the same clips."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from kwspot.benchmarks.accuracy.scores import LabelledClips, Stage

SCHEMA = "kwspot.accuracy/1"


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="kwspot bench accuracy",
        description="Score each form of a model on the same clips: float Keras (with --run), float TFLite, int8 "
        "weights alone, int8 in each engine, the clips heard as a stream, and the events. For each step "
        "print the points lost with a paired 95 % interval, and the words and clips that changed.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle folder, or the name of one that ships with the kit")
    parser.add_argument("--data", required=True, metavar="DIR", help="folder of recordings, DIR/<word>/<clip>.wav")
    parser.add_argument(
        "--part",
        metavar="PART",
        help="train, validation, test or all (default: all of a folder that holds _unknown_ or _silence_, else test)",
    )
    parser.add_argument("--words", metavar="A,B,C", help="score only these folders of DIR (default: every one)")
    parser.add_argument("--run", metavar="RUN", help="the run it was exported from, to score its Keras model too")
    parser.add_argument(
        "--tflite-python", metavar="PATH", help="Python of an environment with kwspot[tflite], to score int8-tflite"
    )
    parser.add_argument("--engine", action="append", metavar="NAME", help="may be repeated (default: all installed)")
    parser.add_argument("--json", metavar="FILE", help=f"write {SCHEMA}; - is standard output")
    parser.add_argument("--predictions", metavar="FILE.csv", help="write a row per stage and clip")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    args = _parse(argv)
    from kwspot.benchmarks.accuracy.stages import all_stages, clips_of, engines_of
    from kwspot.benchmarks.accuracy.waterfall import accuracy_result
    from kwspot.runtime.audio.recordings import DataFolder
    from kwspot.runtime.model.bundle import load_bundle
    from kwspot.runtime.progress import Progress
    from kwspot.runtime.results import result, table_stream, write_json

    bundle, folder, progress = load_bundle(args.bundle), DataFolder(args.data), Progress()
    engines = engines_of(bundle, args.engine, args.tflite_python)
    clips, part = clips_of(bundle, folder, args.part, args.words)
    run = None if args.run is None else Path(args.run)
    stages = all_stages(bundle, engines, run, args.tflite_python, clips, progress)
    values = result(SCHEMA, bundle, accuracy_result(stages, clips, bundle.manifest.labels, folder.root, part))
    if args.predictions:
        _write_predictions(Path(args.predictions), stages, clips, bundle.manifest.labels, folder.root)
    write_json(values, args.json)
    _print_tables(values, table_stream(args.json))
    return 0


def _write_predictions(
    target: Path, stages: Sequence[Stage], clips: LabelledClips, labels: Sequence[str], root: Path
) -> None:
    from kwspot.benchmarks.accuracy.waterfall import label_name
    from kwspot.runtime.files import whole_file

    names = [clip.path.relative_to(root).as_posix() for clip in clips.clips]
    with whole_file(target) as path, path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("stage", "clip", "label", "predicted", "score"))
        for stage in stages:
            for name, true, predicted, score in zip(names, clips.truth, stage.predicted, stage.score, strict=True):
                rows.writerow((stage.name, name, labels[true], label_name(labels, int(predicted)), f"{score:.6f}"))


def _print_tables(values: dict[str, Any], out: TextIO) -> None:
    rows = values["stages"]
    step_to = {step["to"]: step for step in values["steps"]}
    print(
        f"{values['bundle']['name']} on {values['data']} ({values['part']}), {values['clips']} clips\n\n"
        f"{'stage':14}{'correct':>9}{'accuracy':>10}{'95 % interval':>18}{'loss':>8}  change from the stage before",
        file=out,
    )
    for row in rows:
        low, high = row["ci95"]
        line = f"{row['name']:14}{row['correct']:9}{row['accuracy']:10.2%}{f'{low:.2%} – {high:.2%}':>18}"
        line += f"{'–':>8}" if row["loss_points"] is None else f"{row['loss_points']:8.2f}"
        if (step := step_to.get(row["name"])) is not None:
            low, high = step["ci95_points"]
            line += (
                f"  from {step['from']}: {step['loss_points']:.2f} points ({low:.2f} to {high:.2f}), "
                f"{step['right_to_wrong']} right→wrong, {step['wrong_to_right']} wrong→right, "
                f"McNemar {_p_text(step['mcnemar_p'])}"
            )
        print(line, file=out)
    width = max(len(label) for label in rows[0]["per_label"])
    print(f"\n{'label':{width}}{'clips':>8}" + "".join(f"{row['name']:>14}" for row in rows), file=out)
    for label, (_, total) in rows[0]["per_label"].items():
        shares = [f"{row['per_label'][label][0] / total:.1%}" if total else "–" for row in rows]
        print(f"{label:{width}}{total:8}" + "".join(f"{share:>14}" for share in shares), file=out)
    int8 = [row["name"] for row in rows if row["name"].startswith("int8-")]
    pairs = {
        pair: share for pair, share in values["agreement"].items() if set(pair.split("~")) <= {rows[0]["name"], *int8}
    }
    if pairs:
        print("\nthe same label on the same clip", file=out)
    for pair, share in pairs.items():
        print(f"{pair:28}{share:9.2%}", file=out)


def _p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
