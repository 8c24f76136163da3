"""``kwspot bench latency``: what a hop, an hour of sound and a start cost, for each engine, on one thread."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

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
    from kwspot.runtime.results import result, table_stream, write_json

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
    write_json(values, args.json)
    _print_table(values, table_stream(args.json))
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


def _print_table(values: dict[str, Any], out: TextIO) -> None:
    runs = values["runs"]
    print(
        f"{values['bundle']['name']} on {values['machine']['cpu']}, one thread; {runs[0]['hops']} hops of "
        f"{runs[0]['hop_ms']:g} ms\n\n"
        f"{'engine':8}{'model':7}{'µs per hop':11}{'p50':>9}{'p95':>9}{'p99':>9}{'max':>9}"
        f"{'CPU s/h':>9}{'RSS MB':>8}{'load s':>8}",
        file=out,
    )
    for run in runs:
        for i, (step, us) in enumerate(run["us"].items()):
            head = f"{run['engine']:8}{run['precision']:7}" if i == 0 else " " * 15
            tail = f"{run['cpu_s_per_hour']:9.2f}{run['rss_mb']:8.0f}{run['load_s']:8.2f}" if i == 0 else ""
            quantiles = "".join(f"{us[q]:9.1f}" for q in ("p50", "p95", "p99", "max"))
            print(f"{head}{step:11}{quantiles}{tail}", file=out)
