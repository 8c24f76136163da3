"""tflite-runtime in an environment of its own: it needs numpy 1, and no TensorFlow beside it.

The other environment holds kwspot and tflite-runtime; the two exchange files.
Run there as ``python -m kwspot.benchmarks.accuracy.tflite_environment BUNDLE FRAMES.npy SCORES.npy``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.benchmarks.accuracy.scores import Stage, clip_scores
from kwspot.runtime.child import run_child
from kwspot.runtime.cli import guarded
from kwspot.runtime.errors import EngineError
from kwspot.runtime.files import scratch_folder
from kwspot.runtime.model.bundle import Bundle, load_bundle
from kwspot.runtime.model.engines import open_engine


def run_in_environment(python: str, module: str, *arguments: str) -> None:
    """Run a module of the kit by the Python of the other environment."""
    run_child(
        [python, "-m", module, *arguments],
        lambda output: EngineError(
            f"{python} could not run the model in tflite-runtime: {output}; expected the Python of an environment with "
            "kwspot[tflite]: make one, or leave --tflite-python out"
        ),
    )


def tflite_stage(bundle: Bundle, python: str, frames: NDArray[np.float32]) -> Stage:
    """Score clips, float32 (n, window_frames, C), by another Python: ``int8-tflite``."""
    with scratch_folder("tflite") as name:
        frames_file, scores_file = Path(name) / "frames.npy", Path(name) / "scores.npy"
        np.save(frames_file, frames)
        bundle_path = str(bundle.path.resolve())
        run_in_environment(
            python, "kwspot.benchmarks.accuracy.tflite_environment", bundle_path, str(frames_file), str(scores_file)
        )
        return Stage.from_scores("int8-tflite", np.load(scores_file))


def _work(bundle_path: str, frames_file: str, scores_file: str) -> int:
    bundle = load_bundle(bundle_path)
    np.save(scores_file, clip_scores(bundle, open_engine(bundle, "tflite"), np.load(frames_file)))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: _work(*sys.argv[1:])))
