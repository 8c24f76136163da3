"""From a run folder to a bundle: read, convert, check parity, write."""

from __future__ import annotations

import sys
from pathlib import Path

from kwspot.export.bundle import manifest_of, write_bundle
from kwspot.export.clips import calibration_paths, clip_features, clip_frames, clip_stream, parity_clips
from kwspot.export.convert import check_installed, convert
from kwspot.export.parity import Parity, check_parity
from kwspot.export.stream_parity import STREAM_MINUTES, check_stream_parity
from kwspot.export.tensors import describe
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.errors import ConfigError, DataFolderError
from kwspot.runtime.model.bundle import Bundle
from kwspot.runtime.model.edit import check_target
from kwspot.runtime.run_folder import Run, read_run

STREAMING_MODELS = ("tc-cnn",)
"""Models of ``config.toml`` whose convolutions over time have no padding: made to be streams."""

LEAST_HOP_MS, MOST_HOP_MS = 20, 100


def export_run(
    run_path: Path,
    target: Path,
    *,
    data: Path | None = None,
    kind: str | None = None,
    hop_ms: float = 40.0,
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
    check_target(target, overwrite=overwrite)
    run = read_run(run_path)
    run.check_exportable()
    streaming = run.model_name in STREAMING_MODELS if kind is None else kind == "stream"
    hop_frames = hop_frames_of(run, hop_ms)
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
    converted = convert(run.model_path, calibration, features, hop_frames=hop_frames if streaming else None)
    print(f"checking that all forms agree on {len(clips)} clips", file=sys.stderr)
    files = describe(converted.models, converted.states)
    manifest = manifest_of(run, converted, files, inference_hop_frames=hop_frames)
    if streaming:
        print(f"and on a stream of {STREAM_MINUTES:g} minutes", file=sys.stderr)
        stream = clip_stream(paths, run, STREAM_MINUTES)
        parity: Parity = check_stream_parity(manifest, converted, clips, truth, stream)
    else:
        parity = check_parity(converted, files, features, truth)
    return write_bundle(target, manifest, converted, parity, overwrite=overwrite), parity


def hop_frames_of(run: Run, hop_ms: float) -> int:
    """Return the frames of an inference hop.

    Raises
    ------
    ConfigError
        If it is out of range, or no whole number of frames.
    """
    frames = hop_ms / run.features.hop_ms
    if not (LEAST_HOP_MS <= hop_ms <= MOST_HOP_MS and frames.is_integer()):
        raise ConfigError(
            f"--hop-ms {hop_ms:g}; expected a multiple of the {run.features.hop_ms:g} ms from one frame of "
            f"{run.path} to the next, {LEAST_HOP_MS} to {MOST_HOP_MS}"
        )
    return int(frames)
