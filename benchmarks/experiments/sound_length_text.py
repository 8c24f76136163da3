"""The page and the picture of :mod:`kwspot.benchmarks.experiments.sound_length`, from its measurements alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kwspot.benchmarks.experiments.sound_length_data import NOISE_DBFS, SILENT_SHARE
from kwspot.benchmarks.tables import Table
from kwspot.runtime.files import whole_file
from kwspot.runtime.intervals import wilson_interval
from kwspot.runtime.results import machine

Row = Mapping[str, Any]


def page(rows: Sequence[Row], about: Mapping[str, Any], command: str, picture: Path) -> str:
    """Return the page as Markdown."""
    columns = ["model", "seconds", "right (95 % interval)", "parameters"]
    columns += ["MACs per second", "µs per second", "minutes to train"]
    low, high = NOISE_DBFS
    return f"""\
# Convolutions or recurrence as sound grows longer

Does a convolution or a recurrent network lose more when the word may be anywhere in a longer sound? Each model \
learns the words {", ".join(about["words"])} from at most {about["per_word"]} training clips of each, the same clips \
for every length. It is scored on the {rows[0]["validation"]["total"]} clips of the validation part. These also chose \
the best of {about["epochs"]} epochs, so every row is a little too good. In {SILENT_SHARE:.0%} of the clips there is \
nothing around the word; in the others there is a noise recording at {low:.0f} to {high:.0f} dBFS. Model, features and \
recipe are the preset's. The features differ (tc-cnn has 40 log-mel bands, the others 20 MFCC), so compare the lengths \
of one model first. There is one seed of each: differences inside the intervals say nothing.

![Accuracy, training time and cost per second by length]({picture.as_posix()})

{Table("", columns, [_cells(row) for row in rows]).markdown()}

MACs and µs are those of one inference over the clip, divided by its seconds: this is the cost where sound is cut into \
clips. In a stream there are more inferences. There conv2 computes everything each time, while lstm, gru and tc-cnn \
can carry a state from step to step and compute only the new frames. µs is the median of float TFLite in LiteRT on one \
thread, recurrences unrolled, on {machine()["cpu"]}, without the features. The last layer of conv2 has weights for \
every place, so its parameters grow with the length.

One command writes this page:

```sh
{command}
```
"""


def _cells(row: Row) -> list[str]:
    correct, total = row["validation"]["correct"], row["validation"]["total"]
    low, high = (100 * end for end in wilson_interval(correct, total))
    return [
        row["model"],
        str(row["seconds"]),
        f"{100 * correct / total:.1f} % ({low:.1f} % – {high:.1f} %)",
        f"{row['parameters']:,}",
        f"{row['macs'] / row['seconds']:,.0f}",
        f"{row['us'] / row['seconds']:,.0f}",
        f"{row['minutes']:.1f}",
    ]


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
        right = [(row["validation"]["correct"], row["validation"]["total"]) for row in own]
        share = [100 * correct / total for correct, total in right]
        ends = [wilson_interval(correct, total) for correct, total in right]
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
