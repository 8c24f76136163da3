"""The report as one HTML file that needs no network: its JSON turned into charts, tables and sentences."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from kwspot.benchmarks.accuracy.waterfall import NOTHING_FIRED
from kwspot.benchmarks.report import charts
from kwspot.benchmarks.report.clips import HeardClip
from kwspot.benchmarks.report.page_html import card, document, section
from kwspot.benchmarks.report.rows import (
    against_first,
    cost_table,
    layers_table,
    overview_table,
    steps_table,
    verdict,
)
from kwspot.benchmarks.report.tables import confusion_html

Entry = Mapping[str, Any]


def page(values: Mapping[str, Any], heard: Sequence[Sequence[HeardClip]]) -> str:
    """The whole page; `heard` are the changed clips of each bundle."""
    entries = values["bundles"]
    names = [entry["bundle"]["name"] for entry in entries]
    title = html.escape(" and ".join(names))
    body = [
        f"<h1>{title}</h1>",
        f'<p class="soft">{entries[0]["accuracy"]["clips"]:,} clips of {html.escape(values["data"])} '
        f"({html.escape(values['part'])}), {html.escape(values['date'])}, {html.escape(values['machine']['cpu'])}, "
        f"{values['machine']['cores']} cores</p>",
        "".join(
            f'<p class="verdict">{html.escape(sentence)}</p>'
            for sentence in (*map(verdict, entries), *against_first(entries))
        ),
        _each("Accuracy from stage to stage", entries, _waterfall_card),
        section("What it is", [overview_table(entries).html()], wide=True),
        section("Every step", [steps_table(entries).html()], wide=True),
        _clips_section(entries, heard),
        _each("Where in the network int8 loses", [e for e in entries if e["layers"]], _layers_card),
        _each("What is confused with what", entries, _confusion_card),
        _det_section(entries),
        _latency_section(entries),
        _curves_section(entries),
        _calibration_section(values),
        _peers_section(values),
        section("Versions and recipe", [_recipe(values)], wide=True),
    ]
    return document(" and ".join(names), body)


def _each(title: str, entries: Sequence[Entry], content: Any) -> str:
    return section(title, [content(f"b{number}", entry) for number, entry in enumerate(entries)])


def _waterfall_card(identity: str, entry: Entry) -> str:
    return (
        f"<h3>{html.escape(entry['bundle']['name'])}</h3>"
        f"{charts.waterfall_chart(f'{identity}waterfall', entry['accuracy'])}"
        '<p class="soft">Behind the accuracy: points gained or lost by the step to this stage. In red what chance does '
        "not explain.</p>"
    )


def _layers_card(identity: str, entry: Entry) -> str:
    layers = entry["layers"]["tensors"]
    return (
        f"<h3>{html.escape(entry['bundle']['name'])}, {entry['layers']['clips']} clips</h3>"
        f"{charts.layers_chart(f'{identity}layers', layers)}"
        f"<details><summary>Ranges and saturation</summary>{layers_table(layers).html()}</details>"
    )


def _confusion_card(identity: str, entry: Entry) -> str:
    accuracy = entry["accuracy"]
    chosen = [stage for stage in accuracy["confusion"] if stage.startswith("int8-") and stage != "int8-weights"][:1]
    parts = [f"<h3>{html.escape(entry['bundle']['name'])}</h3>"]
    for stage in [*chosen, "events"]:
        matrix = confusion_html(accuracy["labels"], accuracy["confusion"][stage], NOTHING_FIRED)
        parts.append(f'<p class="soft">{stage}, clips</p>{matrix}')
    return "".join(parts)


def _clips_section(entries: Sequence[Entry], heard: Sequence[Sequence[HeardClip]]) -> str:
    cards = []
    for entry, clips in zip(entries, heard, strict=True):
        inside = "".join(
            f'<div class="clip"><img alt="features of {html.escape(c.change["clip"])}" src="{c.picture}">'
            f'<audio controls preload="none" src="{c.sound}"></audio><div><b>{html.escape(c.change["label"])}</b> '
            f"{html.escape(c.step)}: {_said(c.change['before'])} → {_said(c.change['after'])}<br>"
            f'<span class="soft">{html.escape(c.change["clip"])}</span></div></div>'
            for c in clips
        )
        note = inside or "<p>No clip changed its label in any step.</p>"
        cards.append(f'<h3>{html.escape(entry["bundle"]["name"])}</h3><div class="clips">{note}</div>')
    return section("Clips that changed, to hear and see", cards, wide=True)


def _said(said: Sequence[Any]) -> str:
    return f"{html.escape(str(said[0]))} {said[1]:.2f}"


def _det_section(entries: Sequence[Entry]) -> str:
    curves = {
        f"{entry['bundle']['name']} {stage}": curve
        for entry in entries
        for stage, curve in entry["accuracy"]["det"].items()
        if stage in ("float-tflite", "int8-litert")
    }
    if not curves:
        return ""
    caption = '<p class="soft">Each point is a threshold. Down and to the left is better.</p>'
    return section("Misses against false accepts", [charts.det_chart("det", curves) + caption])


def _latency_section(entries: Sequence[Entry]) -> str:
    cards = []
    for number, entry in enumerate(entries):
        runs, noise = entry["latency"]["runs"], entry["latency"]["noise"]
        name = html.escape(entry["bundle"]["name"])
        cards.append(
            f"<h3>{name}</h3>{charts.cost_chart(f'b{number}cost', runs)}"
            f'<p class="soft">Measured twice, the median differed by at most {100 * noise["p50"]:.1f} %, CPU time by '
            f"{100 * noise['cpu_s_per_hour']:.1f} %: smaller differences are none.</p>"
        )
        if all("histogram" in run for run in runs):
            cards.append(f"<h3>{name}</h3>{charts.histogram_chart(f'b{number}histogram', runs)}")
    return section("What a hop costs", cards) + card(cost_table(entries).html())


def _curves_section(entries: Sequence[Entry]) -> str:
    return section(
        "Learning curves",
        [
            f"<h3>{html.escape(entry['bundle']['name'])}</h3>"
            + charts.learning_chart(f"b{number}curves", entry["curves"])
            for number, entry in enumerate(entries)
            if entry["curves"]
        ],
    )


def _calibration_section(values: Mapping[str, Any]) -> str:
    if (sweep := values["calibration"]) is None:
        return ""
    chart = charts.calibration_chart("calibration", sweep["points"], sweep["float_accuracy"])
    return section("Size and choice of the calibration", [f"<h3>{html.escape(sweep['run'])}</h3>{chart}"])


def _peers_section(values: Mapping[str, Any]) -> str:
    cards = [charts.peers_chart("peers", values["peers"])] if values["peers"] else []
    return section("Cost beside others", cards)


def _recipe(values: Mapping[str, Any]) -> str:
    recipes = {entry["bundle"]["name"]: entry["bundle"]["recipe"] for entry in values["bundles"]}
    text = json.dumps({"versions": values["versions"], "recipes": recipes}, indent=1, ensure_ascii=False)
    licences = "".join(
        f"<p>{html.escape(entry['bundle']['name'])}: trained on {html.escape(entry['bundle']['data_licence'])}.</p>"
        for entry in values["bundles"]
    )
    return f'{licences}<details><summary>All of it</summary><pre class="scroll">{html.escape(text)}</pre></details>'
