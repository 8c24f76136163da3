"""Words at any place in longer sound: data folders with the same clips, once for each length."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.recordings import Clip, DataFolder
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.audio.wav import write_wav
from kwspot.runtime.errors import DataFolderError
from kwspot.runtime.features.level import to_int16
from kwspot.runtime.features.spec import INT16_FULL_SCALE
from kwspot.runtime.files import whole_folder

RATE_HZ = 16_000
LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}

# What is around the word: nothing at all in a quarter of the clips, else a noise recording at a level of this range.
SILENT_SHARE = 0.25
NOISE_DBFS = (-60.0, -35.0)


def write_length(source: DataFolder, words: Sequence[str], seconds: int, most: int, to: Path) -> None:
    """Write a data folder: up to `most` training clips of each word, all to validate on, in `seconds` of sound each.

    Which clips, and which noise at which level, is the same for every length;
    the place is drawn so that the whole recording fits.
    """
    if not source.noise_files:
        raise DataFolderError(
            f"{source.root} has no recordings in _background_noise_; expected some to put around the words"
        )
    noises = [read_sound(path, RATE_HZ) for path in source.noise_files]
    listed = []
    with whole_folder(to) as folder:
        for place, word in enumerate(words):
            (folder / word).mkdir()
            rng = np.random.default_rng([place, 0x6C656E])
            train = source.clips("train", [word])
            chosen: list[Clip] = [train[k] for k in sorted(rng.permutation(len(train))[:most])]
            for number, clip in enumerate([*chosen, *source.clips("validation", [word])]):
                # A stream of random numbers for each clip, so that none depends on the length.
                drawn = np.random.default_rng([place, number])
                sound = in_noise(read_sound(clip.path, RATE_HZ), noises, seconds * RATE_HZ, drawn)
                name = f"{word}/{clip.path.stem}.wav"
                write_wav(folder / name, sound, RATE_HZ)
                if clip.part == "validation":
                    listed.append(name)
        (folder / LISTS["validation"]).write_text("\n".join(sorted(listed)) + "\n")
        (folder / LISTS["test"]).write_text("")
        about = {"words": list(words), "seconds": seconds, "most": most}
        (folder / "length.json").write_text(json.dumps(about, allow_nan=False) + "\n")


def in_noise(
    word: NDArray[np.int16], noises: Sequence[NDArray[np.int16]], length: int, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Put a recording, int16 (n,), at a drawn place of `length` samples, in noise of a drawn level or in none."""
    silent = rng.random() < SILENT_SHARE
    level = 10 ** (rng.uniform(*NOISE_DBFS) / 20)
    noise = noises[int(rng.integers(len(noises)))] / INT16_FULL_SCALE
    where, start = rng.random(), rng.random()
    sound = np.zeros(length)
    if not silent:
        piece = np.take(noise, np.arange(length) + int(start * len(noise)), mode="wrap")
        sound += piece * (level / max(float(np.sqrt(np.mean(piece**2))), 1e-9))
    word = word[:length]
    begin = round(where * (length - len(word)))
    sound[begin : begin + len(word)] += word / INT16_FULL_SCALE
    return to_int16(sound)
