"""Write the text and tables of ``docs/results.md`` from results alone."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from kwspot.benchmarks.tables import Table
from kwspot.runtime.intervals import wilson_interval

Values = Mapping[str, Any]
"""The values of a JSON file."""

_TUTORIAL_TEXT = """\
The kit grew from a tutorial. Its protocol takes every third sample of a clip without a filter, computes 20
coefficients × 11 frames with librosa's defaults, trains on 60 % of the clips, chosen at random, and reports the
best epoch on the other 40 %. `python -m kwspot.train.experiments.tutorial_protocol` does the same; with
`--by-speaker` it chooses 60 % of the speakers. These models cannot be exported.

**Speakers on both sides.** The first two columns differ in the split alone. In a random split, most people who
speak a validation clip have also spoken training clips, so a model can win by knowing the voice. A random choice of
clips or speakers also changes each figure by itself, so a difference inside the intervals says nothing. Only the
second column is about strangers. The kit's own parts always keep speakers apart.

**Decimation without a filter.** Every third sample of 16 kHz is sound at 5.3 kHz. What is above 2.7 kHz, which is
most of an "s" or a "t", is then mixed with what is below (aliasing). The last column is the preset as the kit
trains it: all samples, more frames, normalised features, its own recipe, and its own parts, so other clips than in
the second column. The step between the two columns is what all of this does together. This table cannot tell how
much of it is aliasing.
"""


def _share(correct: int, total: int) -> str:
    low, high = wilson_interval(correct, total)
    return f"{correct / total:.2%} ({low:.1%} – {high:.1%})".replace("%", " %")


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _preset_row(preset: Values) -> list[str]:
    stages = {stage["name"]: stage for stage in preset["accuracy"]["stages"]}
    base, int8, onnx = stages["float-keras"], stages["int8-litert"], stages["int8-onnx"]
    return [
        preset["name"],
        f"{preset['parameters']:,}",
        f"{preset['macs']:,}",
        _share(base["correct"], preset["accuracy"]["clips"]),
        _percent(int8["accuracy"]),
        _percent(onnx["accuracy"]),
        f"{int8['loss_points']:+.2f}",
        f"{preset['bytes'] / 1000:.1f}",
        f"{_inference_us(preset):.0f}",
    ]


def _inference_us(measured: Values) -> float:
    runs = {(run["engine"], run["precision"]): run for run in measured["latency"]["runs"]}
    return float(runs["litert", "int8"]["us"]["inference"]["p50"])


def _presets_section(presets: Sequence[Values]) -> str:
    accuracy, latency = presets[0]["accuracy"], presets[0]["latency"]
    counts = accuracy["stages"][0]["per_label"]
    columns = ["preset", "parameters", "MACs", "float Keras (95 % interval)"]
    columns += ["int8 TFLite", "int8 ONNX", "int8 loss, points", "int8 kB", "µs per inference"]
    return f"""\
## The presets

Each preset was trained on the train part of `{accuracy["data"]}` and scored on its {accuracy["part"]} part: \
{accuracy["clips"]} clips ({", ".join(f"{label} {total}" for label, (_, total) in counts.items())}). \
No speaker is in both.
The best epoch of each preset was chosen on these same clips, so every row is a little too good.

{Table("", columns, [_preset_row(preset) for preset in presets]).markdown()}

Each row is `train/presets/<preset>.toml` unchanged. MACs are the multiply-accumulates of one inference. The \
int8 loss is the accuracy of float Keras minus that of int8 TFLite, in percentage points; one clip is \
{100 / accuracy["clips"]:.2f}. kB is the size of `model.int8.tflite`. µs is the median of \
{latency["runs"][0]["hops"]} int8 inferences in LiteRT on one thread, with the quantisation of the frames, \
on {latency["machine"]["cpu"]} ({latency["machine"]["platform"]}).
"""


def _spread(values: Sequence[float], form: str) -> str:
    """Format the mean and, of several values, the least and the greatest."""
    mean = format(statistics.mean(values), form)
    return mean if len(values) == 1 else f"{mean} ({format(min(values), form)} to {format(max(values), form)})"


def _seeds_row(name: str, runs: Sequence[Values]) -> list[str]:
    stages = [{stage["name"]: stage for stage in run["accuracy"]["stages"]} for run in runs]
    scored = ("float-keras", "int8-litert", "int8-onnx")
    return [
        name,
        ", ".join(str(run["seed"]) for run in runs),
        f"{runs[0]['parameters']:,}",
        f"{runs[0]['macs']:,}",
        str(runs[0]["accuracy"]["clips"]),
        *(_spread([100 * stage[key]["accuracy"] for stage in stages], ".2f") for key in scored),
        _spread([stage["int8-litert"]["loss_points"] for stage in stages], "+.2f"),
        f"{runs[0]['bytes'] / 1000:.1f}",
        f"{statistics.median(map(_inference_us, runs)):.0f}",
        _spread([run["minutes"] for run in runs], ".0f"),
    ]


def _seeds_section(seeds: Mapping[str, Sequence[Values]]) -> str:
    columns = ["configuration", "seeds", "parameters", "MACs", "clips", "float Keras", "int8 TFLite", "int8 ONNX"]
    columns += ["int8 loss, points", "int8 kB", "µs per inference", "minutes to train"]
    return f"""
## The shipped configurations, seed by seed

Each configuration is scored on its own words and classes of the validation part, which also chose the best \
epoch. Other words count as `_unknown_`. Accuracy is in percent: the mean of the seeds, and in brackets the \
worst and the best.

{Table("", columns, [_seeds_row(name, runs) for name, runs in seeds.items()]).markdown()}
"""


def _validation(metrics: Values) -> str:
    return _share(metrics["validation"]["correct"], metrics["validation"]["total"])


def _tutorial_section(tutorial: Mapping[str, Mapping[str, Values]], presets: Sequence[Values]) -> str:
    own = {preset["name"]: preset["accuracy"] for preset in presets}
    rows = [
        [
            name,
            *(_validation(metrics) for metrics in protocols.values()),
            _share(own[name]["stages"][0]["correct"], own[name]["clips"]) if name in own else "–",
        ]
        for name, protocols in tutorial.items()
    ]
    columns = ["preset", "tutorial: clips split at random", "tutorial-speakers: speakers split", "kwspot: as above"]
    return f"""
## The tutorial's own protocol

{Table("", columns, rows).markdown()}

Accuracy with its 95 % interval: by the tutorial's protocol on its own 40 % of the clips, and in the last \
column float Keras as above.

{_TUTORIAL_TEXT}"""


def page(
    presets: Sequence[Values],
    seeds: Mapping[str, Sequence[Values]],
    tutorial: Mapping[str, Mapping[str, Values]],
    command: str,
) -> str:
    """Return the page as Markdown; `seeds` is configuration → runs, `tutorial` preset → protocol → metrics."""
    first = presets[0]["accuracy"]
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    head = f"""\
# Results

Measured {first["date"][:10]} on {first["machine"]["cpu"]}, {first["machine"]["cores"]} cores, Python \
{first["machine"]["python"]}, {versions}. One command writes this page:

```sh
{command}
```

"""
    return (
        head
        + _presets_section(presets)
        + (_seeds_section(seeds) if seeds else "")
        + (_tutorial_section(tutorial, presets) if tutorial else "")
    )
