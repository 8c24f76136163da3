"""``kwspot export``: a run becomes a bundle."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kwspot.export.parity import Parity
    from kwspot.runtime.bundle import Bundle


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="kwspot export",
        description="Quantise a training run to int8 TFLite and ONNX, prove on real clips that all say the same, "
        "and write a bundle.",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder that 'kwspot train' wrote")
    parser.add_argument("--bundle", metavar="BUNDLE", type=Path, required=True, help="folder to write, NAME.kws")
    parser.add_argument("--data", metavar="DIR", type=Path, help="recordings (default: those the run was trained on)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing bundle")
    args = parser.parse_args(argv)
    bundle, parity = export_run(args.run, args.bundle, data=args.data, overwrite=args.overwrite)
    _print_table(bundle, parity)
    return 0


def export_run(
    run_path: Path, target: Path, *, data: Path | None = None, overwrite: bool = False
) -> tuple[Bundle, Parity]:
    """Convert a run, check parity, write the bundle.

    Raises
    ------
    RunError
        If the run is missing, unfinished or not exportable.
    BundleError
        If `target` is taken.
    DataFolderError, ExportError
        If the recordings are not there, the model cannot be converted, or parity fails.
    """
    from kwspot.export.clips import calibration_paths, clip_features, parity_clips
    from kwspot.export.convert import check_installed, convert
    from kwspot.export.model_files import describe
    from kwspot.export.parity import check_parity
    from kwspot.export.run import read_run
    from kwspot.export.write_bundle import check_target, write_bundle
    from kwspot.runtime.errors import DataFolderError
    from kwspot.runtime.recordings import DataFolder

    check_target(target, overwrite=overwrite)
    run = read_run(run_path)
    check_installed()
    if data is None and not run.data_folder.is_dir():
        raise DataFolderError(
            f"{run.data_folder}, the recordings that {run_path} was trained on, is not there; "
            "expected them to calibrate and to check parity: say where they are now with --data DIR"
        )
    folder = DataFolder(data or run.data_folder)
    calibration = clip_features(calibration_paths(run, folder), run)
    clips, truth = parity_clips(run, folder)
    features = clip_features(clips, run)
    print(f"converting {run_path}, calibrated on {len(calibration)} clips", file=sys.stderr)
    converted = convert(run.model_path, calibration, features)
    files = describe(converted.models)
    scores, recurrent = converted.keras_scores, converted.recurrent
    parity = check_parity(converted.models, files, features, truth, scores, recurrent=recurrent)
    return write_bundle(target, run, converted, files, parity, overwrite=overwrite), parity


def _print_table(bundle: Bundle, parity: Parity) -> None:
    def share(count: int) -> str:
        return f"{count} of {parity.clips} ({count / parity.clips:.2%})"

    manifest = bundle.manifest
    rows = [(model.file, f"{(bundle.path / model.file).stat().st_size:,} bytes") for model in manifest.models.values()]
    rows += [
        ("parameters, MACs", f"{manifest.parameters:,}, {manifest.macs:,}"),
        ("int8 ONNX from TFLite", f"at most {parity.onnx_steps} steps"),
        ("float TFLite from Keras", f"at most {parity.float_error:.1e}"),
        ("int8 and float agree", share(parity.same_label)),
        ("accuracy, float", share(parity.float_correct)),
        ("accuracy, int8", share(parity.int8_correct)),
    ]
    print(f"{bundle.path} hears {', '.join(manifest.labels)}; on {parity.clips} validation clips:", file=sys.stderr)
    for name, value in rows:
        print(f"  {name:24} {value}", file=sys.stderr)
