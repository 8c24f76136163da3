"""The page and the picture of :mod:`kwspot.benchmarks.experiments.sound_length`, from its measurements alone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kwspot.benchmarks.experiments.sound_length_data import NOISE_DBFS, SILENT_SHARE
from kwspot.runtime.files import whole_file
from kwspot.runtime.intervals import wilson_interval
from kwspot.runtime.results import machine

Row = Mapping[str, Any]


def page(rows: Sequence[Row], about: Mapping[str, Any], command: Sequence[str], picture: Path) -> str:
    """Return the page as Markdown."""
    here = machine()
    words = ", ".join(about["words"])
    lines = [
        "# Convolutions or recurrence as sound grows longer",
        "",
        f"The words {words} at any place in longer sound: {about['per_word']} training clips of each at most, the same "
        f"for every length, and the {rows[0]['total']} clips of the validation part, which also chose the best of "
        f"{about['epochs']} epochs. Around the word is nothing in {SILENT_SHARE:.0%} of the clips, and in the others "
        f"a noise recording at {NOISE_DBFS[0]:.0f} to {NOISE_DBFS[1]:.0f} dBFS. Models and recipes are the presets' "
        "own; features differ with them (20 MFCC, tc-cnn 40 log-mel bands), so read along a row's model, not only "
        "across. One seed each: differences inside the intervals say nothing.",
        "",
        f"![Accuracy, training time and cost per second by length]({picture.as_posix()})",
        "",
        "| model | seconds | right (95 % interval) | parameters | MACs per second | µs per second | minutes to train |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(_line(row) for row in rows),
        "",
        "MACs and µs are those of one inference over the clip, divided by its seconds: the cost where sound is cut "
        "into clips. A model that hears a stream is asked more often; then conv2 pays the whole inference each time, "
        "while lstm, gru and tc-cnn can carry a state from step to step and pay only for the new frames. µs: "
        f"the median of float TFLite in LiteRT, one thread, recurrences unrolled, on {here['cpu']}; without features. "
        "conv2 ends in a layer that sees every place on its own, so its parameters grow with the length.",
        "",
        "```sh",
        shlex.join(command),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    low, high = wilson_interval(row["correct"], row["total"])
    return (
        f"| {row['model']} | {row['seconds']} | {row['correct'] / row['total']:.1%} ({low:.1%} – {high:.1%}) "
        f"| {row['parameters']:,} | {row['macs'] / row['seconds']:,.0f} | {row['us'] / row['seconds']:,.0f} "
        f"| {row['minutes']:.1f} |"
    ).replace("%", " %")


def draw(rows: Sequence[Row], target: Path) -> None:
    """Draw three panels by length, a line for each model: accuracy and interval, training time, cost per second."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    accuracy, minutes, cost = figure.subplots(1, 3)
    for model in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == model]
        seconds = [row["seconds"] for row in own]
        share = [100 * row["correct"] / row["total"] for row in own]
        ends = [wilson_interval(row["correct"], row["total"]) for row in own]
        below = [value - 100 * low for value, (low, _) in zip(share, ends, strict=True)]
        above = [100 * high - value for value, (_, high) in zip(share, ends, strict=True)]
        accuracy.errorbar(seconds, share, yerr=[below, above], marker="o", capsize=3, label=model)
        minutes.plot(seconds, [row["minutes"] for row in own], marker="o", label=model)
        cost.plot(seconds, [row["us"] / row["seconds"] for row in own], marker="o", label=model)
    for axes, title in ((accuracy, "right, %"), (minutes, "minutes to train"), (cost, "µs per second of sound")):
        axes.set(title=title, xlabel="seconds of sound", xticks=sorted({row["seconds"] for row in rows}))
        axes.spines[["top", "right"]].set_visible(False)
    cost.set_yscale("log")
    for which in (cost.yaxis.set_major_formatter, cost.yaxis.set_minor_formatter):
        which("{x:g}")  # 400, not 4 × 10²
    accuracy.legend(frameon=False)
    with whole_file(target) as path:
        figure.savefig(path, format="png", dpi=110)
