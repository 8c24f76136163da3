"""What a report holds: everything about each bundle, measured on the same clips, as plain values."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kwspot.benchmarks.accuracy.layers import layer_errors
from kwspot.benchmarks.accuracy.scores import LabelledClips
from kwspot.benchmarks.accuracy.stages import all_stages
from kwspot.benchmarks.accuracy.waterfall import accuracy_result
from kwspot.benchmarks.engine_choice import note
from kwspot.benchmarks.noise import aa_noise
from kwspot.runtime.child import kwspot_command, run_child
from kwspot.runtime.errors import EngineError
from kwspot.runtime.false_accept_rate import evidence_line
from kwspot.runtime.files import scratch_folder
from kwspot.runtime.model.bundle import Bundle
from kwspot.runtime.progress import Progress
from kwspot.runtime.results import result
from kwspot.runtime.run_folder import read_run

SCHEMA = "kwspot.report/1"
MOST_LAYER_CLIPS = 400
"""Ranges and noise of the layers change little with more; evenly from all."""


def bundle_summary(bundle: Bundle) -> dict[str, Any]:
    """Return what the bundle is, as its manifest says it."""
    manifest = bundle.manifest
    recipe = {key: value for key, value in manifest.recipe.items() if key != "calibration"}
    return {
        "name": bundle.name,
        "hash": bundle.hash,
        "kind": manifest.kind,
        "labels": list(manifest.labels),
        "parameters": manifest.parameters,
        "macs": manifest.macs,
        "window_frames": manifest.window_frames,
        "inference_hop_ms": 1000 * manifest.inference_hop_samples / manifest.features.sample_rate_hz,
        "features": dataclasses.asdict(manifest.features),
        "decision": dataclasses.asdict(manifest.decision),
        "thresholds": evidence_line(manifest.calibration),
        "sizes": {form: (bundle.path / model.file).stat().st_size for form, model in manifest.models.items()},
        "calibration_clips": len(manifest.recipe.get("calibration", ())),
        "recipe": recipe,
        "data_licence": manifest.data_licence,
        "versions": dict(manifest.versions),
    }


def measure_bundle(
    bundle: Bundle,
    engines: list[str],
    clips: LabelledClips,
    root: Path,
    part: str,
    *,
    run: Path | None,
    tflite_python: str | None,
    hops: int,
    progress: Progress,
) -> dict[str, Any]:
    """Measure one entry of ``bundles`` of the schema ``kwspot.report/1``."""
    name = bundle.name
    progress.step(f"{name}: latency, twice, to know the noise")
    latency = measure_latency(bundle, hops)
    progress.step(f"{name}: accuracy")
    stages = all_stages(bundle, engines, run, tflite_python, clips, progress)
    progress.step(f"{name}: layers")
    every = max(1, len(clips.clips) // MOST_LAYER_CLIPS)
    traced = clips.frames[::every]
    layers = None
    if "float-tflite" not in bundle.manifest.models:
        note(f"{name}: the layers are left out: the bundle holds no float model")
    else:
        layers = {"clips": len(traced), "tensors": layer_errors(bundle, traced)}
    return {
        "bundle": bundle_summary(bundle),
        "accuracy": accuracy_result(stages, clips, bundle.manifest.labels, root, part),
        "layers": layers,
        "latency": latency,
        "curves": None if run is None else learning_curves(run),
    }


def measure_latency(bundle: Bundle, hops: int) -> dict[str, Any]:
    """Return ``runs`` of ``kwspot bench latency``, measured twice, and the ``noise`` between the two."""
    command = kwspot_command("bench", "latency", str(bundle.path), "--float", "--hops", str(hops))
    rounds = []
    with scratch_folder("report") as name:
        target = Path(name) / "latency.json"
        for _ in range(2):
            run_child([*command, "--json", str(target)], EngineError)
            rounds.append(json.loads(target.read_text())["runs"])
    return {"runs": rounds[0], "again": rounds[1], "noise": aa_noise(*rounds)}


def learning_curves(run: Path) -> dict[str, list[float]]:
    """Return the columns of a run's ``history.csv`` that a learning curve needs."""
    history = read_run(run).history
    return {name: [row[name] for row in history] for name in ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")}


def report_result(
    bundles: Sequence[Bundle], measured: Sequence[Mapping[str, Any]], extra: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the whole of ``kwspot.report/1``."""
    whole = result(SCHEMA, bundles[0], {**extra, "bundles": list(measured)})
    del whole["bundle"]
    return whole
