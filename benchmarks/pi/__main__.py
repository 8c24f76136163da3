"""Every emulated board from archive to events, compared with this machine::

    python -m kwspot.benchmarks.pi BUNDLE --wav FILE [--board NAME ...] [--work DIR]

The events have to be those of the same engine here. tflite-runtime, which is
not here as a rule, is compared with LiteRT: the same words, at most a hop apart.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kwspot.benchmarks.pi.trial import TRIALS, events_of, kwspot, run_trial
from kwspot.runtime.cli import guarded
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.model.bundle import load_bundle


def agree(board: list[dict[str, Any]], here: list[dict[str, Any]], *, exact: bool, hop_samples: int) -> bool:
    """Return whether a board's events are this machine's: to the last digit, or the same words at most a hop apart."""
    if exact:
        return board == here
    if [event.get("label") for event in board] != [event.get("label") for event in here]:
        return False
    times = [(a.get("at_sample"), b.get("at_sample")) for a, b in zip(board, here, strict=True)]
    return all(a is None or abs(a - b) <= hop_samples for a, b in times)


def main(argv: Sequence[str]) -> int:
    """Print what each board says; exit status 1 if one differs."""
    parser = argparse.ArgumentParser(prog="python -m kwspot.benchmarks.pi", description=__doc__)
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle folder, or the name of one that ships with the kit")
    parser.add_argument("--wav", metavar="FILE", type=Path, required=True, help="what the boards listen to")
    parser.add_argument("--board", action="append", metavar="NAME", help=f"of {', '.join(TRIALS)} (default: all)")
    parser.add_argument(
        "--work", metavar="DIR", type=Path, default=Path("build/pi"), help="userlands are kept here (%(default)s)"
    )
    args = parser.parse_args(argv)
    for name in args.board or ():
        if name not in TRIALS:
            raise ConfigError(f"no board {name!r}; expected one of {', '.join(TRIALS)}")
    bundle = load_bundle(args.bundle)
    differing = []
    for name in args.board or TRIALS:
        trial = TRIALS[name]
        start = time.monotonic()
        archive = args.work / f"{bundle.name}-{trial.target}-{trial.engine}.tar.gz"
        deploy = ["deploy", str(bundle.path), "--to", str(archive), "--offline", "--target", trial.target]
        kwspot(*deploy, "--engine", trial.engine)
        outcome = run_trial(trial, archive, args.wav, args.work)
        exact = trial.engine != "tflite"
        reference = trial.engine if exact else "litert"
        here = events_of(kwspot("listen", str(bundle.path), "--engine", reference, "--wav", str(args.wav)))
        hop = bundle.manifest.inference_hop_samples
        same = agree(outcome.events, here, exact=exact, hop_samples=hop)
        if not same:
            differing.append(name)
        detected = [event["label"] for event in outcome.events if event["event"] == "detection"]
        print(f"{name}: archive {archive.stat().st_size / 1e6:.2f} MB, {time.monotonic() - start:.0f} s")
        print("".join(f"  {line}\n" for line in outcome.selftest.splitlines()), end="")
        print(
            f"  detected {', '.join(detected) or 'nothing'}: {'as' if same else 'NOT as'} {reference} on this machine"
        )
        if not same:
            print(f"  board {outcome.events}\n  here  {here}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
