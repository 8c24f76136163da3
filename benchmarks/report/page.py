"""The report as one HTML file that needs no network: its JSON turned into charts, tables and sentences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from kwspot.benchmarks.accuracy.waterfall import ENGINE_STAGES, NOTHING_FIRED
from kwspot.benchmarks.report import charts
from kwspot.benchmarks.report.clips import ChangedClip
from kwspot.benchmarks.report.rows import (
    STAGES,
    against_first,
    cost_table,
    layers_table,
    overview_table,
    steps_table,
    verdict,
)
from kwspot.benchmarks.report.templates import render

Entry = Mapping[str, Any]


def page(values: Mapping[str, Any], changed: Sequence[Sequence[ChangedClip]]) -> str:
    """Return the whole page; `changed` are the changed clips of each bundle."""
    entries = values["bundles"]
    recipes = {entry["bundle"]["name"]: entry["bundle"]["recipe"] for entry in entries}
    return render(
        "report.html",
        **values,
        title=" and ".join(entry["bundle"]["name"] for entry in entries),
        sentences=[*map(verdict, entries), *against_first(entries)],
        changed=changed,
        charts=charts,
        overview=overview_table(entries),
        steps=steps_table(entries),
        costs=cost_table(entries),
        layers_table=layers_table,
        shown_stages=_confused_stages,
        stages={stage["name"]: STAGES[stage["name"]] for entry in entries for stage in entry["accuracy"]["stages"]},
        nothing=NOTHING_FIRED,
        det={
            f"{entry['bundle']['name']} {stage}": curve
            for entry in entries
            for stage, curve in entry["accuracy"]["det"].items()
            if stage in ("float-tflite", "int8-litert")
        },
        recipe=json.dumps(
            {"versions": values["versions"], "recipes": recipes}, indent=1, ensure_ascii=False, allow_nan=False
        ),
    )


def _confused_stages(entry: Entry) -> list[str]:
    """Return the stages whose confusion is shown: the first engine's, and the events."""
    return [*[stage for stage in ENGINE_STAGES if stage in entry["accuracy"]["confusion"]][:1], "events"]
