"""What ``kwspot word`` makes, and how much of it: the table [word] of its configuration."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from pathlib import Path
from typing import Any

from kwspot.runtime.errors import ConfigError
from kwspot.train.config.config import Config
from kwspot.train.config.tables import demand
from kwspot.train.config.toml_table import read_table
from kwspot.train.word.verifier_cli import PASSES, TRIGGER_SCORE

STARTS = ("pretrained", "scratch")


@dataclasses.dataclass(frozen=True, slots=True)
class WordSettings:
    """The table [word].

    Parameters
    ----------
    takes
        Clips that are spoken of each phrase to train on; one in six as many to validate.
    programs_share
        How many of all clips other programs than espeak-ng speak, where some are installed.
    left_out_voices
        Names of programs' voices that are not used.
    recordings_share
        How many of the examples of a phrase are the user's recordings of it, where there are any.
    confusables, takes_of_confusable
        Phrases that sound nearly alike, for each phrase, and how often each is spoken.
    takes_of_word
        How often each word of the vocabulary is spoken.
    sentences
        Running words to cut and to mine in; one in five as many to calibrate with.
    foreign_sentences
        The same read by the voices of other languages, whose sounds are none of this one's.
    mining_rounds, mining_epochs
        Rounds of looking for what fires, at the most, and epochs of training on after each: of the first network; for
        the verifier there is always one.
    mining_threshold, mining_most
        Score from which a sound is added to the negatives, and how many are in a round.
    verifier_passes
        How often each example is heard to teach the verifier; 0: the bundle looks once.
    trigger_score, most_looks_per_hour
        The score from which a sound is looked at again, or a higher one, so that in an hour of the negatives kept apart
        there are no more looks than this.
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
    mining_rounds: int = 0
    mining_epochs: int = 4
    mining_threshold: float = 0.4
    mining_most: int = 600
    verifier_passes: int = PASSES
    trigger_score: float = TRIGGER_SCORE
    most_looks_per_hour: float = 2000.0
    start: str = "pretrained"

    def __post_init__(self) -> None:
        demand(self.utterances >= 12, "word.takes", self.utterances, "12 or more")
        for name in ("programs_share", "recordings_share", "mining_threshold"):
            demand(0 <= getattr(self, name) < 1, f"word.{name}", getattr(self, name), "0 to below 1")
        counts = ("confusables", "takes_of_confusable", "takes_of_word", "foreign_sentences")
        for name in (*counts, "mining_rounds", "verifier_passes"):
            demand(getattr(self, name) >= 0, f"word.{name}", getattr(self, name), "0 or more")
        demand(0 < self.trigger_score < 1, "word.trigger_score", self.trigger_score, "a score between 0 and 1")
        most = self.most_looks_per_hour
        demand(0 < most < math.inf, "word.most_looks_per_hour", most, "a number of looks above 0")
        for name in ("sentences", "mining_epochs", "mining_most"):
            demand(getattr(self, name) >= 1, f"word.{name}", getattr(self, name), "1 or more")
        demand(self.start in STARTS, "word.start", self.start, f"one of {', '.join(STARTS)}")


def read_word_config(path: Path | None) -> tuple[WordSettings, dict[str, dict[str, Any]]]:
    """The table [word] of a TOML file, and its other tables: what they say goes over the preset ``word``."""
    if path is None:
        return WordSettings(), {}
    if not path.is_file():
        raise ConfigError(f"{path} does not exist; expected a TOML file with a table [word]: check the path")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML file: {error}; mend that place") from None
    try:
        settings = read_table(WordSettings, "word", tables.pop("word", {}))
        # The user's mistakes before minutes of work.
        Config.from_dict({"model": {"name": "tc-cnn"}, **tables})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return settings, tables
