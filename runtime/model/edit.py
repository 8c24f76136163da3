"""A bundle that is changed where it lies: one program at a time, and each reader sees the old bundle or the new one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from kwspot.runtime.errors import BundleError
from kwspot.runtime.files import LOCK_FILE, hold_lock, whole_file, whole_folder
from kwspot.runtime.model.bundle import MANIFEST_FILE, Bundle, load_bundle, read_manifest
from kwspot.runtime.model.manifest import Manifest
from kwspot.runtime.names import find_name_fault


def check_target(target: Path, *, overwrite: bool) -> None:
    """Refuse, before any work is done, a place to write a new bundle to that is taken.

    Raises
    ------
    BundleError
        If something is there and is not to be overwritten or is no bundle, or a bundle cannot have this name.
    """
    if fault := find_name_fault(target.name.removesuffix(".kws")):
        named = f"{str(target)!r} cannot be the name of a bundle"
        raise BundleError(f"{named}: {fault}; name another --bundle, as in NAME.kws")
    if not (target.exists() or target.is_symlink()):
        return
    if not overwrite:
        raise BundleError(f"{target} exists; expected a new folder: name another --bundle, or add --overwrite")
    if not (target / MANIFEST_FILE).is_file():
        raise BundleError(
            f"{target} exists and is no bundle (it has no {MANIFEST_FILE}), so it is not overwritten: "
            "name another --bundle"
        )


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
    """Give the bundle another manifest and other contents of some files, and open it again from where it lies.

    ``bundle.json`` alone is replaced as a file. Where other files change, too, the whole folder is exchanged.

    Raises
    ------
    BundleError
        If the bundle has been changed since it was opened, or the new one would be refused; it is then as it was.
    KwspotError
        If another process is changing it.
    OSError
        If it cannot be written; it is then as it was.
    """
    content = manifest.to_json().encode()
    read_manifest(content, bundle.path)
    with hold_lock(bundle.path, "kwspot: its thresholds or its verifier"):
        if load_bundle(bundle.path).hash != bundle.hash:
            raise BundleError(f"{bundle.path} has been changed in the meantime; run the command again")
        if not files:
            with whole_file(bundle.path / MANIFEST_FILE) as beside:
                beside.write_bytes(content)
        else:
            with whole_folder(bundle.path, overwrite=True) as folder:
                ours = shutil.ignore_patterns(LOCK_FILE)
                shutil.copytree(bundle.path, folder, symlinks=True, ignore=ours, dirs_exist_ok=True)
                for name, changed in {**files, MANIFEST_FILE: content}.items():
                    (folder / name).write_bytes(changed)
                load_bundle(folder)
    return load_bundle(bundle.path)
