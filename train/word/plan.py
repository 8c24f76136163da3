"""What ``kwspot word`` is asked for: phrases, the user's sounds, and the table [word] of its configuration."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kwspot.runtime.audio.file_formats import SOUND_EXTENSIONS
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.toml_file import read_toml
from kwspot.train.config.config import Config
from kwspot.train.config.tables import demand, demand_each
from kwspot.train.config.toml_table import plain, read_table
from kwspot.train.word.verifier_cli import CALLS_PER_HOUR, PASSES, TRIGGER_SCORE

STARTS = ("pretrained", "scratch")


@dataclasses.dataclass(frozen=True, slots=True)
class WordSettings:
    """The table [word].

    Parameters
    ----------
    utterances
        How often each phrase is spoken to train on; one in six as often to validate.
    programs_share
        Share of all that is spoken by other programs than espeak-ng, where some are installed.
    held_out_voices
        Names of programs' voices that are not used.
    recordings_share
        Share of the examples of a phrase that are the user's recordings of it, where there are any.
    confusables, utterances_of_confusable
        Phrases that sound nearly alike, for each phrase, and how often each is spoken.
    utterances_of_word
        How often each word of the vocabulary is spoken.
    sentences
        Running words to cut and to mine in; one in five as many to calibrate with.
    foreign_sentences
        The same read by the voices of other languages, whose sounds are none of this one's.
    verifier_passes
        How often each example is shown to the verifier; 0: there is none.
    trigger_score, verifier_calls_per_hour
        The first stage's score from which the verifier is asked, or a higher one, so that in an hour of the negatives
        kept apart it is asked no more often than this.
    mining_threshold, mining_most
        The score from which a false accept of the training negatives is shown to the verifier in its second training,
        and how many there are at most.
    start
        Weights to begin with: "pretrained" (the shipped ``words``) or "scratch".
    """

    utterances: int = 2400
    programs_share: float = 0.7
    held_out_voices: tuple[str, ...] = ()
    recordings_share: float = 0.3
    confusables: int = 150
    utterances_of_confusable: int = 8
    utterances_of_word: int = 4
    sentences: int = 300
    foreign_sentences: int = 240
    verifier_passes: int = PASSES
    trigger_score: float = TRIGGER_SCORE
    verifier_calls_per_hour: float = CALLS_PER_HOUR
    mining_threshold: float = 0.4
    mining_most: int = 600
    start: str = "pretrained"

    def __post_init__(self) -> None:
        demand(self.utterances >= 12, "word.utterances", self.utterances, "12 or more")
        shares = "programs_share recordings_share mining_threshold"
        demand_each(self, "word", shares, lambda share: 0 <= share < 1, "0 to below 1")
        counts = "confusables utterances_of_confusable utterances_of_word foreign_sentences verifier_passes"
        demand_each(self, "word", counts, lambda count: count >= 0, "0 or more")
        demand_each(self, "word", "sentences mining_most", lambda count: count >= 1, "1 or more")
        demand(0 < self.trigger_score < 1, "word.trigger_score", self.trigger_score, "a score between 0 and 1")
        most = self.verifier_calls_per_hour
        demand(0 < most < math.inf, "word.verifier_calls_per_hour", most, "a number above 0")
        demand(self.start in STARTS, "word.start", self.start, f"one of {', '.join(STARTS)}")

    def of(self, *names: str) -> dict[str, Any]:
        """Return some of the settings as plain values."""
        return {name: value for name, value in plain(self).items() if name in names}


def read_word_config(path: Path | None) -> tuple[WordSettings, dict[str, dict[str, Any]]]:
    """Read the table [word] of a TOML file, and its other tables: what they say goes over the preset ``word``."""
    if path is None:
        return WordSettings(), {}
    if not path.is_file():
        raise ConfigError(f"{path} does not exist; expected a TOML file with a table [word]: check the path")
    tables = read_toml(path)
    try:
        settings = read_table(WordSettings, "word", tables.pop("word", {}))
        # The user's mistakes before minutes of work.
        Config.from_dict({"model": {"name": "tc-cnn"}, **tables})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return settings, tables


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that decides what comes out; `tables` are what the user's configuration says of the training."""

    phrases: tuple[str, ...]
    language: str
    seed: int
    settings: WordSettings
    tables: Mapping[str, Mapping[str, Any]]
    recordings: Path | None
    negatives: tuple[Path, ...]
    target_fa_per_hour: float

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain values, folders by their full path."""
        return {
            "phrases": list(self.phrases),
            "language": self.language,
            "seed": self.seed,
            "word": plain(self.settings),
            "training": {name: dict(table) for name, table in self.tables.items()},
            "recordings": None if self.recordings is None else str(self.recordings.resolve()),
            "negatives": [str(folder.resolve()) for folder in self.negatives],
            "target_fa_per_hour": self.target_fa_per_hour,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:
        """Return the plan that `to_dict` gave the values of."""
        return cls(
            phrases=tuple(values["phrases"]),
            language=values["language"],
            seed=values["seed"],
            settings=read_table(WordSettings, "word", values["word"]),
            tables=values["training"],
            recordings=None if values["recordings"] is None else Path(values["recordings"]),
            negatives=tuple(map(Path, values["negatives"])),
            target_fa_per_hour=values["target_fa_per_hour"],
        )

    @property
    def sounds(self) -> dict[str, str]:
        """Each folder of the user's sounds, and what tells whether its content has changed."""
        folders = [*self.negatives, *([] if self.recordings is None else [self.recordings])]
        return {str(folder.resolve()): _fingerprint(folder) for folder in folders}


def _fingerprint(folder: Path) -> str:
    """Return the number of files, and a digest of their names and sizes: sounds, and the marks of saved events."""
    kinds = {*SOUND_EXTENSIONS, ".json"}
    return _listed(path for path in folder.rglob("*") if path.suffix.lower() in kinds and path.is_file())


def _listed(paths: Iterable[Path]) -> str:
    lines: Sequence[str] = sorted(f"{path} {path.stat().st_size}" for path in paths)
    digest = hashlib.sha1("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return f"{len(lines)} files, {digest}"
