"""A bundle that is changed where it lies: its files are replaced whole, ``bundle.json`` last."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from kwspot.runtime.errors import BundleError
from kwspot.runtime.files import whole_file
from kwspot.runtime.model.bundle import MANIFEST_FILE, Bundle, load_bundle
from kwspot.runtime.model.manifest import Manifest


def check_writable(bundle: Bundle, named: str | os.PathLike[str]) -> None:
    """Refuse, before any work is done, a bundle that cannot be changed.

    Raises
    ------
    BundleError
        If it was named as one that ships with the kit, or its folder cannot be written.
    """
    if not Path(named).exists():
        raise BundleError(
            f"{named} ships with the kit and stays as it is; change a copy: cp -r {bundle.path} {bundle.path.name}"
        )
    if not os.access(bundle.path, os.W_OK | os.X_OK):
        raise BundleError(
            f"{bundle.path} cannot be written, so the work would be lost; make it writable, or change a copy"
        )


def store(bundle: Bundle, manifest: Manifest, files: Mapping[str, bytes] | None = None) -> Bundle:
    """The bundle with another manifest and other contents of some files, opened again from where it lies.

    Raises
    ------
    BundleError
        If the bundle has been changed since it was opened.
    OSError
        If it cannot be written; ``bundle.json`` is then as it was.
    """
    if load_bundle(bundle.path).hash != bundle.hash:
        raise BundleError(f"{bundle.path} has been changed in the meantime; run the command again")
    for name, content in {**(files or {}), MANIFEST_FILE: manifest.to_json().encode()}.items():
        with whole_file(bundle.path / name) as beside:
            beside.write_bytes(content)
    return load_bundle(bundle.path)
