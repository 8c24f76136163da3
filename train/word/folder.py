"""The sounds that a word is trained from: a data folder, and running sound to mine in and to calibrate with.

::

    DIR/data/<phrase>/            takes of each phrase: spoken, and the user's recordings
    DIR/data/_nearly_/            phrases that sound nearly alike
    DIR/data/_others_/            the vocabulary
    DIR/data/_background_noise_/  made noise and babble, and the user's
    DIR/train/, DIR/calibrate/    sentences, and the user's negatives: different speakers

Held-out voices, and speakers of recordings where there are some, are the validation part.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kwspot.runtime.audio.recordings import NOISE_FOLDER
from kwspot.runtime.errors import DataFolderError
from kwspot.train.data.negatives import vocabulary
from kwspot.train.speech.espeak import Synthesiser
from kwspot.train.speech.phonemes import confusables
from kwspot.train.speech.voices import cast
from kwspot.train.word.negatives import is_for_calibration, is_marked_wrong, link_all, negative_sounds
from kwspot.train.word.noise import write_noise, write_rooms
from kwspot.train.word.recordings import Recorded
from kwspot.train.word.script import say_all, sentences, utterances
from kwspot.train.word.settings import WordSettings

RECIPE_FILE = "sounds.json"
NEARLY, OTHERS, WRONG = "_nearly_", "_others_", "_wrong_"

# Whose sounds and rhythms differ from each other.
_LANGUAGES = ("en", "de", "es", "fr", "it", "pl", "pt", "sv")
# A clip holds all but the slowest takes, with some time around them.
_CLIP_PERCENTILE, _AROUND_MS = 95, 150
# Two frames: a stream's step, so that the network's stride of two leaves no frame of the clip over.
_CLIP_STEP_MS = 40
SHORTEST_CLIP_MS, LONGEST_CLIP_MS = 1000, 2000


@dataclass(frozen=True)
class Ingredients:
    """What is to be trained from."""

    phrases: tuple[str, ...]
    language: str
    seed: int
    settings: WordSettings
    recorded: Sequence[Recorded]
    negatives: Sequence[Path]


def write_sounds(folder: Path, wanted: Ingredients, spoken: Path) -> dict[str, Any]:
    """Fill an empty folder; returns what ``sounds.json`` says: counts, voices, confusable phrases, the clip's length.

    What is spoken is kept in `spoken` until it may be removed, and what is there is not spoken again.

    Raises
    ------
    ConfigError
        If the language is none of espeak-ng's, or a phrase cannot be spoken.
    DataFolderError
        If a folder of negatives holds none.
    """
    synthesiser, settings = Synthesiser(), wanted.settings
    speakers = cast(synthesiser, wanted.language, wanted.seed, settings.held_out_voices)
    accent = synthesiser.accents(wanted.language)[0]
    words, data = vocabulary(), folder / "data"
    near = confusables(wanted.phrases, words, settings.confusables, synthesiser, accent) if settings.confusables else []
    foreign = [language for language in _LANGUAGES if language != wanted.language]
    own = {synthesiser.phonemes(phrase, accent) for phrase in wanted.phrases}
    others = [word for word in words if synthesiser.phonemes(word, accent) not in own]
    script = [
        *utterances(data, wanted.phrases, settings.utterances, each=False),
        *utterances(data / NEARLY, [text for text, _ in near], settings.utterances_of_confusable, each=True),
        *utterances(data / OTHERS, others, settings.utterances_of_word, each=True),
        *sentences(folder, others, settings.sentences, wanted.seed),
        *sentences(folder, others, settings.foreign_sentences, wanted.seed, foreign),
    ]
    casts = {"": speakers} | {
        language: cast(synthesiser, language, wanted.seed, settings.held_out_voices) for language in foreign
    }
    lengths = say_all(script, casts, settings.programs_share, wanted.seed, spoken)
    phrase_ms = 1000 * lengths[: sum(line.folder.parent == data and line.text in wanted.phrases for line in script)]
    write_noise(data / NOISE_FOLDER, folder / "train", wanted.seed)
    counts = _add_recordings(data, wanted) | _add_negatives(folder, wanted)
    counts["rooms"] = (
        write_rooms(data / NOISE_FOLDER, sorted((folder / "train").iterdir()), wanted.seed) if wanted.negatives else 0
    )
    held = {speaker.name for speaker in (*speakers.held_espeak, *speakers.held_programs)}
    held |= {utterance.file_speaker for utterance in wanted.recorded if utterance.held}
    _list_validation(data, held)
    recipe = {
        "schema": "kwspot.word-sounds/1",
        "phrases": list(wanted.phrases),
        "phonemes": {phrase: synthesiser.phonemes(phrase, accent) for phrase in wanted.phrases},
        "clip_ms": clip_ms(phrase_ms),
        "espeak": synthesiser.version,
        "programs": speakers.program_names,
        "spoken": len(script),
        "counts": counts,
        "confusable": dict(near),
    }
    text = json.dumps(recipe, indent=1, ensure_ascii=False) + "\n"
    (folder / RECIPE_FILE).write_text(text, encoding="utf-8")
    return recipe


def clip_ms(utterances_ms: np.ndarray[Any, np.dtype[np.float64]]) -> int:
    """How long a clip has to be for takes of these lengths, float64 (n,), in steps of 40 ms from 1 to 2 s.

    >>> clip_ms(np.full(20, 700.0)), clip_ms(np.full(20, 1240.0)), clip_ms(np.full(20, 4000.0))
    (1000, 1400, 2000)
    """
    wanted = float(np.percentile(utterances_ms, _CLIP_PERCENTILE)) + _AROUND_MS
    steps = int(np.ceil((wanted - SHORTEST_CLIP_MS) / _CLIP_STEP_MS))
    return min(SHORTEST_CLIP_MS + max(steps, 0) * _CLIP_STEP_MS, LONGEST_CLIP_MS)


def _add_recordings(data: Path, wanted: Ingredients) -> dict[str, int]:
    """Links to the user's takes, as often as their share asks for."""
    counts = {}
    share = wanted.settings.recordings_share
    for phrase in wanted.phrases:
        utterances = [utterance for utterance in wanted.recorded if utterance.phrase == phrase]
        kept = [utterance for utterance in utterances if not utterance.held]
        times = max(1, round(share / (1 - share) * wanted.settings.utterances / len(kept))) if kept and share else 0
        for utterance in utterances:
            for k in range(1 if utterance.held else times):
                name = f"{utterance.file_speaker}_nohash_{utterance.number * 1000 + k}{utterance.path.suffix}"
                (data / phrase / name).symlink_to(utterance.path.resolve())
        counts[f"recordings of {phrase}"] = len(utterances)
    return counts


