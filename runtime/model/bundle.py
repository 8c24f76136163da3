"""The bundle: a folder that holds a model, what it hears and how to run it.

``bundle.json`` says everything; every other file is named there with its
sha256. A bundle that disagrees with itself is refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kwspot.runtime.errors import BundleDamagedError, BundleError, BundleVersionError, KwspotError
from kwspot.runtime.features.normalise import Normalisation
from kwspot.runtime.features.spec import FeatureSpec
from kwspot.runtime.labels import BACKGROUND_LABELS
from kwspot.runtime.model.consistency import FORMAT_VERSION, find_inconsistency
from kwspot.runtime.model.decision_settings import DecisionSettings

MANIFEST_FILE = "bundle.json"
GOLDEN_FILE = "golden.npz"
VERIFIER_FILE = "verifier.npz"
SHIPPED = Path(__file__).parents[1] / "bundles"

MODEL_FILES = {
    "int8-tflite": "model.int8.tflite",
    "int8-onnx": "model.int8.onnx",
    "float-tflite": "model.float.tflite",
}
"""Form of the model → its file in the bundle."""


@dataclasses.dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor of a model: name, shape, dtype name, and for int8 its scale and zero point."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TensorInfo:
        """From the values in ``bundle.json``."""
        return cls(**{**values, "shape": tuple(values["shape"])})


@dataclasses.dataclass(frozen=True, slots=True)
class ModelFile:
    """One form of the model: its file, hash and tensors."""

    file: str
    sha256: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelFile:
        """From the values in ``bundle.json``."""
        tensors = {key: tuple(TensorInfo.from_dict(t) for t in values[key]) for key in ("inputs", "outputs")}
        return cls(file=values["file"], sha256=values["sha256"], **tensors)


@dataclasses.dataclass(frozen=True, slots=True)
class StatePair:
    """The names of a state's two tensors: its rows in `output` are those of `input` and then the new ones, and the
    last rows of `output` are the next `input`."""

    input: str
    output: str


@dataclasses.dataclass(frozen=True, slots=True)
class VerifierInfo:
    """How the second stage is asked and what its answer counts (:mod:`kwspot.runtime.model.verifier`).

    Parameters
    ----------
    sha256
        Of the weights, ``verifier.npz``.
    trigger_score
        The verifier is asked from this score of a word in the first stage on, 0 to 1.
    weight
        Share of the verifier in the geometric mean of both stages' scores, above 0 and at most 1; the first stage has
        the rest.
    odds
        By how much a word is likelier among what triggers the verifier than in its training.
    places
        At most so many places of the window, 80 ms apart, are verified and averaged.
    golden_scores
        The verifier's scores of one golden sound, one for each label.
    """

    sha256: str
    trigger_score: float
    weight: float
    odds: float
    places: int
    golden_scores: tuple[float, ...]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> VerifierInfo:
        """Read the values of ``bundle.json``."""
        return cls(**{**values, "golden_scores": tuple(values["golden_scores"])})


@dataclasses.dataclass(frozen=True)
class Manifest:
    """All that ``bundle.json`` says.

    The scores of an inference depend on the last ``window_frames`` frames; it
    runs every ``inference_hop_frames`` frames. A model of the kind ``"window"``
    takes all of the window, (1, window_frames, C). One of the kind ``"stream"``
    takes the new frames, (1, inference_hop_frames, 1, C), and its `states`; it
    gives the scores and the new states. Frames come first of the inputs, scores
    first of the outputs. Frames are normalised by ``normalisation`` before they
    are quantised; the scores are a probability for each of ``labels``.
    """

    kind: str
    features: FeatureSpec
    normalisation: Normalisation
    labels: tuple[str, ...]
    window_frames: int
    inference_hop_frames: int
    decision: DecisionSettings
    models: Mapping[str, ModelFile]
    golden_sha256: str
    parameters: int
    macs: int
    accuracy: Mapping[str, Any]
    versions: Mapping[str, str]
    recipe: Mapping[str, Any]
    data_licence: str
    states: tuple[StatePair, ...] = ()
    calibration: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What ``kwspot calibrate`` measured to choose the thresholds; empty where it never ran."""
    verifier: VerifierInfo | None = None
    format_version: int = FORMAT_VERSION

    @property
    def words(self) -> tuple[str, ...]:
        """The labels that can fire."""
        return tuple(label for label in self.labels if label not in BACKGROUND_LABELS)

    @property
    def window_samples(self) -> int:
        """Sound that the scores of an inference depend on."""
        return self.features.samples_in(self.window_frames)

    @property
    def inference_hop_samples(self) -> int:
        """Sound from one inference to the next."""
        return self.inference_hop_frames * self.features.hop_samples

    def to_json(self) -> str:
        """The text of ``bundle.json``."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for key in ("features", "normalisation", "decision"):
            values[key] = values[key].to_dict()
        values["models"] = {form: dataclasses.asdict(model) for form, model in self.models.items()}
        values["states"] = [dataclasses.asdict(pair) for pair in self.states]
        values["verifier"] = None if self.verifier is None else dataclasses.asdict(self.verifier)
        return json.dumps({"format_version": values.pop("format_version"), **values}, indent=1) + "\n"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Manifest:
        """From the values in ``bundle.json``; raises KeyError, TypeError or a KwspotError where they do not fit."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(
            **{
                **{key: value for key, value in values.items() if key in known},
                "features": FeatureSpec.from_dict(values["features"]),
                "normalisation": Normalisation.from_dict(values["normalisation"]),
                "labels": tuple(values["labels"]),
                "decision": DecisionSettings(**values["decision"]),
                "models": {form: ModelFile.from_dict(model) for form, model in values["models"].items()},
                "states": tuple(StatePair(**pair) for pair in values.get("states", ())),
                "verifier": VerifierInfo.from_dict(info) if (info := values.get("verifier")) else None,
            }
        )


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A bundle on disk that has been found whole."""

    path: Path
    manifest: Manifest
    hash: str

    @property
    def name(self) -> str:
        """The folder's name without ``.kws``: a bundle is called what its folder is called."""
        return self.path.resolve().name.removesuffix(".kws")

    def model_bytes(self, form: str) -> bytes:
        """The model in one of the forms of :data:`MODEL_FILES`."""
        model = self.manifest.models.get(form)
        if model is None:
            raise BundleError(f"{self.path} holds no {form} model; it holds {', '.join(self.manifest.models)}")
        return _verified(self.path / model.file, model.sha256)

    def golden_bytes(self) -> bytes:
        """The golden vectors (see :mod:`kwspot.runtime.model.golden`)."""
        return _verified(self.path / GOLDEN_FILE, self.manifest.golden_sha256)

    def verifier_bytes(self) -> bytes:
        """The weights of the verifier (see :mod:`kwspot.runtime.model.verifier`)."""
        info = self.manifest.verifier
        if info is None:
            raise BundleError(f"{self.path} has no verifier")
        return _verified(self.path / VERIFIER_FILE, info.sha256)


