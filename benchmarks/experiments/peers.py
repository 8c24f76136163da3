"""Our runtime beside what people would use instead, on the same sound, in turn, on one core.

::

    python -m kwspot.benchmarks.experiments.peers commands --json peers.json

Each runs in a process and an environment of its own, made under build/peers at
the first run. In each round all of them run over the sound one after another,
so that a busy machine is busy for all; the ratios are taken within a round.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kwspot.benchmarks.engine_choice import note
from kwspot.benchmarks.experiments.steps import parser_of
from kwspot.benchmarks.latency.loop_sound import synthetic_sound
from kwspot.benchmarks.tables import Columns, Table
from kwspot.runtime.child import run_child
from kwspot.runtime.cli import guarded
from kwspot.runtime.errors import EngineError
from kwspot.runtime.files import scratch_folder
from kwspot.runtime.model.bundle import load_bundle
from kwspot.runtime.results import result, write_result

SCHEMA = "kwspot.peers/1"
REFERENCE = "pymicro-wakeword"
"""The leanest open one; ratios are to it."""

REQUIREMENTS: dict[str, list[str]] = {
    "pymicro-wakeword": ["pymicro-wakeword==2.5.0"],
    # It names the backport of a module that Python has, and not the numpy that it is fed with here.
    "porcupine": ["--no-deps", "pvporcupine==1.9.5", "numpy"],
    "openwakeword": ["openwakeword==0.4.0"],
    "librosa-window": ["librosa>=0.10.2,<1.0", "ai-edge-litert>=2.1"],
}
ENVIRONMENTS = Path("build/peers")
RATE_HZ = 16_000
"""What all of them hear."""

_WORKER = Path(__file__).with_name("peer_worker.py")


@dataclasses.dataclass(frozen=True)
class Entry:
    """A row of the table: title, runtime of the worker, its Python, its model."""

    title: str
    runtime: str
    python: str
    model: str


class Peer:
    """A running worker."""

    def __init__(self, entry: Entry, sound_file: Path, block_samples: int) -> None:
        self.entry = entry
        # -P: the folder of the script holds modules of ours whose names others use too.
        command = [entry.python, "-P", str(_WORKER), entry.runtime, entry.model, str(sound_file), str(block_samples)]
        one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, env={**os.environ, **one_thread}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.rounds: list[dict[str, float]] = []
        try:
            self.loaded = self._answer()
        except BaseException:
            self.kill()
            raise

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        # A library may print lines of its own.
        for line in self._process.stdout:
            if line.startswith("{"):
                values: dict[str, float] = json.loads(line)
                return values
        raise EngineError(
            f"{self.entry.title} ended with status {self._process.wait()}; its words are above. "
            "Remove its folder under build/peers to have it made again, or leave it out with --only"
        )

    def run_round(self) -> None:
        """Run once over the sound."""
        assert self._process.stdin is not None
        # One that has died says so by having no answer.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("round\n")
            self._process.stdin.flush()
        self.rounds.append(self._answer())

    def end(self) -> float:
        """End the process and return its peak memory in MB."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        rss_mb = self._answer()["rss_mb"]
        self._process.wait()
        return rss_mb

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self._process.kill()
        # What was not read any more is of no interest.
        with contextlib.suppress(BrokenPipeError), self._process:
            pass


def measure(entries: Sequence[Entry], sound_file: Path, *, seconds: float, block_samples: int, rounds: int) -> Any:
    """Measure the ``runs`` of the schema ``kwspot.peers/1``, the rounds interleaved."""
    peers: list[Peer] = []
    try:
        for entry in entries:
            peers.append(Peer(entry, sound_file, block_samples))
        for _ in range(rounds):
            for peer in peers:
                peer.run_round()
        reference = next((peer for peer in peers if peer.entry.runtime == REFERENCE), None)
        runs = []
        for peer in peers:
            cpu_s = [3600 * one["cpu_s"] / seconds for one in peer.rounds]
            run: dict[str, Any] = {"title": peer.entry.title, **peer.loaded, "cpu_s_per_hour": cpu_s}
            run |= {key: [one[key] for one in peer.rounds] for key in ("p50_us", "p99_us", "heard")}
            if reference is not None:
                pairs = zip(peer.rounds, reference.rounds, strict=True)
                run["ratio"] = [ours["cpu_s"] / theirs["cpu_s"] for ours, theirs in pairs]
            runs.append(run)
        for run, peer in zip(runs, peers, strict=True):
            run["rss_mb"] = peer.end()
        return runs
    finally:
        for peer in peers:
            peer.kill()


