"""The steps from phrases to a calibrated bundle.

Each is a command of the program or of :mod:`kwspot.train.word.child`, run in a child process on files. What is done
is in the work folder's ``state.json``; a step is done again when its settings, or those of one before it, have changed.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kwspot.runtime.child import CommandFailed, kwspot
from kwspot.runtime.errors import name_some
from kwspot.runtime.files import whole_folder
from kwspot.runtime.run_folder import CHECKPOINT_FOLDER, is_run
from kwspot.train.config.config import load_preset
from kwspot.train.config.toml_table import differences
from kwspot.train.word.plan import Plan
from kwspot.train.word.state import SCRATCH, StepRecord, WorkState

PRESET = "word"
# On two quiet cores of a desktop.
_UTTERANCES_PER_S, _EXAMPLES_PER_S, _VERIFIED_PER_S = 45.0, 400.0, 150.0
_START_S, _HEADS_S, _EXPORT_S, _MINING_S, _CALIBRATION_S = 15.0, 60.0, 45.0, 60.0, 70.0
_EXAMPLES_OF_UTTERANCE = 6.3
# So long the pace of this machine is not known yet, and is taken for that of the desktop.
_PACE_PRIOR_S = 240.0
_SPEAK_SETTINGS = (
    "utterances",
    "programs_share",
    "held_out_voices",
    "recordings_share",
    "confusables",
    "utterances_of_confusable",
    "utterances_of_word",
    "sentences",
    "foreign_sentences",
)


@dataclass(frozen=True)
class Step:
    """A step of the work.

    Attributes
    ----------
    about_s : how long it takes on two quiet cores
    inputs : the settings that it depends on, beside what the steps before it made
    makes : files and folders that it writes; they are removed before it begins with other inputs
    """

    name: str
    about_s: float
    inputs: Mapping[str, Any]
    makes: Sequence[Path]
    do: Callable[[], None]


class Steps:
    """The steps of a plan in a work folder; `bundle` is the one to write, and all in the folder have its name."""

    def __init__(self, plan: Plan, work: Path, bundle: Path, *, overwrite: bool) -> None:
        self._plan = plan
        self._work = work
        self._bundle = bundle
        self._overwrite = overwrite
        self._sounds = work / "sounds"
        self._run = work / "run"
        self._first_stage, self._verified, self._verified_again, self._calibrated = (
            work / folder / bundle.name for folder in ("first-stage", "verifier", "verifier-mined", "calibrated")
        )

    def list(self) -> list[Step]:
        """List the steps in order."""
        plan, settings = self._plan, self._plan.settings
        examples = settings.utterances * len(plan.phrases) * _EXAMPLES_OF_UTTERANCE
        spoken = settings.utterances * len(plan.phrases) * 7 // 6 + 9 * settings.confusables * len(plan.phrases) + 2200
        epochs = int(plan.tables.get("training", {}).get("epochs", load_preset(PRESET).training.epochs))
        of_speech = {
            "seed": plan.seed,
            **settings.of(*_SPEAK_SETTINGS),
            "recordings": None if plan.recordings is None else str(plan.recordings.resolve()),
            "negatives": [str(folder.resolve()) for folder in plan.negatives],
            "sounds": plan.sounds,
        }
        of_training = {"training": {name: dict(table) for name, table in plan.tables.items()}, "start": settings.start}
        of_verifier = settings.of("trigger_score", "verifier_calls_per_hour")
        steps = [
            Step("speak", spoken / _UTTERANCES_PER_S, of_speech, [self._sounds], partial(self._own, "speak")),
            Step("train", _START_S + epochs * examples / _EXAMPLES_PER_S, of_training, [self._run], self._train),
            Step("export", _EXPORT_S, {"name": self._bundle.stem}, [self._first_stage.parent], self._export),
        ]
        last = self._first_stage
        if settings.verifier_passes:
            last, once_s = self._verified_again, examples / _VERIFIED_PER_S
            passes, mined = settings.verifier_passes, self._sounds / "data" / "_mined_"
            of_mining, of_passes = settings.of("mining_threshold", "mining_most"), settings.of("verifier_passes")
            teach, mine = partial(self._teach, self._verified, 1), partial(self._own, "mine", str(self._verified))
            teach_again = partial(self._teach, self._verified_again, passes)
            steps += [
                Step("verifier", once_s + _HEADS_S, of_verifier, [self._verified.parent], teach),
                Step("mine", _MINING_S, of_mining, [mined], mine),
                Step("verifier again", passes * once_s + _HEADS_S, of_passes, [last.parent], teach_again),
            ]
        target, calibrate = {"target_fa_per_hour": plan.target_fa_per_hour}, partial(self._calibrate, last)
        return [*steps, Step("calibrate", _CALIBRATION_S, target, [self._calibrated.parent], calibrate)]

    def write(self) -> None:
        """Copy the last bundle to its place."""
        with whole_folder(self._bundle, overwrite=self._overwrite) as folder:
            shutil.copytree(self._calibrated, folder, dirs_exist_ok=True)

    def _kwspot(self, *arguments: str, module: str = "kwspot.runtime.cli", results: bool = True) -> None:
        scratch = {"TMPDIR": str((self._work / SCRATCH).resolve())}
        kwspot(*arguments, module=module, quiet=True, results=results, environment=scratch)

    def _own(self, step: str, *arguments: str) -> None:
        self._kwspot(str(self._work), step, *arguments, module="kwspot.train.word.child")

    def _train(self) -> None:
        run = str(self._run)
        if (self._run / CHECKPOINT_FOLDER).is_dir():
            self._kwspot("train", "--run", run, "--resume")
            return
        self._own("configure", str(config := self._work / "training.toml"))
        start = ["--start-from", "words"] if self._plan.settings.start == "pretrained" else []
        again = ["--overwrite"] if is_run(self._run) else []
        data = str(self._sounds / "data")
        self._kwspot("train", "--data", data, "--config", str(config), "--run", run, *start, *again)

    def _export(self) -> None:
        self._kwspot("export", str(self._run), "--kind", "stream", "--bundle", str(self._first_stage))

    def _teach(self, target: Path, passes: int) -> None:
        settings = self._plan.settings
        _copy(self._first_stage, target)
        self._kwspot(
            *("verifier", str(target), "--run", str(self._run), "--passes", str(passes)),
            *("--trigger-score", f"{settings.trigger_score:g}", "--negatives", str(self._sounds / "calibrate")),
            *("--calls-per-hour", f"{settings.verifier_calls_per_hour:g}"),
            results=False,  # its advice is what the next step does
        )

    def _calibrate(self, source: Path) -> None:
        _copy(source, self._calibrated)
        try:
            self._kwspot(
                *("calibrate", str(self._calibrated), "--negatives", str(self._sounds / "calibrate")),
                *("--positives", str(self._sounds / "data")),
                *("--target-fa-per-hour", f"{self._plan.target_fa_per_hour:g}"),
            )
        except CommandFailed:
            # What was trained is not thrown away for it; it can be calibrated with other sounds, or by ear.
            self.write()
            print(
                f"kwspot: {self._bundle} was written, but not calibrated: its thresholds are guesses", file=sys.stderr
            )
            raise


def _copy(bundle: Path, target: Path) -> None:
    with whole_folder(target, overwrite=True) as folder:
        shutil.copytree(bundle, folder, dirs_exist_ok=True)


def work_through(steps: Sequence[Step], state: WorkState) -> None:
    """Run the steps that are not done; before each, say how long the rest may take on this machine.

    Raises
    ------
    CommandFailed
        If a step's command fails; it has said why.
    """
    names = [step.name for step in steps]
    expected_s = spent_s = _PACE_PRIOR_S
    waiting = list(steps)
    for number, step in enumerate(steps, 1):
        head, record = f"[{number}/{len(steps)}] {step.name}", state.record_of(step.name)
        waiting.remove(step)
        if is_done(step, record):
            print(f"{head}: done", file=sys.stderr)
        else:
            left_s = spent_s / expected_s * (step.about_s + sum(other.about_s for other in waiting))
            print(f"{head}{_reason(step, record)}; about {minutes(left_s)} left", file=sys.stderr, flush=True)
            goes_on = record is not None and not record["done"] and record["inputs"] == step.inputs
            for path in [path for other in waiting for path in other.makes] + ([] if goes_on else [*step.makes]):
                shutil.rmtree(path, ignore_errors=True)
            started = time.monotonic()
            state.begin(step.name, step.inputs, names[number:])
            step.do()
            state.finish(step.name, time.monotonic() - started)
        record = state.record_of(step.name)
        assert record is not None
        if record["seconds"] > 0.1 * step.about_s:  # else it only went on with what was nearly done
            spent_s, expected_s = spent_s + record["seconds"], expected_s + step.about_s


def is_done(step: Step, record: StepRecord | None) -> bool:
    """Tell whether a step was done with the same inputs, and what it made is there."""
    return (
        record is not None
        and record["done"]
        and record["inputs"] == step.inputs
        and all(path.exists() for path in step.makes)
    )


def minutes(seconds: float) -> str:
    """Return a time to wait in words, as coarse as it is uncertain."""
    return "a minute" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def _reason(step: Step, record: StepRecord | None) -> str:
    if record is None:
        return ""
    changed = differences(record["inputs"], step.inputs)
    if changed:
        return f", again with {name_some(changed, 3)}"
    return " again, since what it made is gone" if record["done"] else ", going on"