def _python_sha256() -> Callable[[bytes], Any]:
    """SHA-256 from Python itself: hashlib would load OpenSSL for it, a tenth of what a board's process holds."""
    for module in ("_sha2", "_sha256", "hashlib"):  # Python 3.12 and later, 3.11, and one that was built without
        with contextlib.suppress(ModuleNotFoundError):
            sha256: Callable[[bytes], Any] = importlib.import_module(module).sha256
            return sha256
    raise ModuleNotFoundError("this Python has no SHA-256")


_sha256 = _python_sha256()


def sha256_of(content: bytes) -> str:
    """Hash as hexadecimal digits."""
    return _sha256(content).hexdigest()


def _verified(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BundleDamagedError(f"{path} is missing from its bundle; export or copy the bundle again") from None
    if sha256_of(content) != sha256:
        raise BundleDamagedError(
            f"{path} has been changed: its sha256 is not the one in {MANIFEST_FILE}; export or copy the bundle again"
        )
    return content


def shipped_bundles() -> list[str]:
    """Names of the bundles that come with the kit."""
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
    try:
        content = (folder / MANIFEST_FILE).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        shipped = ", ".join(shipped_bundles()) or "none"
        raise BundleError(
            f"{folder} is no bundle: it has no {MANIFEST_FILE}; expected a folder that 'kwspot export' wrote "
            f"or the name of one that ships with the kit ({shipped})"
        ) from None
    try:
        values = json.loads(content)
        version = values["format_version"]
    except (ValueError, TypeError, KeyError):
        raise BundleError(f"{folder / MANIFEST_FILE} is not a bundle's manifest; export the bundle again") from None
    if version != FORMAT_VERSION:
        wrote = values.get("versions", {}).get("kwspot", "?")
        raise BundleVersionError(
            f"{folder} is of bundle format {version!r}; this kwspot reads format {FORMAT_VERSION}: export it again, "
            f"or install the version that wrote it ({wrote})"
        )
    try:
        manifest = Manifest.from_dict(values)
    except (KeyError, TypeError, ValueError, AttributeError, KwspotError) as error:
        raise BundleDamagedError(
            f"{folder / MANIFEST_FILE}: {type(error).__name__}: {error}; export the bundle again"
        ) from None
    fault = find_inconsistency(manifest)
    if fault:
        raise BundleDamagedError(f"{folder / MANIFEST_FILE}: {fault}; export the bundle again")
    bundle = Bundle(path=folder, manifest=manifest, hash=sha256_of(content))
    for form in manifest.models:
        bundle.model_bytes(form)
    bundle.golden_bytes()
    if manifest.verifier is not None:
        bundle.verifier_bytes()
    return bundle
