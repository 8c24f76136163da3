"""``kwspot bench latency``: what a hop, an hour of sound and a start cost, for each engine, on one thread."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kwspot.benchmarks.tables import Table
from kwspot.runtime.child import run_child
from kwspot.runtime.errors import ConfigError, EngineError
from kwspot.runtime.files import scratch_folder

if TYPE_CHECKING:
    from kwspot.runtime.model.bundle import Bundle

SCHEMA = "kwspot.latency/1"
FEWEST_HOPS = 2000
"""With fewer, p99 would rest on less than 20 hops."""


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="kwspot bench latency",
        description="Measure features, inference and decision per hop, CPU time per hour of sound, peak memory and "
        "load time; each engine in a fresh process, on one thread.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle folder, or the name of one that ships with the kit")
    parser.add_argument("--wav", metavar="FILE", help="sound to push, its first 30 s (default: synthetic)")
    parser.add_argument("--engine", action="append", metavar="NAME", help="may be repeated (default: all installed)")
    parser.add_argument(
        "--hops", type=int, default=FEWEST_HOPS, metavar="N", help="hops to time (default: %(default)s)"
    )
    parser.add_argument("--float", action="store_true", help="measure the float model too")
    parser.add_argument("--json", metavar="FILE", help=f"write {SCHEMA}; - is standard output")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    args = _parse(argv)
    if args.hops < FEWEST_HOPS:
        raise ConfigError(f"--hops {args.hops}; expected {FEWEST_HOPS} or more, or p99 would rest on a handful")
    from kwspot.benchmarks.engine_choice import engines_to_measure, note
    from kwspot.benchmarks.latency.loop_sound import sound_of, synthetic_sound
    from kwspot.runtime.model.bundle import load_bundle
    from kwspot.runtime.results import result, write_result

    bundle = load_bundle(args.bundle)
    wanted = [(engine, "int8") for engine in engines_to_measure(bundle, args.engine)]
    if args.float:
        wanted += [(engine, "float") for engine, _ in wanted if engine != "onnx"]
        if ("onnx", "int8") in wanted:
            note("float is not measured in onnx: a bundle holds its float model as .tflite alone")
    rate_hz, hop = bundle.manifest.features.sample_rate_hz, bundle.manifest.inference_hop_samples
    sound = synthetic_sound(rate_hz) if args.wav is None else sound_of(args.wav, rate_hz, hop)
    with scratch_folder("latency") as scratch:
        sound_file = Path(scratch) / "sound.s16"
        sound.astype("<i2").tofile(sound_file)
        runs = [_measure(bundle, engine, precision, sound_file, args.hops) for engine, precision in wanted]
    values = result(SCHEMA, bundle, {"sound": "synthetic" if args.wav is None else Path(args.wav).name, "runs": runs})
    head = (
        f"{bundle.name} on {values['machine']['cpu']}, one thread; {runs[0]['hops']} hops of {runs[0]['hop_ms']:g} ms"
    )
    write_result(values, f"{head}\n\n{_table(runs).text()}", args.json)
    return 0


def _measure(bundle: Bundle, engine: str, precision: str, sound_file: Path, hops: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "kwspot.benchmarks.latency.worker"]
    command += [str(bundle.path), engine, precision, str(sound_file), str(hops)]
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    output = run_child(
        command,
        lambda output: EngineError(f"{engine} ({precision}) cannot be measured: {output}"),
        environment={**os.environ, **one_thread},
    )
    values: dict[str, Any] = json.loads(output)
    return values


def _table(runs: Sequence[dict[str, Any]]) -> Table:
    rows = []
    for run in runs:
        for number, (step, us) in enumerate(run["us"].items()):
            quantiles = [f"{us[q]:.1f}" for q in ("p50", "p95", "p99", "max")]
            head, tail = ["", ""], ["", "", ""]
            if number == 0:
                head = [run["engine"], run["precision"]]
                tail = [f"{run['cpu_s_per_hour']:.2f}", f"{run['rss_mb']:.0f}", f"{run['load_s']:.2f}"]
            rows.append([*head, step, *quantiles, *tail])
    columns = ["engine", "model", "µs per hop", "p50", "p95", "p99", "max", "CPU s/h", "RSS MB", "load s"]
    return Table("", columns, rows)
