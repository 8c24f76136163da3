"""The recordings of a part in memory, with labels, and how many of each an epoch takes."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.parts import compose
from kwspot.runtime.audio.recordings import NOISE_FOLDER, Clip, DataFolder
from kwspot.runtime.audio.sound_file import fit_length, read_sound
from kwspot.runtime.errors import ConfigError, DataFolderError, RecordingError, name_some
from kwspot.runtime.labels import BACKGROUND_LABELS, SILENCE, UNKNOWN
from kwspot.runtime.names import check_labels
from kwspot.runtime.progress import Reminder
from kwspot.train.config.config import Config
from kwspot.train.config.tables import SMALLEST_CLASS
from kwspot.train.data.held_out import noise_recordings
from kwspot.train.data.negatives import make_negatives, read_vocabulary
from kwspot.train.data.noise import NoiseBank, made_noise, split_by_time


@dataclasses.dataclass(frozen=True)
class ClipSet:
    """The clips of one part.

    Attributes
    ----------
    labels : tuple of str
        The words as configured, then ``_unknown_`` and ``_silence_`` if there are such classes.
    samples : int16, shape (N, n)
        The recordings; ``_silence_`` has none, it is cut from `noise`.
    label_of : int64, shape (N,)
    names : tuple of str
        Paths relative to the data folder, N of them; "" for a clip that was made.
    per_epoch : tuple of int
        Examples of each label in an epoch.
    """

    labels: tuple[str, ...]
    samples: NDArray[np.int16]
    label_of: NDArray[np.int64]
    names: tuple[str, ...]
    noise: NoiseBank
    per_epoch: tuple[int, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Label → examples in an epoch."""
        return dict(zip(self.labels, self.per_epoch, strict=True))

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw the examples of an epoch, in a drawn order.

        Where a class has more clips than an epoch takes, they are drawn; where
        it has fewer, they come several times.

        Returns
        -------
        clip, label : int64, shape (sum of per_epoch,)
            `clip` is an index into `samples`, or -1 for a piece of silence.
        """
        clips, labels = [], []
        for label, count in enumerate(self.per_epoch):
            pool = np.flatnonzero(self.label_of == label)
            if self.labels[label] == SILENCE:
                drawn = np.full(count, -1, np.int64)
            elif count == len(pool):
                drawn = pool
            else:
                rest = rng.choice(pool, count % len(pool), replace=False)
                drawn = np.concatenate([np.tile(pool, count // len(pool)), rest])
            clips.append(drawn)
            labels.append(np.full(count, label, np.int64))
        order = rng.permutation(sum(self.per_epoch))
        return np.concatenate(clips)[order], np.concatenate(labels)[order]


def labels_of(folder: DataFolder, config: Config) -> tuple[str, ...]:
    """Return the labels in order: the words, ``_unknown_``, ``_silence_``; refuses what cannot be told apart."""
    data = config.data
    words = tuple(map(compose, data.words)) or tuple(word for word in folder.words if word not in BACKGROUND_LABELS)
    if not data.words and folder.meant_otherwise:
        word, meant = next(iter(folder.meant_otherwise.items()))
        raise DataFolderError(
            f"{folder.root} has a folder {word}; expected {_MEANING[meant]} in {meant}: rename it, or name the "
            f"words to be heard, {word} among them if it is one, with --words"
        )
    missing = [word for word in words if word not in folder.words]
    if missing:
        raise DataFolderError(
            f"{folder.root} has no recordings of {name_some(missing)}; it has "
            f"{name_some(folder.words)}: name some of those"
        )
    _check_held_out(folder, config.unknown.held_out_words, words)
    labels = words + (UNKNOWN,) * (data.unknown_share > 0) + (SILENCE,) * (data.silence_share > 0)
    if len(labels) < 2:
        raise DataFolderError(
            f"{folder.root}: {name_some(words) or 'no word'} alone cannot be told from anything; expected two words or "
            "more, or [data] unknown_share or silence_share above 0"
        )
    if SILENCE in labels and noise_kind(folder, config) == "made":
        raise DataFolderError(
            f"{folder.root} has no _background_noise_, and [data] silence_share = {data.silence_share} cuts {SILENCE} "
            "from recordings of noise; expected some minutes of it there: add them, name other folders in "
            "[data] noise_folders, or set silence_share to 0"
        )
    check_labels(labels)
    return labels


_MEANING = {NOISE_FOLDER: "noise to mix in", UNKNOWN: "words not to be heard", SILENCE: "recordings of nothing said"}


def notes_on(folder: DataFolder, config: Config) -> list[str]:
    """Return what a user should know of the recordings before a training, a sentence each."""
    labels = labels_of(folder, config)
    notes = list(folder.notes(None if UNKNOWN in labels else labels))
    for label, key in ((UNKNOWN, "unknown_share"), (SILENCE, "silence_share")):
        if label in folder.words and label not in labels:
            notes.append(f"{label} is not used, since [data] {key} is 0")
    for word, meant in folder.meant_otherwise.items():
        if word not in labels:
            use = "other words" if UNKNOWN in labels else "nothing"
            notes.append(f"{word} is used as {use}; if it holds {_MEANING[meant]}, rename it to {meant}")
    return notes


def _check_held_out(folder: DataFolder, held_out: Sequence[str], words: Sequence[str]) -> None:
    for word in held_out:
        if word in words:
            raise ConfigError(
                f"unknown.held_out_words has {word}, a word to be heard; expected other words: take it out"
            )
        if word not in folder.words and word not in read_vocabulary():
            raise ConfigError(
                f"unknown.held_out_words has {word}, which is neither in {folder.root} nor in the vocabulary; "
                "expected words that would be trained on: take it out"
            )


def load_clips(folder: DataFolder, config: Config) -> tuple[ClipSet, ClipSet]:
    """Read the training and the validation part, converted and cut to one length; progress goes to stderr.

    Raises
    ------
    DataFolderError
        If a class has too few clips or none to validate on, or recordings
        cannot be read: none is left out in silence.
    """
    labels = labels_of(folder, config)
    held_out = [compose(word) for word in config.unknown.held_out_words]
    chosen = {part: _choose(folder, part, labels, held_out) for part in ("train", "validation")}
    _check_counts(folder, labels, chosen)
    rate_hz = config.features.sample_rate_hz
    banks = dict(zip(chosen, _noise_banks(folder, config), strict=True))
    sets = {}
    for part, clips in chosen.items():
        samples = _read_all([clip.path for clip in clips], folder.root, rate_hz, config.clip_samples, part)
        label_of = np.array([_label_index(clip, labels) for clip in clips], np.int64)
        names = [clip.path.relative_to(folder.root).as_posix() for clip in clips]
        if part == "train" and UNKNOWN in labels:
            more, more_labels = make_negatives(folder.root, config, labels, samples, [clip.word for clip in clips])
            if more:
                samples = np.concatenate([samples, more])
                label_of = np.concatenate([label_of, more_labels])
                names += [""] * len(more)
        sets[part] = ClipSet(
            labels=labels,
            samples=samples,
            label_of=label_of,
            names=tuple(names),
            noise=banks[part],
            per_epoch=_per_epoch(labels, label_of, config, repeat=part == "train"),
        )
    return sets["train"], sets["validation"]


def noise_kind(folder: DataFolder, config: Config) -> str:
    """Return where noise comes from: "recorded" (``_background_noise_``), "made", or "none" if none is asked for."""
    if config.augment.noise_share == 0 and config.data.silence_share == 0:
        return "none"
    if folder.noise_files or config.data.noise_folders or SILENCE in folder.words:
        return "recorded"
    return "made"


def calibration_clips(clips: ClipSet, seed: int, most: int = 200) -> list[str]:
    """Names of training clips that stand for all, the same number of each label where there are enough, sorted."""
    rng = np.random.default_rng([seed, 0xCA11B])  # a stream of its own
    recorded = np.array(clips.names) != ""
    pools = [np.flatnonzero(recorded & (clips.label_of == label)) for label in range(len(clips.labels))]
    pools = [pool for pool in pools if len(pool)]
    share = most // len(pools)
    chosen = [rng.choice(pool, min(len(pool), max(1, share)), replace=False) for pool in pools]
    return sorted(clips.names[k] for k in np.concatenate(chosen))


def _label_index(clip: Clip, labels: Sequence[str]) -> int:
    return labels.index(clip.word if clip.word in labels else UNKNOWN)


def _choose(folder: DataFolder, part: str, labels: Sequence[str], held_out: Sequence[str]) -> list[Clip]:
    """Return the words' clips, and those of all other words, but for some, if there is a class for them."""
    clips = [clip for clip in folder.clips(part) if clip.word != SILENCE]
    return [clip for clip in clips if clip.word in labels or (UNKNOWN in labels and clip.word not in held_out)]


