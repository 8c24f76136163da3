"""``kwspot export``: a run becomes a bundle."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kwspot.runtime.errors import ConfigError

if TYPE_CHECKING:
    from kwspot.export.parity import Parity
    from kwspot.export.stream_parity import StreamParity
    from kwspot.runtime.model.bundle import Bundle

DEFAULT_HOP_MS = 40.0
"""25 looks at a word that lasts a second."""


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="kwspot export",
        description="Quantise a training run to int8 TFLite and ONNX, prove on real clips that all say the same, "
        "and write a bundle.",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder that 'kwspot train' wrote")
    parser.add_argument("--bundle", metavar="BUNDLE", type=Path, help="folder to write, NAME.kws")
    parser.add_argument(
        "--c-array",
        metavar="DIR",
        type=Path,
        help="write the int8 model as C for a microcontroller; without --bundle, RUN is a bundle",
    )
    parser.add_argument("--data", metavar="DIR", type=Path, help="recordings (default: those the run was trained on)")
    parser.add_argument(
        "--kind",
        choices=("stream", "window"),
        help="stream: each step takes the new frames and remembers the rest; window: each inference takes all frames "
        "again (default: stream where the preset was made for it, else window)",
    )
    parser.add_argument(
        "--hop-ms",
        type=float,
        default=DEFAULT_HOP_MS,
        metavar="MS",
        help="an inference every so many milliseconds, 20 to 100 (default: %(default)g)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing bundle")
    args = parser.parse_args(argv)
    if args.bundle is not None:
        bundle, parity = export_run(
            args.run, args.bundle, data=args.data, kind=args.kind, hop_ms=args.hop_ms, overwrite=args.overwrite
        )
        _print_table(bundle, parity)
    if args.c_array is not None:
        _write_c_array(args.bundle or args.run, args.c_array)
    elif args.bundle is None:
        raise ConfigError("nothing to write; expected --bundle BUNDLE, --c-array DIR or both")
    return 0


def _write_c_array(bundle_path: Path, folder: Path) -> None:
    from kwspot.export.c_array import write_c_array
    from kwspot.runtime.model.bundle import load_bundle

    for path in write_c_array(load_bundle(bundle_path), folder):
        print(path, file=sys.stderr)


def export_run(
    run_path: Path,
    target: Path,
    *,
    data: Path | None = None,
    kind: str | None = None,
    hop_ms: float = DEFAULT_HOP_MS,
    overwrite: bool = False,
) -> tuple[Bundle, Parity]:
    """Convert a run, check parity, write the bundle.

    Parameters
    ----------
    kind
        ``"stream"`` or ``"window"``; None for what the run's model was made for.
    hop_ms
        Sound from one inference to the next.

    Raises
    ------
    RunError
        If the run is missing, unfinished or not exportable.
    ConfigError
        If the hop is out of range or no whole number of frames.
    BundleError
        If `target` is taken.
    DataFolderError, ExportError
        If the recordings are not there, the model cannot be converted, or parity fails.
    """
    from kwspot.export.bundle import check_target, manifest_of, write_bundle
    from kwspot.export.clips import (
        calibration_paths,
        clip_features,
        clip_frames,
        clip_stream,
        parity_clips,
    )
    from kwspot.export.convert import check_installed, convert
    from kwspot.export.parity import check_parity
    from kwspot.export.run import read_run
    from kwspot.export.stream_parity import STREAM_MINUTES, check_stream_parity
    from kwspot.export.tensors import describe
    from kwspot.runtime.audio.recordings import DataFolder
    from kwspot.runtime.errors import DataFolderError

    check_target(target, overwrite=overwrite)
    run = read_run(run_path)
    streaming = run.streaming if kind is None else kind == "stream"
    hop_frames = run.hop_frames(hop_ms)
    check_installed()
    if data is None and not run.data_folder.is_dir():
        raise DataFolderError(
            f"{run.data_folder}, the recordings that {run_path} was trained on, is not there; "
            "expected them to calibrate and to check parity: say where they are now with --data DIR"
        )
    folder = DataFolder(data or run.data_folder)
    calibration = clip_features(calibration_paths(run, folder), run)
    paths, truth = parity_clips(run, folder)
    clips = clip_frames(paths, run)
    features = run.normalisation.apply(clips)
    form = f"a stream of {hop_ms:g} ms steps" if streaming else "a window"
    print(f"converting {run_path} to {form}, calibrated on {len(calibration)} clips", file=sys.stderr)
    converted = convert(
        run.model_path,
        calibration,
        features,
        hop_frames=hop_frames if streaming else None,
    )
    files = describe(converted.models, converted.states)
    manifest = manifest_of(run, converted, files, inference_hop_frames=hop_frames)
    if streaming:
        stream = clip_stream(paths, run, STREAM_MINUTES)
        parity: Parity = check_stream_parity(manifest, converted, clips, truth, stream)
    else:
        scores, recurrent = converted.keras_scores, converted.recurrent
        parity = check_parity(converted.models, files, features, truth, scores, recurrent=recurrent)
    return write_bundle(target, manifest, converted, parity, overwrite=overwrite), parity


def _print_table(bundle: Bundle, parity: Parity) -> None:
    def share(count: int) -> str:
        return f"{count} of {parity.clips} ({count / parity.clips:.2%})"

    from kwspot.export.stream_parity import StreamParity

    manifest = bundle.manifest
    rows = [(model.file, f"{(bundle.path / model.file).stat().st_size:,} bytes") for model in manifest.models.values()]
    stream = parity if isinstance(parity, StreamParity) else None
    rows += [
        ("parameters, MACs", f"{manifest.parameters:,}, {manifest.macs:,}"),
        ("int8 ONNX from TFLite", f"at most {parity.onnx_steps} steps"),
        (f"float {'stepping' if stream else 'TFLite'} from Keras", f"at most {parity.float_error:.1e}"),
        ("int8 and float agree", share(parity.same_label)),
        ("accuracy, float", share(parity.float_correct)),
        ("accuracy, int8", share(parity.int8_correct)),
    ]
    if stream is not None:
        rows.append(("accuracy, int8 window", share(stream.window_int8_correct)))
    print(f"{bundle.path} hears {', '.join(manifest.labels)}; on {parity.clips} validation clips:", file=sys.stderr)
    for name, value in rows:
        print(f"  {name:26} {value}", file=sys.stderr)
    if stream is not None:
        _print_stream(stream)


def _print_stream(parity: StreamParity) -> None:
    def share(count: int) -> str:
        return f"{count:,} of {parity.stream_steps:,} ({count / parity.stream_steps:.2%})"

    print(f"on a stream of {parity.stream_minutes:g} minutes, {parity.stream_steps:,} steps:", file=sys.stderr)
    for name, value in (
        ("float stepping from window", f"at most {parity.stream_float_error:.1e}"),
        ("int8 ONNX as TFLite", f"{share(parity.stream_onnx_identical)}, at most {parity.stream_onnx_steps} steps"),
        (
            "int8 stepping as window",
            f"{share(parity.stream_window_identical)}, at most {parity.stream_window_steps} steps",
        ),
        ("  in the label", share(parity.stream_window_same_label)),
    ):
        print(f"  {name:26} {value}", file=sys.stderr)
