"""Which stages a bundle is scored in on this machine, and on which clips."""

from __future__ import annotations

from pathlib import Path

from kwspot.benchmarks.accuracy.deployed_stages import deployed_stages
from kwspot.benchmarks.accuracy.scores import LabelledClips, Stage, engine_stage, keras_stage, load_clips, weights_stage
from kwspot.benchmarks.accuracy.tflite_environment import tflite_stage
from kwspot.benchmarks.accuracy.waterfall import ENGINE_STAGES
from kwspot.benchmarks.engine_choice import engines_to_measure, note
from kwspot.runtime.audio.parts import split_names
from kwspot.runtime.audio.recordings import DataFolder, default_part
from kwspot.runtime.errors import ConfigError, DataFolderError
from kwspot.runtime.model.bundle import Bundle
from kwspot.runtime.model.engines import ENGINES, installed_engines
from kwspot.runtime.progress import Progress

ORDER = ("float-keras", "float-tflite", "int8-weights", *ENGINE_STAGES, "stream", "events")
"""Stages from training to the board."""


def engines_of(bundle: Bundle, named: list[str] | None, tflite_python: str | None) -> list[str]:
    """Return engines of this environment; see :func:`engines_to_measure`."""
    engines = engines_to_measure(bundle, named)
    if tflite_python is not None and "tflite" in engines:
        raise ConfigError("int8-tflite would be scored twice: leave --tflite-python out, tflite-runtime runs here")
    return engines


def clips_of(bundle: Bundle, folder: DataFolder, part: str | None, words: str | None) -> tuple[LabelledClips, str]:
    """Return the clips of a part, the default one for None, and of words "a,b", all for None; and the part."""
    if part is None:
        part = default_part(folder)
        note(f"no --part was named; scoring {part}")
    chosen = None if words is None else split_names(words, folder.words)
    clips = load_clips(folder, part, chosen, bundle.manifest)
    missing = [label for index, label in enumerate(bundle.manifest.labels) if not (clips.truth == index).any()]
    lost = [label for label in missing if label in bundle.manifest.words]
    if lost and chosen is None:
        raise DataFolderError(
            f"{folder.root} ({part}) has no clip of {', '.join(lost)}, which {bundle.name} hears; expected "
            "some of every word: record them, choose another --part, or name the folders to score with --words"
        )
    for label in missing:
        note(f"{label} has no clip in {folder.root} ({part}); the accuracy says nothing about it")
    return clips, part


def all_stages(
    bundle: Bundle,
    engines: list[str],
    run: Path | None,
    tflite_python: str | None,
    clips: LabelledClips,
    progress: Progress,
) -> list[Stage]:
    """Score every stage that can be scored here, in :data:`ORDER`; stderr tells what is left out, and why."""
    stages: list[Stage] = []
    for engine in engines:
        progress.step(f"int8-{engine}: {len(clips.clips):,} clips")
        stages.append(engine_stage(bundle, engine, "int8", clips.frames))
    if tflite_python is not None:
        progress.step("int8-tflite, in its own environment")
        stages.append(tflite_stage(bundle, tflite_python, clips.frames))
    stages += _float_stages(bundle, engines, clips, progress)
    progress.step("stream and events")
    stages += deployed_stages(bundle, engines[0], clips, progress.count)
    if run is not None:
        # Last, since tflite-runtime cannot start in a process that has loaded TensorFlow.
        progress.step("float-keras")
        stages.append(keras_stage(run, bundle, clips.frames))
    return sorted(stages, key=lambda stage: ORDER.index(stage.name))


def _float_stages(bundle: Bundle, engines: list[str], clips: LabelledClips, progress: Progress) -> list[Stage]:
    if "float-tflite" not in bundle.manifest.models:
        note(f"float-tflite and int8-weights are left out: {bundle.path} holds no such model")
        return []
    tflite_engines = [name for name in (*engines, *installed_engines()) if ENGINES[name].file_format == "tflite"]
    if not tflite_engines:
        note("float-tflite and int8-weights are left out: they need kwspot[litert] or kwspot[tflite]")
        return []
    progress.step("float-tflite")
    stages = [engine_stage(bundle, tflite_engines[0], "float", clips.frames)]
    if "litert" in tflite_engines:
        progress.step("int8-weights")
        stages.append(weights_stage(bundle, clips.frames))
    else:
        note("int8-weights is left out: it needs kwspot[litert]")
    return stages
