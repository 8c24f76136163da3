"""The charts of a report, each from the part of the JSON that it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kwspot.benchmarks.accuracy.layers import worst_layer
from kwspot.benchmarks.report.svg import ALARM, INK, SERIES, Interval, chart, draw_intervals, name_rows, plain_numbers

_LEAST_SHARE = 1e-3
"""Where a DET curve ends: a share of 0 has no place on a logarithmic axis."""


def waterfall_chart(identity: str, accuracy: Mapping[str, Any]) -> str:
    """Draw accuracy of every stage with its interval; beside it what the step from the stage before lost."""
    steps = {step["to"]: step for step in accuracy["steps"]}
    rows = []
    for stage in accuracy["stages"]:
        step = steps.get(stage["name"])
        low, high = (100 * share for share in stage["ci95"])
        # Adding 0 makes of -0.0 a 0.0, which is not written as a loss.
        moved = "" if step is None else f"{0.0 - step['loss_points'] + 0.0:+.2f}"
        sure = step is not None and not step["explained_by_chance"] and step["loss_points"] > 0
        value = 100 * stage["accuracy"]
        rows.append(Interval(stage["name"], value, low, high, f"{value:.2f} %  {moved}", sure))
    with chart(identity, "Accuracy from stage to stage", 0.6 + 0.3 * len(rows)) as drawn:
        draw_intervals(drawn.axes, rows, "right, % of clips, with 95 % interval")
    return drawn.svg


def layers_chart(identity: str, layers: Sequence[Mapping[str, Any]]) -> str:
    """Draw signal to quantisation noise of each layer, its own as a bar and the whole as a dot."""
    worst = worst_layer([dict(layer) for layer in layers])
    with chart(identity, "Signal to quantisation noise by layer", 0.7 + 0.17 * len(layers)) as drawn:
        axes = drawn.axes
        own = [layer["own_sqnr_db"] or 0.0 for layer in layers]
        colours = [ALARM if worst is not None and layer == worst else SERIES[0] for layer in layers]
        axes.barh(range(len(layers)), own, color=colours, height=0.7)
        whole = [(layer["sqnr_db"], row) for row, layer in enumerate(layers) if layer["sqnr_db"] is not None]
        axes.plot(*zip(*whole, strict=True), "o-", color=INK, markersize=2.5, linewidth=0.7)
        name_rows(axes, [str(layer["name"]) for layer in layers], 24, fontsize=6.5)
        axes.set_xlabel("signal to noise, dB")
    return drawn.svg


def det_chart(identity: str, curves: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw misses against false accepts as the threshold moves, a curve for each name."""
    with chart(identity, "Misses against false accepts", 3.0) as drawn:
        axes = drawn.axes
        for number, (name, curve) in enumerate(curves.items()):
            style = "-" if number % 2 == 0 else "--"
            false, miss = ([100 * max(share, _LEAST_SHARE) for share in curve[key]] for key in ("false_accept", "miss"))
            axes.plot(false, miss, style, color=SERIES[number % len(SERIES)], linewidth=1.3, label=name)
        axes.set(xscale="log", yscale="log")
        plain_numbers(axes.xaxis, axes.yaxis)
        axes.set_xlabel("clips without a word taken for one, %")
        axes.set_ylabel("words missed, %")
        axes.legend(fontsize=7.5)
    return drawn.svg


def cost_chart(identity: str, runs: Sequence[Mapping[str, Any]]) -> str:
    """Draw median microseconds of a hop by step, a bar for each engine and model."""
    steps = [step for step in runs[0]["us"] if step != "total"]
    with chart(identity, "Median time of a hop by step", 0.9 + 0.3 * len(runs)) as drawn:
        axes = drawn.axes
        left = [0.0] * len(runs)
        for number, step in enumerate(steps):
            widths = [run["us"].get(step, {"p50": 0.0})["p50"] for run in runs]
            axes.barh(range(len(runs)), widths, left=left, color=SERIES[number % len(SERIES)], height=0.6, label=step)
            left = [a + b for a, b in zip(left, widths, strict=True)]
        name_rows(axes, [f"{run['engine']} {run['precision']}" for run in runs])
        axes.set_xlabel(f"µs per hop of {runs[0]['hop_ms']:g} ms, median, {runs[0]['threads']} thread")
        axes.legend(ncols=len(steps), fontsize=7.5, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return drawn.svg


def histogram_chart(identity: str, runs: Sequence[Mapping[str, Any]]) -> str:
    """Draw how many hops took how long, a line for each engine and model."""
    with chart(identity, "Distribution of the time of a hop", 2.6) as drawn:
        axes = drawn.axes
        for number, run in enumerate(runs):
            edges, counts = run["histogram"]["edges_us"], run["histogram"]["counts"]
            shares = [100 * count / run["hops"] for count in counts]
            style = "-" if run["precision"] == "int8" else "--"
            name = f"{run['engine']} {run['precision']}"
            axes.stairs(shares, edges, color=SERIES[number % len(SERIES)], linestyle=style, linewidth=1.2, label=name)
        axes.set_xscale("log")
        plain_numbers(axes.xaxis)
        axes.set_xlabel("µs per hop")
        axes.set_ylabel("% of hops")
        axes.legend(fontsize=7.5)
    return drawn.svg


def learning_chart(identity: str, curves: Mapping[str, Sequence[float]]) -> str:
    """Draw accuracy and loss by epoch, of training and validation."""
    with chart(identity, "Learning curves", 2.3, panels=2) as drawn:
        for axes, measure, factor in zip(drawn.axes, ("accuracy", "loss"), (100.0, 1.0), strict=True):
            for number, name in enumerate((measure, f"val_{measure}")):
                label = "validation" if number else "training, augmented"
                axes.plot(
                    curves["epoch"],
                    [factor * v for v in curves[name]],
                    color=SERIES[number],
                    linewidth=1.2,
                    label=label,
                )
            axes.set_xlabel("epoch")
            axes.set_title("accuracy, %" if measure == "accuracy" else "loss", fontsize=8.5)
        drawn.axes[1].legend(fontsize=7)
    return drawn.svg


def peers_chart(identity: str, costs: Mapping[str, float]) -> str:
    """Draw CPU seconds for an hour of sound, a bar for each program."""
    with chart(identity, "CPU seconds for an hour of sound", 0.7 + 0.28 * len(costs)) as drawn:
        axes = drawn.axes
        axes.barh(range(len(costs)), list(costs.values()), color=SERIES[0], height=0.6)
        for row, value in enumerate(costs.values()):
            axes.annotate(f"{value:.2f}", (value, row), xytext=(3, 0), textcoords="offset points", va="center")
        name_rows(axes, list(costs))
        axes.set_xscale("log")
        plain_numbers(axes.xaxis)
        axes.set_xlabel("CPU seconds per hour of sound")
    return drawn.svg
