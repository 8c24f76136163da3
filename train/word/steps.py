"""The steps from phrases to a calibrated bundle; each is done when what it writes is there.

Other rooms are driven as a user would: by their commands, on files.
"""

from __future__ import annotations

import ctypes
import functools
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kwspot.runtime.audio.recordings import SOUND_EXTENSIONS
from kwspot.runtime.files import whole_file, whole_folder
from kwspot.runtime.model.bundle import load_bundle
from kwspot.runtime.run_folder import CHECKPOINT_FOLDER, METRICS_FILE, is_run
from kwspot.train.config.config import load_preset
from kwspot.train.config.toml_text import to_toml
from kwspot.train.word.folder import RECIPE_FILE, Ingredients, write_sounds
from kwspot.train.word.look_budget import trigger_score_for
from kwspot.train.word.mining import mine
from kwspot.train.word.plan import Plan
from kwspot.train.word.recordings import recorded_utterances

# Of the rate and the warm-up of the first training: enough to change, little enough to keep.
_RATE_OF_MINING = 0.3
_WARM_UP_OF_MINING = 0.2
# So many examples of a small folder of mined clips are in the pool that an epoch draws from.
_MINED_LEAST = 300
PRESET, TWICE = "word", "twice.kws"
_UTTERANCES_PER_S, _EXAMPLES_PER_S = 45.0, 400.0
_LOOKS_PER_S = 150.0
_HEADS_S = 60.0
_EXPORT_S, _MINING_S, _CALIBRATION_S = 45.0, 60.0, 70.0


