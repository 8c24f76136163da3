"""The state of a typed phrase's work: one file that says for which plan it is, and which steps are done with what."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from kwspot.runtime.errors import ConfigError
from kwspot.runtime.files import LOCK_FILE, hold_lock, write_whole_json
from kwspot.train.config.toml_table import differences
from kwspot.train.word.plan import Plan

STATE_FILE, SCRATCH = "state.json", "tmp"
_SCHEMA = "kwspot.word/2"
# Another phrase is other work, which may still be wanted; whatever else changes is done again.
_FIXED = ("phrases", "language")


class StepRecord(TypedDict):
    """What is known of a step: the settings it was begun with, whether it is done, and how long it took."""

    inputs: dict[str, Any]
    done: bool
    seconds: float


class WorkState:
    """What ``state.json`` of a work folder says; each change is written before it counts."""

    def __init__(self, work: Path, plan: Mapping[str, Any], steps: dict[str, StepRecord]) -> None:
        self.work = work
        self.plan = plan
        self._steps = steps

    def record_of(self, step: str) -> StepRecord | None:
        """Return what is known of a step, or None if it was not begun."""
        return self._steps.get(step)

    def begin(self, step: str, inputs: Mapping[str, Any], later: Sequence[str]) -> None:
        """Note that a step begins with these inputs, so that what `later` steps made no longer counts."""
        for name in later:
            self._steps.pop(name, None)
        self._steps[step] = {"inputs": dict(inputs), "done": False, "seconds": 0.0}
        self.write()

    def finish(self, step: str, seconds: float) -> None:
        """Note that a step is done."""
        record = self._steps[step]
        self._steps[step] = {"inputs": record["inputs"], "done": True, "seconds": round(seconds, 1)}
        self.write()

    def write(self) -> None:
        """Write the file whole."""
        write_whole_json(self.work / STATE_FILE, {"schema": _SCHEMA, "plan": self.plan, "steps": self._steps})


def read_plan(work: Path) -> Plan:
    """Return the plan that a work folder is for."""
    return Plan.from_dict(_read(work)["plan"])


@contextmanager
def open_work(plan: Plan, work: Path) -> Iterator[WorkState]:
    """Open a folder to work in, new or begun before, and let nobody else work in it meanwhile.

    Raises
    ------
    ConfigError
        If the folder holds something else, or work for other phrases.
    KwspotError
        If another process works in it.
    """
    begun = (work / STATE_FILE).is_file()
    if not begun and work.exists() and (not work.is_dir() or {path.name for path in work.iterdir()} - {LOCK_FILE}):
        raise ConfigError(f"{work} exists and was not made by this kwspot word; name a new folder with --work")
    work.mkdir(parents=True, exist_ok=True)
    with hold_lock(work, "kwspot word"):
        steps: dict[str, StepRecord] = {}
        if (work / STATE_FILE).is_file():
            there = _read(work)
            before, now = ({key: values[key] for key in _FIXED} for values in (there["plan"], plan.to_dict()))
            if changed := differences(before, now):
                raise ConfigError(
                    f"{work} holds work for another phrase: {', '.join(changed)}; name another --work, or remove it"
                )
            steps = there["steps"]
        for path in [*set(work.glob(".*")) - {work / LOCK_FILE}, work / SCRATCH]:  # half-made, by one that was killed
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        (work / SCRATCH).mkdir()
        state = WorkState(work, plan.to_dict(), steps)
        state.write()
        try:
            yield state
        finally:
            shutil.rmtree(work / SCRATCH, ignore_errors=True)


def _read(work: Path) -> dict[str, Any]:
    try:
        there = json.loads((work / STATE_FILE).read_text(encoding="utf-8"))
    except ValueError:
        there = None
    if not isinstance(there, dict) or there.get("schema") != _SCHEMA:
        raise ConfigError(
            f"{work / STATE_FILE} is not what this kwspot word writes; name another --work, or remove the folder"
        )
    return there
