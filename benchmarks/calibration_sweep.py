"""How many clips, and which, a calibration needs: the same run exported with several choices, then scored.

Every choice is an ordinary ``kwspot export`` of a copy of the run whose list of
calibration clips is another.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kwspot.runtime.errors import ConfigError, ExportError, RunError

SCHEMA = "kwspot.calibration/1"
SIZES = "16,64,250,1000"
_LIST = re.compile(r"^calibration = \[.*?\]$", re.DOTALL | re.MULTILINE)


def with_calibration(run: Path, clips: Sequence[str], target: Path) -> None:
    """A copy of a run that calibrates on other clips.

    Raises
    ------
    RunError
        If the run has no list of calibration clips.
    """
    try:
        shutil.copytree(run, target, ignore=shutil.ignore_patterns("*.png", "checkpoint"))
        config = (target / "config.toml").read_text(encoding="utf-8")
    except OSError as error:
        raise RunError(f"{run} cannot be read ({error.strerror}); expected a run 'kwspot train' wrote") from None
    # What JSON writes of a list of plain names, TOML reads.
    other, found = _LIST.subn(lambda _: f"calibration = {json.dumps(list(clips))}", config, count=1)
    if not found:
        raise RunError(f"{run / 'config.toml'} lists no calibration clips; expected a run 'kwspot train' wrote")
    (target / "config.toml").write_text(other, encoding="utf-8")


def main(argv: Sequence[str]) -> int:
    """``kwspot bench calibration``."""
    parser = argparse.ArgumentParser(
        prog="kwspot bench calibration",
        description="Export a run with several sizes and choices of its calibration and score each int8 model.",
    )
    parser.add_argument("run", metavar="RUN", help="run folder that 'kwspot train' wrote")
    parser.add_argument("--data", required=True, metavar="DIR", help="the recordings it was trained on")
    parser.add_argument("--sizes", default=SIZES, metavar="N,N", help="numbers of clips (default: %(default)s)")
    parser.add_argument("--choices", type=int, default=2, metavar="N", help="drawn for each (default: %(default)s)")
    parser.add_argument("--part", default="validation", metavar="PART", help="to score (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help=f"write {SCHEMA}; - is standard output")
    args = parser.parse_args(argv)
    sizes = args.sizes.split(",")
    if not all(size.strip().isdigit() and int(size) > 0 for size in sizes) or args.choices < 1:
        raise ConfigError(f"--sizes {args.sizes} --choices {args.choices}; expected whole numbers from 1, as in 16,250")
    from kwspot.benchmarks.progress import Progress
    from kwspot.benchmarks.results import machine, table_stream, versions, write_json

    points, float_accuracy, clips = _sweep(
        Path(args.run), Path(args.data), [int(size) for size in sizes], args.choices, args.part, Progress()
    )
    values = {
        "schema": SCHEMA,
        "machine": machine(),
        "versions": versions(),
        "run": Path(args.run).resolve().name,
        "part": args.part,
        "scored": clips,
        "float_accuracy": float_accuracy,
        "points": points,
    }
    write_json(values, args.json)
    out = table_stream(args.json)
    print(f"{values['run']}, {clips} clips ({args.part}); float {float_accuracy:.2%}\n", file=out)
    print(f"{'calibration':>11}{'choice':>8}{'int8':>10}{'points':>9}", file=out)
    for point in points:
        lost = 100 * (point["accuracy"] - float_accuracy)
        print(f"{point['clips']:11}{point['choice']:8}{point['accuracy']:10.2%}{lost:+9.2f}", file=out)
    return 0


def _sweep(
    run: Path, data: Path, sizes: Sequence[int], choices: int, part: str, progress: Any
) -> tuple[list[dict[str, Any]], float, int]:
    import numpy as np

    from kwspot.benchmarks.accuracy import clip_scores
    from kwspot.benchmarks.accuracy_stages import clips_of
    from kwspot.runtime.bundle import load_bundle
    from kwspot.runtime.engines import open_engine
    from kwspot.runtime.recordings import DataFolder

    folder = DataFolder(data)
    available = [clip.path.relative_to(folder.root).as_posix() for clip in folder.clips("train")]
    if max(sizes) > len(available):
        raise ConfigError(f"--sizes up to {max(sizes)}, but {data} has {len(available)} training clips; ask for fewer")
    points: list[dict[str, Any]] = []
    clips, float_accuracy = None, 0.0
    with tempfile.TemporaryDirectory(prefix="kwspot-calibration-") as name:
        for size in sizes:
            for choice in range(choices):
                progress.step(f"{size} clips, choice {choice + 1} of {choices}")
                drawn = np.random.default_rng([size, choice]).choice(available, size, replace=False)
                copy, target = Path(name) / f"run-{size}-{choice}", Path(name) / f"{run.resolve().name}.kws"
                with_calibration(run, sorted(map(str, drawn)), copy)
                _export(copy, target, data)
                bundle = load_bundle(target)
                if clips is None:
                    clips, _ = clips_of(bundle, folder, part, None)
                    scores = clip_scores(bundle, open_engine(bundle, "litert", precision="float"), clips.frames)
                    float_accuracy = float((scores.argmax(axis=1) == clips.truth).mean())
                scores = clip_scores(bundle, open_engine(bundle, "litert"), clips.frames)
                accuracy = float((scores.argmax(axis=1) == clips.truth).mean())
                points.append({"clips": size, "choice": choice, "accuracy": accuracy})
    assert clips is not None
    return points, float_accuracy, len(clips.clips)


def _export(run: Path, target: Path, data: Path) -> None:
    command = [sys.executable, "-m", "kwspot.runtime.cli", "export", str(run), "--bundle", str(target)]
    done = subprocess.run([*command, "--data", str(data), "--overwrite"], capture_output=True, text=True, check=False)
    if done.returncode:
        last_line = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ExportError(last_line.removeprefix("kwspot: "))
