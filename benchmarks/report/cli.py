"""``kwspot bench report``: one page that says what a model loses and costs, and the JSON behind it."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

from kwspot.runtime.errors import BundleError, ConfigError


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="kwspot bench report",
        description="Measure one bundle or several on the same clips and write one self-contained page: accuracy from "
        "stage to stage, the clips that changed to hear, layers, confusion, latency, cost.",
    )
    parser.add_argument("bundles", nargs="+", metavar="BUNDLE", help="bundle folder, or the name of one that ships")
    parser.add_argument("--data", required=True, metavar="DIR", help="folder of recordings, DIR/<word>/<clip>.wav")
    parser.add_argument("--out", required=True, metavar="FILE.html", help="the page")
    parser.add_argument("--part", metavar="PART", help="as for 'kwspot bench accuracy'")
    parser.add_argument("--words", metavar="A,B,C", help="score only these folders of DIR (default: every one)")
    parser.add_argument(
        "--run", action="append", metavar="RUN", help="the run a bundle was exported from, once for each bundle"
    )
    parser.add_argument("--tflite-python", metavar="PATH", help="as for 'kwspot bench accuracy'")
    parser.add_argument("--peers", metavar="FILE.json", help="of 'python -m kwspot.benchmarks.experiments.peers'")
    parser.add_argument("--hops", type=int, default=2000, metavar="N", help="hops to time (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write kwspot.report/1; - is standard output")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    args = _parse(argv)
    runs: list[Path | None] = [Path(run) for run in args.run] if args.run else [None] * len(args.bundles)
    if len(runs) != len(args.bundles):
        raise ConfigError(
            f"{len(runs)} --run for {len(args.bundles)} bundles; expected one for each, in the same order, or none"
        )
    from kwspot.benchmarks.accuracy.stages import clips_of, engines_of
    from kwspot.benchmarks.report.clips import embed_changed_clips
    from kwspot.benchmarks.report.data import measure_bundle, report_result
    from kwspot.benchmarks.report.page import page
    from kwspot.benchmarks.report.rows import verdict
    from kwspot.runtime.audio.recordings import DataFolder
    from kwspot.runtime.files import whole_file
    from kwspot.runtime.model.bundle import load_bundle
    from kwspot.runtime.progress import Progress
    from kwspot.runtime.results import write_result

    bundles = [load_bundle(path) for path in args.bundles]
    names = [bundle.name for bundle in bundles]
    if len(set(names)) != len(names):
        raise BundleError(f"two bundles are called {max(names, key=names.count)}; expected different names")
    folder, progress = DataFolder(args.data), Progress()
    peers = None if args.peers is None else _costs_of_peers(args.peers)
    measured, changed = [], []
    part = args.part
    for bundle, run in zip(bundles, runs, strict=True):
        engines = engines_of(bundle, None, args.tflite_python)
        progress.step(f"{bundle.name}: reading clips")
        clips, part = clips_of(bundle, folder, part, args.words)
        entry = measure_bundle(
            bundle,
            engines,
            clips,
            folder.root,
            part,
            run=run,
            tflite_python=args.tflite_python,
            hops=args.hops,
            progress=progress,
        )
        measured.append(entry)
        changed.append(embed_changed_clips(entry["accuracy"], bundle.manifest, folder.root))
    extra = {"data": folder.root.resolve().name, "part": part, "peers": peers}
    values = report_result(bundles, measured, extra)
    with whole_file(args.out) as path:
        path.write_text(page(values, changed), encoding="utf-8")
    progress.step(f"written: {args.out} ({Path(args.out).stat().st_size / 1e6:.1f} MB)")
    write_result(values, "\n".join(map(verdict, values["bundles"])), args.json)
    return 0


def _costs_of_peers(path: str) -> dict[str, float]:
    """Program → CPU seconds for an hour of sound, the median of its rounds."""
    from kwspot.benchmarks.compare import read_json

    runs = read_json(path, "kwspot.peers/1")["runs"]
    return {run["title"]: statistics.median(run["cpu_s_per_hour"]) for run in runs}