def environment(name: str, folder: Path) -> str:
    """Return the Python of a peer's environment, made if it is not there."""
    python = folder / name / "bin" / "python"
    if not (folder / name / "ready").exists():
        note(f"making the environment of {name} in {folder / name}")
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(folder / name)],
            [str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS[name]],
        ):
            run_child(
                command,
                lambda output: EngineError(
                    f"{name} cannot be installed: {output}; leave it out with --only, or see to it by hand"
                ),
            )
        (folder / name / "ready").touch()
    return str(python)


def _table(runs: Sequence[dict[str, Any]]) -> Table:
    def median_of(key: str, form: str) -> Callable[[dict[str, Any]], str]:
        return lambda run: format(statistics.median(run[key]), form)

    def ratio(run: dict[str, Any]) -> str:
        ratios = run.get("ratio")
        return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else "–"

    columns: Columns = {
        "runtime": "{title}",
        "CPU s/h": median_of("cpu_s_per_hour", ".2f"),
        "ratio": ratio,
        "p50 µs": median_of("p50_us", ".0f"),
        "p99 µs": median_of("p99_us", ".0f"),
        "RSS MB": "{rss_mb:.0f}",
        "load CPU s": "{load_cpu_s:.2f}",
    }
    return Table.of("", runs, columns)


def main(argv: Sequence[str]) -> int:
    """Measure and print."""
    parser = parser_of("peers", __doc__, SCHEMA)
    parser.add_argument("bundles", nargs="+", type=load_bundle, metavar="BUNDLE", help="each at its own hop, in LiteRT")
    parser.add_argument("--only", nargs="*", choices=REQUIREMENTS, default=REQUIREMENTS, help="(default: all)")
    parser.add_argument("--block-ms", type=float, default=80.0, metavar="MS", help="default: %(default)g")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--window-bundle", type=load_bundle, default="tutorial", metavar="BUNDLE", help="for librosa-window"
    )
    args = parser.parse_args(argv)
    sound = synthetic_sound(RATE_HZ)
    entries = []
    for bundle in args.bundles:
        hop_ms = 1000 * bundle.manifest.inference_hop_samples / RATE_HZ
        entries.append(
            Entry(f"kwspot {bundle.name}, {hop_ms:g} ms", "kwspot", sys.executable, str(bundle.path.resolve()))
        )
    window = str(args.window_bundle.path.resolve())
    entries += [Entry(name, name, environment(name, ENVIRONMENTS.absolute()), window) for name in args.only]
    # Children inherit the core.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    block_samples = round(args.block_ms * RATE_HZ / 1000)
    seconds = len(sound) // block_samples * block_samples / RATE_HZ
    with scratch_folder("peers") as scratch:
        sound_file = scratch / "sound.s16"
        sound.astype("<i2").tofile(sound_file)
        runs = measure(entries, sound_file, seconds=seconds, block_samples=block_samples, rounds=args.rounds)
    content = {"seconds": seconds, "block_ms": args.block_ms, "rounds": args.rounds, "runs": runs}
    head = (
        f"{args.block_ms:g} ms blocks, {args.rounds} rounds over {seconds:g} s, medians; "
        f"ratio to {REFERENCE}: median (least to most)"
    )
    write_result(result(SCHEMA, args.bundles[0], content), f"{head}\n\n{_table(runs).text()}", args.json)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
