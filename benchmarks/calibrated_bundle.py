"""Thresholds and their evidence into a bundle: ``bundle.json`` is replaced whole, the other files stay."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kwspot.runtime.atomic import whole_file
from kwspot.runtime.bundle import MANIFEST_FILE, Bundle, load_bundle
from kwspot.runtime.errors import BundleError


def check_writable(bundle: Bundle, named: str) -> None:
    """Refuse, before any work is done, a bundle that cannot be changed.

    Raises
    ------
    BundleError
        If it was named as one that ships with the kit, or its folder cannot be written.
    """
    if not Path(named).exists():
        raise BundleError(
            f"{named} ships with the kit and stays as it is; calibrate a copy: cp -r {bundle.path} {bundle.path.name}"
        )
    if not os.access(bundle.path, os.W_OK | os.X_OK):
        raise BundleError(
            f"{bundle.path} cannot be written, so its thresholds would be lost; make it writable, or calibrate a copy"
        )


def store(bundle: Bundle, thresholds: Mapping[str, float], evidence: Mapping[str, Any]) -> Bundle:
    """The bundle with these thresholds and this evidence, opened again from where it lies.

    Raises
    ------
    BundleError
        If the bundle has been changed since it was opened.
    OSError
        If it cannot be written; it is then as it was.
    """
    if load_bundle(bundle.path).hash != bundle.hash:
        raise BundleError(f"{bundle.path} has been changed while it was calibrated; run the command again")
    manifest = bundle.manifest
    changed = dataclasses.replace(
        manifest, decision=manifest.decision.with_thresholds(thresholds, manifest.labels), calibration=dict(evidence)
    )
    with whole_file(bundle.path / MANIFEST_FILE) as path:
        path.write_text(changed.to_json(), encoding="utf-8")
    return load_bundle(bundle.path)
