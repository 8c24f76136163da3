"""``kwspot bench instructions``: what listening costs on a board that is not here, in instructions."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kwspot.benchmarks.tables import Table
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.files import scratch_folder

SCHEMA = "kwspot.instructions/1"
DEFAULT_CORES = ("cortex-a53", "cortex-a76")
TARGETS = ("pi-os-12-arm64", "pi-os-13-arm64")
NOT_TIME = "instructions are not time: vectors, caches and the pipeline are not seen"


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="kwspot bench instructions",
        description=f"Count the instructions of the listening loop on an emulated Raspberry Pi core ({NOT_TIME}).",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle folder, or the name of one that ships with the kit")
    parser.add_argument(
        "--cpu",
        action="append",
        metavar="CORE",
        help=f"cortex-a53, cortex-a72 or cortex-a76; may be repeated (default: {' and '.join(DEFAULT_CORES)})",
    )
    parser.add_argument("--engine", default="litert", metavar="NAME", help="litert, tflite or onnx (default: litert)")
    parser.add_argument(
        "--target", default=TARGETS[0], metavar="BOARD", help=f"{' or '.join(TARGETS)} (default: first)"
    )
    parser.add_argument("--peers", action="store_true", help="count pymicro-wakeword and Porcupine beside it")
    parser.add_argument(
        "--work", metavar="DIR", type=Path, default=Path("build/pi"), help="userlands are kept here (%(default)s)"
    )
    parser.add_argument("--json", metavar="FILE", help=f"write {SCHEMA}; - is standard output")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    args = _parse(argv)
    if args.target not in TARGETS:
        raise ConfigError(f"no board {args.target!r}; expected one of {', '.join(TARGETS)}")
    from kwspot.benchmarks.pi.cores import core_of
    from kwspot.benchmarks.pi.instructions import count, count_peer, deployed
    from kwspot.benchmarks.pi.peers import REQUIREMENTS
    from kwspot.runtime.model.bundle import load_bundle
    from kwspot.runtime.progress import Progress
    from kwspot.runtime.results import result, write_result

    bundle = load_bundle(args.bundle)
    cores = args.cpu or list(DEFAULT_CORES)
    for core in cores:
        if core_of(core).debian != "arm64":
            raise ConfigError(f"{core} is not a 64-bit core; expected cortex-a53, cortex-a72 or cortex-a76")
    columns = ["total", "features", "inference", "decision", "rest"]
    runs: list[dict[str, Any]] = []
    rows: list[list[str]] = []

    def add(title: str, millions: dict[str, float]) -> None:
        rows.append([title, *(f"{millions[name]:.3f}" if name in millions else "" for name in columns)])

    progress = Progress()
    args.work.mkdir(parents=True, exist_ok=True)
    with scratch_folder("instructions", args.work) as scratch:
        site = deployed(bundle, args.target, args.engine, scratch)
        for core in cores:
            progress.step(f"counting on {core}")
            run = count(bundle, core=core, target=args.target, engine=args.engine, site=site, work=args.work)
            add(f"{bundle.name} {args.engine} {core}", run["millions_per_s"])
            if args.peers:
                run["peers"] = {}
                for name in REQUIREMENTS:
                    progress.step(f"counting {name} on {core}")
                    total = count_peer(name, bundle, core=core, target=args.target, site=site, work=args.work)
                    run["peers"][name] = total
                    add(f"{name} {core}", {"total": total})
            runs.append(run)
    head = f"millions of instructions per second of sound; {NOT_TIME}"
    table = Table("", ["", *columns], rows).text()
    write_result(result(SCHEMA, bundle, {"runs": runs}), f"{head}\n\n{table}", args.json)
    return 0
