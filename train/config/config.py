"""How a model is trained, from TOML: features, model, data, augmentation, training.

::

    [features]   the keys of kwspot.runtime.features.spec.FeatureSpec
    [model]      name, and the options of that model (see kwspot.train.models.registry)
    [data]       see :class:`kwspot.train.config.tables.DataConfig`
    [unknown]    see :class:`kwspot.train.config.tables.UnknownConfig`
    [augment]    see :class:`kwspot.train.config.tables.AugmentConfig`
    [training]   see :class:`kwspot.train.config.tables.TrainingConfig`

Every key has a default but ``model.name``. A preset is such a file in ``configs/``. A file may begin with
``base = "commands"``: what it does not say, that preset says.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kwspot.runtime.errors import ConfigError
from kwspot.runtime.features.spec import FeatureSpec
from kwspot.runtime.toml_file import read_toml
from kwspot.train.config.tables import AugmentConfig, DataConfig, ModelConfig, TrainingConfig, UnknownConfig, demand
from kwspot.train.config.toml_table import check_known, plain, read_table

PRESETS = Path(__file__).parents[1] / "presets"


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """All that decides a training, but for the recordings."""

    model: ModelConfig
    features: FeatureSpec = dataclasses.field(default_factory=FeatureSpec)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    unknown: UnknownConfig = dataclasses.field(default_factory=UnknownConfig)
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)

    @property
    def clip_samples(self) -> int:
        """Samples of a clip: what its whole frames cover."""
        return self.features.samples_in(self.frames)

    @property
    def frames(self) -> int:
        """Return the number of frames in a clip: the T of the model's input (T, C)."""
        return self.features.frames_in(self.data.clip_ms * self.features.sample_rate_hz // 1000)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """As plain values, the tables of the TOML file."""
        return {
            "features": plain(self.features),
            "model": {"name": self.model.name, **self.model.options},
            "data": plain(self.data),
            "unknown": plain(self.unknown),
            "augment": plain(self.augment),
            "training": plain(self.training),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """Read plain values; a key that is unknown or of the wrong type is a :class:`ConfigError`."""
        tables = {
            "features": FeatureSpec,
            "data": DataConfig,
            "unknown": UnknownConfig,
            "augment": AugmentConfig,
            "training": TrainingConfig,
        }
        for name, table in values.items():
            check_known(name, [*tables, "model"], "table")
            if not isinstance(table, Mapping):
                raise ConfigError(f"{name} = {table!r}; expected a table [{name}]")
        model = values.get("model", {})
        if not isinstance(model.get("name"), str):
            raise ConfigError('the table [model] has no name; expected, for example, name = "conv2"')
        options = {key: value for key, value in model.items() if key != "name"}
        parts = {name: read_table(kind, name, values.get(name, {})) for name, kind in tables.items()}
        config = cls(model=ModelConfig(model["name"], options), **parts)
        if config.frames < 1:
            raise ConfigError(
                f"data.clip_ms = {config.data.clip_ms} is shorter than one window; "
                f"expected at least features.window_ms = {config.features.window_ms:g}"
            )
        return config


def preset_names() -> list[str]:
    """Return the presets that ship with the kit."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def preset_summaries() -> dict[str, str]:
    """Return preset → what it is, the comment in its first line."""
    summaries = {}
    for name in preset_names():
        with (PRESETS / f"{name}.toml").open(encoding="utf-8") as file:
            summaries[name] = file.readline().removeprefix("#").strip()
    return summaries


def load_preset(name: str) -> Config:
    """Load a preset by name."""
    check_known(name, preset_names(), "preset")
    return load_config(PRESETS / f"{name}.toml")


def load_config(path: str | os.PathLike[str]) -> Config:
    """Load a configuration file; an error names its path."""
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path} does not exist; expected a TOML file like {PRESETS / 'conv2.toml'}")
    values = read_toml(path)
    try:
        return Config.from_dict(_with_base(values))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _with_base(values: dict[str, Any]) -> dict[str, Any]:
    """Put the keys of a file over those of the preset that it names as its base."""
    if "base" not in values:
        return values
    name = values.pop("base")
    check_known(str(name), preset_names(), "base")
    under = read_toml(PRESETS / f"{name}.toml")
    demand("base" not in under, "base", name, "a preset that has no base itself")
    tables = {key: table for key, table in values.items() if isinstance(table, Mapping)}
    if tables.get("model", {}).get("name", under["model"]["name"]) != under["model"]["name"]:
        del under["model"]  # another network has other options
    return {**under, **values, **{key: {**under.get(key, {}), **table} for key, table in tables.items()}}
