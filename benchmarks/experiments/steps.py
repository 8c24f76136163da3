"""What experiments do through kwspot's own commands; what is in their work folder already is taken as it is."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kwspot.runtime.child import kwspot
from kwspot.runtime.errors import RunError
from kwspot.runtime.files import whole_file


def parser_of(experiment: str, about: str, schema: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of an experiment, with ``--json`` where it writes a result of a schema."""
    parser = argparse.ArgumentParser(prog=f"python -m kwspot.benchmarks.experiments.{experiment}", description=about)
    if schema is not None:
        parser.add_argument("--json", metavar="FILE", help=f"write {schema}; - is standard output")
    return parser


def command_line(experiment: str, argv: Sequence[str]) -> str:
    """Return the command that a page was made by, to be pasted into a shell."""
    return shlex.join(["python", "-m", f"kwspot.benchmarks.experiments.{experiment}", *argv])


def keep_settings(work: Path, settings: Mapping[str, Any]) -> None:
    """Write down what the results in `work` are made with; others would be mixed with them and are refused."""
    file = work / "settings.json"
    if file.exists():
        if (there := json.loads(file.read_text())) != settings:
            raise RunError(f"{work} holds results of {there}, now asked for is {settings}; name another --work")
        return
    with whole_file(file) as path:
        path.write_text(json.dumps(settings, indent=1, allow_nan=False) + "\n")


def train(run: Path, *options: str, module: str | None = None) -> dict[str, Any]:
    """Train, or go on, or take what is there; return ``metrics.json``. `module` trains in place of ``kwspot train``."""
    checkpoint = run / "checkpoint"
    # An interrupted training leaves both: the best epoch so far, and what it needs to go on.
    if not (run / "metrics.json").exists() or checkpoint.exists():
        again = ["--resume"] if checkpoint.exists() else ["--overwrite"] if run.exists() else []
        if module is None:
            kwspot("train", *options, "--run", str(run), *again)
        else:
            kwspot(*options, "--run", str(run), *again, module=module)
    return dict(json.loads((run / "metrics.json").read_text()))


def measure(run: Path, folder: Path, bundle: Path, *where: str) -> dict[str, Any]:
    """Export a run and measure its accuracy on the clips that `where` names, and its latency; return both and sizes."""
    accuracy, latency = folder / "accuracy.json", folder / "latency.json"
    if not bundle.exists():
        kwspot("export", str(run), "--bundle", str(bundle))
    if not accuracy.exists():
        kwspot("bench", "accuracy", str(bundle), *where, "--run", str(run), "--json", str(accuracy))
    if not latency.exists():
        kwspot("bench", "latency", str(bundle), "--json", str(latency))
    manifest = json.loads((bundle / "bundle.json").read_text())
    return {
        "accuracy": json.loads(accuracy.read_text()),
        "latency": json.loads(latency.read_text()),
        "parameters": manifest["parameters"],
        "macs": manifest["macs"],
        "bytes": (bundle / "model.int8.tflite").stat().st_size,
    }
