"""The bundle as a whole: every file beside its place, checked, then renamed."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kwspot.export.convert import Converted
from kwspot.export.parity import Parity
from kwspot.runtime.files import whole_folder
from kwspot.runtime.model.bundle import GOLDEN_FILE, MANIFEST_FILE, Bundle, load_bundle, sha256_of
from kwspot.runtime.model.decision_settings import DecisionSettings
from kwspot.runtime.model.golden import make_golden
from kwspot.runtime.model.manifest import Manifest, ModelFile
from kwspot.runtime.model.tflite_engine import LiteRtEngine
from kwspot.runtime.run_folder import Run


def manifest_of(
    run: Run, converted: Converted, files: Mapping[str, ModelFile], *, inference_hop_frames: int
) -> Manifest:
    """Return the manifest of a bundle whose accuracy and golden vectors are not known yet."""
    return Manifest(
        kind="stream" if converted.states else "window",
        features=run.features,
        normalisation=run.normalisation,
        labels=run.labels,
        window_frames=run.window_frames,
        inference_hop_frames=inference_hop_frames,
        decision=DecisionSettings(),
        models=files,
        golden_sha256="",
        parameters=run.parameters,
        macs=run.macs if converted.macs is None else converted.macs,
        accuracy={},
        versions=_versions(converted),
        recipe=recipe_of(run),
        data_licence=str(run.config["data"].get("licence", "unstated")),
        states=converted.states,
    )


def write_bundle(target: Path, manifest: Manifest, converted: Converted, parity: Parity, *, overwrite: bool) -> Bundle:
    """Write a bundle, check it as the runtime will, and put it in its place.

    Whatever fails, a full disk included, leaves nothing, or the old bundle.

    Raises
    ------
    BundleDamagedError
        If the runtime would refuse the bundle.
    OSError
        If it cannot be written.
    """
    files = manifest.models
    engine = LiteRtEngine(converted.models["int8-tflite"], files["int8-tflite"])
    golden = make_golden(manifest, engine).to_bytes()
    manifest = dataclasses.replace(manifest, accuracy=parity.to_dict(), golden_sha256=sha256_of(golden))
    with whole_folder(target, overwrite=overwrite) as folder:
        for form, content in converted.models.items():
            (folder / files[form].file).write_bytes(content)
        (folder / GOLDEN_FILE).write_bytes(golden)
        (folder / MANIFEST_FILE).write_text(manifest.to_json(), encoding="utf-8")
        load_bundle(folder)
    return load_bundle(target)


def _versions(converted: Converted) -> dict[str, str]:
    ours = {name: version(name) for name in ("kwspot", "numpy", "onnxruntime", "ai-edge-litert")}
    return {**ours, **converted.versions, "python": platform.python_version()}


def recipe_of(run: Run) -> dict[str, Any]:
    """Return the resolved configuration of a run as a bundle carries it.

    Features and normalisation are left out, since the manifest has them in
    its own fields, and of every absolute path only the last name stays:
    where a machine keeps its files is nobody else's business.
    """
    kept = {key: value for key, value in run.config.items() if key not in ("features", "normalisation")}
    return {key: _portable(value) for key, value in kept.items()}


def _portable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _portable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_portable(inner) for inner in value]
    if isinstance(value, bool | int | float):
        return value
    # What is left are strings and TOML's dates, which JSON does not know.
    text = str(value)
    return Path(text).name if text.startswith(("/", "~")) else text
