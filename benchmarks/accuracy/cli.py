"""``kwspot bench accuracy``: score each form of the model on the same clips."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kwspot.benchmarks.tables import Table, p_text

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
    from kwspot.runtime.results import result, write_result

    bundle, folder, progress = load_bundle(args.bundle), DataFolder(args.data), Progress()
    engines = engines_of(bundle, args.engine, args.tflite_python)
    clips, part = clips_of(bundle, folder, args.part, args.words)
    run = None if args.run is None else Path(args.run)
    stages = all_stages(bundle, engines, run, args.tflite_python, clips, progress)
    values = result(SCHEMA, bundle, accuracy_result(stages, clips, bundle.manifest.labels, folder.root, part))
    if args.predictions:
        _write_predictions(Path(args.predictions), stages, clips, bundle.manifest.labels, folder.root)
    write_result(values, _text(values), args.json)
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


def _text(values: dict[str, Any]) -> str:
    stages = values["stages"]
    step_to = {step["to"]: step for step in values["steps"]}
    rows = []
    for stage in stages:
        low, high = stage["ci95"]
        loss = "–" if stage["loss_points"] is None else f"{stage['loss_points']:.2f}"
        row = [stage["name"], str(stage["correct"]), f"{stage['accuracy']:.2%}", f"{low:.2%} – {high:.2%}", loss, ""]
        if (step := step_to.get(stage["name"])) is not None:
            low, high = step["ci95_points"]
            row[-1] = (
                f"from {step['from']}: {step['loss_points']:.2f} points ({low:.2f} to {high:.2f}), "
                f"{step['right_to_wrong']} right→wrong, {step['wrong_to_right']} wrong→right, "
                f"McNemar p {p_text(step['mcnemar_p'])}"
            )
        rows.append(row)
    columns = ["stage", "correct", "accuracy", "95 % interval", "loss", "change from the stage before"]
    words = [
        [label, str(total), *(f"{s['per_label'][label][0] / total:.1%}" if total else "–" for s in stages)]
        for label, (_, total) in stages[0]["per_label"].items()
    ]
    shown = {stages[0]["name"], *(stage["name"] for stage in stages if stage["name"].startswith("int8-"))}
    pairs = [[pair, f"{share:.2%}"] for pair, share in values["agreement"].items() if set(pair.split("~")) <= shown]
    parts = [
        f"{values['bundle']['name']} on {values['data']} ({values['part']}), {values['clips']} clips",
        Table("", columns, rows).text(),
        Table("", ["label", "clips", *(stage["name"] for stage in stages)], words).text(),
    ]
    if pairs:
        parts.append(Table("", ["the same label on the same clip", ""], pairs).text())
    return "\n\n".join(parts)