def _check_counts(folder: DataFolder, labels: Sequence[str], chosen: dict[str, list[Clip]]) -> None:
    counts = {part: Counter(labels[_label_index(clip, labels)] for clip in clips) for part, clips in chosen.items()}
    counts["all"] = sum(counts.values(), Counter())
    spoken = [label for label in labels if label != SILENCE]
    if not chosen["validation"]:
        raise DataFolderError(
            f"{folder.root} has no clips to validate on; expected some of each word: record more, or list clips in "
            "validation_list.txt, <word>/<file> a line"
        )
    few = {label: counts["train"][label] for label in spoken if counts["train"][label] < SMALLEST_CLASS}
    if few:
        held = [f"{label} {count} of {counts['all'][label]}" for label, count in few.items()]
        enough = [label for label in spoken if label not in few]
        advice = f"name others with --words, such as {','.join(enough[:12])}" if enough else "record more"
        raise DataFolderError(
            f"{folder.root} has too few recordings in its training part: {name_some(held)}; expected "
            f"{SMALLEST_CLASS} or more of each: {advice}"
        )
    unseen = [label for label in spoken if not counts["validation"][label]]
    if unseen:
        raise DataFolderError(
            f"{folder.root} has no clips to validate on of {name_some(unseen)}; record more, or list clips in "
            "validation_list.txt, <word>/<file> a line"
        )


