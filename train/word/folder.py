"""The sounds that a word is trained from: a data folder, and running sound to mine in and to calibrate with.

::

    DIR/data/<phrase>/            utterances of each phrase: synthesised, and the user's recordings
    DIR/data/_nearly_/            phrases that sound nearly alike
    DIR/data/_others_/            the vocabulary
    DIR/data/_background_noise_/  made noise and babble, and the user's
    DIR/train/, DIR/calibrate/    sentences, and the user's negatives: different speakers

Held-out voices, and speakers of recordings where there are some, are the validation part.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kwspot.runtime.audio.recordings import NOISE_FOLDER, SYNTHESIS_RECIPE
from kwspot.runtime.errors import DataFolderError
from kwspot.runtime.files import write_whole_json
from kwspot.train.data.negatives import read_vocabulary
from kwspot.train.speech.espeak import Synthesiser
from kwspot.train.speech.phonemes import confusables
from kwspot.train.speech.phrases import LONGEST_UTTERANCE_MS, clip_ms
from kwspot.train.speech.voices import voice_set
from kwspot.train.word.noise import write_noise, write_rooms
from kwspot.train.word.plan import Plan
from kwspot.train.word.script import sentences, speak_all, utterances
from kwspot.train.word.sources import RecordedUtterance, is_for_calibration, is_marked, link_all, negative_sounds

NEARLY, OTHERS, WRONG = "_nearly_", "_others_", "_wrong_"

# Whose sounds and rhythms differ from each other.
_LANGUAGES = ("en", "de", "es", "fr", "it", "pl", "pt", "sv")


def write_sounds(folder: Path, plan: Plan, recorded: Sequence[RecordedUtterance], cache: Path) -> dict[str, Any]:
    """Fill an empty folder, and return its recipe: counts, voices, confusable phrases, the length of a clip.

    What is spoken is kept in `cache`, and what is there is not spoken again.

    Raises
    ------
    ConfigError
        If the language is none of espeak-ng's, or a phrase cannot be spoken.
    DataFolderError
        If a folder of negatives holds none.
    """
    synthesiser, settings = Synthesiser(), plan.settings
    voices = voice_set(synthesiser, plan.language, plan.seed, settings.held_out_voices)
    accent = synthesiser.accents(plan.language)[0]
    words, data = read_vocabulary(), folder / "data"
    print("finding phrases that sound nearly alike", file=sys.stderr, flush=True)
    near = confusables(plan.phrases, words, settings.confusables, synthesiser, accent) if settings.confusables else []
    foreign = [language for language in _LANGUAGES if language != plan.language]
    own = {synthesiser.phonemes(phrase, accent) for phrase in plan.phrases}
    others = [word for word in words if synthesiser.phonemes(word, accent) not in own]
    script = [
        *utterances(data, plan.phrases, settings.utterances, each=False, longest_s=LONGEST_UTTERANCE_MS / 1000),
        *utterances(data / NEARLY, [text for text, _ in near], settings.utterances_of_confusable, each=True),
        *utterances(data / OTHERS, others, settings.utterances_of_word, each=True),
        *sentences(folder, others, settings.sentences, plan.seed),
        *sentences(folder, others, settings.foreign_sentences, plan.seed, foreign),
    ]
    voices_of = {"": voices} | {
        language: voice_set(synthesiser, language, plan.seed, settings.held_out_voices) for language in foreign
    }
    lengths_s = speak_all(script, voices_of, settings.programs_share, plan.seed, cache)
    spoken = sum(task.folder.parent == data and task.text in plan.phrases for task in script)
    phrase_ms = 1000 * lengths_s[:spoken]
    length_ms = clip_ms(phrase_ms)
    write_noise(data / NOISE_FOLDER, folder / "train", plan.seed)
    counts = _add_recordings(data, plan, recorded) | _add_negatives(folder, plan)
    if plan.negatives:
        print("listening to the rooms of the negatives", file=sys.stderr, flush=True)
        write_rooms(data / NOISE_FOLDER, sorted((folder / "train").iterdir()), plan.seed)
    held_out = {voice.name for voice in voices.held_out}
    held_out |= {utterance.file_speaker for utterance in recorded if utterance.held_out}
    _list_validation(data, held_out)
    recipe = {
        "schema": "kwspot.word-sounds/2",
        "phrases": list(plan.phrases),
        "phonemes": {phrase: synthesiser.phonemes(phrase, accent) for phrase in plan.phrases},
        "clip_ms": length_ms,
        "longer_than_clip": float(np.mean(phrase_ms > length_ms)),
        "espeak": synthesiser.version,
        "programs": voices.program_names,
        "spoken": len(script),
        "counts": counts,
        "confusable": dict(near),
    }
    write_whole_json(data / SYNTHESIS_RECIPE, recipe)
    return recipe


def describe(recipe: Mapping[str, Any]) -> str:
    """Say in a few lines what a folder of sounds was made of."""
    programs = ", ".join(recipe["programs"]) or "no other program was found"
    counts, cut = recipe["counts"], recipe["longer_than_clip"]
    parts = [f"{number:,} {name}" for name, number in counts.items() if number]
    lines = [
        f"voices: espeak-ng, {programs}",
        f"a clip is {recipe['clip_ms'] / 1000:g} s long"
        + (f"; {100 * cut:.1f} % of the utterances are longer and lose their ends" if cut else ""),
    ]
    lines += [f"of yours: {', '.join(parts)}"] if parts else []
    return "\n".join(lines)


def _add_recordings(data: Path, plan: Plan, recorded: Sequence[RecordedUtterance]) -> dict[str, int]:
    """Link the user's recordings, as often as their share asks for."""
    counts = {}
    share = plan.settings.recordings_share
    for phrase in plan.phrases:
        spoken = [utterance for utterance in recorded if utterance.phrase == phrase]
        kept = [utterance for utterance in spoken if not utterance.held_out]
        times = max(1, round(share / (1 - share) * plan.settings.utterances / len(kept))) if kept and share else 0
        for utterance in spoken:
            for k in range(1 if utterance.held_out else times):
                name = f"{utterance.file_speaker}_nohash_{utterance.number * 1000 + k}{utterance.path.suffix}"
                (data / phrase / name).symlink_to(utterance.path.resolve())
        counts[f"recordings of {phrase}"] = len(spoken)
    return counts


