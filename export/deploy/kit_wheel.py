"""The kit's wheel, from a checkout and from an installed kit alike.

A build backend would need the sources of the project; what is installed is all
there is on most machines. The kit is pure Python, so its wheel is a zip file of
the installed files with the installed metadata. A board listens, so it gets the
runtime alone, and of the bundles the one that is deployed.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.metadata
import io
import zipfile

from kwspot.runtime.errors import DeployError
from kwspot.runtime.model.bundle import SHIPPED

EPOCH = (1980, 1, 1, 0, 0, 0)
"""Of every file, so that the same kit gives the same bytes."""

_ENTRY_POINTS = "[console_scripts]\nkwspot = kwspot.runtime.cli:main\n"
_WHEEL = "Wheel-Version: 1.0\nGenerator: kwspot\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel_name() -> str:
    """Return the file name of the wheel."""
    return f"kwspot-{_distribution().version}-py3-none-any.whl"


def _distribution() -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution("kwspot")
    except importlib.metadata.PackageNotFoundError:
        raise DeployError(
            "kwspot runs from its sources here and is not installed; expected it installed: pip install -e ."
        ) from None


def kit_wheel() -> bytes:
    """Return the content of the wheel."""
    distribution = _distribution()
    # A checkout has an egg-info beside the sources, an environment a dist-info.
    metadata = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO")
    if metadata is None:
        raise DeployError(f"kwspot {distribution.version} has no metadata here; install it again with pip")
    info = f"kwspot-{distribution.version}.dist-info"
    files = _runtime_files()
    files[f"{info}/METADATA"] = metadata.encode()
    files[f"{info}/WHEEL"] = _WHEEL.encode()
    files[f"{info}/entry_points.txt"] = _ENTRY_POINTS.encode()
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def _runtime_files() -> dict[str, bytes]:
    """Return name in the wheel → content of each file of the runtime."""
    files = {}
    folder = SHIPPED.parent
    for path in sorted(folder.rglob("*")):
        within = path.relative_to(folder)
        hidden = any(part.startswith((".", "__pycache__")) or part.endswith((".pyc", "~")) for part in within.parts)
        if path.is_file() and not hidden and SHIPPED not in path.parents:
            files[f"kwspot/runtime/{within.as_posix()}"] = path.read_bytes()
    return files


def _record(files: dict[str, bytes], own_name: str) -> bytes:
    """Return the list of files with their hashes, as the wheel format wants it; its own line has none."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.writerow((name, f"sha256={digest}", len(content)))
    rows.writerow((own_name, "", ""))
    return text.getvalue().encode()
