"""How a model is trained, from TOML: features, model, data, augmentation, training.

::

    [features]   the keys of kwspot.runtime.spec.FeatureSpec
    [model]      name, and the options of that model (see kwspot.train.models)
    [data]       see DataConfig
    [unknown]    see UnknownConfig
    [augment]    see AugmentConfig
    [training]   see TrainingConfig

Every key has a default but ``model.name``. A preset is such a file in ``configs/``. A file may begin with
``base = "commands"``: what it does not say, that preset says.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kwspot.runtime.errors import ConfigError
from kwspot.runtime.spec import FeatureSpec
from kwspot.train.toml_table import check_known, plain, read_table

PRESETS = Path(__file__).with_name("configs")
SCHEDULES = ("cosine", "constant")


def _demand(truth: bool, key: str, value: object, expected: str) -> None:
    if not truth:
        raise ConfigError(f"{key} = {value}; expected {expected}")


@dataclasses.dataclass(frozen=True, slots=True)
class ModelConfig:
    """A model of :mod:`kwspot.train.models` by name, and its options."""

    name: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class DataConfig:
    """Which classes there are, and how long a clip is.

    Parameters
    ----------
    words
        The words to tell apart, in the order of the labels; none means all
        word folders.
    clip_ms
        Every recording is cut or padded to this length.
    unknown_share, silence_share
        Size of the classes ``_unknown_`` (all other words) and ``_silence_``
        (cut from noise) relative to the mean word; 0 means there is no such class.
    word_least_share
        The clips of a rare word are repeated up to this share of the most frequent word's.
    noise_folders
        More folders of noise, relative to the data folder.
    leave_out_noise
        Noise recordings that are not used, to test on (patterns, see :mod:`kwspot.train.leave_out`).
    licence
        Of the recordings; it goes into the bundle that is exported.
    """

    words: tuple[str, ...] = ()
    clip_ms: int = 1000
    unknown_share: float = 0.0
    silence_share: float = 0.0
    word_least_share: float = 0.0
    noise_folders: tuple[str, ...] = ()
    leave_out_noise: tuple[str, ...] = ()
    licence: str = "unstated"

    def __post_init__(self) -> None:
        _demand(self.clip_ms >= 100, "data.clip_ms", self.clip_ms, "100 or more")
        for name in ("unknown_share", "silence_share"):
            _demand(0 <= getattr(self, name) <= 100, f"data.{name}", getattr(self, name), "0 to 100")
        _demand(0 <= self.word_least_share <= 1, "data.word_least_share", self.word_least_share, "0 to 1")
        twice = sorted({word for word in self.words if self.words.count(word) > 1})
        _demand(
            not twice, "data.words", ", ".join(self.words), f"each word once, but {', '.join(twice)} is there twice"
        )
        reserved = [word for word in self.words if word.startswith("_")]
        _demand(
            not reserved,
            "data.words",
            ", ".join(self.words),
            "words only: _unknown_ and _silence_ come by unknown_share and silence_share",
        )


@dataclasses.dataclass(frozen=True, slots=True)
class UnknownConfig:
    """What ``_unknown_`` is made of beside the other words of the data folder (see :mod:`kwspot.train.unknown`).

    An epoch draws its examples, ``data.unknown_share`` of them, from all clips
    together; a clip of a rare word counts several times.

    Parameters
    ----------
    leave_out
        Other words, of the data folder and of the vocabulary, that are not used, to test on words that training
        never had.
    rare_word_least
        The clips of an other word are repeated up to this number.
    speech
        Folders of running speech or of other words, relative to the data folder.
    leave_out_speech
        Recordings of those that are not used (patterns, see :mod:`kwspot.train.leave_out`).
    speech_most
        As many pieces of it at the most, drawn.
    spoken_per_word
        Clips that espeak-ng speaks of each word of the vocabulary.
    spoken_words
        Clips that espeak-ng speaks of each word to be heard, for that word's own class.
    spliced, reversed
        Clips made by splicing the words to be heard and other words, and by turning them round.
    """

    leave_out: tuple[str, ...] = ()
    rare_word_least: int = 0
    speech: tuple[str, ...] = ()
    leave_out_speech: tuple[str, ...] = ()
    speech_most: int = 4000
    spoken_per_word: int = 0
    spoken_words: int = 0
    spliced: int = 0
    reversed: int = 0

    def __post_init__(self) -> None:
        for name in ("rare_word_least", "speech_most", "spoken_per_word", "spoken_words", "spliced", "reversed"):
            _demand(getattr(self, name) >= 0, f"unknown.{name}", getattr(self, name), "0 or more")


@dataclasses.dataclass(frozen=True, slots=True)
class AugmentConfig:
    """What is done to the sound of a training clip, anew in each epoch; the defaults do nothing.

    Parameters
    ----------
    speed_share, speed
        Share of the clips that are played faster or slower, pitch and all, and the range of the factor.
    time_shift_ms
        Shift by up to so much, to either side.
    equaliser_share, equaliser_db
        Share of the clips that are heard by another microphone: drawn gains of up to so many decibels in 8 bands.
    room_share
        Share of the clips that get a simulated room.
    gain_db
        Range of the gain in decibels, low and high.
    noise_share
        Share of the clips that get noise.
    noise_snr_db
        Range of the signal-to-noise ratio of those, low and high.
    mask_share, mask_frames, mask_bands
        SpecAugment: chance of a mask over up to so many frames, and of one over up to so many coefficients.
    mixup
        Share of the batches whose examples are mixed in pairs, sound and label; by up to half.
    """

    speed_share: float = 0.0
    speed: tuple[float, float] = (0.87, 1.15)
    time_shift_ms: float = 0.0
    equaliser_share: float = 0.0
    equaliser_db: float = 9.0
    room_share: float = 0.0
    gain_db: tuple[float, float] = (0.0, 0.0)
    noise_share: float = 0.0
    noise_snr_db: tuple[float, float] = (5.0, 30.0)
    mask_share: float = 0.0
    mask_frames: int = 8
    mask_bands: int = 6
    mixup: float = 0.0

    def __post_init__(self) -> None:
        _demand(self.time_shift_ms >= 0, "augment.time_shift_ms", self.time_shift_ms, "0 or more")
        for name in ("speed_share", "equaliser_share", "room_share", "noise_share", "mask_share", "mixup"):
            _demand(0 <= getattr(self, name) <= 1, f"augment.{name}", getattr(self, name), "0 to 1")
        _demand(self.speed[0] > 0, "augment.speed", list(self.speed), "factors above 0")
        _demand(self.equaliser_db >= 0, "augment.equaliser_db", self.equaliser_db, "0 or more")
        for name in ("mask_frames", "mask_bands"):
            _demand(getattr(self, name) >= 0, f"augment.{name}", getattr(self, name), "0 or more")
        for name in ("speed", "gain_db", "noise_snr_db"):
            low, high = getattr(self, name)
            _demand(low <= high, f"augment.{name}", [low, high], "the low end first")

    @property
    def is_off(self) -> bool:
        """Whether nothing is done, so that features may be computed once."""
        shares = (self.speed_share, self.equaliser_share, self.room_share, self.noise_share, self.mask_share)
        return not any((*shares, self.mixup, self.time_shift_ms)) and self.gain_db == (0.0, 0.0)


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingConfig:
    """The optimiser (AdamW) and its course.

    The learning rate rises from 0 over `warm_up_epochs` and then, with
    ``schedule = "cosine"``, falls along half a cosine to 0 at the last epoch.

    With `average_decay` above 0 the running average of the weights over about
    ``1 / (1 - average_decay)`` batches is validated and kept in place of the
    weights themselves.
    """

    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    warm_up_epochs: float = 1.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    average_decay: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        _demand(self.epochs >= 1, "training.epochs", self.epochs, "1 or more")
        _demand(self.batch_size >= 1, "training.batch_size", self.batch_size, "1 or more")
        _demand(self.learning_rate > 0, "training.learning_rate", self.learning_rate, "more than 0")
        _demand(self.schedule in SCHEDULES, "training.schedule", self.schedule, f"one of {', '.join(SCHEDULES)}")
        _demand(self.warm_up_epochs >= 0, "training.warm_up_epochs", self.warm_up_epochs, "0 or more")
        _demand(self.weight_decay >= 0, "training.weight_decay", self.weight_decay, "0 or more")
        _demand(0 <= self.label_smoothing < 1, "training.label_smoothing", self.label_smoothing, "0 to below 1")
        _demand(0 <= self.average_decay < 1, "training.average_decay", self.average_decay, "0 to below 1")
        _demand(0 <= self.seed < 2**32, "training.seed", self.seed, "0 to 4294967295")


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
        """Frames of a clip: the T of the model's input (T, C)."""
        return self.features.frames_in(self.data.clip_ms * self.features.sample_rate_hz // 1000)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """As plain values, the tables of the TOML file."""
        return {
            "features": self.features.to_dict(),
            "model": {"name": self.model.name, **self.model.options},
            "data": plain(self.data),
            "unknown": plain(self.unknown),
            "augment": plain(self.augment),
            "training": plain(self.training),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """From plain values; a key that is unknown or of the wrong type is a :class:`ConfigError`."""
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
    """The presets that ship with the kit."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def load_preset(name: str) -> Config:
    """A preset by name."""
    check_known(name, preset_names(), "preset")
    return load_config(PRESETS / f"{name}.toml")


def load_config(path: str | os.PathLike[str]) -> Config:
    """A configuration file; what is wrong in it is named with its path."""
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path} does not exist; expected a TOML file like {PRESETS / 'conv2.toml'}")
    try:
        return Config.from_dict(_with_base(_read_toml(path)))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML file: {error}; mend that place") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _read_toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _with_base(values: dict[str, Any]) -> dict[str, Any]:
    """The keys of a file over those of the preset that it names as its base."""
    if "base" not in values:
        return values
    name = values.pop("base")
    check_known(str(name), preset_names(), "base")
    under = _read_toml(PRESETS / f"{name}.toml")
    _demand("base" not in under, "base", name, "a preset that has no base itself")
    tables = {key: table for key, table in values.items() if isinstance(table, Mapping)}
    return {**under, **values, **{key: {**under.get(key, {}), **table} for key, table in tables.items()}}
