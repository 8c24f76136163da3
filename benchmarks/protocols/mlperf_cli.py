"""``kwspot bench model``: MLPerf Tiny's keyword spotting, for a bundle of ours and for any foreign .tflite."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kwspot.benchmarks.tables import Columns, Table
from kwspot.runtime.errors import ConfigError

if TYPE_CHECKING:
    from kwspot.benchmarks.protocols.foreign_model import ForeignModel
    from kwspot.benchmarks.protocols.mlperf_data import FeatureFiles
    from kwspot.runtime.model.bundle import Bundle
    from kwspot.runtime.progress import Progress

SCHEMA = "kwspot.model/1"


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="kwspot bench model",
        description="Run MLPerf Tiny's keyword spotting benchmark in LiteRT and onnxruntime: top-1 accuracy on files "
        "of features with a y_labels.csv, and inferences per second (the median of 5 timings, after 10 "
        "inferences to warm up). A bundle is scored on recordings as well.",
    )
    parser.add_argument("model", metavar="MODEL", help="a .tflite or .onnx file, or a bundle")
    parser.add_argument(
        "--data", required=True, metavar="DIR", help="files of features with y_labels.csv; of a bundle also recordings"
    )
    parser.add_argument("--onnx", metavar="FILE", help="the ONNX form of a .tflite (default: made by tf2onnx)")
    parser.add_argument("--part", metavar="PART", help="of recordings, as for 'kwspot bench accuracy'")
    parser.add_argument(
        "--seconds",
        type=float,
        default=10.0,
        metavar="S",
        help="shortest length of a timing (default: %(default)s, as MLPerf's)",
    )
    parser.add_argument("--json", metavar="FILE", help=f"write {SCHEMA}; - is standard output")
    args = parser.parse_args(argv)
    from kwspot.benchmarks.protocols.foreign_model import StreamModel, open_models
    from kwspot.benchmarks.protocols.mlperf_data import LABELS_FILE, read_feature_files
    from kwspot.runtime.model.bundle import load_bundle
    from kwspot.runtime.progress import Progress
    from kwspot.runtime.results import machine, versions, write_result

    path, data = Path(args.model), Path(args.data)
    bundle = None if path.suffix in (".tflite", ".onnx") else load_bundle(args.model)
    models: list[ForeignModel]
    if bundle is None:
        models = open_models(path, None if args.onnx is None else Path(args.onnx))
    elif bundle.manifest.kind == "stream":
        if (data / LABELS_FILE).is_file():
            raise ConfigError(
                f"{data} holds features of whole clips and {bundle.path} takes a hop at a time; expected recordings"
            )
        models = [StreamModel(bundle, engine) for engine in ("litert", "onnx")]
    else:
        files = (bundle.path / bundle.manifest.models[form].file for form in ("int8-tflite", "int8-onnx"))
        models = open_models(*files)
    entry = models[0].entry
    if bundle is not None and not (data / LABELS_FILE).is_file():
        clips = _from_recordings(bundle, data, args.part)
    else:
        clips = read_feature_files(data, math.prod(entry.shape), entry.dtype)
    progress = Progress()
    values: dict[str, Any] = {
        "schema": SCHEMA,
        "machine": machine(),
        "versions": versions(),
        "model": path.name,
        "input": {"shape": list(entry.shape), "dtype": entry.dtype.name},
        "clips": len(clips.names),
        "engines": [_measure(model, clips, args.seconds, progress) for model in models],
    }
    shape = " × ".join(map(str, entry.shape))
    head = f"{path.name}: {entry.dtype.name} {shape}, {len(clips.names)} clips, one thread"
    write_result(values, f"{head}\n\n{Table.of('', values['engines'], _COLUMNS).text()}", args.json)
    return 0


def _from_recordings(bundle: Bundle, data: Path, part: str | None) -> FeatureFiles:
    """Prepare recordings as input of the bundle's model."""
    from kwspot.benchmarks.accuracy.stages import clips_of
    from kwspot.benchmarks.protocols.mlperf_data import FeatureFiles
    from kwspot.runtime.audio.recordings import DataFolder
    from kwspot.runtime.features.quantise import quantise

    manifest = bundle.manifest
    clips, _ = clips_of(bundle, DataFolder(data), part, None)
    names = [clip.path.name for clip in clips.clips]
    if manifest.kind == "stream":
        return FeatureFiles(names, clips.frames.reshape(len(names), -1), clips.truth, len(manifest.labels))
    entry = manifest.models["int8-tflite"].inputs[0]
    assert entry.scale is not None
    assert entry.zero_point is not None
    features = quantise(manifest.normalisation.apply(clips.frames), entry.scale, entry.zero_point)
    return FeatureFiles(names, features.reshape(len(names), -1), clips.truth, len(manifest.labels))


def _measure(model: ForeignModel, clips: FeatureFiles, seconds: float, progress: Progress) -> dict[str, Any]:
    from kwspot.benchmarks.protocols.foreign_model import ModelFileError, scores_of, time_inferences
    from kwspot.benchmarks.protocols.mlperf_data import QUALITY_TARGET
    from kwspot.runtime.intervals import wilson_interval

    progress.step(f"{model.engine}: {len(clips.names):,} clips")
    scores = scores_of(model, clips.features)
    if scores.shape[1] != clips.classes:
        raise ModelFileError(
            f"the model gives {scores.shape[1]} scores, the labels are of {clips.classes} classes; "
            "expected as many: give the labels that belong to this model"
        )
    correct = int((scores.argmax(axis=1) == clips.truth).sum())
    return {
        "engine": model.engine,
        "correct": correct,
        "accuracy": correct / len(clips.names),
        "ci95": list(wilson_interval(correct, len(clips.names))),
        "reaches_target": correct / len(clips.names) >= QUALITY_TARGET,
        **time_inferences(model, clips.features, seconds),
        "threads": 1,
    }


_COLUMNS: Columns = {
    "engine": "{engine}",
    "correct": "{correct}",
    "top-1": "{accuracy:.2%}",
    "95 % interval": "{ci95[0]:.2%} – {ci95[1]:.2%}",
    "90 %?": lambda row: "yes" if row["reaches_target"] else "no",
    "per s": "{inferences_per_s:.0f}",
    "µs": "{us:.1f}",
}
