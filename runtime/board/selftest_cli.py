"""``kwspot selftest``: check that this machine computes what the bundle says, and how fast.

Exit status 0 if it does, 1 if it computes something else.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from kwspot.runtime.errors import ConfigError

FEWEST_HOPS = 100
"""With fewer, p99 would be the largest."""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="kwspot selftest",
        description="Run the bundle's golden vectors on this machine, then measure how fast it listens.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle folder, or the name of one that ships with the kit")
    parser.add_argument("--engine", metavar="NAME", help="litert, tflite or onnx (default: the first installed)")
    parser.add_argument("--hops", type=int, default=500, metavar="N", help="hops to time (default: %(default)s)")
    args = parser.parse_args(argv)
    if args.hops < FEWEST_HOPS:
        raise ConfigError(f"--hops {args.hops}; expected {FEWEST_HOPS} or more")
    from kwspot.runtime.board.engine_trial import try_bundle
    from kwspot.runtime.board.selftest import measure, run_checks
    from kwspot.runtime.board.state import peak_rss_mb, temperature_c, throttling
    from kwspot.runtime.detect.spotter import KeywordSpotter
    from kwspot.runtime.model.bundle import load_bundle
    from kwspot.runtime.model.engines import open_engine

    bundle = load_bundle(args.bundle)
    try_bundle(bundle.path, args.engine)  # what it finds is told below; here it may only end a process
    checks = run_checks(bundle, open_engine(bundle, args.engine))
    for check in checks:
        print(f"{check.name:12}{'ok  ' if check.passed else 'FAIL'}  {check.seen}", flush=True)
    spotter = KeywordSpotter(bundle, engine=args.engine)
    speed = measure(spotter, args.hops)
    print(
        f"{'hop':12}      {speed.hop_ms:g} ms of sound in p50 {speed.p50_ms:.2f}, p95 {speed.p95_ms:.2f}, "
        f"p99 {speed.p99_ms:.2f} ms ({speed.hops} hops); {speed.real_time_factor:.3g} of real time"
    )
    print(f"{'memory':12}      {peak_rss_mb():.0f} MB at the most")
    temperature, complaints = temperature_c(), throttling()
    if temperature is not None:
        print(f"{'temperature':12}      {temperature:.0f} °C")
    if complaints is not None:
        print(f"{'firmware':12}      {', '.join(complaints) or 'no under-voltage, no throttling'}")
    wrong = [check.name for check in checks if not check.passed]
    uses = f"uses {100 * speed.cpu_share:.2g} % of one core"
    if wrong:
        print(f"FAILED: {bundle.name} on {spotter.engine_name}: {' and '.join(wrong)} differ from the bundle's")
        return 1
    slow = "" if speed.cpu_share < 1 else ": right, but too slow to listen"
    print(f"passed: {bundle.name} on {spotter.engine_name} {uses}{slow}")
    return 0