def _per_epoch(labels: Sequence[str], label_of: NDArray[np.int64], config: Config, *, repeat: bool) -> tuple[int, ...]:
    held = np.bincount(label_of, minlength=len(labels))
    words = [int(held[k]) for k, label in enumerate(labels) if label not in BACKGROUND_LABELS]
    mean_word = float(np.mean(words))
    least = round(config.data.word_least_share * max(words)) if repeat else 0
    counts = []
    for k, label in enumerate(labels):
        if label == UNKNOWN:
            wanted = max(1, round(config.data.unknown_share * mean_word))
            counts.append(wanted if repeat else min(wanted, int(held[k])))
        elif label == SILENCE:
            counts.append(max(1, round(config.data.silence_share * mean_word)))
        else:
            counts.append(max(least, int(held[k])))
    return tuple(counts)


def _noise_banks(folder: DataFolder, config: Config) -> tuple[NoiseBank, NoiseBank]:
    rate_hz = config.features.sample_rate_hz
    (own, *more), _ = noise_recordings(folder, config)
    made = made_noise(rate_hz, config.training.seed)
    kinds = [_read(own.paths, folder.root, rate_hz)] if own.paths else [made]
    if more:
        kinds += [_read(group.paths, group.root, rate_hz) for group in more]
        kinds += [made] * bool(own.paths)
    return split_by_time(kinds)


def _read_all(paths: Sequence[Path], root: Path, rate_hz: int, length: int, part: str) -> NDArray[np.int16]:
    """Read all recordings at one length, int16 (N, length)."""
    print(f"reading {len(paths)} recordings to {'train' if part == 'train' else 'validate'} on", file=sys.stderr)
    fitted = [fit_length(recording, length) for recording in _read(paths, root, rate_hz)]
    return np.stack(fitted)


def _read(paths: Sequence[Path], root: Path, rate_hz: int) -> list[NDArray[np.int16]]:
    recordings: list[NDArray[np.int16]] = []
    failed: list[RecordingError] = []
    reminder = Reminder()
    for path in paths:
        reminder.say(f"read {len(recordings):,} of {len(paths):,}")
        try:
            recordings.append(read_sound(path, rate_hz))
        except RecordingError as error:
            failed.append(error)
    reminder.end()
    if failed:
        raise DataFolderError(
            f"{len(failed)} of {len(paths)} recordings cannot be used, the first: {failed[0]}. "
            f"kwspot data check {root} lists them all: mend or remove them"
        )
    return recordings
