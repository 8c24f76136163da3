"""``kwspot bench accuracy``: what each form of the model gets right on the same clips."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from kwspot.benchmarks.accuracy import LabelledClips, Stage
    from kwspot.runtime.bundle import Bundle

SCHEMA = "kwspot.accuracy/1"


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="kwspot bench accuracy",
        description="Score each form of a model on the same clips: float Keras (with --run), float TFLite and int8 "
        "in each engine, with counts, 95 % intervals and the loss in percentage points.",
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
    parser.add_argument("--engine", action="append", metavar="NAME", help="may be repeated (default: all installed)")
    parser.add_argument("--json", metavar="FILE", help=f"write {SCHEMA}; - is standard output")
    parser.add_argument("--predictions", metavar="FILE.csv", help="write a row per stage and clip")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    args = _parse(argv)
    from kwspot.benchmarks.accuracy import load_clips, summary
    from kwspot.benchmarks.engine_choice import engines_to_measure, note
    from kwspot.benchmarks.results import result, table_stream, write_json
    from kwspot.runtime.bundle import load_bundle
    from kwspot.runtime.recordings import DataFolder, default_part

    bundle, folder = load_bundle(args.bundle), DataFolder(args.data)
    labels = bundle.manifest.labels
    engines = engines_to_measure(bundle, args.engine)
    part = args.part or default_part(folder)
    if args.part is None:
        note(f"no --part was named; scoring {part}")
    words = None if args.words is None else [word.strip() for word in args.words.split(",")]
    clips = load_clips(folder, part, words, bundle.manifest)
    for index, label in enumerate(labels):
        if not (clips.truth == index).any():
            note(f"{label} has no clip in {folder.root} ({part}); the accuracy says nothing about it")

    stages = _stages(bundle, engines, None if args.run is None else Path(args.run), clips)
    values = result(
        SCHEMA, bundle, {"data": folder.root.resolve().name, "part": part, **summary(stages, clips.truth, labels)}
    )
    if args.predictions:
        _write_predictions(Path(args.predictions), stages, clips, labels, folder.root)
    write_json(values, args.json)
    _print_tables(values, stages, clips, table_stream(args.json))
    return 0


def _stages(bundle: Bundle, engines: list[str], run: Path | None, clips: LabelledClips) -> list[Stage]:
    from kwspot.benchmarks.accuracy import engine_stage, keras_stage
    from kwspot.benchmarks.engine_choice import note
    from kwspot.runtime.engines import installed_engines

    stages = [engine_stage(bundle, engine, "int8", clips.frames) for engine in engines]
    tflite_engines = [name for name in (*engines, *installed_engines()) if name != "onnx"]
    if "float-tflite" not in bundle.manifest.models:
        note(f"float-tflite is left out: {bundle.path} holds no such model")
    elif not tflite_engines:
        note("float-tflite is left out: it needs kwspot[litert] or kwspot[tflite]")
    else:
        stages.insert(0, engine_stage(bundle, tflite_engines[0], "float", clips.frames))
    if run is not None:
        # Last, since tflite-runtime cannot start in a process that has loaded TensorFlow.
        stages.insert(0, keras_stage(run, bundle, clips.frames))
    return stages


def _write_predictions(
    target: Path, stages: Sequence[Stage], clips: LabelledClips, labels: Sequence[str], root: Path
) -> None:
    from kwspot.runtime.atomic import whole_file

    names = [clip.path.relative_to(root).as_posix() for clip in clips.clips]
    with whole_file(target) as path, path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("stage", "clip", "label", "predicted", "score"))
        for stage in stages:
            for name, true, said, score in zip(names, clips.truth, stage.predicted, stage.score, strict=True):
                rows.writerow((stage.name, name, labels[true], labels[said], f"{score:.6f}"))


def _print_tables(values: dict[str, Any], stages: Sequence[Stage], clips: LabelledClips, out: TextIO) -> None:
    from kwspot.runtime.intervals import mcnemar_p

    rows = values["stages"]
    print(
        f"{values['bundle']['name']} on {values['data']} ({values['part']}), {values['clips']} clips\n\n"
        f"{'stage':14}{'correct':>9}{'accuracy':>10}{'95 % interval':>18}{'loss':>8}  changed against the first float",
        file=out,
    )
    base = next((stage for stage in stages if stage.name.startswith("float-")), None)
    for row, stage in zip(rows, stages, strict=True):
        low, high = row["ci95"]
        line = f"{row['name']:14}{row['correct']:9}{row['accuracy']:10.2%}{f'{low:.2%} – {high:.2%}':>18}"
        if base is not None:
            line += f"{row['loss_points']:8.2f}"
        if base is not None and stage is not base:
            right, base_right = stage.predicted == clips.truth, base.predicted == clips.truth
            lost, won = int((base_right & ~right).sum()), int((right & ~base_right).sum())
            line += f"  {lost} right→wrong, {won} wrong→right, McNemar {_p_text(mcnemar_p(lost, won))}"
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
