"""Rows of the report's tables, and the sentence that sums a bundle up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from kwspot.benchmarks.accuracy.waterfall import ENGINE_STAGES, unpack_right
from kwspot.benchmarks.noise import difference_text
from kwspot.benchmarks.paired import paired_step
from kwspot.benchmarks.report.tables import Table

Entry = Mapping[str, Any]


def verdict(entry: Entry) -> str:
    """Say what a person should take away: what int8 loses, how sure that is, and what a hop costs."""
    stages = {stage["name"]: stage for stage in entry["accuracy"]["stages"]}
    name = entry["bundle"]["name"]
    engine = next((stages[s] for s in ENGINE_STAGES if s in stages), entry["accuracy"]["stages"][0])
    summary = f"{name} is right on {100 * engine['accuracy']:.2f} % of the clips in int8"
    if engine["loss_points"] is not None:
        lost = engine["loss_points"]
        summary += (
            ", as many as in float" if lost == 0 else f", {abs(lost):.2f} points {'less' if lost > 0 else 'more'}"
        )
        summary += "" if lost == 0 else " than in float"
    sure = [s for s in entry["accuracy"]["steps"] if not s["explained_by_chance"] and s["loss_points"] > 0]
    if sure:
        worst = max(sure, key=lambda step: float(step["loss_points"]))
        summary += f"; most is lost from {worst['from']} to {worst['to']} ({worst['loss_points']:.2f} points)"
    else:
        summary += "; no step loses more than chance explains"
    deployed = entry["latency"]["runs"][0]  # the first engine, in int8
    return (
        f"{summary}. An hour of sound costs {deployed['cpu_s_per_hour']:.2f} s of CPU here "
        f"({deployed['engine']}, {deployed['precision']})."
    )


def against_first(entries: Sequence[Entry]) -> list[str]:
    """Return a sentence for each further bundle: its int8 model against the first one's, clip by clip.

    Bundles that hear other words have another task: their accuracies are not compared.
    """
    sentences = []
    first = entries[0]
    for other in entries[1:]:
        both = first["accuracy"]["right"].keys() & other["accuracy"]["right"].keys()
        stage = next((name for name in ENGINE_STAGES if name in both), None)
        if stage is None or any(first["accuracy"][key] != other["accuracy"][key] for key in ("clip_set", "labels")):
            continue
        before, after = (unpack_right(e["accuracy"]["right"][stage], e["accuracy"]["clips"]) for e in (first, other))
        step = paired_step(before, after)
        low, high = step["ci95_points"]
        names = first["bundle"]["name"], other["bundle"]["name"]
        noise = max(e["latency"]["noise"]["cpu_s_per_hour"] for e in (first, other))
        spent = [float(e["latency"]["runs"][0]["cpu_s_per_hour"]) for e in (first, other)]
        cost = difference_text(spent[0], spent[1], noise)
        sentences.append(
            f"{names[1]} against {names[0]}, {stage}: {0.0 - step['loss_points']:+.2f} points "
            f"({-high:+.2f} to {-low:+.2f}{', which chance explains' if step['explained_by_chance'] else ''}); "
            f"difference in CPU time: {cost}."
        )
    return sentences


def overview_table(entries: Sequence[Entry]) -> Table:
    """Return what each bundle is, side by side."""
    rows: list[tuple[str, Callable[[Entry], str]]] = [
        ("kind", lambda e: e["bundle"]["kind"]),
        ("labels", lambda e: ", ".join(e["bundle"]["labels"])),
        ("parameters", lambda e: f"{e['bundle']['parameters']:,}"),
        ("multiply-accumulates per inference", lambda e: f"{e['bundle']['macs']:,}"),
        ("inference every", lambda e: f"{e['bundle']['inference_hop_ms']:g} ms"),
        ("size, int8 TFLite", lambda e: f"{e['bundle']['sizes']['int8-tflite'] / 1000:.1f} kB"),
        ("preset", lambda e: str(e["bundle"]["recipe"].get("preset", "–"))),
        ("calibration clips", lambda e: f"{e['bundle']['calibration_clips']:,}"),
        ("thresholds", lambda e: e["bundle"]["thresholds"]),
        ("data licence", lambda e: e["bundle"]["data_licence"]),
        ("hash", lambda e: e["bundle"]["hash"][:16]),
    ]
    rows += [
        (f"accuracy, {stage}", partial(_accuracy, stage))
        for stage in dict.fromkeys(s["name"] for e in entries for s in e["accuracy"]["stages"])
    ]
    return Table(
        "The bundles", ["", *(e["bundle"]["name"] for e in entries)], [[name, *map(of, entries)] for name, of in rows]
    )


def _accuracy(stage: str, entry: Entry) -> str:
    found = [s for s in entry["accuracy"]["stages"] if s["name"] == stage]
    return f"{100 * found[0]['accuracy']:.2f} %" if found else "–"


def steps_table(entries: Sequence[Entry]) -> Table:
    """Return every step of every bundle with its test, and the words it changed."""
    rows = []
    for entry in entries:
        for step in entry["accuracy"]["steps"]:
            low, high = step["ci95_points"]
            words = ", ".join(
                f"{word} {'−' + str(lost) if lost else ''}{' ' if lost and won else ''}{'+' + str(won) if won else ''}"
                for word, (lost, won) in step["words"].items()
            )
            rows.append(
                [
                    entry["bundle"]["name"],
                    f"{step['from']} → {step['to']}",
                    f"{step['loss_points']:.2f}",
                    f"{low:.2f} to {high:.2f}",
                    str(step["right_to_wrong"]),
                    str(step["wrong_to_right"]),
                    "< 0.001" if step["mcnemar_p"] < 0.001 else f"{step['mcnemar_p']:.3f}",
                    words or "none",
                ]
            )
    columns = ["bundle", "step", "points lost", "95 % interval", "right → wrong", "wrong → right", "McNemar p", "words"]
    return Table("Points lost by each step, on the same clips", columns, rows)


def layers_table(layers: Sequence[Entry]) -> Table:
    """Return ranges and saturation of each layer."""
    return Table(
        "Calibrated range, range on these clips, and numbers of the float model outside of the calibrated range",
        ["layer", "operator", "calibrated", "seen", "outside", "own dB", "whole dB"],
        [
            [
                layer["name"],
                layer["kind"],
                *(f"{layer[key][0]:.2f} … {layer[key][1]:.2f}" for key in ("calibrated", "seen")),
                f"{layer['outside']} ({100 * layer['outside'] / layer['values']:.3f} %)",
                *("–" if layer[key] is None else f"{layer[key]:.1f}" for key in ("own_sqnr_db", "sqnr_db")),
            ]
            for layer in layers
        ],
    )


def cost_table(entries: Sequence[Entry]) -> Table:
    """Return every measured engine and model, each against the first of its bundle."""
    rows = []
    for entry in entries:
        first, noise = entry["latency"]["runs"][0], entry["latency"]["noise"]["cpu_s_per_hour"]
        for run in entry["latency"]["runs"]:
            us = run["us"]["total"]
            rows.append(
                [
                    entry["bundle"]["name"],
                    f"{run['engine']} {run['precision']}",
                    *(f"{us[q]:.0f}" for q in ("p50", "p95", "p99", "max")),
                    f"{run['cpu_s_per_hour']:.2f}",
                    f"{run['cpu_s_per_hour'] / 3600:.5f}",
                    "–" if run is first else difference_text(first["cpu_s_per_hour"], run["cpu_s_per_hour"], noise),
                    f"{run['rss_mb']:.0f}",
                    f"{run['load_s']:.2f}",
                    str(run["threads"]),
                ]
            )
    columns = ["bundle", "engine", "p50 µs", "p95", "p99", "max", "CPU s/h", "of real time", "against the first"]
    return Table("Time and memory", [*columns, "RSS MB", "load s", "threads"], rows)
