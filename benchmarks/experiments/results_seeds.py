"""Several seeds of one configuration: checked to be that, exported, scored; for ``docs/results.md``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kwspot.benchmarks.experiments.steps import measure
from kwspot.runtime.errors import ConfigError, RunError
from kwspot.runtime.run_folder import Run, read_run

PART = "validation"

# What may differ between two seeds of one configuration: what the seed draws, and how the kit was installed.
_DRAWN = ("normalisation", "calibration", "versions", "preset")


def parse_seeds(values: list[str]) -> dict[str, list[Path]]:
    """Return name → run folders of ``NAME=RUN,RUN``."""
    found: dict[str, list[Path]] = {}
    for value in values:
        name, mark, runs = value.partition("=")
        paths = [Path(run) for run in runs.split(",") if run]
        if not (name and mark and paths):
            raise ConfigError(f"--seeds {value}; expected NAME=RUN,RUN,..., such as commands=runs/s1,runs/s2,runs/s3")
        if name in found or len({path.resolve() for path in paths}) < len(paths):
            raise ConfigError(f"--seeds {value} names something twice; expected each name and each run once")
        found[name] = paths
    return found


def measure_seeds(work: Path, runs: list[Path]) -> list[dict[str, Any]]:
    """Measure each run; what is in `work` already is taken as it is.

    Raises
    ------
    RunError
        If a run is not finished, or two differ in more than their seed.
    """
    found = [_finished(run) for run in runs]
    configs = [run.config for run in found]
    for run, config in zip(runs[1:], configs[1:], strict=True):
        if (other := _without_seed(config)) != _without_seed(configs[0]):
            changed = [key for key in other if other[key] != _without_seed(configs[0]).get(key)]
            raise RunError(
                f"{run} and {runs[0]} differ in more than their seed, in {', '.join(changed) or 'what they hold'}; "
                "expected runs of one configuration: train again with --seed alone changed"
            )
    return [_measured(work / run.path.name, run) for run in found]


def _finished(path: Path) -> Run:
    run = read_run(path)
    if not run.finished:
        raise RunError(f"{path} is no finished run; train it to its end with kwspot train --resume --run {path}")
    return run


def _without_seed(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in config.items() if key not in _DRAWN}
    return {**kept, "training": {key: value for key, value in config["training"].items() if key != "seed"}}


def _measured(folder: Path, run: Run) -> dict[str, Any]:
    data = run.config["data"]
    # Without a class for other words only the folders of the words can be scored.
    words = () if data["unknown_share"] else ("--words", ",".join(data["words"]))
    found = measure(run.path, folder, folder / "bundle.kws", "--data", data["folder"], "--part", PART, *words)
    return {**found, "seed": run.config["training"]["seed"], "minutes": run.metrics["minutes"]}
