"""The tables of a training's configuration, each with its defaults and what it refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from kwspot.runtime.errors import ConfigError

SCHEDULES = ("cosine", "constant")

SMALLEST_CLASS = 10
"""Training on fewer clips of a class than this is refused: it cannot be learnt, only memorised."""


def demand(truth: bool, key: str, value: object, expected: str) -> None:
    """Refuse a value by one line that says what is expected of it."""
    if not truth:
        raise ConfigError(f"{key} = {value}; expected {expected}")


def demand_each(table: object, prefix: str, names: str, fits: Callable[[Any], bool], expected: str) -> None:
    """Refuse a value that does not fit of any of the fields of a table that `names` lists."""
    for name in names.split():
        value = getattr(table, name)
        demand(fits(value), f"{prefix}.{name}", value, expected)


@dataclasses.dataclass(frozen=True, slots=True)
class ModelConfig:
    """A model of :mod:`kwspot.train.models.registry` by name, and its options."""

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
    held_out_noise
        Noise recordings that are not used, to test on (patterns, see :mod:`kwspot.train.data.held_out`).
    licence
        Of the recordings; it goes into the bundle that is exported.
    """

    words: tuple[str, ...] = ()
    clip_ms: int = 1000
    unknown_share: float = 0.0
    silence_share: float = 0.0
    word_least_share: float = 0.0
    noise_folders: tuple[str, ...] = ()
    held_out_noise: tuple[str, ...] = ()
    licence: str = "unstated"

    def __post_init__(self) -> None:
        demand(self.clip_ms >= 100, "data.clip_ms", self.clip_ms, "100 or more")
        demand_each(self, "data", "unknown_share silence_share", lambda share: 0 <= share <= 100, "0 to 100")
        demand(0 <= self.word_least_share <= 1, "data.word_least_share", self.word_least_share, "0 to 1")
        twice = sorted({word for word in self.words if self.words.count(word) > 1})
        demand(not twice, "data.words", ", ".join(self.words), f"each word once, but {', '.join(twice)} is there twice")
        reserved = any(word.startswith("_") for word in self.words)
        expected = "words only: _unknown_ and _silence_ come by unknown_share and silence_share"
        demand(not reserved, "data.words", ", ".join(self.words), expected)


@dataclasses.dataclass(frozen=True, slots=True)
class UnknownConfig:
    """What ``_unknown_`` holds besides the other words of the data folder (see :mod:`kwspot.train.data.negatives`).

    An epoch draws its examples, ``data.unknown_share`` of them, from all clips
    together; a clip of a rare word counts several times.

    Parameters
    ----------
    held_out_words
        Other words, of the data folder and of the vocabulary, that are not used, to test on words that training
        never had.
    rare_word_least
        The clips of an other word are repeated up to this number.
    speech
        Folders of running speech or of other words, relative to the data folder.
    held_out_speech
        Recordings of those that are not used (patterns, see :mod:`kwspot.train.data.held_out`).
    speech_most
        As many pieces of it at the most, drawn.
    speech_windows
        Clips that are cut from it anywhere, as a stream is heard: words half over, and no pause around them.
    synthesised_per_word
        Clips that espeak-ng speaks of each word of the vocabulary.
    synthesised_words
        Clips that espeak-ng speaks of each word to be heard, for that word's own class.
    spliced, time_reversed
        Clips made by splicing the words to be heard and other words, and by turning them round.
    """

    held_out_words: tuple[str, ...] = ()
    rare_word_least: int = 0
    speech: tuple[str, ...] = ()
    held_out_speech: tuple[str, ...] = ()
    speech_most: int = 4000
    speech_windows: int = 0
    synthesised_per_word: int = 0
    synthesised_words: int = 0
    spliced: int = 0
    time_reversed: int = 0

    def __post_init__(self) -> None:
        counts = "rare_word_least speech_most speech_windows synthesised_per_word synthesised_words spliced"
        demand_each(self, "unknown", f"{counts} time_reversed", lambda count: count >= 0, "0 or more")


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
    overdrive_share, overdrive_db
        Share of the clips that a microphone set too loud cuts off, in place of a gain, and how far their peak is above
        full scale, low and high.
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
    overdrive_share: float = 0.0
    overdrive_db: tuple[float, float] = (0.0, 30.0)
    mask_share: float = 0.0
    mask_frames: int = 8
    mask_bands: int = 6
    mixup: float = 0.0

    def __post_init__(self) -> None:
        shares = "speed_share equaliser_share room_share noise_share overdrive_share mask_share mixup"
        demand_each(self, "augment", shares, lambda share: 0 <= share <= 1, "0 to 1")
        sizes = "time_shift_ms equaliser_db mask_frames mask_bands"
        demand_each(self, "augment", sizes, lambda size: size >= 0, "0 or more")
        demand(self.speed[0] > 0, "augment.speed", list(self.speed), "factors above 0")
        for name in ("speed", "gain_db", "noise_snr_db", "overdrive_db"):
            low, high = getattr(self, name)
            demand(low <= high, f"augment.{name}", [low, high], "the low end first")

    @property
    def is_off(self) -> bool:
        """Return whether nothing is done, so that features may be computed once."""
        shares = (self.speed_share, self.equaliser_share, self.room_share, self.noise_share, self.overdrive_share)
        return not any((*shares, self.mask_share, self.mixup, self.time_shift_ms)) and self.gain_db == (0.0, 0.0)


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingConfig:
    """The optimiser (AdamW) and its schedule.

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
        demand_each(self, "training", "epochs batch_size", lambda count: count >= 1, "1 or more")
        demand_each(self, "training", "warm_up_epochs weight_decay", lambda value: value >= 0, "0 or more")
        demand_each(self, "training", "label_smoothing average_decay", lambda share: 0 <= share < 1, "0 to below 1")
        demand(self.learning_rate > 0, "training.learning_rate", self.learning_rate, "more than 0")
        demand(self.schedule in SCHEDULES, "training.schedule", self.schedule, f"one of {', '.join(SCHEDULES)}")
        demand(0 <= self.seed < 2**32, "training.seed", self.seed, "0 to 4294967295")