class CommandFailed(Exception):
    """A command of another room ended with a status; it has said why."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True)
class Step:
    """Something to do, unless it is done; `about_s` is how long it takes on two quiet cores."""

    name: str
    about_s: float
    done: Callable[[], bool]
    do: Callable[[], None]


def steps(plan: Plan, work: Path, bundle: Path, *, overwrite: bool) -> Iterator[Step]:
    """All steps in order; the rounds of mining end as soon as they find no less than before."""
    settings = plan.settings
    sounds = work / "sounds"
    spoken = settings.utterances * len(plan.phrases) * 7 // 6 + 9 * settings.confusables * len(plan.phrases) + 2200
    epochs = int(plan.tables.get("training", {}).get("epochs", load_preset(PRESET).training.epochs))
    epoch_s = settings.utterances * len(plan.phrases) * 6.3 / _EXAMPLES_PER_S
    yield Step(
        "speak",
        spoken / _UTTERANCES_PER_S,
        (sounds / RECIPE_FILE).is_file,
        lambda: _speak(plan, sounds),
    )
    yield from _trained(plan, work, 0, epochs * epoch_s)
    for number in range(1, settings.mining_rounds + 1):
        found = work / f"mined-{number}.json"
        yield Step(f"mine {number}", _MINING_S, found.is_file, functools.partial(_mine_round, plan, work, number))
        yield from _trained(plan, work, number, settings.mining_epochs * epoch_s)
    if settings.verifier_passes:
        yield from _looked_twice(plan, work, settings.utterances * len(plan.phrases) * 6.3 / _LOOKS_PER_S)
    evidence = work / "calibration.json"
    yield Step(
        "calibrate",
        _CALIBRATION_S,
        evidence.is_file,
        lambda: _calibrate(plan, work, evidence, bundle, overwrite=overwrite),
    )
    yield Step("write", 1.0, lambda: False, lambda: _write(work, bundle, overwrite=overwrite))


def last_round(plan: Plan, work: Path) -> int:
    """The number of the round whose network is taken: the rounds end when the rate has stopped falling."""
    rates: list[float] = []
    for number in range(1, plan.settings.mining_rounds + 1):
        file = work / f"mined-{number}.json"
        if not file.is_file():
            break
        found = json.loads(file.read_text(encoding="utf-8"))
        if not found["clips"] or (rates and found["per_hour"] >= rates[-1]):
            return number - 1
        rates.append(found["per_hour"])
    return len(rates)


def _trained(plan: Plan, work: Path, number: int, about_s: float) -> Iterator[Step]:
    run, bundle = work / f"round-{number}", work / f"round-{number}.kws"

    def skipped() -> bool:
        return last_round(plan, work) < number

    def trained() -> bool:
        return skipped() or ((run / METRICS_FILE).is_file() and not (run / CHECKPOINT_FOLDER).is_dir())

    label = "train" if number == 0 else f"train on {number}"
    yield Step(label, about_s, trained, lambda: _train(plan, work, number))
    yield Step(
        f"export {number}",
        _EXPORT_S,
        lambda: skipped() or bundle.is_dir(),
        lambda: _run("export", str(run), "--kind", "stream", "--bundle", str(bundle)),
    )


def _looked_twice(plan: Plan, work: Path, about_s: float) -> Iterator[Step]:
    """A verifier, then one that has heard what the first of them let pass."""
    first, mined = work / "twice-0.kws", work / "mined-twice.json"
    yield Step("look twice", about_s + _HEADS_S, first.is_dir, lambda: _look_twice(plan, work, first, 1))
    yield Step("mine", _MINING_S, mined.is_file, lambda: _mine(plan, work, first, "_mined_twice_", mined))
    passes = plan.settings.verifier_passes
    again = functools.partial(_look_twice, plan, work, work / TWICE, passes)
    yield Step("look twice again", passes * about_s + _HEADS_S, (work / TWICE).is_dir, again)


def _speak(plan: Plan, sounds: Path) -> None:
    recorded = recorded_utterances(plan.recordings, plan.phrases) if plan.recordings else []
    wanted = Ingredients(plan.phrases, plan.language, plan.seed, plan.settings, recorded, plan.negatives)
    for half_made in sounds.parent.glob(".sounds.*"):  # by one that was killed
        shutil.rmtree(half_made)
    spoken = sounds.with_name("spoken")
    with whole_folder(sounds) as folder:
        recipe = write_sounds(folder, wanted, spoken)
    shutil.rmtree(spoken)
    programs = ", ".join(recipe["programs"]) or "no other program was found"
    print(f"voices: espeak-ng, {programs}; clips of {recipe['clip_ms']} ms; {recipe['counts']}", file=sys.stderr)


def _train(plan: Plan, work: Path, number: int) -> None:
    run, config = work / f"round-{number}", work / f"round-{number}.toml"
    if (run / CHECKPOINT_FOLDER).is_dir():
        _run("train", "--run", str(run), "--resume")
        return
    with whole_file(config) as beside:
        beside.write_text(to_toml(_tables(plan, work, number)), encoding="utf-8")
    start = str(work / f"round-{number - 1}") if number else "words"
    begin = ["--start-from", start] if number or plan.settings.start == "pretrained" else []
    again = ["--overwrite"] if is_run(run) else []
    _run("train", "--data", str(work / "sounds" / "data"), "--config", str(config), "--run", str(run), *begin, *again)


def _tables(plan: Plan, work: Path, number: int) -> dict[str, Any]:
    """The training's configuration: ours over the preset, the user's over both."""
    recipe = json.loads((work / "sounds" / RECIPE_FILE).read_text(encoding="utf-8"))
    tables: dict[str, Any] = {
        "data": {"words": list(plan.phrases), "clip_ms": recipe["clip_ms"]},
        "unknown": {"speech": ["../train"], "rare_word_least": _MINED_LEAST},
        "training": {"seed": plan.seed},
    }
    for name, table in plan.tables.items():
        tables[name] = {**tables.get(name, {}), **table}
    if number:
        rate = float(tables["training"].get("learning_rate", 3e-3)) * _RATE_OF_MINING
        tables["training"] |= {
            "epochs": plan.settings.mining_epochs,
            "learning_rate": rate,
            "warm_up_epochs": _WARM_UP_OF_MINING,
        }
    return {"base": PRESET, **tables}


def _mine_round(plan: Plan, work: Path, number: int) -> None:
    if last_round(plan, work) >= number - 1:  # no earlier round was the last
        source = work / f"round-{number - 1}.kws"
        _mine(plan, work, source, f"_mined_{number}_", work / f"mined-{number}.json")


def _mine(plan: Plan, work: Path, bundle: Path, name: str, file: Path) -> None:
    """What fires in the sound to train on, as a folder of other words, and in `file` how much it was."""
    recipe = json.loads((work / "sounds" / RECIPE_FILE).read_text(encoding="utf-8"))
    paths = _sounds(work / "sounds" / "train")
    with whole_folder(work / "sounds" / "data" / name, overwrite=True) as folder:
        found = mine(
            bundle,
            paths,
            folder,
            threshold=plan.settings.mining_threshold,
            most=plan.settings.mining_most,
            clip_ms=recipe["clip_ms"],
            seed=plan.seed,
        )
    print(
        f"mined {found.seconds / 3600:.2f} h: {found.clips} sounds reach {plan.settings.mining_threshold:g}, "
        f"{found.per_hour:.1f} false accepts per hour",
        file=sys.stderr,
    )
    with whole_file(file) as beside:
        beside.write_text(json.dumps({**asdict(found), "per_hour": found.per_hour}) + "\n", encoding="utf-8")


def _sounds(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SOUND_EXTENSIONS)


def _look_twice(plan: Plan, work: Path, target: Path, passes: int) -> None:
    last = work / f"round-{last_round(plan, work)}"
    once, settings = load_bundle(Path(f"{last}.kws")), plan.settings
    gate = trigger_score_for(
        once, _sounds(work / "sounds" / "calibrate"), settings.trigger_score, settings.most_looks_per_hour
    )
    with whole_folder(target, overwrite=True) as folder:
        shutil.copytree(once.path, folder, dirs_exist_ok=True)
        _run("verifier", str(folder), "--run", str(last), "--passes", str(passes), "--trigger-score", f"{gate:.4f}")


def _calibrate(plan: Plan, work: Path, evidence: Path, bundle: Path, *, overwrite: bool) -> None:
    once, final = work / f"round-{last_round(plan, work)}.kws", work / "final.kws"
    last = work / TWICE if plan.settings.verifier_passes else once
    with whole_folder(final, overwrite=True) as folder:
        shutil.copytree(last, folder, dirs_exist_ok=True)
    positives = [str(work / "sounds" / "data")]
    negatives, target = str(work / "sounds" / "calibrate"), f"{plan.target_fa_per_hour:g}"
    try:
        _run(
            *("calibrate", str(final), "--negatives", negatives, "--positives", *positives),
            *("--target-fa-per-hour", target, "--json", str(evidence)),
        )
    except CommandFailed:
        # What was trained is not thrown away for it; it can be calibrated with other sounds, or by ear.
        _write(work, bundle, overwrite=overwrite)
        print(f"kwspot: written without calibration, at the threshold of export: {bundle}", file=sys.stderr)
        raise


def _write(work: Path, bundle: Path, *, overwrite: bool) -> None:
    with whole_folder(bundle, overwrite=overwrite) as folder:
        shutil.copytree(work / "final.kws", folder, dirs_exist_ok=True)


def _run(*arguments: str) -> None:
    """A command of the kit, its results told to people; it ends with us, however we end."""
    command: Sequence[str] = [sys.executable, "-m", "kwspot.runtime.cli", *arguments]
    with subprocess.Popen(command, stdout=sys.stderr.fileno(), preexec_fn=_die_with_parent) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.wait()  # it has had the same Ctrl-C
            raise
    if status == 130:
        raise KeyboardInterrupt
    if status:
        raise CommandFailed(status)


def _die_with_parent() -> None:
    # Linux's PR_SET_PDEATHSIG: after kill -9 of the program a training would go on and be in the way of the next.
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