def _add_negatives(folder: Path, plan: Plan) -> dict[str, int]:
    sounds, noises = [], []
    for negatives in plan.negatives:
        found, noise = negative_sounds(negatives, plan.phrases)
        sounds += found
        noises += noise
    wrong = [path for path in sounds if is_marked(path, "wrong")]
    rest = sorted(set(sounds) - set(wrong))
    calibrate = [path for path in rest if is_for_calibration(path)]
    train = [path for path in rest if not is_for_calibration(path)]
    if plan.negatives and not (calibrate and train):
        raise DataFolderError(
            f"{len(rest)} negatives are of too few speakers to train with some and calibrate with others; expected "
            "files of ten speakers or more: add some"
        )
    link_all(wrong, folder / "data" / WRONG)
    link_all(noises, folder / "data" / NOISE_FOLDER)
    return {
        "negatives to train with": link_all(train, folder / "train"),
        "negatives to calibrate with": link_all(calibrate, folder / "calibrate"),
        "noises": len(noises),
        "saved events marked as wrong": len(wrong),
    }


def _list_validation(data: Path, held_out: set[str]) -> None:
    names = sorted(
        path.relative_to(data).as_posix()
        for path in data.glob("*/*_nohash_*")
        if path.name.partition("_nohash_")[0] in held_out
    )
    (data / "validation_list.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    (data / "testing_list.txt").write_text("", encoding="utf-8")
