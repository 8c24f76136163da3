"""What ``kwspot word`` is asked for, checked, and remembered in the folder it works in."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kwspot.runtime.errors import ConfigError
from kwspot.runtime.files import whole_file
from kwspot.runtime.names import check_word
from kwspot.train.config.toml_table import differences
from kwspot.train.speech.espeak import Synthesiser
from kwspot.train.speech.phonemes import LEAST_PHONEMES, phonemes_of
from kwspot.train.word.settings import WordSettings

PLAN_FILE = "word.json"


@dataclass(frozen=True)
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
        """As plain values, folders by their full path."""
        return {
            "schema": "kwspot.word/1",
            "phrases": list(self.phrases),
            "language": self.language,
            "seed": self.seed,
            "word": {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self.settings).items()},
            "training": {name: dict(table) for name, table in self.tables.items()},
            "recordings": None if self.recordings is None else str(self.recordings.resolve()),
            "negatives": [str(folder.resolve()) for folder in self.negatives],
            "target_fa_per_hour": self.target_fa_per_hour,
        }


def check_phrases(phrases: Sequence[str], language: str) -> None:
    """Refuse what cannot be told apart or spoken; a phrase that is short is said to be.

    Raises
    ------
    ConfigError
        If a phrase is no name for a folder, gives no phonemes, two sound the
        same, or the language is none of espeak-ng's.
    """
    synthesiser = Synthesiser()
    accent = synthesiser.accents(language)[0]
    heard: dict[tuple[str, ...], str] = {}
    for phrase in phrases:
        check_word(phrase)
        if not any(letter.isalpha() for letter in phrase):
            raise ConfigError(f"{phrase!r} has no letters to speak; expected a word or phrase: spell it in letters")
        sounds = phonemes_of(synthesiser.phonemes(phrase, accent))
        if not sounds:
            raise ConfigError(
                f"espeak-ng cannot speak {phrase!r} in the language {language}; expected a word or phrase of that "
                "language: spell it as it sounds, or name another --language"
            )
        if sounds in heard:
            raise ConfigError(
                f"{heard[sounds]!r} and {phrase!r} sound the same ({''.join(sounds)}); expected phrases that can be "
                "told apart: leave one out"
            )
        heard[sounds] = phrase
        if len(sounds) < LEAST_PHONEMES:
            print(
                f"kwspot: {phrase!r} has {len(sounds)} phonemes ({''.join(sounds)}); so short a word is part of many "
                "others and will fire often: four or more syllables are better",
                file=sys.stderr,
            )


def remember(plan: Plan, work: Path) -> None:
    """Write the plan into the folder of work, or refuse a folder that holds another.

    Raises
    ------
    ConfigError
        If the folder holds work for other settings, or something else.
    """
    file, wanted = work / PLAN_FILE, plan.to_dict()
    if file.is_file():
        changed = differences(json.loads(file.read_text(encoding="utf-8")), wanted)
        if changed:
            raise ConfigError(
                f"{work} holds work begun otherwise: {', '.join(changed[:3])}"
                + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
                + "; go on with the same settings, or name another --work"
            )
        return
    if work.exists() and (not work.is_dir() or any(work.iterdir())):
        raise ConfigError(f"{work} exists and was not made by kwspot word; name a new folder with --work")
    work.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as beside:
        beside.write_text(json.dumps(wanted, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
