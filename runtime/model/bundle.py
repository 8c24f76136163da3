"""The bundle: a folder that holds a model, its labels and how to run it.

``bundle.json`` says everything; every other file is named there with its
sha256. A bundle that disagrees with itself is refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import importlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kwspot.runtime.errors import BundleDamagedError, BundleError, BundleVersionError, ConfigError
from kwspot.runtime.model import manifest_check
from kwspot.runtime.model.manifest import FORMAT_VERSION, Manifest, find_inconsistency
from kwspot.runtime.names import find_text_fault

MANIFEST_FILE = "bundle.json"
GOLDEN_FILE = "golden.npz"
VERIFIER_FILE = "verifier.npz"
SHIPPED = Path(__file__).parents[1] / "bundles"

MOST_FILE_BYTES = 64_000_000
"""Of a model or an array file; the largest shipped one has 1.5 MB."""


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A bundle on disk that has been found whole."""

    path: Path
    manifest: Manifest
    hash: str

    @property
    def name(self) -> str:
        """Return the folder's name without ``.kws``: a bundle is called what its folder is called."""
        return self.path.resolve().name.removesuffix(".kws")

    def model_bytes(self, form: str) -> bytes:
        """Read the model in one of the forms of :data:`kwspot.runtime.model.manifest.MODEL_FILES`."""
        model = self.manifest.models.get(form)
        if model is None:
            raise BundleError(f"{self.path} holds no {form} model; it holds {', '.join(self.manifest.models)}")
        return _read_verified(self.path / model.file, model.sha256)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Read each file of the bundle and nothing else in its folder: its name and its content, as its hash says."""
        yield MANIFEST_FILE, _read_verified(self.path / MANIFEST_FILE, self.hash)
        for form, model in self.manifest.models.items():
            yield model.file, self.model_bytes(form)
        yield GOLDEN_FILE, self.golden_bytes()
        if self.manifest.verifier is not None:
            yield VERIFIER_FILE, self.verifier_bytes()

    def golden_bytes(self) -> bytes:
        """Read the golden vectors (see :mod:`kwspot.runtime.model.golden`)."""
        return _read_verified(self.path / GOLDEN_FILE, self.manifest.golden_sha256)

    def verifier_bytes(self) -> bytes:
        """Read the weights of the verifier (see :mod:`kwspot.runtime.model.verifier`)."""
        info = self.manifest.verifier
        if info is None:
            raise BundleError(f"{self.path} has no verifier")
        return _read_verified(self.path / VERIFIER_FILE, info.sha256)


def _python_sha256() -> Callable[[bytes], Any]:
    """SHA-256 from Python itself: hashlib would load OpenSSL for it, a tenth of what a board's process holds."""
    for module in ("_sha2", "_sha256", "hashlib"):  # Python 3.12 and later, 3.11, and one that was built without
        with contextlib.suppress(ModuleNotFoundError):
            sha256: Callable[[bytes], Any] = importlib.import_module(module).sha256
            return sha256
    raise ModuleNotFoundError("this Python has no SHA-256")


_sha256 = _python_sha256()


def sha256_of(content: bytes) -> str:
    """Hash `content`, as hexadecimal digits."""
    return _sha256(content).hexdigest()


def _read_file(path: Path, most_bytes: int) -> bytes:
    """Read a regular file of a bundle; a link, a pipe or a device would be something else than what was shared."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise BundleDamagedError(f"{path} is missing from its bundle; export or copy the bundle again") from None
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise
        raise BundleDamagedError(
            f"{path} is no regular file; copy the bundle as it is, with its links followed: cp -rL"
        ) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BundleDamagedError(f"{path} is no regular file; export or copy the bundle again")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(most_bytes + 1)
    finally:
        os.close(descriptor)
    if len(content) > most_bytes:
        raise BundleDamagedError(f"{path} is larger than {most_bytes:,} bytes; export the bundle again")
    return content


def _read_verified(path: Path, sha256: str) -> bytes:
    content = _read_file(path, MOST_FILE_BYTES)
    if sha256_of(content) != sha256:
        raise BundleDamagedError(
            f"{path} has been changed: its sha256 is not the one in {MANIFEST_FILE}; export or copy the bundle again"
        )
    return content


def shipped_bundles() -> list[str]:
    """Return the names of the bundles that come with the kit."""
    return sorted(path.stem for path in SHIPPED.glob("*.kws"))


def load_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Open a bundle folder, or by its plain name one that ships with the kit, and check it.

    Raises
    ------
    BundleError
        If there is no such bundle, or ``bundle.json`` is no manifest.
    BundleVersionError
        If it is of another format version.
    BundleDamagedError
        If a hash, a shape or the number of labels disagrees; the message says which.
    """
    folder = Path(path)
    if not folder.exists() and folder.name == str(path) and (SHIPPED / f"{path}.kws").is_dir():
        folder = SHIPPED / f"{path}.kws"
    if not (folder / MANIFEST_FILE).exists():
        shipped = ", ".join(shipped_bundles()) or "none"
        raise BundleError(
            f"{folder} is no bundle: it has no {MANIFEST_FILE}; expected a folder that 'kwspot export' wrote "
            f"or the name of one that ships with the kit ({shipped})"
        )
    content = _read_file(folder / MANIFEST_FILE, manifest_check.MOST_BYTES)
    while True:
        bundle = Bundle(path=folder, manifest=read_manifest(content, folder), hash=sha256_of(content))
        if fault := find_text_fault(bundle.name):
            raise BundleError(f"{str(folder)!a} cannot be the name of a bundle: {fault}; rename the folder")
        try:
            for _ in bundle.files():
                pass  # each is hashed as it is read
        except BundleDamagedError:
            read, content = content, _read_file(folder / MANIFEST_FILE, manifest_check.MOST_BYTES)
            if content == read:
                raise
        else:
            return bundle  # else it was changed in this moment, and is read again


def read_manifest(content: bytes, folder: Path) -> Manifest:
    """Read what ``bundle.json`` of a folder says: types, ranges, and what its parts must agree on.

    Raises
    ------
    BundleError, BundleVersionError, BundleDamagedError
        As :func:`load_bundle`.
    """
    named = folder / MANIFEST_FILE
    try:
        values = manifest_check.parse_json(content)
    except ConfigError as error:
        raise BundleError(f"{named} is not a bundle's manifest: {error}; export the bundle again") from None
    version = values.get("format_version")
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise BundleVersionError(
            f"{folder} is of bundle format {version!a:.40}; this kwspot reads format {FORMAT_VERSION}: "
            "export it again, or install the version of kwspot that wrote it"
        )
    try:
        manifest: Manifest = manifest_check.read_as(Manifest, values)
    except ConfigError as error:
        raise BundleDamagedError(f"{named}: {error}; mend it, or export the bundle again") from None
    if fault := find_inconsistency(manifest):
        raise BundleDamagedError(f"{named}: {fault}; mend it, or export the bundle again")
    return manifest
