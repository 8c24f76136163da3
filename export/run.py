"""A finished training run, read for export."""

from __future__ import annotations

import dataclasses
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kwspot.runtime.errors import ConfigError, KwspotError, RunError
from kwspot.runtime.features.normalise import Normalisation
from kwspot.runtime.features.spec import FeatureSpec

CONFIG_FILE, MODEL_FILE, METRICS_FILE = "config.toml", "model.keras", "metrics.json"

EXPORTABLE_PROTOCOL = "kwspot"
"""The others are for comparison only: their features cannot be streamed."""

STREAMING_MODELS = ("tc-cnn",)
"""Models of ``config.toml`` whose convolutions over time have no padding: made to be streams."""

LEAST_HOP_MS, MOST_HOP_MS = 20, 100


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run folder says that a bundle needs.

    ``calibration`` are paths relative to the data folder; `config` is all of
    ``config.toml``.
    """

    path: Path
    config: Mapping[str, Any]
    features: FeatureSpec
    normalisation: Normalisation
    labels: tuple[str, ...]
    window_frames: int
    data_folder: Path
    calibration: tuple[str, ...]
    parameters: int
    macs: int

    @property
    def clip_samples(self) -> int:
        """Sound that one input of the model covers; every clip is fitted to it."""
        return self.features.samples_in(self.window_frames)

    @property
    def model_path(self) -> Path:
        """The Keras model: normalised features in, softmax out."""
        return self.path / MODEL_FILE

    @property
    def streaming(self) -> bool:
        """Whether the model was made to be a stream."""
        return self.config["model"]["name"] in STREAMING_MODELS

    def hop_frames(self, hop_ms: float) -> int:
        """Frames of an inference hop.

        Raises
        ------
        ConfigError
            If it is out of range, or no whole number of frames.
        """
        frames = hop_ms / self.features.hop_ms
        if not (LEAST_HOP_MS <= hop_ms <= MOST_HOP_MS and frames.is_integer()):
            raise ConfigError(
                f"--hop-ms {hop_ms:g}; expected a multiple of the {self.features.hop_ms:g} ms from one frame of "
                f"{self.path} to the next, {LEAST_HOP_MS} to {MOST_HOP_MS}"
            )
        return int(frames)

    def recipe(self) -> dict[str, Any]:
        """The resolved config as a bundle carries it.

        Features and normalisation are left out, since the manifest has them in
        its own fields, and of every absolute path only the last name stays:
        where a machine keeps its files is nobody else's business.
        """
        kept = {key: value for key, value in self.config.items() if key not in ("features", "normalisation")}
        portable = _portable(kept)
        assert isinstance(portable, dict)
        return portable


def read_run(path: str | os.PathLike[str]) -> Run:
    """Read a run folder.

    Raises
    ------
    RunError
        If it is missing, unfinished, of the protocol ``"tutorial"``, or says what does not fit.
    """
    path = Path(path)
    if not (path / CONFIG_FILE).is_file():
        state = f"has no {CONFIG_FILE}" if path.is_dir() else "does not exist"
        raise RunError(f"{path} {state}; expected a run folder that 'kwspot train' wrote: check the path")
    for name in (MODEL_FILE, METRICS_FILE):
        if not (path / name).is_file():
            raise RunError(
                f"{path} is unfinished: it has no {name}; expected a run that was trained to its end: "
                "go on with 'kwspot train --resume'"
            )
    try:
        config = tomllib.loads((path / CONFIG_FILE).read_text(encoding="utf-8"))
        metrics = json.loads((path / METRICS_FILE).read_text(encoding="utf-8"))
        if config["protocol"] != EXPORTABLE_PROTOCOL:
            raise RunError(
                f"{path} was trained with the protocol {config['protocol']!r}, which is for comparison only and cannot "
                f"be exported; expected {EXPORTABLE_PROTOCOL!r}: train again without --protocol"
            )
        features = FeatureSpec.from_dict(config["features"])
        run = Run(
            path=path,
            config=config,
            features=features,
            normalisation=Normalisation.from_dict(config["normalisation"]),
            labels=tuple(config["labels"]),
            window_frames=features.frames_in(int(config["data"]["clip_ms"]) * features.sample_rate_hz // 1000),
            data_folder=Path(config["data"]["folder"]),
            calibration=tuple(config["calibration"]),
            parameters=int(metrics["parameters"]),
            macs=int(metrics["macs"]),
        )
    except RunError:
        raise
    except (KeyError, TypeError, ValueError, KwspotError) as error:
        raise RunError(
            f"{path}: {CONFIG_FILE} or {METRICS_FILE} does not fit ({type(error).__name__}: {error}); "
            "expected them as 'kwspot train' wrote them: train again"
        ) from error
    if not run.calibration:
        raise RunError(f"{path}: {CONFIG_FILE} lists no calibration clips; expected some: train again")
    return run


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