def _add_negatives(folder: Path, wanted: Ingredients) -> dict[str, int]:
    sounds, noises = [], []
    for negatives in wanted.negatives:
        found, noise = negative_sounds(negatives, wanted.phrases)
        sounds += found
        noises += noise
    wrong = [path for path in sounds if is_marked_wrong(path)]
    rest = sorted(set(sounds) - set(wrong))
    calibrate = [path for path in rest if is_for_calibration(path)]
    train = [path for path in rest if not is_for_calibration(path)]
    if wanted.negatives and not (calibrate and train):
        raise DataFolderError(
            f"{len(rest)} negatives are of too few speakers to train with some and calibrate with others; expected "
            "files of ten speakers or more: add some"
        )
    link_all(wrong, folder / "data" / WRONG)
    link_all(noises, folder / "data" / NOISE_FOLDER)
    return {
        "negatives to train": link_all(train, folder / "train"),
        "negatives to calibrate": link_all(calibrate, folder / "calibrate"),
        "noises": len(noises),
        "marked as wrong": len(wrong),
    }


def _list_validation(data: Path, held: set[str]) -> None:
    names = sorted(
        path.relative_to(data).as_posix()
        for path in data.glob("*/*_nohash_*")
        if path.name.partition("_nohash_")[0] in held
    )
    (data / "validation_list.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    (data / "testing_list.txt").write_text("", encoding="utf-8")
