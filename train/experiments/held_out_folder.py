"""A test folder of all that a configuration holds out of training: words, speech, spoken words, noise at each level.

::

    TO/<source>/<word>/<name>.wav    a data folder for each source, all clips as long as training's
    TO/held_out.json                 how it was made

The sources are ``words`` (the words to be heard, of the validation part),
``trained`` (other words of training, of the validation part, to compare with),
``frequent`` and ``rare`` (held-out words of the data folder), ``speech-<folder>``
(held-out recordings cut at word length), ``spoken`` (held-out words by
espeak-ng), and ``silence`` with its level in dBFS or ``zeros``.
``python -m kwspot.benchmarks.experiments.held_out`` scores a bundle on them.

::

    python -m kwspot.train.experiments.held_out_folder --data DIR --preset commands-held-out --to TO
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.recordings import Clip, DataFolder
from kwspot.runtime.audio.sound_file import fit_length, read_sound
from kwspot.runtime.cli import guarded
from kwspot.runtime.errors import ConfigError, DataFolderError
from kwspot.runtime.files import whole_folder, write_whole_json
from kwspot.runtime.labels import BACKGROUND_LABELS, SILENCE
from kwspot.train.config.config import Config, load_config, load_preset
from kwspot.train.data.clips import labels_of
from kwspot.train.data.held_out import noise_recordings, speech_recordings
from kwspot.train.data.negatives import choose_unlike, cut_speech, synthesise_clips
from kwspot.train.data.noise import NoiseBank, at_level

RECIPE_FILE = "held_out.json"
LEVELS_DBFS = tuple(range(-90, 0, 10))

# A word with fewer recordings than this is rare.
_FREQUENT = 100
_MOST_OF_A_SOURCE = 1000
_MOST_OF_SILENCE = 300
_VOICES_A_WORD = 12
_SEED = 1

Sounds = list[tuple[str, str, NDArray[np.int16]]]
"""Word, name of the file without its ending, sound."""

_T = TypeVar("_T")


def write_held_out(folder: DataFolder, config: Config, to: Path) -> dict[str, int]:
    """Write the test folder whole; returns source → clips.

    Raises
    ------
    ConfigError
        If the configuration leaves nothing out.
    DataFolderError
        If `to` is there already.
    """
    if to.exists():
        raise DataFolderError(f"{to} exists; expected a new folder: choose another or remove it")
    unknown = config.unknown
    if not (unknown.held_out_words or unknown.held_out_speech or config.data.held_out_noise):
        raise ConfigError(
            "this configuration holds nothing out; expected [unknown] held_out_words or held_out_speech, "
            "or [data] held_out_noise"
        )
    import soundfile

    counts = {}
    with whole_folder(to) as new:
        for source, sounds in _sources(folder, config):
            for word, name, samples in sounds:
                path = new / source / word / f"{name}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, samples, config.features.sample_rate_hz, subtype="PCM_16")
            counts[source] = len(sounds)
            print(f"{source}: {len(sounds)} clips", file=sys.stderr, flush=True)
        tables = config.to_dict()
        recipe = {"schema": "kwspot.held-out/1", "seed": _SEED, "clips": counts, "unknown": tables["unknown"]}
        recipe["held_out_noise"] = list(config.data.held_out_noise)
        write_whole_json(new / RECIPE_FILE, recipe)
    return counts


def _sources(folder: DataFolder, config: Config) -> list[tuple[str, Sounds]]:
    labels = labels_of(folder, config)
    words = [label for label in labels if label not in BACKGROUND_LABELS]
    held_out = config.unknown.held_out_words
    number = Counter(clip.word for clip in folder.every_clip)
    trained = [word for word in folder.words if word not in (*words, *held_out, SILENCE)]
    parts: dict[str, list[Clip]] = {
        "words": folder.clips("validation", words),
        "trained": folder.clips("validation", trained) if trained else [],
        # Of words that training never had, every part is a test.
        "frequent": [clip for clip in folder.clips("all") if clip.word in held_out and number[clip.word] >= _FREQUENT],
        "rare": [clip for clip in folder.clips("all") if clip.word in held_out and number[clip.word] < _FREQUENT],
    }
    rate_hz, length = config.features.sample_rate_hz, config.clip_samples
    made: list[tuple[str, Sounds]] = []
    for k, (source, clips) in enumerate(parts.items()):
        chosen = _drawn(clips, _MOST_OF_A_SOURCE, np.random.default_rng([_SEED, 1, k]))
        sounds = [(clip.word, clip.path.stem, fit_length(read_sound(clip.path, rate_hz), length)) for clip in chosen]
        made.append((source, sounds))
    for k, group in enumerate(speech_recordings(folder.root, config)[1]):
        if not group.paths:
            continue
        rng = np.random.default_rng([_SEED, 2, k])
        pieces = _drawn(cut_speech([group], length, rate_hz, rng), _MOST_OF_A_SOURCE, rng)
        made.append((f"speech-{group.root.name}", [("speech", f"piece{n:04}", p) for n, p in enumerate(pieces)]))
    if held_out:
        said = choose_unlike(held_out, words)
        # Other drawn voices than training's; espeak-ng's timbre is one, so this is the easiest of the sources.
        spoken = synthesise_clips(said, _VOICES_A_WORD, length, rate_hz, np.random.default_rng([_SEED, 3]))
        names = [(word, f"voice{n:02}") for word in said for n in range(_VOICES_A_WORD)]
        made.append(("spoken", [(word, name, sound) for (word, name), sound in zip(names, spoken, strict=True)]))
    return [(source, sounds) for source, sounds in [*made, *_silence(folder, config)] if sounds]


def _silence(folder: DataFolder, config: Config) -> list[tuple[str, Sounds]]:
    """Drawn pieces of the held-out noise, the same ones at each level, and one of zeros."""
    rate_hz, length = config.features.sample_rate_hz, config.clip_samples
    paths = [path for group in noise_recordings(folder, config)[1] for path in group.paths]
    if not paths:
        return []
    rng = np.random.default_rng([_SEED, 4])
    each = max(1, _MOST_OF_SILENCE // len(paths))
    pieces: Sounds = []
    for path in paths:
        bank = NoiseBank(((read_sound(path, rate_hz),),))
        crops = (bank.crop(rng, length) for _ in range(each * 20))
        # A recording may hold digital silence; that has no level, and its own source.
        heard = (crop for crop in crops if crop.any())
        name = f"{path.parent.name.strip('_')}-{path.stem}"
        pieces += [(SILENCE, f"{name}_{n:02}", crop) for n, crop in enumerate(itertools.islice(heard, each))]
    levels: list[tuple[str, Sounds]] = [
        (f"silence{level}dBFS", [(word, name, at_level(crop, level)) for word, name, crop in pieces])
        for level in LEVELS_DBFS
    ]
    return [*levels, ("silence-zeros", [(SILENCE, "zeros", np.zeros(length, np.int16))])]


def _drawn(items: Sequence[_T], most: int, rng: np.random.Generator) -> list[_T]:
    return [items[k] for k in sorted(rng.permutation(len(items))[:most])]


def main(argv: Sequence[str]) -> int:
    """Write the folder."""
    parser = argparse.ArgumentParser(
        prog="python -m kwspot.train.experiments.held_out_folder",
        description="Write what a configuration holds out of training, a folder for each source, and held-out noise at "
        "each level from -90 to -10 dBFS.",
    )
    parser.add_argument("--data", metavar="DIR", type=Path, required=True, help="the recordings of the training")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--preset", metavar="NAME", help="such as commands-held-out")
    how.add_argument("--config", metavar="FILE", type=Path, help="a TOML file of your own")
    parser.add_argument("--to", metavar="DIR", type=Path, required=True, help="the folder to make")
    args = parser.parse_args(argv)
    config = load_preset(args.preset) if args.preset else load_config(args.config)
    counts = write_held_out(DataFolder(args.data), config, args.to)
    print(f"{args.to}: {sum(counts.values())} clips of {len(counts)} sources", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
