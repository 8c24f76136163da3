"""One step of a typed phrase that no command of the program does: ``python -m kwspot.train.word.child WORK STEP``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from kwspot.runtime.audio.file_formats import is_sound
from kwspot.runtime.audio.recordings import SYNTHESIS_RECIPE
from kwspot.runtime.cli import guarded
from kwspot.runtime.files import whole_file, whole_folder
from kwspot.train.word.folder import describe, write_sounds
from kwspot.train.word.mining import mine
from kwspot.train.word.plan import Plan
from kwspot.train.word.sources import recorded_utterances
from kwspot.train.word.state import read_plan

# So many examples of a small folder of mined clips are in the pool that an epoch draws from.
_MINED_LEAST = 300


def speak(plan: Plan, work: Path) -> None:
    """Write the folder of sounds."""
    recorded = recorded_utterances(plan.recordings, plan.phrases) if plan.recordings else []
    with whole_folder(work / "sounds", overwrite=True) as folder:
        recipe = write_sounds(folder, plan, recorded, work / "spoken")
    print(describe(recipe), file=sys.stderr)


def configure(plan: Plan, work: Path, target: Path) -> None:
    """Write the training's configuration: ours over the preset, the user's over both."""
    tables: dict[str, Any] = {
        "data": {"words": list(plan.phrases), "clip_ms": _recipe(work)["clip_ms"]},
        "unknown": {"speech": ["../train"], "rare_word_least": _MINED_LEAST},
        "training": {"seed": plan.seed},
    }
    for name, table in plan.tables.items():
        tables[name] = {**tables.get(name, {}), **table}
    with whole_file(target) as beside:
        beside.write_text(tomli_w.dumps({"base": "word", **tables}), encoding="utf-8")


def mine_negatives(plan: Plan, work: Path, bundle: Path) -> None:
    """Write what a bundle fires on in the negatives to train with as a folder of other words."""
    sounds, settings = work / "sounds", plan.settings
    paths = sorted(path for path in (sounds / "train").iterdir() if is_sound(path))
    with whole_folder(sounds / "data" / "_mined_", overwrite=True) as folder:
        found = mine(
            bundle,
            paths,
            folder,
            threshold=settings.mining_threshold,
            most=settings.mining_most,
            clip_ms=_recipe(work)["clip_ms"],
            seed=plan.seed,
        )
    print(
        f"heard {found.seconds / 3600:.2f} h of negatives: {found.clips} reach a score of "
        f"{settings.mining_threshold:g}; {found.per_hour:.1f} false accepts per hour at the bundle's threshold",
        file=sys.stderr,
    )


def _recipe(work: Path) -> dict[str, Any]:
    recipe: dict[str, Any] = json.loads((work / "sounds" / "data" / SYNTHESIS_RECIPE).read_text(encoding="utf-8"))
    return recipe


def main(argv: Sequence[str]) -> int:
    """Do the step."""
    work, step, *rest = argv
    plan = read_plan(Path(work))
    steps: dict[str, Callable[..., None]] = {"speak": speak, "configure": configure, "mine": mine_negatives}
    steps[step](plan, Path(work), *map(Path, rest))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
