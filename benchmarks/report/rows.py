"""Rows of the report's tables, and the sentence that sums a bundle up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kwspot.benchmarks.accuracy.waterfall import ENGINE_STAGES, unpack_right
from kwspot.benchmarks.noise import difference_text
from kwspot.benchmarks.paired import paired_step
from kwspot.benchmarks.tables import Columns, Table, p_text

Entry = Mapping[str, Any]


STAGES = {
    "float-keras": "the trained model",
    "float-tflite": "the converted model, before rounding",
    "int8-weights": "the float model with the weights rounded to int8: what rounding the weights costs",
    **dict.fromkeys(ENGINE_STAGES, "the whole model in int8, in this engine"),
    "stream": "each clip is heard as a stream that begins anywhere between two inferences",
    "events": "the detector as it is deployed: a word must stay above its threshold, and no other word may fire",
}
"""Stage → what it is, in a line."""


def verdict(entry: Entry) -> str:
    """Say what a person should take away: what int8 loses, where most is lost and why, and what an hour costs."""
    accuracy, deployed = entry["accuracy"], entry["latency"]["runs"][0]  # the first engine, in int8
    stages = {stage["name"]: stage for stage in accuracy["stages"]}
    int8 = next((stages[s] for s in ENGINE_STAGES if s in stages), accuracy["stages"][0])
    lost = int8["loss_points"]
    words = f"{entry['bundle']['name']} recognises {100 * int8['accuracy']:.2f} % of the clips in int8"
    if lost is not None:
        difference = f"{abs(lost):.2f} points {'less' if lost > 0 else 'more'} than" if lost else "as many as"
        words += f", {difference} in float"
    sure = [step for step in accuracy["steps"] if not step["explained_by_chance"] and step["loss_points"] > 0]
    if sure:
        worst = max(sure, key=lambda step: float(step["loss_points"]))
        words += f". Most is lost from {worst['from']} to {worst['to']}, {worst['loss_points']:.2f} points"
        words += f" ({STAGES[worst['to']]})"
    else:
        words += ". No step loses more than chance explains"
    cost = f"{deployed['cpu_s_per_hour']:.2f} s of CPU here ({deployed['engine']}, {deployed['precision']})"
    return f"{words}. An hour of sound costs {cost}."


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
    return Table(
        "The bundles", ["", *(e["bundle"]["name"] for e in entries)], [[name, *map(of, entries)] for name, of in rows]
    )


def steps_table(entries: Sequence[Entry]) -> Table:
    """Return every step of every bundle with its test, and the words it changed."""
    columns: Columns = {
        "bundle": "{bundle[name]}",
        "step": "{from} → {to}",
        "points lost": "{loss_points:.2f}",
        "95 % interval": "{ci95_points[0]:.2f} to {ci95_points[1]:.2f}",
        "right → wrong": "{right_to_wrong}",
        "wrong → right": "{wrong_to_right}",
        "McNemar p": lambda step: p_text(step["mcnemar_p"]),
        "words": lambda step: "; ".join(_changed(word, *counts) for word, counts in step["words"].items()) or "none",
    }
    rows = [{**entry, **step} for entry in entries for step in entry["accuracy"]["steps"]]
    return Table.of("Points lost by each step, on the same clips", rows, columns)


def _changed(word: str, lost: int, won: int) -> str:
    return f"{word}: {', '.join(f'{count} {what}' for count, what in ((lost, 'lost'), (won, 'won')) if count)}"


def layers_table(layers: Sequence[Entry]) -> Table:
    """Return ranges and saturation of each layer."""

    def decibels(key: str) -> Callable[[Entry], str]:
        return lambda layer: "–" if layer[key] is None else f"{layer[key]:.1f}"

    columns: Columns = {
        "layer": "{name}",
        "operator": "{kind}",
        "calibrated": "{calibrated[0]:.2f} … {calibrated[1]:.2f}",
        "seen": "{seen[0]:.2f} … {seen[1]:.2f}",
        "outside": lambda layer: f"{layer['outside']} ({100 * layer['outside'] / layer['values']:.3f} %)",
        "own dB": decibels("own_sqnr_db"),
        "whole dB": decibels("sqnr_db"),
    }
    title = "Calibrated range, range on these clips, and numbers of the float model outside of the calibrated range"
    return Table.of(title, layers, columns)


def cost_table(entries: Sequence[Entry]) -> Table:
    """Return every measured engine and model, each against the first of its bundle."""

    def against_own_first(row: Entry) -> str:
        first, noise = row["latency"]["runs"][0], row["latency"]["noise"]["cpu_s_per_hour"]
        same = first["engine"] == row["engine"] and first["precision"] == row["precision"]
        return "–" if same else difference_text(first["cpu_s_per_hour"], row["cpu_s_per_hour"], noise)

    columns: Columns = {
        "bundle": "{bundle[name]}",
        "engine": "{engine} {precision}",
        "CPU s/h": "{cpu_s_per_hour:.2f}",
        "p50 µs": "{us[total][p50]:.0f}",
        "p95": "{us[total][p95]:.0f}",
        "p99": "{us[total][p99]:.0f}",
        "max": "{us[total][max]:.0f}",
        "of real time": "{real_time_factor:.5f}",
        "against the first": against_own_first,
        "RSS MB": "{rss_mb:.0f}",
        "load s": "{load_s:.2f}",
        "threads": "{threads}",
    }
    rows = [{**entry, **run} for entry in entries for run in entry["latency"]["runs"]]
    return Table.of("Time and memory", rows, columns)
