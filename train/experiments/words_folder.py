"""Write the data folder that the shipped weights "words" are trained on: a vocabulary, spoken by programs and people.

::

    python -m kwspot.train.experiments.words_folder DIR --recordings DIR/speech_commands
    kwspot train --data DIR --config train/presets/words.toml --start-from commands --run RUN
    python -m kwspot.train.fit.pretrained RUN words

A network that tells some hundred words apart, by programs and by people, hears what makes a word rather than who says
it. Only voices are used whose licence lets weights that are trained on them be given away.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from kwspot.runtime.audio.recordings import NOISE_FOLDER, DataFolder
from kwspot.runtime.audio.wav import write_wav
from kwspot.runtime.cli import guarded
from kwspot.runtime.files import whole_folder
from kwspot.runtime.progress import Reminder
from kwspot.train.data.negatives import read_vocabulary
from kwspot.train.speech.espeak import SYNTH_RATE_HZ, Synthesiser
from kwspot.train.speech.programs import program_voices
from kwspot.train.speech.voices import at_drawn_level, voice_set
from kwspot.train.word.noise import write_rooms

_FREE_PROGRAMS = ("flite-", "pico-")
_PROGRAMS_SHARE = 0.5
_WORKERS = 3
_HELD_EVERY = 8


def different_words(synthesiser: Synthesiser) -> list[str]:
    """Return the vocabulary; of words that sound alike only the first."""
    heard = {synthesiser.phonemes(word): word for word in sorted(set(read_vocabulary()), reverse=True)}
    return sorted(heard.values())


def write_words(folder: Path, recordings: Path, utterances: int, seed: int) -> None:
    """Fill an empty folder: each word spoken `utterances` times, and links to the recordings of the same words.

    Raises
    ------
    DataFolderError
        If `recordings` is no data folder.
    """
    synthesiser, data = Synthesiser(), DataFolder(recordings)
    others = [voice.name for voice in program_voices("en") if not voice.name.startswith(_FREE_PROGRAMS)]
    voices, words = voice_set(synthesiser, "en", seed, others), different_words(synthesiser)
    for word in words:
        (folder / word).mkdir()

    def speak(index: int) -> str | None:
        word, held = words[index // utterances], index % _HELD_EVERY == 0
        rng = np.random.default_rng([seed, index])
        voice = voices.draw(rng, held_out=held, programs_share=_PROGRAMS_SHARE)
        name = f"{word}/{voice.name}_nohash_{index % utterances}.wav"
        write_wav(folder / name, at_drawn_level(voice.speak(word, rng), rng), SYNTH_RATE_HZ)
        return name if held else None

    held_out, reminder = [], Reminder()
    with ThreadPoolExecutor(_WORKERS) as pool:
        for index, name in enumerate(pool.map(speak, range(utterances * len(words)))):
            held_out += [name] if name else []
            reminder.say(f"spoken {index + 1:,} of {utterances * len(words):,}")
    reminder.end()
    spoken_by_people = [word for word in data.words if word in words]
    for part in ("train", "validation"):
        for clip in data.clips(part, spoken_by_people):
            name = f"{clip.word}/{clip.path.name}"
            (folder / name).symlink_to(clip.path.resolve())
            held_out += [name] if part == "validation" else []
    (folder / "validation_list.txt").write_text("\n".join(sorted(held_out)) + "\n", encoding="utf-8")
    (folder / "testing_list.txt").write_text("", encoding="utf-8")
    noise = folder / NOISE_FOLDER
    noise.mkdir()
    for path in data.noise_files:
        (noise / path.name).symlink_to(path.resolve())
    write_rooms(noise, sorted(clip.path for clip in data.clips("train", spoken_by_people)), seed)


def main(argv: Sequence[str]) -> int:
    """Write the folder."""
    parser = argparse.ArgumentParser(prog="python -m kwspot.train.experiments.words_folder", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--recordings", required=True, type=Path, metavar="DIR", help="data folder of some of the words"
    )
    parser.add_argument("--utterances", type=int, default=32, metavar="N", help="of each word (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default: %(default)s")
    args = parser.parse_args(argv)
    with whole_folder(args.folder) as folder:
        write_words(folder, args.recordings, args.utterances, args.seed)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
