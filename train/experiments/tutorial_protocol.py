"""The way of the tutorial this kit grew from, to compare with: not for a device.

librosa's own MFCC (20 coefficients, hops of 512) of every third sample, taken
without a filter and called 16 kHz, cut or padded to 11 frames. A random 60/40
split, with the same speakers on both sides, and the best epoch chosen on the
clips that are reported. The input is (20, 11), the coefficients first, not
normalised.

::

    python -m kwspot.train.experiments.tutorial_protocol --data DIR --words bed,cat,happy --preset conv2 --run RUN

Such a run can be compared, and not exported.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.recordings import Clip, DataFolder
from kwspot.runtime.cli import guarded
from kwspot.train.cli import read_asked, report, training_parser
from kwspot.train.config.config import Config
from kwspot.train.config.tables import AugmentConfig, DataConfig, ModelConfig, TrainingConfig
from kwspot.train.data.clips import labels_of
from kwspot.train.data.pipeline import FixedExamples, one_hot
from kwspot.train.fit.trainer import TrainingTask, check_place, train, versions

RATE_HZ = 16_000
COEFFICIENTS, FRAMES = 20, 11
TRAIN_SHARE = 0.6
LSTM_UNITS = 16
EPOCHS = 50  # as many as that tutorial ran, whatever the preset says


def prepare_tutorial(folder: DataFolder, config: Config, preset: str, *, by_speaker: bool) -> TrainingTask:
    """Examples as the tutorial made them, of all parts; `by_speaker` keeps each speaker on one side."""
    config = _tutorial_config(config)
    labels = labels_of(folder, config)
    clips = folder.clips("all", labels)
    split = _split_by_speaker if by_speaker else _split_at_random
    trained_on = split(clips, np.random.default_rng(config.training.seed))
    print(f"reading {len(clips)} recordings by librosa", file=sys.stderr)
    features = np.stack([tutorial_features(clip.path) for clip in clips])  # (N, 20, 11)
    targets = one_hot(np.array([labels.index(clip.word) for clip in clips]), len(labels))
    examples = FixedExamples(
        features[trained_on], targets[trained_on], batch_size=config.training.batch_size, seed=config.training.seed
    )
    tables = config.to_dict()
    resolved: dict[str, Any] = {
        "protocol": "tutorial-speakers" if by_speaker else "tutorial",
        "preset": preset,
        "labels": list(labels),
        **{name: tables[name] for name in ("features", "model", "augment", "training")},
        "data": {
            "folder": str(folder.root.resolve()),
            **tables["data"],
            "words": list(labels),
            "counts": {
                part: {label: int(count) for label, count in zip(labels, chosen.sum(axis=0), strict=True)}
                for part, chosen in (("train", targets[trained_on]), ("validation", targets[~trained_on]))
            },
        },
        "versions": versions(),
    }
    return TrainingTask(
        config=config,
        labels=labels,
        frames=COEFFICIENTS,
        coefficients=FRAMES,
        examples=examples,
        validation=(features[~trained_on], targets[~trained_on]),
        resolved=resolved,
        gallery={},
    )


def tutorial_features(path: Path) -> NDArray[np.float32]:
    """Compute the tutorial's features of a file, float32 (20, 11)."""
    import librosa

    wave, _ = librosa.load(path, sr=RATE_HZ, mono=True)
    with warnings.catch_warnings():
        # Of the shortest recordings a third is less than one FFT, and librosa says so; the tutorial did not mind.
        warnings.filterwarnings("ignore", message="n_fft=")
        mfcc = librosa.feature.mfcc(y=wave[::3], sr=RATE_HZ, n_mfcc=COEFFICIENTS)  # (20, frames)
    mfcc = mfcc[:, :FRAMES]
    return np.pad(mfcc, ((0, 0), (0, FRAMES - mfcc.shape[1]))).astype(np.float32)


def _tutorial_config(config: Config) -> Config:
    """Return the preset with the tutorial's LSTM and training: Adam, a constant rate, nothing else."""
    options = {"units": LSTM_UNITS, "dropout": 0.0} if config.model.name == "lstm" else config.model.options
    training = TrainingConfig(
        epochs=config.training.epochs,
        batch_size=100,
        learning_rate=1e-3,
        schedule="constant",
        seed=config.training.seed,
    )
    return dataclasses.replace(
        config,
        model=ModelConfig(config.model.name, options),
        data=DataConfig(words=config.data.words),
        augment=AugmentConfig(),
        training=training,
    )


def _split_at_random(clips: Sequence[Clip], rng: np.random.Generator) -> NDArray[np.bool_]:
    chosen = np.zeros(len(clips), bool)
    chosen[rng.permutation(len(clips))[: round(TRAIN_SHARE * len(clips))]] = True
    return chosen


def _split_by_speaker(clips: Sequence[Clip], rng: np.random.Generator) -> NDArray[np.bool_]:
    speakers = sorted({clip.speaker for clip in clips})
    chosen = {speakers[k] for k in rng.permutation(len(speakers))[: round(TRAIN_SHARE * len(speakers))]}
    return np.array([clip.speaker in chosen for clip in clips])


def main(argv: Sequence[str]) -> int:
    """Train; returns 0, or 130 after Ctrl-C."""
    program = "python -m kwspot.train.experiments.tutorial_protocol"
    parser = training_parser(program, "Train a preset's network in the way of the tutorial, to compare with.")
    parser.add_argument("--words", metavar="A,B,C", help="the words to tell apart (default: all folders)")
    parser.add_argument("--by-speaker", action="store_true", help="keep each speaker on one side of the split")
    args = parser.parse_args(argv)
    config, preset, data = read_asked(args)
    if args.words is not None:
        config = dataclasses.replace(config, data=DataConfig(words=tuple(args.words.split(","))))
    if args.epochs is None and not args.resume:
        config = dataclasses.replace(config, training=dataclasses.replace(config.training, epochs=EPOCHS))
    check_place(args.run, resume=args.resume, overwrite=args.overwrite)
    task = prepare_tutorial(DataFolder(data), config, preset, by_speaker=args.by_speaker)
    result = train(task, args.run, resume=args.resume, overwrite=args.overwrite, tensorboard=args.tensorboard)
    return report(result, args.run, task.config.training.epochs, shlex.join([*program.split(), *argv, "--resume"]))


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
