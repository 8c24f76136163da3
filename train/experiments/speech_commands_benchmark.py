"""The published keyword-spotting benchmarks on Google's Speech Commands, as its own code defines them.

Of the 12 classes ten are words; ``_unknown_`` is drawn from all other words and ``_silence_`` cut from the six
background noises, each a tenth as many clips as the ten words have together, so as many as the mean word. Parts are
those of the lists that come with the recordings, by speaker. The accuracy is that on the separate test folder that
Google publishes; that of the 35 words on the test part of the recordings themselves.

::

    python -m kwspot.train.experiments.speech_commands_benchmark v2-12 --data DIR --preset bc-resnet-1 --run RUN

References
----------
Warden, "Speech Commands", arXiv:1804.03209; ``input_data.py`` of TensorFlow's ``speech_commands`` example, whose
``silence_percentage`` and ``unknown_percentage`` are 10.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.cli import guarded
from kwspot.runtime.errors import DataFolderError
from kwspot.runtime.files import write_whole_json
from kwspot.runtime.intervals import wilson_interval
from kwspot.runtime.labels import SILENCE, UNKNOWN
from kwspot.runtime.run_folder import METRICS_FILE, read_run
from kwspot.train.cli import read_asked, train_on_folder, training_parser
from kwspot.train.config.config import Config
from kwspot.train.config.tables import UnknownConfig
from kwspot.train.data.fetch import ARCHIVES

_CORE = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
_V2_WORDS = (
    *("backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward", "four", "go", "happy"),
    *("house", "learn", "left", "marvin", "nine", "no", "off", "on", "one", "right", "seven", "sheila", "six", "stop"),
    *("three", "tree", "two", "up", "visual", "wow", "yes", "zero"),
)


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """One of :data:`BENCHMARKS`; `version` is that of the recordings."""

    name: str
    version: int
    words: tuple[str, ...]
    background_share: float

    @property
    def test_folder(self) -> str | None:
        """Name of Google's separate test folder; None if the test is a part of the recordings."""
        return ARCHIVES[self.version][1].folder if self.background_share else None

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the model's output."""
        return (*self.words, UNKNOWN, SILENCE) if self.background_share else self.words


BENCHMARKS = {
    "v1-12": Benchmark("v1-12", 1, _CORE, 1.0),
    "v2-12": Benchmark("v2-12", 2, _CORE, 1.0),
    "v2-35": Benchmark("v2-35", 2, _V2_WORDS, 0.0),
}


def with_protocol(config: Config, benchmark: Benchmark) -> Config:
    """Return a configuration whose classes and recordings are the benchmark's; the rest stays as it is."""
    data = dataclasses.replace(
        config.data,
        words=benchmark.words,
        unknown_share=benchmark.background_share,
        silence_share=benchmark.background_share,
        word_least_share=0.0,
        noise_folders=(),
        held_out_noise=(),
        licence=f"Google Speech Commands v{benchmark.version}, CC BY 4.0",
    )
    return dataclasses.replace(config, data=data, unknown=UnknownConfig())


def find_test(folder: DataFolder, benchmark: Benchmark, test: Path | None) -> DataFolder:
    """Return what will be scored in the end: asked for before the training, so that no hour is lost.

    Parameters
    ----------
    test
        Google's test folder, or None for where ``kwspot data fetch`` puts it, beside the recordings.

    Raises
    ------
    DataFolderError
        If the recordings or the test lack a class, or the test folder is missing.
    """
    fetch = f"kwspot data fetch speech-commands --version {benchmark.version} --to DIR"
    missing = [word for word in benchmark.words if word not in folder.words]
    if missing:
        raise DataFolderError(
            f"{folder.root} has no recordings of {', '.join(missing)}; {benchmark.name} needs "
            f"{len(benchmark.words)} words of Speech Commands version {benchmark.version}: {fetch} brings them"
        )
    if benchmark.background_share and not folder.noise_files:
        raise DataFolderError(
            f"{folder.root} has no _background_noise_; {benchmark.name} cuts {SILENCE} from Google's six recordings: "
            f"{fetch} brings them"
        )
    if benchmark.test_folder is None:
        words = {clip.word for clip in folder.clips("test")}
        unheard = [word for word in benchmark.words if word not in words]
        if unheard:
            raise DataFolderError(
                f"{folder.root} has no test clips of {', '.join(unheard)}; expected those of testing_list.txt: {fetch}"
            )
        return folder
    root = test or folder.root.resolve().parent / benchmark.test_folder
    if not root.is_dir():
        raise DataFolderError(
            f"{root} does not exist; {benchmark.name} is scored on Google's separate test folder: {fetch} brings it, "
            "or name it with --test"
        )
    there = DataFolder(root)
    if set(there.words) != set(benchmark.labels):
        raise DataFolderError(
            f"{root} holds {', '.join(there.words)}; expected Google's test folder with {', '.join(benchmark.labels)}: "
            f"{fetch}"
        )
    return there


