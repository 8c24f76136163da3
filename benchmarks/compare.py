"""Two results of the same kind: what got better or worse, and whether the noise explains it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kwspot.benchmarks.accuracy.waterfall import unpack_right
from kwspot.benchmarks.noise import MEASURES, value_of
from kwspot.benchmarks.paired import paired_step
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.intervals import wilson_interval

SCHEMAS = ("kwspot.accuracy/1", "kwspot.latency/1", "kwspot.report/1")
_CONDITION = re.compile(r"\s*([\w.-]+\.\w+)\s*([<>])\s*([-+]?\d+(?:\.\d+)?)\s*")


@dataclass(frozen=True)
class Change:
    """A measure in both results: `difference` is new − old, in points of accuracy or in per cent of the old value."""

    name: str
    before: float
    after: float
    difference: float
    unit: str
    explained: bool | None
    why: str

    def sentence(self) -> str:
        """Say what happened to it, and whether the noise explains it."""
        if self.difference == 0:
            return f"{self.name} is unchanged at {self.before:.2f}"
        moved = "rose" if self.difference > 0 else "fell"
        return (
            f"{self.name} {moved} by {abs(self.difference):.2f} {self.unit}, "
            f"from {self.before:.2f} to {self.after:.2f}; {self.why}"
        )


@dataclass(frozen=True)
class Condition:
    """``NAME.MEASURE < NUMBER`` on the difference."""

    text: str
    name: str
    limit: float
    above: bool

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read one."""
        match = _CONDITION.fullmatch(text)
        if match is None:
            raise ConfigError(
                f"--fail-if {text!r} is no condition; expected NAME.MEASURE < NUMBER or > NUMBER on the difference "
                "new − old, such as 'int8-litert.accuracy < -0.3' or 'litert-int8.p50 > 10'"
            )
        name, sign, number = match.groups()
        return cls(text.strip(), name, float(number), sign == ">")

    def holds(self, difference: float) -> bool:
        """Say whether a difference is what the condition names."""
        return difference > self.limit if self.above else difference < self.limit


def read_json(path: str | Path, *schemas: str) -> dict[str, Any]:
    """Read a result of one of the schemas."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise ConfigError(f"{path} cannot be read ({reason}); expected a result that 'kwspot bench' wrote") from None
    schema = values.get("schema") if isinstance(values, dict) else None
    if schema not in schemas:
        raise ConfigError(
            f"{path} is of schema {schema!r}; expected {' or '.join(schemas)}: measure again with this version"
        )
    return dict(values)


def read_result(path: str | Path) -> dict[str, Any]:
    """Read a result that can be compared."""
    values = read_json(path, *SCHEMAS)
    if values["schema"] != "kwspot.report/1":
        return values
    if len(values["bundles"]) != 1:
        raise ConfigError(f"{path} reports on {len(values['bundles'])} bundles; expected a report on one")
    (entry,) = values["bundles"]
    return {"schema": values["schema"], **entry["accuracy"], **entry["latency"]}


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Return every measure that both results hold."""
    for what in ("schema", "data", "part", "labels", "clips"):
        if old.get(what) != new.get(what):
            raise ConfigError(
                f"the old result has {what} {old.get(what)}, the new one {new.get(what)}; "
                "expected two results on the same clips, with the same labels in the same order: measure one again"
            )
    found = []
    if "stages" in old:
        stages = {stage["name"]: stage for stage in new["stages"]}
        found += [
            _accuracy(old, new, stage, stages[stage["name"]]) for stage in old["stages"] if stage["name"] in stages
        ]
    if "runs" in old:
        runs = {(run["engine"], run["precision"]): run for run in new["runs"]}
        noise = {m: max(r.get("noise", {}).get(m, math.nan) for r in (old, new)) for m in MEASURES}
        for run in old["runs"]:
            paired = runs.get((run["engine"], run["precision"]))
            found += [] if paired is None else [_latency(run, paired, measure, noise[measure]) for measure in MEASURES]
    return found


def _accuracy(
    old: Mapping[str, Any], new: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]
) -> Change:
    name, total = before["name"], old["clips"]
    if old.get("clip_set") is not None and old.get("clip_set") == new.get("clip_set"):
        step = paired_step(unpack_right(old["right"][name], total), unpack_right(new["right"][name], total))
        # A gain is a negative loss.
        high, low = (-points for points in step["ci95_points"])
        detail = (
            f"{step['right_to_wrong']} clips right→wrong, {step['wrong_to_right']} wrong→right, "
            f"McNemar p = {step['mcnemar_p']:.3f}, 95 % interval {low:+.2f} to {high:+.2f}"
        )
    else:
        (low1, high1), (low2, high2) = (wilson_interval(stage["correct"], total) for stage in (before, after))
        p1, p2 = before["accuracy"], after["accuracy"]
        low = 100 * (p2 - p1 - math.hypot(p2 - low2, high1 - p1))
        high = 100 * (p2 - p1 + math.hypot(high2 - p2, p1 - low1))
        detail = f"95 % interval {low:+.2f} to {high:+.2f}, not clip by clip"
    explained = low <= 0 <= high
    return Change(
        f"{name}.accuracy",
        100 * before["accuracy"],
        100 * after["accuracy"],
        100 * (after["correct"] - before["correct"]) / total,
        "points",
        explained,
        f"{'chance explains it' if explained else 'chance does not explain it'} ({detail})",
    )


def _latency(before: Mapping[str, Any], after: Mapping[str, Any], measure: str, noise: float) -> Change:
    old, new = value_of(before, measure), value_of(after, measure)
    difference = 100 * (new / old - 1)
    explained = None if math.isnan(noise) else abs(difference) <= 100 * noise
    why = {
        None: "the machine's noise was not measured ('kwspot bench report' measures it)",
        True: f"the machine's noise of {100 * noise:.1f} % explains it",
        False: f"the machine's noise of {100 * noise:.1f} % does not explain it",
    }[explained]
    name = f"{before['engine']}-{before['precision']}.{measure}"
    return Change(name, old, new, difference, "%", explained, why)
