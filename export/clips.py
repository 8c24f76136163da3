"""The real clips of an export: those that calibrate, and those that prove parity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import fit_length, read_sound
from kwspot.runtime.errors import ExportError
from kwspot.runtime.features.mfcc import mfcc
from kwspot.runtime.labels import UNKNOWN
from kwspot.runtime.run_folder import Run

MOST_PARITY_CLIPS = 300
"""Enough to meet a difference that matters, few enough for an export to stay under half a minute."""


def clip_frames(paths: Sequence[Path], run: Run) -> NDArray[np.float32]:
    """Features, float32 (clips, window_frames, coefficients), not normalised, of clips read as training read them."""
    spec = run.features
    frames = np.empty((len(paths), run.window_frames, spec.coefficients), np.float32)
    for row, path in zip(frames, paths, strict=True):
        row[...] = mfcc(fit_length(read_sound(path, spec.sample_rate_hz), run.clip_samples), spec)
    return frames


def clip_features(paths: Sequence[Path], run: Run) -> NDArray[np.float32]:
    """Compute the frames of clips, normalised."""
    return run.normalisation.apply(clip_frames(paths, run))


def clip_stream(paths: Sequence[Path], run: Run, minutes: float) -> NDArray[np.float32]:
    """Return frames, float32 (n, coefficients), not normalised, of clips in random order with pauses of faint noise.

    They come from the sound as a whole, as a microphone would give it; the same
    clips give the same stream.
    """
    rng = np.random.default_rng(7)
    rate_hz = run.features.sample_rate_hz
    parts: list[NDArray[np.int16]] = []
    while sum(map(len, parts)) < minutes * 60 * rate_hz:
        pause = rng.normal(0, 8, rng.integers(rate_hz // 2, 2 * rate_hz))
        path = paths[int(rng.integers(len(paths)))]
        parts += [np.rint(pause).astype(np.int16), read_sound(path, rate_hz)]
    return mfcc(np.concatenate(parts), run.features)


def calibration_paths(run: Run, data: DataFolder) -> list[Path]:
    """Return the clips that the run lists for calibration.

    Raises
    ------
    ExportError
        If one is missing: another choice would be another model.
    """
    paths = [data.root / name for name in run.calibration]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise ExportError(
            f"{data.root} lacks {len(missing)} of the {len(paths)} calibration clips that {run.path} lists, such as "
            f"{missing[0].relative_to(data.root)}; expected the recordings it was trained on: say where with --data DIR"
        )
    return paths


def parity_clips(run: Run, data: DataFolder) -> tuple[list[Path], NDArray[np.intp]]:
    """Return clips of the validation part, evenly from each label, and the index of each one's label.

    A folder that is no label counts as ``_unknown_`` where the model has it,
    and is left out where it has not.

    Raises
    ------
    ExportError
        If there are none.
    """
    by_label: dict[str, list[Path]] = {label: [] for label in run.labels}
    for clip in data.clips("validation"):
        label = clip.word if clip.word in by_label else UNKNOWN
        if label in by_label:
            by_label[label].append(clip.path)
    most = _evenly([len(paths) for paths in by_label.values()], MOST_PARITY_CLIPS)
    chosen: list[Path] = []
    truth: list[int] = []
    for index, (paths, count) in enumerate(zip(by_label.values(), most, strict=True)):
        chosen += [paths[i * len(paths) // count] for i in range(count)]
        truth += [index] * count
    if not chosen:
        raise ExportError(
            f"{data.root} has no clip of {', '.join(run.labels)} in its validation part, on which parity is proved: "
            "record some more speakers, or say with --data DIR where they are"
        )
    return chosen, np.array(truth, np.intp)


def _evenly(available: Sequence[int], most: int) -> list[int]:
    """Return how many to take of each, at most `most` in all: what one lacks, the others give.

    >>> _evenly([2, 500, 500], 300)
    [2, 149, 149]
    """
    taken = [0] * len(available)
    for rank, index in enumerate(sorted(range(len(available)), key=lambda i: available[i])):
        taken[index] = min(available[index], (most - sum(taken)) // (len(available) - rank))
    return taken