def score(run: Path, test: DataFolder, benchmark: Benchmark) -> dict[str, Any]:
    """Score a finished run's float model; adds ``benchmark`` to its ``metrics.json`` and returns it.

    Returns
    -------
    dict
        ``name``, ``test`` (folder), ``part``, ``correct``, ``total``, ``accuracy``, ``ci95``, ``per_label``.
    """
    from kwspot.runtime.audio.sound_file import fit_length, read_sound
    from kwspot.train.backend import keras
    from kwspot.train.data.pipeline import features_of
    from kwspot.train.fit.loop import score_frames

    trained = read_run(run)
    spec, labels = trained.features, trained.labels
    part = "test" if benchmark.test_folder is None else "all"
    clips = test.clips(part, benchmark.labels)
    print(f"scoring {len(clips)} clips of {test.root}", file=sys.stderr)
    model = keras.models.load_model(trained.model_path, compile=False)
    length = spec.samples_in(model.input_shape[1])
    samples = np.stack([fit_length(read_sound(clip.path, spec.sample_rate_hz), length) for clip in clips])
    truth = np.array([labels.index(clip.word) for clip in clips])
    heard = score_frames(model, trained.normalisation.apply(features_of(samples, spec))).argmax(axis=1)
    right = heard == truth
    found = {
        "name": benchmark.name,
        "test": str(test.root.resolve()),
        "part": part,
        "correct": int(right.sum()),
        "total": len(clips),
        "accuracy": float(right.mean()),
        "ci95": list(wilson_interval(int(right.sum()), len(clips))),
        "per_label": {label: [int(right[truth == k].sum()), int((truth == k).sum())] for k, label in enumerate(labels)},
    }
    write_whole_json(run / METRICS_FILE, {**trained.metrics, "benchmark": found})
    return found


def describe(found: dict[str, Any]) -> str:
    """Describe what :func:`score` returns in one line."""
    low, high = found["ci95"]
    where = "the test part" if found["part"] == "test" else "Google's separate test folder"
    return (
        f"{found['name']}: {found['accuracy']:.2%} ({low:.2%} – {high:.2%}), {found['correct']} of {found['total']} "
        f"clips of {where}, {found['test']}; float, the best epoch on validation"
    )


def main(argv: Sequence[str]) -> int:
    """Train and score; returns 0, or 130 after Ctrl-C."""
    program = "python -m kwspot.train.experiments.speech_commands_benchmark"
    parser = training_parser(program, "Train by the protocol of a published benchmark, and score its test in the end.")
    parser.add_argument("benchmark", choices=BENCHMARKS, help="version of Speech Commands, and how many classes")
    parser.add_argument("--test", type=Path, metavar="DIR", help="Google's test folder (default: beside --data)")
    args = parser.parse_args(argv)
    benchmark = BENCHMARKS[args.benchmark]
    config, preset, data = read_asked(args)
    folder = DataFolder(data)
    test = find_test(folder, benchmark, args.test)
    way_on = [*program.split(), benchmark.name, "--resume", "--run", str(args.run)]
    way_on += ["--test", str(args.test)] if args.test else []
    status = train_on_folder(folder, with_protocol(config, benchmark), preset, args, way_on)
    if status == 0:
        print(describe(score(args.run, test, benchmark)))
    return status


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
