"""The charts of a stream's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kwspot.benchmarks.report.svg import ALARM, SERIES, Interval, chart, draw_intervals, plain_numbers

MOST_SPEAKERS = 15
_STYLES = ("-", "--", ":")


def trade_off_chart(
    identity: str, title: str, curves: Mapping[str, Sequence[Mapping[str, Any]]], now: Mapping[str, Mapping[str, Any]]
) -> str:
    """Draw misses against false accepts per hour, a curve for each name; a ring where the bundle stands.

    With one curve the intervals of both are drawn.
    """
    with chart(identity, title, 3.1 + 0.12 * len(curves)) as drawn:
        axes = drawn.axes
        least = min(point["per_hour_ci95"][1] for points in curves.values() for point in points) / 10
        for number, (name, points) in enumerate(curves.items()):
            colour, style = SERIES[number % len(SERIES)], _STYLES[number // len(SERIES) % len(_STYLES)]
            x = [point["per_hour"] for point in points]
            y = [100 * point["miss_rate"] for point in points]
            if len(curves) == 1:
                low, high = ([100 * point["miss_rate_ci95"][end] for point in points] for end in (0, 1))
                axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
                left, right = ([point["per_hour_ci95"][end] for point in points] for end in (0, 1))
                axes.fill_betweenx(y, left, right, color=colour, alpha=0.18, linewidth=0)
            axes.plot(x, y, style, color=colour, linewidth=1.4, label=name)
            if name in now and now[name]["miss_rate"] is not None:
                at = (now[name]["per_hour"], 100 * now[name]["miss_rate"])
                axes.plot(*at, "o", color=colour, markersize=6, markerfacecolor="none")
        axes.set_xscale("symlog", linthresh=max(least, 1e-3))
        plain_numbers(axes.xaxis)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("false accepts per hour")
        axes.set_ylabel("words missed, %")
        if len(curves) > 1:
            axes.legend(fontsize=7.5, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return drawn.svg


def noise_chart(identity: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Draw misses by the ratio of word to noise."""
    names = ["clean" if row["snr_db"] is None else f"{row['snr_db']:g} dB" for row in rows]
    return _bars(identity, "Misses in noise", names, rows, "miss_rate", 100, "words missed, %, with 95 % interval")


def rate_chart(identity: str, words: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw false accepts per hour of each word."""
    label = "false accepts per hour, with 95 % interval"
    return _bars(identity, "False accepts per hour", list(words), list(words.values()), "per_hour", 1, label)


def word_chart(identity: str, words: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw misses of each word."""
    label = "words missed, %, with 95 % interval"
    return _bars(identity, "Misses by word", list(words), list(words.values()), "miss_rate", 100, label)


def speaker_chart(identity: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Draw misses of those who are missed most, with their intervals."""
    rows = rows[:MOST_SPEAKERS]
    names = [f"{row['speaker'][:14]} ({row['missed']} of {row['utterances']})" for row in rows]
    label = "words missed, %, with 95 % interval"
    return _bars(identity, "Misses by speaker", names, rows, "miss_rate", 100, label)


def _bars(
    identity: str, title: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]], key: str, factor: float, x: str
) -> str:
    shown = []
    for name, row in zip(names, rows, strict=True):
        value, (low, high) = factor * row[key], (factor * end for end in row[f"{key}_ci95"])
        shown.append(Interval(name, value, low, high, f"{value:.1f}"))
    with chart(identity, title, 0.7 + 0.24 * len(rows)) as drawn:
        draw_intervals(drawn.axes, shown, x)
        drawn.axes.set_xlim(left=0)
    return drawn.svg


def near_miss_chart(identity: str, near: Mapping[str, Any]) -> str:
    """Draw missed words and firing near misses by threshold; where they meet is the equal error rate."""
    with chart(identity, "Near misses by threshold", 2.7) as drawn:
        axes = drawn.axes
        x = [point["threshold"] for point in near["points"]]
        for key, name, colour in (
            ("miss_rate", "words missed", SERIES[0]),
            ("fired_rate", "near misses that fire", SERIES[1]),
        ):
            axes.plot(x, [100 * point[key] for point in near["points"]], color=colour, linewidth=1.4, label=name)
        if near["equal_error_rate"] is not None:
            axes.plot(near["equal_error_threshold"], 100 * near["equal_error_rate"], "o", color=ALARM, markersize=5)
        axes.set_xlabel("threshold")
        axes.set_ylabel("%")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=7.5)
    return drawn.svg
